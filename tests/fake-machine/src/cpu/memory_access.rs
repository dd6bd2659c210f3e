//! Loads, stores and fetches of a Realm, through its two stages of translation.

use rmm_core::machine::{Exception, ExceptionKind};
use rmm_core::rec::layout::SystemRegister;

use super::FakeCpu;
use crate::granule::{Granule, Owner};
use crate::mmu::{Stage2Registers, Translation};
use crate::realm::{Effect, MemoryAccess, Taken, general, taken};
use crate::registers::Registers;

/// What is done at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Intent {
    Read,
    Write,
    Fetch,
}

impl Intent {
    /// Whether stage 2 permits it.
    const fn is_permitted(self, found: &Translation) -> bool {
        const READABLE: u64 = 1 << 6;
        const WRITABLE: u64 = 1 << 7;
        match self {
            Self::Read => found.attributes & READABLE != 0,
            Self::Write => found.attributes & WRITABLE != 0,
            Self::Fetch => found.attributes & READABLE != 0 && !found.non_secure,
        }
    }
}

/// Why an access does not take place.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// By stage 1, which the Realm handles itself.
    Stage1,
    /// The address has more bits than any that stage 2 could translate.
    AddressSize,
    /// By stage 2, at an IPA, with a fault status.
    Stage2 { ipa: u64, status: u64 },
    /// The address is not the host's although it was mapped as such.
    GranuleProtection,
    /// There is nothing at the address.
    Nothing,
}

/// Bits of a physical address.
const WIDEST_ADDRESS: u32 = 52;
const LENGTH: u64 = 1 << 25;
const STATUS_TRANSLATION: u64 = 0x04;
const STATUS_PERMISSION: u64 = 0x0c;
const STATUS_EXTERNAL: u64 = 0x10;
const STATUS_GRANULE_PROTECTION: u64 = 0x28;
/// `HPFAR_EL2` when the architecture says that it is unknown.
const UNKNOWN: u64 = 0x5555_5550;

const fn translation_fault(level: i8) -> u64 {
    if level < 0 {
        0x2b
    } else {
        STATUS_TRANSLATION + level.unsigned_abs() as u64
    }
}

fn level_of(size: u64) -> u64 {
    3 - u64::from(size.trailing_zeros() - 12) / 9
}

impl FakeCpu<'_> {
    /// Makes an access at a virtual address, by its physical one.
    fn reach<R>(
        &self,
        registers: &Registers,
        address: u64,
        intent: Intent,
        access: impl FnOnce(u64) -> R,
    ) -> Result<R, Refusal> {
        let ipa = registers
            .translate_stage_1(address)
            .ok_or(Refusal::Stage1)?;
        if ipa >> WIDEST_ADDRESS != 0 {
            return Err(Refusal::AddressSize);
        }
        let stage2 = registers.stage2.expect("a REC is in the CPU");
        let tables = Stage2Registers {
            vmid: stage2.vmid,
            base: stage2.base.get(),
            ipa_width: stage2.ipa_width.into(),
            start_level: stage2.start_level,
            lpa2: stage2.lpa2,
        };
        self.memory.access_through(&tables, ipa, |found| {
            let found = found.map_err(|fault| Refusal::Stage2 {
                ipa,
                status: translation_fault(fault.level),
            })?;
            if !intent.is_permitted(&found) {
                return Err(Refusal::Stage2 {
                    ipa,
                    status: STATUS_PERMISSION + level_of(found.size),
                });
            }
            let target = found.output + (ipa - found.ipa);
            match self.memory.granule(target).map(Granule::owner) {
                None => return Err(Refusal::Nothing),
                Some(owner) if found.non_secure && owner != Owner::NonSecure => {
                    return Err(Refusal::GranuleProtection);
                }
                Some(_) => {}
            }
            Ok(access(target))
        })
    }

    pub(super) fn access_memory(&self, registers: &mut Registers, access: &MemoryAccess) -> Effect {
        let intent = if access.is_write {
            Intent::Write
        } else {
            Intent::Read
        };
        let stored = general(registers, access.register);
        match self.reach(registers, access.address, intent, |target| {
            self.transfer(target, access, stored)
        }) {
            Ok(loaded) => {
                let target = registers.general.get_mut(usize::from(access.register));
                if let (Some(target), false) = (target, access.is_write) {
                    *target = loaded;
                }
                Effect::Done(loaded)
            }
            Err(refusal) => refused(registers, refusal, access.address, 0x24, access.syndrome()),
        }
    }

    /// Reads memory, or writes it, at a physical address: the register after a load.
    fn transfer(&self, target: u64, access: &MemoryAccess, stored: u64) -> u64 {
        assert!(target.is_multiple_of(access.size), "{access:x?}");
        let page = target & !0xfff;
        let word = usize::try_from((target & 0xfff) / 8).expect("in a page");
        let shift = target % 8 * 8;
        let mask = u64::MAX >> (64 - access.size * 8);
        let now = self.memory.inspect(page, word);
        if access.is_write {
            let new = now & !(mask << shift) | (stored & mask) << shift;
            self.memory.realm_write(page, word, new);
            return 0;
        }
        let value = now >> shift & mask;
        if !access.is_signed {
            return value;
        }
        let unused = 64 - access.size * 8;
        let extended = ((value << unused).cast_signed() >> unused).cast_unsigned();
        if access.is_64_bit {
            extended
        } else {
            extended & 0xffff_ffff
        }
    }

    /// Goes on at an address.
    pub(super) fn fetch(&self, registers: &mut Registers, address: u64) -> Effect {
        registers.program_counter = address;
        match self.reach(registers, address, Intent::Fetch, |_| ()) {
            Ok(()) => Effect::Jumped,
            Err(refusal) => refused(registers, refusal, address, 0x20, 0),
        }
    }
}

/// The exception for an access that was refused.
fn refused(
    registers: &mut Registers,
    refusal: Refusal,
    address: u64,
    class: u64,
    specific: u64,
) -> Effect {
    match refusal {
        Refusal::Stage2 { ipa, status } => {
            const FAULT_IPA: u64 = 0xff_ffff_ffff << 4;
            registers.fault_address = address;
            let is_permission_fault = status & !3 == STATUS_PERMISSION;
            registers.fault_ipa = if is_permission_fault {
                UNKNOWN
            } else {
                ipa >> 8 & FAULT_IPA
            };
            Effect::Trap(Exception {
                kind: ExceptionKind::Synchronous,
                syndrome: class << 26 | LENGTH | specific | status,
            })
        }
        Refusal::Nothing => {
            registers.fault_address = address;
            registers.fault_ipa = UNKNOWN;
            Effect::Trap(Exception {
                kind: ExceptionKind::Synchronous,
                syndrome: class << 26 | LENGTH | specific | STATUS_EXTERNAL,
            })
        }
        Refusal::Stage1 => Effect::Taken(take(registers, class, specific, 0x04, address)),
        Refusal::AddressSize => Effect::Taken(take(registers, class, specific, 0, address)),
        Refusal::GranuleProtection => {
            let status = STATUS_GRANULE_PROTECTION;
            Effect::Taken(take(registers, class, specific, status, address))
        }
    }
}

/// The Realm takes an abort at its EL1, without the RMM.
fn take(registers: &mut Registers, class: u64, specific: u64, status: u64, address: u64) -> Taken {
    const WRITE: u64 = 1 << 6;
    let from_el1 = registers.exception_level() == 1;
    let vector = match (from_el1, registers.processor_state & 1 != 0) {
        (true, true) => 0x200,
        (true, false) => 0,
        _ if registers.is_aarch32() => 0x600,
        _ => 0x400,
    };
    let class = class + u64::from(from_el1);
    let syndrome = class << 26 | LENGTH | specific & WRITE | status;
    for (register, value) in [
        (SystemRegister::ESR_EL1, syndrome),
        (SystemRegister::FAR_EL1, address),
        (SystemRegister::ELR_EL1, registers.program_counter),
        (SystemRegister::SPSR_EL1, registers.processor_state),
    ] {
        registers.set_system(register, value);
    }
    let base = registers.system(SystemRegister::VBAR_EL1);
    registers.program_counter = base.wrapping_add(vector);
    registers.processor_state = 0x3c5;
    taken(registers)
}
