//! The interrupt controller of a Realm: a GIC of version 3 without LPIs and ITS
//! (IHI 0069), for up to [`MAX_VCPUS`] vCPUs.
//!
//! The virtual CPU interface is the hardware's, and the RMM lets the host at it only through the
//! list registers of the run page. So a vCPU's interrupts are loaded into list registers by
//! [`Vgic::fill`] before each entry, and taken back by [`Vgic::sync`] after each exit; in between
//! the list registers are the truth about what was loaded, and this model about everything else.
//!
//! A Realm sees a single Security state (`GICD_CTLR.DS` = 1) with affinity routing always on.
//!
//! Nothing here allocates after [`Setup::build`], and every call's work is bounded by the number of
//! vCPUs and interrupts: the caller holds a spinlock with interrupts off. What has to happen outside
//! is collected in an [`Effects`].
#![expect(
    clippy::cast_possible_truncation,
    reason = "INTIDs are below 1024, vCPUs below 512, and values of registers are cut to their fields"
)]

extern crate alloc;

mod access;
mod bank;
mod effects;
mod interrupt;
mod list_register;
mod load;
mod setup;
mod sgi;

pub use effects::{Effects, Set};
pub use setup::{Error, MAX_REGIONS, RedistributorRegion, Setup};

use alloc::vec::Vec;
use core::ops::Range;

use interrupt::{Interrupt, flag};

/// vCPUs that a Realm may have.
pub const MAX_VCPUS: usize = 512;

/// List registers that there is room for in the run page.
pub const LIST_REGISTERS: usize = 16;

/// PPI of the virtual timer.
pub const VIRTUAL_TIMER: u32 = 27;
/// PPI of the physical timer.
pub const PHYSICAL_TIMER: u32 = 30;
/// PPI of the performance monitors.
pub const PMU: u32 = 23;

/// A register of the interrupt controller: a frame and an offset into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Register {
    /// The frame.
    pub frame: Frame,
    /// Offset into it, in bytes.
    pub offset: u32,
}

/// What an address of the interrupt controller belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// The distributor, 64 KiB.
    Distributor,
    /// The two frames of a vCPU's redistributor, `RD_base` and `SGI_base`, 128 KiB.
    Redistributor {
        /// Number of the vCPU.
        vcpu: usize,
    },
}

/// The system registers by which software generated interrupts are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SgiRegister {
    /// `ICC_SGI0R_EL1`.
    Group0,
    /// `ICC_SGI1R_EL1`.
    Group1,
    /// `ICC_ASGI1R_EL1`.
    OtherGroup1,
}

/// The part of the run page's entry half that the interrupt controller decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// `gicv3_hcr`.
    pub control: u64,
    /// `gicv3_lrs`.
    pub list_registers: [u64; LIST_REGISTERS],
}

/// The part of the run page's exit half that the interrupt controller looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// `gicv3_hcr`, with `EOIcount`.
    pub control: u64,
    /// `gicv3_lrs`.
    pub list_registers: [u64; LIST_REGISTERS],
    /// `gicv3_vmcr`.
    pub machine_control: u64,
}

/// A vCPU's redistributor, and what its CPU interface has of it.
#[derive(Debug)]
struct Vcpu {
    /// SGIs and PPIs.
    private: [Interrupt; PRIVATE],
    /// INTIDs of what its list registers should have: pending and enabled, or active. Nothing that
    /// is held.
    queue: Set<{ 1024 / 64 }>,
    /// While it runs: what it was entered with.
    loaded: [u64; LIST_REGISTERS],
    /// While it runs: it may still take an interrupt that the Realm has disabled meanwhile.
    withdrawing: bool,
    /// `GICR_WAKER.ProcessorSleep`.
    asleep: bool,
    /// `ICH_VMCR_EL2` at the last exit.
    machine_control: u64,
}

/// Redistributors side by side, for consecutive vCPUs.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Region {
    base: u64,
    vcpus: Range<usize>,
}

/// The interrupt controller of one Realm.
#[derive(Debug)]
pub struct Vgic {
    distributor: u64,
    regions: Vec<Region>,
    /// Of the CPU.
    list_registers: usize,
    /// Number of INTIDs, from 64 to 1020.
    interrupts: u32,
    vcpus: Vec<Vcpu>,
    spis: Vec<Interrupt>,
    /// Groups that the distributor forwards: `GICD_CTLR`, bits 1:0.
    groups: u8,
    /// vCPUs that are withdrawing an interrupt.
    withdrawing: usize,
}

/// SGIs and PPIs.
const PRIVATE: usize = 32;

impl Vgic {
    /// Sets the line of a PPI (16 to 31) of a vCPU.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchInterrupt`], also for a vCPU that is not there.
    pub fn set_ppi_level(
        &mut self,
        vcpu: usize,
        ppi: u32,
        level: bool,
        effects: &mut Effects,
    ) -> Result<(), Error> {
        if !(16..32).contains(&ppi) || vcpu >= self.vcpus.len() {
            return Err(Error::NoSuchInterrupt);
        }
        self.change(Source::Private(vcpu), ppi, effects, |interrupt| {
            interrupt.set(flag::LINE, level);
        });
        Ok(())
    }

    /// Sets the line of an SPI (by INTID, 32 and up). On one that the Realm has made edge-triggered,
    /// each `true` is an edge.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchInterrupt`].
    pub fn set_spi_level(
        &mut self,
        spi: u32,
        level: bool,
        effects: &mut Effects,
    ) -> Result<(), Error> {
        if !(32..self.interrupts).contains(&spi) {
            return Err(Error::NoSuchInterrupt);
        }
        self.change(Source::Shared, spi, effects, |interrupt| {
            interrupt.set(flag::LINE, level);
            if level && interrupt.is(flag::EDGE) {
                interrupt.set(flag::LATCHED, true);
            }
        });
        Ok(())
    }

    /// A Realm's write of `ICC_DIR_EL1`, trapped on `vcpu`. It traps only while the Realm separates
    /// priority drop from deactivation (`ICC_CTLR_EL1.EOImode`): then [`Vgic::fill`] asks for it.
    pub fn deactivate(&mut self, vcpu: usize, value: u64, effects: &mut Effects) {
        self.end(Source::Interface(vcpu), (value & 0xff_ffff) as u32, effects);
    }

    fn interrupt(&self, source: Source, intid: u32) -> Option<&Interrupt> {
        match source.find(intid)? {
            Place::Private(vcpu, index) => self.vcpus.get(vcpu)?.private.get(index),
            Place::Shared(index) => self.spis.get(index),
        }
    }

    fn interrupt_mut(&mut self, source: Source, intid: u32) -> Option<&mut Interrupt> {
        match source.find(intid)? {
            Place::Private(vcpu, index) => self.vcpus.get_mut(vcpu)?.private.get_mut(index),
            Place::Shared(index) => self.spis.get_mut(index),
        }
    }

    /// Whether the distributor forwards interrupts of this one's group.
    fn forwards(&self, interrupt: &Interrupt) -> bool {
        self.groups >> u8::from(interrupt.is(flag::GROUP_1)) & 1 != 0
    }

    /// Changes an interrupt, if it is there. Everything that changes one goes through here, but for
    /// [`Vgic::fill`]: it keeps the queues, and kicks who has to know.
    fn change(
        &mut self,
        source: Source,
        intid: u32,
        effects: &mut Effects,
        by: impl FnOnce(&mut Interrupt),
    ) {
        let Some(interrupt) = self.interrupt_mut(source, intid) else {
            return;
        };
        let before = *interrupt;
        by(interrupt);
        let after = *interrupt;
        if before == after {
            return;
        }

        if before.queue() != after.queue() {
            if let Some(vcpu) = before.queue().and_then(|vcpu| self.vcpus.get_mut(vcpu)) {
                vcpu.queue.remove(intid as usize);
            }
            if let Some(vcpu) = after.queue().and_then(|vcpu| self.vcpus.get_mut(vcpu)) {
                vcpu.queue.insert(intid as usize);
            }
        }
        match (after.holder(), after.queue()) {
            (Some(holder), _) => {
                let is_withdrawn = before.is(flag::ENABLED) && !after.is(flag::ENABLED);
                if is_withdrawn && after.is(flag::LOADED_PENDING) {
                    self.withdraw(holder, effects);
                } else if before.concerns_holder(&after) {
                    effects.kick(holder);
                }
            }
            (None, Some(vcpu)) if after.is_ready() && self.forwards(&after) => effects.kick(vcpu),
            _ => {}
        }
    }

    /// Ends the active state of an interrupt.
    fn end(&mut self, source: Source, intid: u32, effects: &mut Effects) {
        let mut ended = false;
        self.change(source, intid, effects, |interrupt| {
            ended = interrupt.clear_active();
        });
        if ended {
            self.report_end(source, intid, effects);
        }
    }

    /// An interrupt has ended: who drives it may want to know.
    fn report_end(&self, source: Source, intid: u32, effects: &mut Effects) {
        if intid as usize >= PRIVATE
            && self
                .interrupt(source, intid)
                .is_some_and(|interrupt| interrupt.is(flag::LINE))
        {
            effects.deactivate(intid);
        }
    }

    /// A running vCPU has to exit because the Realm forbids what it was entered with. Until then
    /// `RWP` is set.
    fn withdraw(&mut self, vcpu: usize, effects: &mut Effects) {
        if let Some(state) = self.vcpus.get_mut(vcpu)
            && !core::mem::replace(&mut state.withdrawing, true)
        {
            self.withdrawing += 1;
        }
        effects.kick(vcpu);
    }
}

/// Whose interrupts an INTID names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// The distributor's: SPIs.
    Shared,
    /// A redistributor's: SGIs and PPIs of a vCPU.
    Private(usize),
    /// A CPU interface's: all that the vCPU can take.
    Interface(usize),
}

/// Where an interrupt is kept.
enum Place {
    Private(usize, usize),
    Shared(usize),
}

impl Source {
    const fn find(self, intid: u32) -> Option<Place> {
        let intid = intid as usize;
        match self {
            Self::Private(vcpu) | Self::Interface(vcpu) if intid < PRIVATE => {
                Some(Place::Private(vcpu, intid))
            }
            Self::Shared | Self::Interface(_) if intid >= PRIVATE => {
                Some(Place::Shared(intid - PRIVATE))
            }
            _ => None,
        }
    }
}

/// The affinity of a vCPU, as in `MPIDR_EL1` bits 23:0: Aff0 has four bits of its number, Aff1 and
/// Aff2 eight each.
pub const fn affinity(vcpu: usize) -> u32 {
    let number = vcpu as u64 & 0xf_ffff;
    (number & 0xf | (number >> 4 & 0xff) << 8 | (number >> 12) << 16) as u32
}

/// The vCPU that has an affinity, if there are so many.
const fn vcpu_of_affinity(affinity: u32) -> Option<usize> {
    if affinity & 0xf0 == 0 {
        let affinity = affinity as usize;
        Some(affinity & 0xf | (affinity >> 8 & 0xff) << 4 | (affinity >> 16 & 0xff) << 12)
    } else {
        None
    }
}
