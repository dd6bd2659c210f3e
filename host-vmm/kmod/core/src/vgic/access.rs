//! Registers in memory: frames, and what is not a field for each interrupt.

use super::interrupt::{NOWHERE, ROUTE_TO_ANY};
use super::{Effects, Frame, Register, Source, Vgic, affinity, vcpu_of_affinity};

/// Bytes of the distributor.
pub(super) const DISTRIBUTOR_SIZE: u64 = 0x1_0000;
/// Bytes of a redistributor: `RD_base` and `SGI_base`.
pub(super) const REDISTRIBUTOR_SIZE: u64 = 0x2_0000;
/// Offset of `SGI_base` in a redistributor.
const SGI_BASE: u32 = 0x1_0000;

/// `IIDR` of all frames: product 0x43, implementer Arm. It must not be zero, which Linux takes for
/// a chip with an erratum.
const IIDR: u64 = 0x4300_043b;
/// `PIDR2` of all frames: version 3.
const PIDR2: u64 = 0x3b;
/// Offset of `PIDR2`.
const PIDR2_OFFSET: u32 = 0xffe8;

/// Registers of the distributor.
mod distributor {
    pub(super) const CTLR: u32 = 0x0000;
    pub(super) const TYPER: u32 = 0x0004;
    pub(super) const IIDR: u32 = 0x0008;
    pub(super) const IROUTER: u32 = 0x6000;
    pub(super) const IROUTER_END: u32 = 0x8000;

    /// `CTLR`: affinity routing, and a single Security state; both cannot be changed.
    pub(super) const ARE_DS: u64 = 1 << 4 | 1 << 6;
    /// `CTLR.RWP`.
    pub(super) const WRITE_PENDING: u64 = 1 << 31;
    /// `TYPER.IDbits`: INTIDs have ten bits.
    pub(super) const IDENTIFIER_BITS: u64 = 9 << 19;
}

/// Registers of `RD_base`.
mod redistributor {
    pub(super) const CTLR: u32 = 0x0000;
    pub(super) const IIDR: u32 = 0x0004;
    pub(super) const TYPER: u32 = 0x0008;
    pub(super) const TYPER_HIGH: u32 = 0x000c;
    pub(super) const WAKER: u32 = 0x0014;

    /// `CTLR.RWP`.
    pub(super) const WRITE_PENDING: u64 = 1 << 3;
    /// `WAKER.ProcessorSleep`.
    pub(super) const PROCESSOR_SLEEP: u64 = 1 << 1;
    /// `WAKER.ChildrenAsleep`.
    pub(super) const CHILDREN_ASLEEP: u64 = 1 << 2;
    /// `TYPER.Last`.
    pub(super) const LAST: u64 = 1 << 4;
}

/// The part of a 64-bit register that an access sees: all of it, or one half.
const fn part(value: u64, offset: u32, size: usize) -> u64 {
    match (size, offset & 4) {
        (8, 0) => value,
        (4, 0) => value & 0xffff_ffff,
        (4, _) => value >> 32,
        _ => 0,
    }
}

impl Vgic {
    /// Which register, or other place of the interrupt controller, is at an IPA (without the bit
    /// that makes it shared); `None` outside.
    pub fn register_at(&self, ipa: u64) -> Option<Register> {
        let within = |base: u64, size: u64| ipa.checked_sub(base).filter(|&offset| offset < size);
        if let Some(offset) = within(self.distributor, DISTRIBUTOR_SIZE) {
            return Some(Register {
                frame: Frame::Distributor,
                offset: offset as u32,
            });
        }
        self.regions.iter().find_map(|region| {
            let size = region.vcpus.len() as u64 * REDISTRIBUTOR_SIZE;
            let offset = within(region.base, size)?;
            Some(Register {
                frame: Frame::Redistributor {
                    vcpu: region.vcpus.start + (offset / REDISTRIBUTOR_SIZE) as usize,
                },
                offset: (offset % REDISTRIBUTOR_SIZE) as u32,
            })
        })
    }

    /// A Realm's read of `size` bytes: the value, zero-extended. What is not there, and sizes that a
    /// register does not have, read as zero.
    ///
    /// Where the true state is in the list registers of a running vCPU, the answer is that of its
    /// last exit, and the vCPU is kicked so that a Realm that polls learns the truth.
    pub fn read(&mut self, register: Register, size: usize, effects: &mut Effects) -> u64 {
        let offset = register.offset;
        if !is_access(offset, size) {
            return 0;
        }
        match register.frame {
            Frame::Distributor => self.read_distributor(offset, size, effects),
            Frame::Redistributor { vcpu } => match offset.checked_sub(SGI_BASE) {
                None => self.read_redistributor(vcpu, offset, size),
                Some(offset) => self.read_bank(Source::Private(vcpu), offset, size, effects),
            },
        }
    }

    /// A Realm's write of the low `size` bytes of `value`. What is not there, and sizes that a
    /// register does not have, are ignored.
    pub fn write(&mut self, register: Register, size: usize, value: u64, effects: &mut Effects) {
        let offset = register.offset;
        if !is_access(offset, size) {
            return;
        }
        match register.frame {
            Frame::Distributor => self.write_distributor(offset, size, value, effects),
            Frame::Redistributor { vcpu } => match offset.checked_sub(SGI_BASE) {
                None if offset == redistributor::WAKER && size == 4 => {
                    self.write_waker(vcpu, value, effects);
                }
                None => {}
                Some(offset) => {
                    self.write_bank(Source::Private(vcpu), offset, size, value, effects);
                }
            },
        }
    }

    fn read_distributor(&self, offset: u32, size: usize, effects: &mut Effects) -> u64 {
        use distributor::{
            ARE_DS, CTLR, IDENTIFIER_BITS, IIDR as IIDR_OFFSET, IROUTER, IROUTER_END, TYPER,
            WRITE_PENDING,
        };
        match (offset, size) {
            (CTLR, 4) => {
                let write_pending = if self.withdrawing == 0 {
                    0
                } else {
                    WRITE_PENDING
                };
                u64::from(self.groups) | ARE_DS | write_pending
            }
            (TYPER, 4) => {
                IDENTIFIER_BITS | u64::from(self.interrupts.div_ceil(32)).saturating_sub(1)
            }
            (IIDR_OFFSET, 4) => IIDR,
            (PIDR2_OFFSET, 4) => PIDR2,
            (IROUTER..IROUTER_END, 4 | 8) => self
                .interrupt(Source::Shared, (offset - IROUTER) / 8)
                .map_or(0, |interrupt| {
                    part(u64::from(interrupt.route), offset, size)
                }),
            _ => self.read_bank(Source::Shared, offset, size, effects),
        }
    }

    fn write_distributor(&mut self, offset: u32, size: usize, value: u64, effects: &mut Effects) {
        use distributor::{CTLR, IROUTER, IROUTER_END};
        match (offset, size) {
            (CTLR, 4) => self.set_groups(value as u8 & 3, effects),
            // The upper half would be Aff3, which there is not.
            (IROUTER..IROUTER_END, 4 | 8) if offset & 4 == 0 => {
                let route = value as u32 & (ROUTE_TO_ANY | 0xff_ffff);
                let target = self.target(route);
                let intid = (offset - IROUTER) / 8;
                self.change(Source::Shared, intid, effects, |interrupt| {
                    interrupt.route = route;
                    interrupt.target = target;
                });
            }
            _ => self.write_bank(Source::Shared, offset, size, value, effects),
        }
    }

    fn read_redistributor(&self, number: usize, offset: u32, size: usize) -> u64 {
        use redistributor::{
            CHILDREN_ASLEEP, CTLR, IIDR as IIDR_OFFSET, LAST, PROCESSOR_SLEEP, TYPER, TYPER_HIGH,
            WAKER, WRITE_PENDING,
        };
        let Some(vcpu) = self.vcpus.get(number) else {
            return 0;
        };
        match (offset, size) {
            (CTLR, 4) if vcpu.withdrawing => WRITE_PENDING,
            (IIDR_OFFSET, 4) => IIDR,
            (TYPER | TYPER_HIGH, 4 | 8) => {
                let is_last = self
                    .regions
                    .iter()
                    .any(|region| region.vcpus.end == number + 1);
                let last = if is_last { LAST } else { 0 };
                let affinity = u64::from(affinity(number));
                part(affinity << 32 | (number as u64) << 8 | last, offset, size)
            }
            (WAKER, 4) if vcpu.asleep => PROCESSOR_SLEEP | CHILDREN_ASLEEP,
            (PIDR2_OFFSET, 4) => PIDR2,
            _ => 0,
        }
    }

    /// `GICD_CTLR`: which groups are forwarded.
    fn set_groups(&mut self, groups: u8, effects: &mut Effects) {
        let (more, less) = (groups & !self.groups, self.groups & !groups);
        self.groups = groups;
        for number in 0..self.vcpus.len() {
            let (holds, has) = self.vcpus.get(number).map_or((false, false), |vcpu| {
                (vcpu.holds_pending(), vcpu.has_interrupts())
            });
            if less != 0 && holds {
                self.withdraw(number, effects);
            }
            if more != 0 && has {
                effects.kick(number);
            }
        }
    }

    /// `GICR_WAKER`: a vCPU goes to sleep or wakes up. An interrupt that goes to any vCPU goes to
    /// one that is awake.
    fn write_waker(&mut self, number: usize, value: u64, effects: &mut Effects) {
        let asleep = value & redistributor::PROCESSOR_SLEEP != 0;
        match self.vcpus.get_mut(number) {
            Some(vcpu) if vcpu.asleep != asleep => vcpu.asleep = asleep,
            _ => return,
        }
        let target = self.target(ROUTE_TO_ANY);
        for intid in 32..self.interrupts {
            self.change(Source::Shared, intid, effects, |interrupt| {
                if interrupt.route & ROUTE_TO_ANY != 0 {
                    interrupt.target = target;
                }
            });
        }
    }

    /// The vCPU that a route leads to. One to any vCPU leads to the lowest-numbered that is awake.
    fn target(&self, route: u32) -> u16 {
        let vcpu = if route & ROUTE_TO_ANY == 0 {
            vcpu_of_affinity(route & 0xff_ffff)
        } else {
            Some(
                self.vcpus
                    .iter()
                    .position(|vcpu| !vcpu.asleep)
                    .unwrap_or_default(),
            )
        };
        vcpu.filter(|&vcpu| vcpu < self.vcpus.len())
            .map_or(NOWHERE, |vcpu| vcpu as u16)
    }
}

/// Whether an access has a size that there is, and is aligned.
const fn is_access(offset: u32, size: usize) -> bool {
    matches!(size, 1 | 2 | 4 | 8) && (offset as usize).is_multiple_of(size)
}
