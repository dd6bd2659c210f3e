//! All state that the specification knows of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rmm_abi::rmi::{FeatureRegister0, HashAlgorithm};

use super::measurement::Measurement;
use super::running::{LastAccess, PsciCall};
use super::shape::{Shape, entry_size};
use super::token::Token;
use super::tree::{Entry, Table};
use crate::Granule;

/// What the machine and the RMM offer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Feature register 0.
    pub features: FeatureRegister0,
    /// Bits of a VMID.
    pub vmid_bits: u32,
    /// Auxiliary granules of a REC.
    pub aux_granules: u64,
}

/// The content of the host's memory.
pub trait HostMemory {
    /// The bytes of an undelegated granule.
    fn read(&self, address: u64) -> [u8; 0x1000];
}

/// A host without anything in its memory.
#[derive(Clone, Copy, Debug)]
pub struct NoHostMemory;

impl HostMemory for NoHostMemory {
    fn read(&self, _address: u64) -> [u8; 0x1000] {
        [0; 0x1000]
    }
}

/// A Realm.
#[derive(Clone, Debug)]
pub struct Realm {
    /// It has been activated.
    pub active: bool,
    /// It has switched itself off.
    pub off: bool,
    /// Its address space.
    pub shape: Shape,
    /// Its VMID.
    pub vmid: u16,
    /// What it is measured by.
    pub hash_algorithm: HashAlgorithm,
    /// Its initial measurement.
    pub rim: Measurement,
    /// Index that the next REC must have.
    pub next_rec: u64,
    /// RECs that exist.
    pub recs: u64,
}

/// A change of RIPAS that a Realm asked for. Without one all is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct RipasRequest {
    pub(super) base: u64,
    pub(super) top: u64,
    pub(super) ram: bool,
    pub(super) may_change_destroyed: bool,
}

/// A REC.
#[derive(Clone, Debug)]
pub struct Rec {
    /// Address of its Realm's descriptor.
    pub owner: u64,
    /// Its auxiliary granules.
    pub aux: Vec<u64>,
    /// Its number in the Realm.
    pub index: u64,
    /// It may be entered.
    pub runnable: bool,
    /// Address of the structure of a call of the host that has not been answered.
    pub host_call: Option<u64>,
    pub(super) request: RipasRequest,
    pub(super) last_access: LastAccess,
    pub(super) psci_call: Option<PsciCall>,
    pub(super) token: Token,
}

/// Where an IPA leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mapping {
    /// A page or block of the Realm's memory: its physical address and size.
    Realm(u64, u64),
    /// A page or block by the host's descriptor, and its size.
    Host(u64, u64),
}

/// The machine, as far as the specification goes.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) limits: Limits,
    pub(super) granules: BTreeMap<u64, Granule>,
    pub(super) realms: BTreeMap<u64, Realm>,
    pub(super) recs: BTreeMap<u64, Rec>,
    pub(super) tables: BTreeMap<u64, Arc<Table>>,
    pub(super) vmids: BTreeSet<u16>,
}

/// Where a walk ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) table: u64,
    pub(super) level: i64,
    pub(super) index: usize,
    pub(super) entry: Entry,
}

impl World {
    /// A machine with these granules at these addresses, and no Realm.
    pub fn new(limits: Limits, granules: impl IntoIterator<Item = (u64, Granule)>) -> Self {
        Self {
            limits,
            granules: granules.into_iter().collect(),
            realms: BTreeMap::new(),
            recs: BTreeMap::new(),
            tables: BTreeMap::new(),
            vmids: BTreeSet::new(),
        }
    }

    /// State of the granule at an address; `None` when there is none.
    pub fn granule(&self, address: u64) -> Option<Granule> {
        self.granules.get(&address).copied()
    }

    /// All granules, in ascending order.
    pub fn granules(&self) -> impl Iterator<Item = (u64, Granule)> {
        self.granules
            .iter()
            .map(|(&address, &granule)| (address, granule))
    }

    /// All Realms by the address of their descriptors.
    pub fn realms(&self) -> impl Iterator<Item = (u64, &Realm)> {
        self.realms.iter().map(|(&rd, realm)| (rd, realm))
    }

    /// The Realm of a descriptor.
    pub fn realm(&self, rd: u64) -> Option<&Realm> {
        self.realms.get(&rd)
    }

    /// All RECs by their addresses.
    pub fn recs(&self) -> impl Iterator<Item = (u64, &Rec)> {
        self.recs.iter().map(|(&address, rec)| (address, rec))
    }

    /// The tables of a Realm, from the start level down.
    ///
    /// # Panics
    ///
    /// When there is no Realm.
    pub fn tables(&self, rd: u64) -> Vec<&Table> {
        let mut found: Vec<&Table> = Vec::new();
        let mut addresses = self.realms[&rd].shape.start_tables.clone();
        while let Some(address) = addresses.pop() {
            let table = &self.tables[&address];
            for entry in &table.entries {
                if let Entry::Table(next) = entry {
                    addresses.push(*next);
                }
            }
            found.push(table);
        }
        found.sort_by_key(|table| (table.level, table.base));
        found
    }

    /// Where the MMU leads an IPA of a Realm; `None` when it faults.
    ///
    /// # Panics
    ///
    /// When there is no Realm.
    pub fn translate(&self, rd: u64, ipa: u64) -> Option<Mapping> {
        let shape = &self.realms[&rd].shape;
        if !shape.contains(ipa) {
            return None;
        }
        let walk = self.walk(shape, ipa, 3);
        let size = entry_size(walk.level);
        match walk.entry {
            Entry::Assigned(address, super::Ripas::Ram) => Some(Mapping::Realm(address, size)),
            Entry::AssignedNs(descriptor) => Some(Mapping::Host(descriptor, size)),
            _ => None,
        }
    }

    pub(super) fn is(&self, address: u64, granule: Granule) -> bool {
        self.granules.get(&address) == Some(&granule)
    }

    pub(super) fn set(&mut self, address: u64, granule: Granule) {
        self.granules.insert(address, granule);
    }

    /// Walks down to a level, or to where the tables end before that.
    pub(super) fn walk(&self, shape: &Shape, ipa: u64, level: i64) -> Walk {
        let per_table = entry_size(shape.start_level).saturating_mul(512);
        let number = usize::try_from(ipa / per_table).expect("in the IPA space");
        let mut address = shape.start_tables[number];
        loop {
            let table = &self.tables[&address];
            let index = table.index(ipa);
            let entry = table.entries[index];
            match entry {
                Entry::Table(next) if table.level < level => address = next,
                _ => {
                    return Walk {
                        table: address,
                        level: table.level,
                        index,
                        entry,
                    };
                }
            }
        }
    }

    /// Changes the entry where a walk ended.
    pub(super) fn write(&mut self, walk: &Walk, entry: Entry) {
        self.table_mut(walk.table).entries[walk.index] = entry;
    }

    pub(super) fn table_mut(&mut self, address: u64) -> &mut Table {
        Arc::make_mut(self.tables.get_mut(&address).expect("a table"))
    }
}
