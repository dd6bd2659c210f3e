//! The interrupt controller of a Realm: a GICv3 without LPIs and ITS (IHI 0069), for up to
//! [`MAX_VCPUS`] vCPUs.
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

extern crate alloc;

mod effects;
mod setup;

pub use effects::{Effects, Set};
pub use setup::{Error, MAX_REGIONS, RedistributorRegion, Setup};

use alloc::vec::Vec;

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

/// The interrupt controller of one Realm.
#[derive(Debug)]
pub struct Vgic {
    vcpus: Vec<()>,
}

impl Vgic {
    /// Which register, or other place of the interrupt controller, is at an IPA (without the bit
    /// that makes it shared); `None` outside.
    pub fn register_at(&self, ipa: u64) -> Option<Register> {
        let _ = (ipa, &self.vcpus);
        None
    }

    /// A Realm's read of `size` bytes: the value, zero-extended. What is not there, and sizes that a
    /// register does not have, read as zero.
    ///
    /// Where the true state is in the list registers of a running vCPU, the answer is that of its
    /// last exit, and the vCPU is kicked so that a Realm that polls learns the truth.
    pub fn read(&mut self, register: Register, size: usize, effects: &mut Effects) -> u64 {
        let _ = (register, size, effects);
        0
    }

    /// A Realm's write of the low `size` bytes of `value`. What is not there, and sizes that a
    /// register does not have, are ignored.
    pub fn write(&mut self, register: Register, size: usize, value: u64, effects: &mut Effects) {
        let _ = (register, size, value, effects);
    }

    /// A Realm's write of a register that sends software generated interrupts, trapped on `sender`.
    pub fn send_sgi(
        &mut self,
        sender: usize,
        register: SgiRegister,
        value: u64,
        effects: &mut Effects,
    ) {
        let _ = (sender, register, value, effects);
    }

    /// A Realm's write of `ICC_DIR_EL1`, trapped on `vcpu`. It traps only while the Realm separates
    /// priority drop from deactivation (`ICC_CTLR_EL1.EOImode`), see [`Vgic::fill`].
    pub fn deactivate(&mut self, vcpu: usize, value: u64, effects: &mut Effects) {
        let _ = (vcpu, value, effects);
    }

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
        let _ = (vcpu, ppi, level, effects);
        Err(Error::NoSuchInterrupt)
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
        let _ = (spi, level, effects);
        Err(Error::NoSuchInterrupt)
    }

    /// What a vCPU is entered with. It counts as running until [`Vgic::sync`], or
    /// [`Vgic::abandon`] if it was not entered after all.
    pub fn fill(&mut self, vcpu: usize) -> Entry {
        let _ = vcpu;
        Entry {
            control: 0,
            list_registers: [0; LIST_REGISTERS],
        }
    }

    /// Takes back what a vCPU was entered with, by what the run page says at exit. Comes before the
    /// lines of timers and PMU are set by the same exit, and before the exit itself is handled.
    ///
    /// `effects` learns which SPIs the Realm has deactivated whose lines are still up.
    pub fn sync(&mut self, vcpu: usize, exit: &Exit, effects: &mut Effects) {
        let _ = (vcpu, exit, effects);
    }

    /// Takes back what a vCPU was filled with, when it was not entered: the entry was called off, or
    /// the RMM refused it.
    pub fn abandon(&mut self, vcpu: usize, effects: &mut Effects) {
        let _ = (vcpu, effects);
    }

    /// Whether a vCPU that is not running has an interrupt that ends a `WFI`: by enables, groups and
    /// `ICC_PMR_EL1` as they were at its last exit.
    pub fn has_pending(&self, vcpu: usize) -> bool {
        let _ = vcpu;
        false
    }
}

/// The affinity of a vCPU, as in `MPIDR_EL1` bits 23:0: Aff0 has four bits of its number, Aff1 and
/// Aff2 eight each.
pub const fn affinity(vcpu: usize) -> u32 {
    let number = vcpu as u64 & 0xf_ffff;
    (number & 0xf | (number >> 4 & 0xff) << 8 | (number >> 12) << 16) as u32
}
