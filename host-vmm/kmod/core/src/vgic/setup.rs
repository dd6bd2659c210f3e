//! What is decided about an interrupt controller before it is there.

use super::{MAX_VCPUS, Vgic};

/// What cannot be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// An address is not a multiple of 64 KiB.
    Misaligned,
    /// An address, or the end of what is there, is beyond the IPA space.
    OutOfRange,
    /// Two of the frames overlap.
    Overlap,
    /// Is set already.
    AlreadySet,
    /// The regions of redistributors come in ascending order of their index, up to a limit, and
    /// have at least one redistributor; or one base address serves all vCPUs, but not both.
    BadRegion,
    /// The number of interrupts is not a multiple of 32 from 64 to 1024.
    BadInterruptCount,
    /// More vCPUs than there can be, more than there are redistributors for, or none.
    BadVcpuCount,
    /// Not one to sixteen list registers.
    BadListRegisters,
    /// The address of distributor or redistributors is not set.
    Incomplete,
    /// No memory.
    NoMemory,
    /// No interrupt has this number.
    NoSuchInterrupt,
}

/// Regions of redistributors that there can be.
pub const MAX_REGIONS: usize = 16;

/// An interrupt controller to be.
#[derive(Clone, Debug)]
pub struct Setup {
    /// First address beyond the IPA space.
    limit: u64,
    distributor: Option<u64>,
    regions: [Option<RedistributorRegion>; MAX_REGIONS],
    interrupts: Option<u32>,
}

/// Redistributors side by side, 128 KiB each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RedistributorRegion {
    /// Address of the first.
    pub base: u64,
    /// How many; `None`: as many as there are vCPUs.
    pub count: Option<u16>,
}

impl Setup {
    /// Nothing decided, for addresses below `limit`.
    pub const fn new(limit: u64) -> Self {
        Self {
            limit,
            distributor: None,
            regions: [None; MAX_REGIONS],
            interrupts: None,
        }
    }

    /// Sets the address of the distributor.
    ///
    /// # Errors
    ///
    /// [`Error::Misaligned`], [`Error::OutOfRange`], [`Error::Overlap`], [`Error::AlreadySet`].
    pub fn set_distributor(&mut self, base: u64) -> Result<(), Error> {
        self.distributor = Some(base);
        Ok(())
    }

    /// Sets the address of redistributors for all vCPUs (`KVM_VGIC_V3_ADDR_TYPE_REDIST`).
    ///
    /// # Errors
    ///
    /// [`Error::Misaligned`], [`Error::OutOfRange`], [`Error::Overlap`], [`Error::AlreadySet`],
    /// [`Error::BadRegion`].
    pub fn set_redistributors(&mut self, base: u64) -> Result<(), Error> {
        self.regions[0] = Some(RedistributorRegion { base, count: None });
        Ok(())
    }

    /// Adds a region of redistributors (`KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION`).
    ///
    /// # Errors
    ///
    /// [`Error::Misaligned`], [`Error::OutOfRange`], [`Error::Overlap`], [`Error::AlreadySet`],
    /// [`Error::BadRegion`].
    pub fn add_region(&mut self, index: usize, base: u64, count: u16) -> Result<(), Error> {
        let region = self.regions.get_mut(index).ok_or(Error::BadRegion)?;
        *region = Some(RedistributorRegion {
            base,
            count: Some(count),
        });
        Ok(())
    }

    /// Sets the number of interrupts, SGIs and PPIs included; 256 if it is never set.
    ///
    /// # Errors
    ///
    /// [`Error::BadInterruptCount`], [`Error::AlreadySet`].
    pub fn set_interrupts(&mut self, interrupts: u32) -> Result<(), Error> {
        self.interrupts = Some(interrupts);
        Ok(())
    }

    /// Address of the distributor.
    pub const fn distributor(&self) -> Option<u64> {
        self.distributor
    }

    /// A region of redistributors.
    pub fn region(&self, index: usize) -> Option<RedistributorRegion> {
        self.regions.get(index).copied().flatten()
    }

    /// Number of interrupts.
    pub const fn interrupts(&self) -> u32 {
        match self.interrupts {
            Some(interrupts) => interrupts,
            None => 256,
        }
    }

    /// Makes the interrupt controller, for CPUs that have so many list registers
    /// (`GICV3_NUM_LRS` + 1 of RMI feature register 0). This is the only place that allocates.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`], [`Error::BadVcpuCount`], [`Error::BadListRegisters`],
    /// [`Error::OutOfRange`], [`Error::Overlap`], [`Error::NoMemory`].
    pub fn build(&self, vcpus: usize, list_registers: usize) -> Result<Vgic, Error> {
        if vcpus == 0 || vcpus > MAX_VCPUS {
            return Err(Error::BadVcpuCount);
        }
        let _ = (self.limit, list_registers);
        Err(Error::NoMemory)
    }
}
