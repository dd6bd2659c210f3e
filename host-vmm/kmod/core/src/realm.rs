//! The life of a Realm, from its parameters to the last granule that comes back.
//!
//! A [`Realm`] goes through three stages: *planned*, while only parameters, slots and vCPUs are
//! collected; *built*, from the first populate or run on, with a descriptor and tables in the RMM;
//! *active*, once it has run. Every step can fail or be interrupted half-way; it can then be tried
//! again, and [`Realm::teardown`] finds its way from wherever things are.

mod attributes;
mod build;
mod configuration;
mod gic;
mod private;
mod recs;
mod region;
mod ripas;
mod shared;
mod slots;
mod teardown;

pub use configuration::{Configuration, widest_ipa_space};
pub use gic::GicAttribute;
pub use private::Fault;
pub use recs::{Registers, affinity_of, index_of, most_vcpus};
pub use ripas::RipasOutcome;
pub use slots::{Layout, MAX_SLOTS};

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

use crate::granules::GranuleError;
use crate::host::{Host, HostError};
use crate::pool::Page;
use crate::rmi::{Features, RmiError};
use crate::vgic;

use recs::{Rec, VcpuSetup};
use slots::Slot;

/// Why something cannot be done with a Realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RealmError {
    /// No memory.
    OutOfMemory,
    /// Memory of the caller is not there.
    BadAddress,
    /// The calling thread is being killed.
    Interrupted,
    /// An argument makes no sense.
    Invalid,
    /// Too late, or too early.
    Busy,
    /// Is there already.
    Exists,
    /// No such register.
    NoSuchRegister,
    /// No such attribute, or no interrupt controller, or no interrupt.
    NoSuchThing,
    /// The RMM does not do what it should.
    Rmm(RmiError),
}

impl From<TryReserveError> for RealmError {
    fn from(_: TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

impl From<RmiError> for RealmError {
    fn from(error: RmiError) -> Self {
        Self::Rmm(error)
    }
}

impl From<GranuleError> for RealmError {
    fn from(error: GranuleError) -> Self {
        match error {
            GranuleError::OutOfMemory => Self::OutOfMemory,
            GranuleError::Refused(error) => Self::Rmm(error),
        }
    }
}

impl From<HostError> for RealmError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::OutOfMemory => Self::OutOfMemory,
            HostError::BadAddress => Self::BadAddress,
        }
    }
}

impl From<vgic::Error> for RealmError {
    fn from(error: vgic::Error) -> Self {
        match error {
            vgic::Error::NoMemory => Self::OutOfMemory,
            vgic::Error::NoSuchInterrupt => Self::NoSuchThing,
            vgic::Error::AlreadySet => Self::Exists,
            _ => Self::Invalid,
        }
    }
}

/// What a Realm has, for the curious.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Pages of private memory, those in blocks included.
    pub pages_private: u64,
    /// Blocks of private memory.
    pub blocks_private: u64,
    /// Pages of the caller that the Realm can reach.
    pub pages_shared: u64,
    /// Translation tables.
    pub tables: u64,
    /// What populating has taken.
    pub populate_nanoseconds: u64,
    /// Faults of private memory that were resolved.
    pub faults: u64,
}

/// What a Realm is in the RMM.
#[derive(Debug)]
struct Descriptor {
    rd: Page,
    /// The first start-level table, and how many there are as a power of two.
    start: Page,
    start_order: u32,
    vmid: u16,
    /// A page of the kernel's, for structures and content on their way to the RMM.
    scratch: Page,
    /// A delegated page, for the table that unfolding a block takes when there is no memory left.
    spare: Option<Page>,
}

/// A table above those of level 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct UpperTable {
    ipa: u64,
    level: i8,
}

/// A Realm; behind the VM mutex.
#[derive(Debug)]
pub struct Realm {
    features: Features,
    ipa_bits: u8,
    configuration: Configuration,
    /// In ascending order of addresses.
    slots: Vec<Slot>,
    gic: Option<vgic::Setup>,
    gic_ready: bool,
    vcpus: Vec<VcpuSetup>,
    descriptor: Option<Descriptor>,
    /// In the order in which they were made, so that children come after parents.
    upper_tables: Vec<UpperTable>,
    /// All private addresses below this are RAM.
    ram_until: u64,
    recs: Vec<Rec>,
    active: bool,
    populate_nanoseconds: u64,
    faults: u64,
    /// Blocks that were full and became shared as a whole.
    blocks_given: u64,
}

impl Realm {
    /// A Realm with `ipa_bits` of address space, for an RMM with these features.
    ///
    /// # Errors
    ///
    /// [`RealmError::Invalid`] when the RMM has no such Realms.
    pub fn new(features: Features, ipa_bits: u8) -> Result<Self, RealmError> {
        if !(configuration::NARROWEST..=widest_ipa_space(features)).contains(&ipa_bits) {
            return Err(RealmError::Invalid);
        }
        Ok(Self {
            features,
            ipa_bits,
            configuration: Configuration::default(),
            slots: Vec::new(),
            gic: None,
            gic_ready: false,
            vcpus: Vec::new(),
            descriptor: None,
            upper_tables: Vec::new(),
            ram_until: 0,
            recs: Vec::new(),
            active: false,
            populate_nanoseconds: 0,
            faults: 0,
            blocks_given: 0,
        })
    }

    /// Width of the address space, in bits.
    pub const fn ipa_bits(&self) -> u8 {
        self.ipa_bits
    }

    /// The bit that makes an address shared.
    pub const fn shared_bit(&self) -> u64 {
        1 << (self.ipa_bits - 1)
    }

    /// Whether it has run.
    pub const fn is_active(&self) -> bool {
        self.active
    }

    /// Sets the parameters.
    ///
    /// # Errors
    ///
    /// [`RealmError::Busy`] once it is built, [`RealmError::Invalid`] when the RMM cannot do it.
    pub fn configure(&mut self, configuration: &Configuration) -> Result<(), RealmError> {
        if self.descriptor.is_some() {
            return Err(RealmError::Busy);
        }
        configuration.check(self.features)?;
        self.configuration = *configuration;
        Ok(())
    }

    /// The descriptor's granule.
    fn rd(&self) -> Result<Page, RealmError> {
        let descriptor = self.descriptor.as_ref().ok_or(RealmError::Busy)?;
        Ok(descriptor.rd)
    }

    /// What it has.
    pub fn statistics(&self, host: &impl Host) -> Statistics {
        let mut statistics = Statistics {
            populate_nanoseconds: self.populate_nanoseconds,
            faults: self.faults,
            tables: self.upper_tables.len() as u64,
            ..Statistics::default()
        };
        if let Some(descriptor) = &self.descriptor {
            statistics.tables += 1 << descriptor.start_order;
        }
        for region in self.slots.iter().flat_map(|slot| &slot.regions) {
            host.rest();
            region.count(&mut statistics);
        }
        statistics
    }
}
