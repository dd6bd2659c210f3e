//! The interrupt controller as the owner of the VM describes it, in the words of KVM's device
//! `KVM_DEV_TYPE_ARM_VGIC_V3`.

use super::{Realm, RealmError};
use crate::vgic::{self, RedistributorRegion, Vgic};

/// An attribute of the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GicAttribute {
    /// Address of the distributor.
    Distributor,
    /// Address of the redistributors of all vCPUs.
    Redistributors,
    /// A region of redistributors.
    Region,
    /// Number of interrupts.
    Interrupts,
    /// To be ready.
    Initialise,
}

impl GicAttribute {
    /// The attribute of a group; `None` when there is none.
    pub const fn of(group: u32, attribute: u64) -> Option<Self> {
        Some(match (group, attribute) {
            (0, 2) => Self::Distributor,
            (0, 3) => Self::Redistributors,
            (0, 5) => Self::Region,
            (3, 0) => Self::Interrupts,
            (4, 0) => Self::Initialise,
            _ => return None,
        })
    }
}

/// The word for a region: count, base, flags (none), index.
mod region_word {
    use super::RedistributorRegion;

    const BASE: u64 = 0x000f_ffff_ffff_0000;

    pub(super) fn split(word: u64) -> Option<(usize, u64, u16)> {
        let index = usize::from((word & 0xfff) as u16);
        let count = (word >> 52) as u16;
        (word & 0xf000 == 0).then_some((index, word & BASE, count))
    }

    pub(super) fn join(index: u64, region: RedistributorRegion) -> u64 {
        u64::from(region.count.unwrap_or(0)) << 52 | region.base & BASE | index
    }
}

impl Realm {
    /// An interrupt controller, of which nothing is decided yet.
    ///
    /// # Errors
    ///
    /// [`RealmError::Exists`], [`RealmError::Busy`].
    pub fn create_gic(&mut self) -> Result<(), RealmError> {
        if self.gic.is_some() {
            return Err(RealmError::Exists);
        }
        if self.descriptor.is_some() {
            return Err(RealmError::Busy);
        }
        self.gic = Some(vgic::Setup::new(self.shared_bit()));
        Ok(())
    }

    /// The interrupt controller to be, while things can still be decided about it.
    ///
    /// # Errors
    ///
    /// [`RealmError::NoSuchThing`] without one, [`RealmError::Busy`] when it is ready.
    pub fn gic_setup(&mut self) -> Result<&mut vgic::Setup, RealmError> {
        if self.gic_ready {
            return Err(RealmError::Busy);
        }
        self.gic.as_mut().ok_or(RealmError::NoSuchThing)
    }

    /// What was decided about the interrupt controller.
    pub const fn gic(&self) -> Option<&vgic::Setup> {
        self.gic.as_ref()
    }

    /// Makes the interrupt controller. No vCPU can be added afterwards.
    ///
    /// # Errors
    ///
    /// Those of [`vgic::Setup::build`], [`RealmError::Busy`] when there is one,
    /// [`RealmError::Invalid`] when numbers of vCPUs are missing.
    pub fn build_gic(&mut self) -> Result<Vgic, RealmError> {
        self.check_vcpus_present()?;
        let vcpus = self.vcpus.len();
        let list_registers = usize::from(self.features.register().gic_list_registers) + 1;
        let gic = self.gic_setup()?.build(vcpus, list_registers)?;
        self.gic_ready = true;
        Ok(gic)
    }

    /// Sets an attribute. [`GicAttribute::Initialise`] gives the interrupt controller.
    ///
    /// # Errors
    ///
    /// Those of [`Self::gic_setup`], [`Self::build_gic`] and [`vgic::Setup`].
    pub fn set_gic_attribute(
        &mut self,
        attribute: GicAttribute,
        value: u64,
    ) -> Result<Option<Vgic>, RealmError> {
        let setup = self.gic_setup()?;
        match attribute {
            GicAttribute::Distributor => setup.set_distributor(value)?,
            GicAttribute::Redistributors => setup.set_redistributors(value)?,
            GicAttribute::Region => {
                let (index, base, count) = region_word::split(value).ok_or(RealmError::Invalid)?;
                setup.add_region(index, base, count)?;
            }
            GicAttribute::Interrupts => {
                let interrupts = u32::try_from(value).map_err(|_| RealmError::Invalid)?;
                setup.set_interrupts(interrupts)?;
            }
            GicAttribute::Initialise => return self.build_gic().map(Some),
        }
        Ok(None)
    }

    /// An attribute's value. `value` says which region is wanted.
    ///
    /// # Errors
    ///
    /// [`RealmError::NoSuchThing`] for what is not set.
    pub fn gic_attribute(&self, attribute: GicAttribute, value: u64) -> Result<u64, RealmError> {
        let setup = self.gic().ok_or(RealmError::NoSuchThing)?;
        let found = match attribute {
            GicAttribute::Distributor => setup.distributor(),
            GicAttribute::Redistributors => setup.region(0).map(|region| region.base),
            GicAttribute::Region => {
                let index = value & 0xfff;
                let region = setup.region(usize::try_from(index).unwrap_or(usize::MAX));
                region.map(|region| region_word::join(index, region))
            }
            GicAttribute::Interrupts => Some(u64::from(setup.interrupts())),
            GicAttribute::Initialise => None,
        };
        found.ok_or(RealmError::NoSuchThing)
    }
}
