//! Running RECs, and looking at all of the run page.

use std::mem::offset_of;

use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::{ExitReason, RecEnter, RecExit, RecRun};
use rmm_abi::smc::psci;
use rmm_core::Reply;
use rmm_core::rec::layout::GENERAL_PURPOSE;
use rmm_model::realm::{LastAccess, PsciCall};
use zerocopy::FromBytes;

use super::Bench;
use crate::Guest;
use crate::memory::WORDS_PER_GRANULE;

const FLAGS: usize = offset_of!(RecEnter, flags) / 8;
const GENERAL: usize = offset_of!(RecEnter, gprs) / 8;
const GIC_CONTROL: usize = offset_of!(RecEnter, gicv3_hcr) / 8;
const LIST: usize = offset_of!(RecEnter, gicv3_lrs) / 8;

/// What a run page is full of before the RMM writes to it.
const UNTOUCHED: u64 = 0xa5a5_5a5a_c3c3_3c3c;

/// Number of the REC with the affinities of an `MPIDR_EL1`.
fn rec_index(affinities: u64) -> u64 {
    let affinity = |shift: u32| affinities >> shift & 0xff;
    affinity(0) + 16 * affinity(8) + 16 * 256 * affinity(16) + 16 * 256 * 256 * affinity(32)
}

impl Bench<'_> {
    /// Lets a Realm run.
    pub fn activate(&mut self, rd: u64) {
        self.succeed(fid::REALM_ACTIVATE, &[rd]);
    }

    /// From now on a REC does what a program says. See [`crate::Memory::program`].
    pub fn program<R>(&self, rec: u64, program: impl FnOnce(Guest) -> R)
    where
        R: Future<Output = ()> + Send + 'static,
    {
        self.memory.program(rec, program);
    }

    /// Fills a run page: with what the host says where that means something, elsewhere with what must
    /// not come through.
    ///
    /// # Panics
    ///
    /// When the granule is not the host's.
    pub fn prepare(&self, run: u64, enter: &RecEnter) {
        let mut words = [UNTOUCHED; WORDS_PER_GRANULE];
        words[FLAGS] = enter.flags;
        words[GENERAL..][..enter.gprs.len()].copy_from_slice(&enter.gprs);
        words[GIC_CONTROL] = enter.gicv3_hcr;
        words[LIST..][..enter.gicv3_lrs.len()].copy_from_slice(&enter.gicv3_lrs);
        self.write(run, &words);
    }

    /// Enters a REC, which must succeed, and gives what the host is told.
    ///
    /// # Panics
    ///
    /// When the RMM refuses, or writes to the lower half of the page.
    pub fn enter(&mut self, rec: u64, run: u64, enter: &RecEnter) -> RecExit {
        self.prepare(run, enter);
        let before = self.bytes(run);
        self.succeed(fid::REC_ENTER, &[rec, run]);
        let after = self.bytes(run);
        assert_eq!(before[..0x800], after[..0x800], "what the host said");
        let page = RecRun::read_from_bytes(&after).expect("a page");
        self.learn(rec, &page.exit);
        page.exit
    }

    /// Tells the model what the Realm has done, as far as later calls depend on it.
    fn learn(&mut self, rec: u64, exit: &RecExit) {
        const DATA_ABORT: u64 = 0x24;
        const ISV: u64 = 1 << 24;
        let owner = self.world.recs().find(|(address, _)| *address == rec);
        let owner = owner.map(|(_, rec)| rec.owner).expect("a REC");
        match ExitReason::from_encoding(exit.exit_reason).expect("a reason") {
            ExitReason::Sync if exit.esr >> 26 == DATA_ABORT => {
                let shape = &self.world.realm(owner).expect("its Realm").shape;
                let access = if shape.is_protected(exit.hpfar << 8) || exit.hpfar == 0 {
                    LastAccess::Closed
                } else if exit.esr & ISV != 0 {
                    LastAccess::Emulatable
                } else {
                    LastAccess::Refusable
                };
                self.world.note_access(rec, access);
            }
            ExitReason::Psci => {
                let index = rec_index(exit.gprs[1]);
                match exit.gprs[0] {
                    psci::CPU_OFF => self.world.note_cpu_off(rec),
                    psci::SYSTEM_OFF | psci::SYSTEM_RESET => self.world.note_system_off(rec),
                    psci::CPU_ON | psci::CPU_ON_32 => {
                        self.world.note_psci_call(rec, PsciCall::CpuOn(index));
                    }
                    psci::AFFINITY_INFO | psci::AFFINITY_INFO_32 => {
                        self.world
                            .note_psci_call(rec, PsciCall::AffinityInfo(index));
                    }
                    _ => {}
                }
            }
            ExitReason::HostCall => {
                let buffer = self.memory.inspect(rec, GENERAL_PURPOSE + 1);
                self.world.note_host_call(rec, Some(buffer));
            }
            ExitReason::RipasChange => {
                // The host is not told, and neither would the model be.
                let flags = self.memory.inspect(rec, GENERAL_PURPOSE + 4);
                let range = exit.ripas_base..exit.ripas_top;
                let is_ram = exit.ripas_value == 1;
                self.world.request_ripas(rec, range, is_ram, flags & 1 != 0);
            }
            _ => {}
        }
    }

    /// Enters a REC, which may fail as the model says, and gives what the host is told when it does
    /// not. The run page need not be the host's.
    ///
    /// # Panics
    ///
    /// When the RMM does anything that the model does not.
    pub fn try_to_enter(&mut self, rec: u64, run: u64, enter: &RecEnter) -> Option<RecExit> {
        if self.memory.host_accessible(run) {
            self.prepare(run, enter);
        }
        let reply = self.call(fid::REC_ENTER, &[rec, run]);
        if reply[0] != 0 {
            return None;
        }
        let page = RecRun::read_from_bytes(&self.bytes(run)).expect("a page");
        self.learn(rec, &page.exit);
        Some(page.exit)
    }

    /// Enters a REC without asking the model, which cannot know what becomes of it.
    pub fn enter_unpredictably(&self, rec: u64, run: u64) -> Reply {
        let call = [fid::REC_ENTER, rec, run, 0, 0, 0, 0, 0];
        self.cpu.call(self.rmm, &call)
    }

    /// Enters a REC, which must fail with a code and leave the run page alone.
    ///
    /// # Panics
    ///
    /// When anything else happens.
    pub fn refuse_entry(&mut self, code: u64, rec: u64, run: u64, enter: &RecEnter, why: &str) {
        self.prepare(run, enter);
        let before = self.bytes(run);
        self.fail(code, fid::REC_ENTER, &[rec, run], why);
        assert!(before == self.bytes(run), "{why}: the run page was changed");
    }
}
