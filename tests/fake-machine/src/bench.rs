//! An RMM next to the model of what it must do.

mod exits;
mod furniture;
mod running;
mod scene;

use std::collections::{BTreeMap, BTreeSet};

pub use exits::{assert_exit, exit, synchronous_exit};
pub use scene::Scene;

use rmm_abi::rmi::{FeatureRegister0, RealmParams, fid};
use rmm_core::granule::GranuleState;
use rmm_core::{Call, Reply, Rmm};
use rmm_model::Granule;
use rmm_model::realm::{HostMemory, Limits, Mapping, Prediction, World};

use crate::memory::{FEATURES, Memory, WORDS_PER_GRANULE};
use crate::{FakeCpu, Owner, Stage2Registers, Translation};

/// Bytes of a granule.
pub const PAGE: u64 = 0x1000;

/// Auxiliary granules of a REC of this RMM.
pub const AUX_GRANULES: usize = 11;

/// An RMM on one CPU of a machine, and the model of the same machine. Each call goes to both.
///
/// A bench may have only part of the memory, so that several of them, each on a thread of its own,
/// can share a machine without getting into each other's way.
#[derive(Debug)]
pub struct Bench<'m> {
    memory: &'m Memory,
    rmm: &'m Rmm<'m>,
    cpu: FakeCpu<'m>,
    world: World,
    /// Granules that [`Self::host_granule`] has not given away.
    unused: BTreeSet<u64>,
    /// The word of a Realm descriptor from which on the RMM keeps the RIM, once that is known.
    rim_offset: Option<usize>,
    thorough: bool,
    outcomes: BTreeMap<(u64, u64), u64>,
}

/// The bytes of the host's memory, for the model.
struct Bytes<'m>(&'m Memory);

impl HostMemory for Bytes<'_> {
    fn read(&self, address: u64) -> [u8; 0x1000] {
        let mut page = [0; 0x1000];
        for (word, bytes) in page.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *bytes = self.0.inspect(address, word).to_le_bytes();
        }
        page
    }
}

/// What the RMM has seen in the host's memory.
struct Seen([u8; 0x1000]);

impl HostMemory for Seen {
    fn read(&self, _address: u64) -> [u8; 0x1000] {
        self.0
    }
}

fn registers(function: u64, arguments: &[u64]) -> Call {
    let mut call = [0; 8];
    call[0] = function;
    call[1..=arguments.len()].copy_from_slice(arguments);
    call
}

/// Parameters of a Realm with `ipa_width` bits of IPA space and nothing special.
pub fn realm_params(ipa_width: u8, start_level: i64, start_tables: u32) -> RealmParams {
    let mut params = RealmParams::default();
    params.s2sz = ipa_width;
    params.num_bps = 1;
    params.num_wps = 1;
    params.rtt_level_start = start_level;
    params.rtt_num_start = start_tables;
    params
}

impl<'m> Bench<'m> {
    /// A bench with all memory of a machine. Every call that fails is checked to have changed
    /// nothing.
    pub fn new(memory: &'m Memory, rmm: &'m Rmm<'m>) -> Self {
        let all = memory.granules().map(|(address, _)| address).collect();
        Self::with_granules(memory, rmm, FEATURES, all)
    }

    /// A bench with some of a machine's granules, for an RMM with these features.
    pub fn with_granules(
        memory: &'m Memory,
        rmm: &'m Rmm<'m>,
        features: FeatureRegister0,
        granules: Vec<u64>,
    ) -> Self {
        let limits = Limits {
            features,
            vmid_bits: 16,
            aux_granules: AUX_GRANULES as u64,
        };
        let states = granules.iter().map(|&address| match memory.owner(address) {
            Owner::NonSecure => (address, Granule::Undelegated),
            _ => (address, Granule::Fixed(rmm_model::Owner::Secure)),
        });
        let world = World::new(limits, states);
        let unused = granules.into_iter().collect();
        let cpu = memory.cpu(0);
        Self {
            memory,
            rmm,
            cpu,
            world,
            unused,
            rim_offset: None,
            thorough: true,
            outcomes: BTreeMap::new(),
        }
    }

    /// Leaves out what takes long: whether calls that fail have changed anything, and whether all
    /// granules are in the states of the model after each call.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.thorough = false;
        self
    }

    /// Ends [`Self::quick`].
    #[must_use]
    pub fn thorough(mut self) -> Self {
        self.thorough = true;
        self
    }

    /// The model as it is now.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The model, to tell it what the RMM does not: that a Realm asked for something.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// How often each pair of a function and its X0 has been seen.
    pub fn outcomes(&self) -> &BTreeMap<(u64, u64), u64> {
        &self.outcomes
    }

    /// The RMM.
    pub fn rmm(&self) -> &'m Rmm<'m> {
        self.rmm
    }

    /// The CPU that calls are made on.
    pub fn cpu(&self) -> &FakeCpu<'m> {
        &self.cpu
    }

    /// Makes calls on another CPU from now on.
    pub fn move_to(&mut self, cpu: usize) {
        self.cpu = self.memory.cpu(cpu);
    }

    /// The machine.
    pub fn memory(&self) -> &'m Memory {
        self.memory
    }

    /// Makes a call, and holds the reply and what follows from it against the model.
    ///
    /// # Panics
    ///
    /// When the RMM does anything that the model does not.
    pub fn call(&mut self, function: u64, arguments: &[u64]) -> Reply {
        let call = registers(function, arguments);
        let prediction = self.predict(&call, &Bytes(self.memory));
        let must_not_change = self.thorough && !prediction.is_success();
        let before = must_not_change.then(|| self.memory.snapshot());
        let reply = self.cpu.call(self.rmm, &call);
        self.compare(&call, &reply, &prediction);
        if let Some(before) = before {
            let after = self.memory.snapshot();
            assert!(
                before == after,
                "call {call:x?} failed and changed {:x?}",
                before.differences(&after)
            );
        }
        reply
    }

    /// Makes a call whose structure or source the host changes meanwhile. The model is told that
    /// the RMM has seen `seen` in the host's memory.
    ///
    /// # Panics
    ///
    /// When the RMM does anything that the model does not.
    pub fn call_seeing(
        &mut self,
        function: u64,
        arguments: &[u64],
        seen: impl FnOnce(&Memory) -> [u8; 0x1000],
    ) -> Reply {
        let call = registers(function, arguments);
        let reply = self.cpu.call(self.rmm, &call);
        let prediction = self.predict(&call, &Seen(seen(self.memory)));
        self.compare(&call, &reply, &prediction);
        reply
    }

    fn predict(&mut self, call: &Call, host: &dyn HostMemory) -> Prediction {
        let function = call[0];
        self.world
            .apply(call, host)
            .unwrap_or_else(|| panic!("the model does not know {function:#x}"))
    }

    fn compare(&mut self, call: &Call, reply: &Reply, prediction: &Prediction) {
        assert!(
            prediction.allows(reply),
            "call {call:x?}: reply {reply:x?}, the model says {:x?}",
            prediction.replies()
        );
        *self.outcomes.entry((call[0], reply[0])).or_default() += 1;
        if prediction.is_success() {
            self.check_realm(call[1]);
            if self.thorough {
                self.check_all();
            }
        }
    }

    /// Makes a call that must succeed, and gives its outputs.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn succeed(&mut self, function: u64, arguments: &[u64]) -> [u64; 4] {
        let [x0, outputs @ ..] = self.call(function, arguments);
        assert_eq!(x0, 0, "{function:#x} {arguments:x?}");
        outputs
    }

    /// Makes a call that must fail with a code.
    ///
    /// # Panics
    ///
    /// When it does anything else.
    pub fn fail(&mut self, code: u64, function: u64, arguments: &[u64], why: &str) {
        let reply = self.call(function, arguments);
        assert_eq!(reply[0], code, "{function:#x} {arguments:x?}: {why}");
    }

    /// Whether the RIM of a Realm is the one of the model, and its remembered translations are
    /// what its tables say.
    fn check_realm(&mut self, rd: u64) {
        let Some(realm) = self.world.realm(rd) else {
            return;
        };
        let holds = |offset: usize| {
            let words = realm.rim.as_chunks::<8>().0.iter().enumerate();
            words.into_iter().all(|(word, bytes)| {
                self.memory.inspect(rd, offset + word) == u64::from_le_bytes(*bytes)
            })
        };
        let offset = self
            .rim_offset
            .or_else(|| (0..=WORDS_PER_GRANULE - 8).find(|&offset| holds(offset)));
        let found = offset.is_some_and(holds);
        assert!(found, "{rd:#x} does not hold the RIM {:x?}", realm.rim);
        self.rim_offset = offset;
        if let Err(stale) = self.memory.check_translations(realm.vmid) {
            panic!("Realm {rd:#x}: {stale}");
        }
    }

    /// Whether every granule and Realm is as in the model.
    ///
    /// # Panics
    ///
    /// When one is not.
    pub fn check_all(&mut self) {
        for (address, granule) in self.world.granules() {
            let expected = match granule {
                Granule::Undelegated | Granule::Fixed(_) => GranuleState::Undelegated,
                Granule::Delegated => GranuleState::Delegated,
                Granule::Rd => GranuleState::Rd,
                Granule::Rec => GranuleState::Rec,
                Granule::RecAux => GranuleState::RecAux,
                Granule::Data => GranuleState::Data,
                Granule::Rtt => GranuleState::Rtt,
            };
            assert_eq!(self.memory.state(address), expected, "granule {address:#x}");
            let the_hosts = granule == Granule::Undelegated;
            assert_eq!(
                self.memory.host_read(address, 0).is_ok(),
                the_hosts,
                "{address:#x}"
            );
        }
        let realms: Vec<u64> = self.world.realms().map(|(rd, _)| rd).collect();
        for rd in realms {
            self.check_realm(rd);
        }
    }

    /// Reads every entry of every table of every Realm by `RMI_RTT_READ_ENTRY`, and translates by
    /// it.
    ///
    /// # Panics
    ///
    /// When the RMM or the MMU sees anything else than the model.
    pub fn check_tables(&mut self) {
        let mut entries = Vec::new();
        for (rd, realm) in self.world.realms() {
            for table in self.world.tables(rd) {
                let size = rmm_model::realm::entry_size(table.level);
                let in_space = |address: &u64| realm.shape.contains(*address);
                let addresses = (0..512)
                    .map(|index| table.base + index * size)
                    .take_while(in_space);
                entries.extend(addresses.map(|ipa| (rd, ipa, table.level.cast_unsigned())));
            }
        }
        for (rd, ipa, level) in entries {
            self.succeed(fid::RTT_READ_ENTRY, &[rd, ipa, level]);
            self.translate(rd, ipa);
        }
    }

    /// A CPU that runs a Realm reaches for an IPA; gives where that leads to.
    ///
    /// # Panics
    ///
    /// When it is not where the model says.
    pub fn translate(&self, rd: u64, ipa: u64) -> Option<Translation> {
        let realm = self.world.realm(rd).expect("a Realm");
        let registers = Stage2Registers {
            vmid: realm.vmid,
            base: realm.shape.start_tables[0],
            ipa_width: realm.shape.ipa_width,
            start_level: i8::try_from(realm.shape.start_level).expect("a level"),
            lpa2: realm.shape.lpa2,
        };
        let found = self.memory.translate(&registers, ipa);
        let expected = self.world.translate(rd, ipa).map(|mapping| match mapping {
            Mapping::Realm(output, size) => Translation {
                ipa: ipa & !(size - 1),
                output,
                size,
                non_secure: false,
                attributes: 0xd8,
            },
            Mapping::Host(descriptor, size) => Translation {
                ipa: ipa & !(size - 1),
                output: if realm.shape.lpa2 {
                    descriptor & 0x0003_ffff_ffff_f000 | (descriptor & 0x300) << 42
                } else {
                    descriptor & 0x0000_ffff_ffff_f000
                },
                size,
                non_secure: true,
                attributes: descriptor & 0xdc,
            },
        });
        assert_eq!(found, expected, "Realm {rd:#x}, IPA {ipa:#x}");
        found
    }
}
