//! The machine, Realms and granules that several CPUs have to do with at the same time.

use std::sync::atomic::{AtomicU64, Ordering};

use fake_machine::{
    AUX_GRANULES, Bench, FEATURES, FakeCpu, Memory, PAGE, Stage2Registers, realm_params,
};
use rmm_abi::rmi::{RecParams, fid};
use rmm_core::Rmm;
use rmm_model::Granule;
use rmm_model::realm::{HostMemory, Realm, World};

use crate::order::{Done, explain};

pub(crate) const BASE: u64 = 0x8000_0000;
pub(crate) const GRANULES: u64 = 32 + AUX_GRANULES as u64;

/// Granules by their use; those from `POOL` on are for everything.
pub(crate) const DESCRIPTORS: [u64; 2] = [BASE, BASE + PAGE];
pub(crate) const START_TABLES: [u64; 2] = [BASE + 2 * PAGE, BASE + 3 * PAGE];
pub(crate) const AUX: u64 = BASE + 4 * PAGE;
pub(crate) const LAST_AUX: u64 = AUX_END - PAGE;
const AUX_END: u64 = AUX + AUX_GRANULES as u64 * PAGE;
pub(crate) const REALM_PARAMETERS: [u64; 2] = [AUX_END, AUX_END + PAGE];
pub(crate) const REC_PARAMETERS: [u64; 2] = [AUX_END + 2 * PAGE, AUX_END + 3 * PAGE];
pub(crate) const SOURCE: u64 = AUX_END + 4 * PAGE;
pub(crate) const POOL: std::ops::Range<u64> = AUX_END + 5 * PAGE..AUX_END + 16 * PAGE;

pub(crate) const MIDDLE: u64 = 1 << 38;
pub(crate) const LEVEL_2: u64 = 0x20_0000;
pub(crate) const LEVEL_1: u64 = 0x4000_0000;
pub(crate) const PROTECTED: [u64; 4] = [0, PAGE, LEVEL_2, LEVEL_1];
pub(crate) const UNPROTECTED: [u64; 3] = [MIDDLE, MIDDLE + PAGE, MIDDLE + LEVEL_2];

pub(crate) struct Bytes<'m>(&'m Memory);

impl HostMemory for Bytes<'_> {
    fn read(&self, address: u64) -> [u8; 0x1000] {
        let mut page = [0; 0x1000];
        for (word, bytes) in page.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *bytes = self.0.inspect(address, word).to_le_bytes();
        }
        page
    }
}

/// What one round is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Tables and memory of two Realms, one of which runs.
    Tables,
    /// Realms and RECs come and go.
    LifeCycle,
}

/// The machine with its host, between rounds.
pub(crate) struct Arena<'m> {
    pub(crate) memory: &'m Memory,
    pub(crate) rmm: &'m Rmm<'m>,
    pub(crate) world: World,
}

impl<'m> Arena<'m> {
    /// Two Realms, and everything else delegated but what the host reads from.
    pub(crate) fn new(memory: &'m Memory, rmm: &'m Rmm<'m>, subject: Subject) -> Self {
        let granules = (0..GRANULES).map(|number| BASE + number * PAGE).collect();
        let mut bench = Bench::with_granules(memory, rmm, FEATURES, granules).quick();
        for (number, page) in (0..).zip(REALM_PARAMETERS) {
            let mut params = realm_params(39, 1, 1);
            params.rtt_base = START_TABLES[usize::from(number)];
            // The same VMID for both where they are not to exist at the same time.
            params.vmid = if subject == Subject::Tables {
                number
            } else {
                3
            };
            bench.write(page, &params);
        }
        bench.fill(SOURCE, 4);
        for address in (BASE..AUX_END).chain(POOL).step_by(0x1000) {
            bench.succeed(fid::GRANULE_DELEGATE, &[address]);
        }
        if subject == Subject::Tables {
            for (rd, page) in DESCRIPTORS.into_iter().zip(REALM_PARAMETERS) {
                bench.succeed(fid::REALM_CREATE, &[rd, page]);
            }
        }
        let world = bench.world().clone();
        Self { memory, rmm, world }
    }

    /// Makes calls that must succeed, one after the other.
    ///
    /// # Panics
    ///
    /// When one fails.
    pub(crate) fn do_alone(&mut self, calls: &[[u64; 8]]) {
        let cpu = self.memory.cpu(0);
        for call in calls {
            self.prepare();
            let prediction = self.world.apply(call, &Bytes(self.memory));
            assert!(
                prediction.is_some_and(|prediction| prediction.is_success()),
                "{call:x?}"
            );
            assert_eq!(cpu.call(self.rmm, call)[0], 0, "{call:x?}");
        }
    }

    /// Parameters of the next RECs.
    pub(crate) fn prepare(&self) {
        for (rd, page) in DESCRIPTORS.into_iter().zip(REC_PARAMETERS) {
            let index = self.world.realm(rd).map_or(0, |realm| realm.next_rec);
            let mut params = RecParams::default();
            params.flags = 1;
            params.mpidr = index & 0xf | (index >> 4) << 8;
            params.num_aux = AUX_GRANULES as u64;
            for (number, aux) in (0..).zip(&mut params.aux[..AUX_GRANULES]) {
                *aux = AUX + number * PAGE;
            }
            let bytes = zerocopy::IntoBytes::as_bytes(&params);
            for (word, value) in bytes.as_chunks::<8>().0.iter().enumerate() {
                let value = u64::from_le_bytes(*value);
                self.memory.host_write(page, word, value).unwrap();
            }
        }
    }

    /// Finds an order that explains what the CPUs saw, and goes on from what it leads to.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub(crate) fn settle(&mut self, cpus: &[Vec<Done>]) {
        let host = Bytes(self.memory);
        let found = explain(&self.world, cpus, &host, &mut |world| self.is_real(world));
        self.world = found.unwrap_or_else(|| panic!("no order explains {cpus:#x?}"));
        for (rd, realm) in self.world.realms() {
            if let Err(stale) = self.memory.check_translations(realm.vmid) {
                panic!("Realm {rd:#x}: {stale}");
            }
        }
    }

    /// Whether the machine is as a world says: states of all granules, RIMs, and the entries that
    /// these rounds are about.
    fn is_real(&self, world: &World) -> bool {
        let states = world.granules().all(|(address, granule)| {
            let number = match granule {
                Granule::Undelegated | Granule::Fixed(_) => 0,
                Granule::Delegated => 1,
                Granule::Rd => 2,
                Granule::Rec => 3,
                Granule::RecAux => 4,
                Granule::Data => 5,
                Granule::Rtt => 6,
            };
            self.memory.state(address) as u16 == number
        });
        let rims = world.realms().all(|(rd, realm)| {
            let content = Bytes(self.memory).read(rd);
            content
                .as_chunks::<8>()
                .0
                .windows(8)
                .any(|window| window.as_flattened() == realm.rim)
        });
        let cpu = self.memory.cpu(9);
        let mut copy = world.clone();
        let mut entries = PROTECTED.into_iter().chain(UNPROTECTED);
        let same = |ipa| {
            DESCRIPTORS.into_iter().all(|rd| {
                let call = [fid::RTT_READ_ENTRY, rd, ipa, 3, 0, 0, 0, 0];
                let prediction = copy.apply(&call, &Bytes(self.memory)).unwrap();
                prediction.allows(&cpu.call(self.rmm, &call))
            })
        };
        states && rims && entries.all(same)
    }
}

pub(crate) fn registers(realm: &Realm) -> Stage2Registers {
    Stage2Registers {
        vmid: realm.vmid,
        base: realm.shape.start_tables[0],
        ipa_width: realm.shape.ipa_width,
        start_level: 1,
        lpa2: false,
    }
}

pub(crate) fn done(rmm: &Rmm<'_>, cpu: &FakeCpu<'_>, clock: &AtomicU64, call: &[u64; 8]) -> Done {
    let began = clock.fetch_add(1, Ordering::SeqCst);
    let reply = cpu.call(rmm, call);
    let ended = clock.fetch_add(1, Ordering::SeqCst);
    Done {
        began,
        ended,
        call: *call,
        reply,
    }
}
