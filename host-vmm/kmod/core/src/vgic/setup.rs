//! What is decided about an interrupt controller before it is there.

use alloc::vec::Vec;

use super::access::{DISTRIBUTOR_SIZE, REDISTRIBUTOR_SIZE};
use super::interrupt::Interrupt;
use super::{LIST_REGISTERS, MAX_VCPUS, Region, Set, Vcpu, Vgic};

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
        if self.distributor.is_some() {
            return Err(Error::AlreadySet);
        }
        self.check(base, DISTRIBUTOR_SIZE)?;
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
        match self.regions[0] {
            None => {}
            Some(RedistributorRegion { count: None, .. }) => return Err(Error::AlreadySet),
            Some(_) => return Err(Error::BadRegion),
        }
        // How many there are is known when it is built.
        self.check(base, REDISTRIBUTOR_SIZE)?;
        self.regions[0] = Some(RedistributorRegion { base, count: None });
        Ok(())
    }

    /// Adds a region of redistributors (`KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION`), for the vCPUs that
    /// follow those of the region before it.
    ///
    /// # Errors
    ///
    /// [`Error::Misaligned`], [`Error::OutOfRange`], [`Error::Overlap`], [`Error::AlreadySet`],
    /// [`Error::BadRegion`].
    pub fn add_region(&mut self, index: usize, base: u64, count: u16) -> Result<(), Error> {
        let is_next = index == self.regions.iter().flatten().count();
        let slot = self.regions.get(index).ok_or(Error::BadRegion)?;
        if slot.is_some_and(|region| region.count.is_some()) {
            return Err(Error::AlreadySet);
        }
        let serves_all = self.regions[0].is_some_and(|region| region.count.is_none());
        if !is_next || serves_all || count == 0 {
            return Err(Error::BadRegion);
        }
        self.check(base, u64::from(count) * REDISTRIBUTOR_SIZE)?;
        self.regions[index] = Some(RedistributorRegion {
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
        if !(64..=1024).contains(&interrupts) || !interrupts.is_multiple_of(32) {
            return Err(Error::BadInterruptCount);
        }
        if self.interrupts.is_some() {
            return Err(Error::AlreadySet);
        }
        self.interrupts = Some(interrupts);
        Ok(())
    }

    /// Whether there is room for a frame.
    fn check(&self, base: u64, size: u64) -> Result<(), Error> {
        if !base.is_multiple_of(DISTRIBUTOR_SIZE) {
            return Err(Error::Misaligned);
        }
        let end = base.checked_add(size).ok_or(Error::OutOfRange)?;
        if end > self.limit {
            return Err(Error::OutOfRange);
        }
        let distributor = self.distributor.map(|base| (base, DISTRIBUTOR_SIZE));
        let regions = self.regions.iter().flatten().map(|region| {
            let count = u64::from(region.count.unwrap_or(1));
            (region.base, count * REDISTRIBUTOR_SIZE)
        });
        if distributor
            .into_iter()
            .chain(regions)
            .any(|(other, size)| base < other + size && other < end)
        {
            return Err(Error::Overlap);
        }
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
        if list_registers == 0 || list_registers > LIST_REGISTERS {
            return Err(Error::BadListRegisters);
        }
        let distributor = self.distributor.ok_or(Error::Incomplete)?;
        // Of 1024 INTIDs the last four have other meanings.
        let interrupts = self.interrupts().min(1020);
        Ok(Vgic {
            distributor,
            regions: self.place(distributor, vcpus)?,
            list_registers,
            interrupts,
            vcpus: collect((0..vcpus).map(Vcpu::new))?,
            spis: collect((32..interrupts).map(|_| Interrupt::spi()))?,
            groups: 0,
            withdrawing: 0,
        })
    }

    /// Gives each vCPU a redistributor.
    fn place(&self, distributor: u64, vcpus: usize) -> Result<Vec<Region>, Error> {
        let mut regions = Vec::new();
        regions
            .try_reserve_exact(MAX_REGIONS)
            .map_err(|_| Error::NoMemory)?;
        let mut next = 0;
        for region in self.regions.iter().flatten() {
            let count = region.count.map_or(vcpus, usize::from).min(vcpus - next);
            let end = region
                .base
                .checked_add(count as u64 * REDISTRIBUTOR_SIZE)
                .filter(|&end| end <= self.limit)
                .ok_or(Error::OutOfRange)?;
            if region.base < distributor + DISTRIBUTOR_SIZE && distributor < end {
                return Err(Error::Overlap);
            }
            if count > 0 {
                regions.push(Region {
                    base: region.base,
                    vcpus: next..next + count,
                });
            }
            next += count;
        }
        match next {
            0 => Err(Error::Incomplete),
            _ if next < vcpus => Err(Error::BadVcpuCount),
            _ => Ok(regions),
        }
    }
}

impl Vcpu {
    /// After reset. The redistributor is awake: under KVM it always is, and some firmware does not
    /// ask.
    fn new(number: usize) -> Self {
        Self {
            private: core::array::from_fn(|intid| Interrupt::private(intid as u32, number as u16)),
            queue: Set::EMPTY,
            loaded: [0; LIST_REGISTERS],
            withdrawing: false,
            asleep: false,
            machine_control: 0,
        }
    }
}

/// A vector of the items, without giving up when there is no memory.
fn collect<T>(items: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>, Error> {
    let mut all = Vec::new();
    all.try_reserve_exact(items.len())
        .map_err(|_| Error::NoMemory)?;
    all.extend(items);
    Ok(all)
}
