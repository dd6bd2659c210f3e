//! A host that enters RECs, and what their Realms do.

use std::sync::{Arc, Mutex};

use fake_machine::{Guest, Instruction, MemoryAccess, Taken, assert_exit, exit};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::{ExitReason, RecEnter, RecExit};
use rmm_abi::smc::psci;
use rmm_abi::{GRANULE_SIZE, rsi};
use rmm_model::Granule;
use rmm_model::realm::{PsciCall, Reach, Ripas, World};

use crate::host::Host;
use crate::tokens::is_about_token;

/// What a Realm does when it is entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    Nothing,
    Load(u64),
    Fetch(u64),
    Call([u64; 5]),
}

/// What came of it, if the Realm knows already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Accessed(Result<u64, Taken>),
    Replied([u64; 3]),
}

type Notes = Arc<Mutex<Option<Outcome>>>;

async fn live(guest: Guest, deed: Deed, notes: Notes) {
    // Not at a vector, where an exception could not be told from a new attempt.
    guest.continue_at(0x100, 0x3c5);
    let outcome = match deed {
        Deed::Nothing => return,
        Deed::Load(address) => {
            let load = Instruction::Access(MemoryAccess::load(address, 8));
            Outcome::Accessed(guest.execute(load).await)
        }
        Deed::Fetch(address) => Outcome::Accessed(guest.execute(Instruction::Fetch(address)).await),
        Deed::Call(arguments) => {
            let [x0, x1, x2, ..] = guest.smc(&arguments).await;
            Outcome::Replied([x0, x1, x2])
        }
    };
    *notes.lock().unwrap() = Some(outcome);
}

/// The fault status of an exception that the Realm took.
fn status(outcome: Option<Outcome>) -> Option<u64> {
    match outcome {
        Some(Outcome::Accessed(Err(taken))) => Some(taken.syndrome & 0x3f),
        _ => None,
    }
}

pub(crate) fn is_interrupt(told: &RecExit) -> bool {
    told.exit_reason == ExitReason::Irq as u8
}

fn code(outcome: Option<Outcome>) -> Option<u64> {
    match outcome {
        Some(Outcome::Replied([code, ..])) => Some(code),
        _ => None,
    }
}

impl Host<'_, '_> {
    /// An IPA of a Realm, mostly one that something is known of.
    fn ipa(&mut self, rd: u64) -> u64 {
        let half = self.one_of(&[Some(true), Some(true), Some(false), None]);
        let (ipa, _) = self.entry(rd, &[3, 2], half);
        let offset = self.one_of(&[0, 8, 0x100, 0xff8]);
        if ipa % GRANULE_SIZE as u64 == 0 {
            ipa | offset
        } else {
            ipa & !7
        }
    }

    fn deed(&mut self, rec: u64, rd: u64) -> Deed {
        let ipa = self.ipa(rd);
        let page = ipa & !0xfff;
        match self.choose() % 20 {
            0 => Deed::Nothing,
            1..=4 => Deed::Load(ipa),
            5 => Deed::Fetch(ipa),
            6 | 7 => {
                let top = page.wrapping_add(self.one_of(&[0x1000, 0x5000, 1 << 21, 1 << 32, 8]));
                Deed::Call([rsi::fid::IPA_STATE_GET, page, top, 0, 0])
            }
            8..=10 => {
                let page = self.one_of(&[0, page, 0x1000, 0x3000]);
                let top = page.wrapping_add(self.one_of(&[0x1000, 0x5000, 1 << 21]));
                let ripas = self.one_of(&[0, 1, 1, 0, 1, 2]);
                let flags = self.one_of(&[0, 1]);
                Deed::Call([rsi::fid::IPA_STATE_SET, page, top, ripas, flags])
            }
            11 => Deed::Call([rsi::fid::HOST_CALL, ipa & !0xf8, 0, 0, 0]),
            12 | 13 => {
                let function = self.one_of(&[psci::CPU_ON, psci::AFFINITY_INFO]);
                let target = self.one_of(&[1, 0, 1, 0, 2, 0x10]);
                Deed::Call([function, target, 0, 5, 0])
            }
            14 if self.rarely(3) => Deed::Call([psci::CPU_OFF, 0, 0, 0, 0]),
            15 if self.rarely(6) => Deed::Call([psci::SYSTEM_OFF, 0, 0, 0, 0]),
            16..=19 => self.token_deed(rec, page),
            _ => Deed::Call([psci::VERSION, 0, 0, 0, 0]),
        }
    }

    /// Enters a REC, and checks what comes of it.
    pub(crate) fn enter(&mut self) {
        let rec = self.rec_with(|world, rec| {
            let rec = world.rec(rec).expect("a REC");
            rec.runnable
                && world
                    .realm(rec.owner)
                    .is_some_and(|realm| realm.active && !realm.off)
        });
        let run = self.granule(Granule::Undelegated);
        let mut enter = RecEnter::default();
        enter.flags = self.one_of(&[0, 0, 0, 1, 2, 16, 0x1f]);
        if self.rarely(16) {
            enter.gicv3_hcr = self.one_of(&[0xfe, 0x40fe, 1, 1 << 20]);
            enter.gicv3_lrs[0] = 1 << 62 | self.choose() as u64;
        }
        let before = self.bench.world().rec(rec).cloned();
        let deed = before
            .as_ref()
            .map_or(Deed::Nothing, |before| self.deed(rec, before.owner));
        let notes = Notes::default();
        let for_realm = Arc::clone(&notes);
        self.bench
            .program(rec, move |guest| live(guest, deed, for_realm));
        self.calls += 1;
        self.run = run;
        let told = self.bench.try_to_enter(rec, run, &enter);
        let (Some(mut told), Some(before)) = (told, before) else {
            return;
        };
        // Nobody has touched the GIC.
        let asked = (enter.gicv3_hcr, enter.gicv3_lrs);
        assert_eq!((told.gicv3_hcr, told.gicv3_lrs), asked);
        (told.gicv3_hcr, told.gicv3_lrs) = (0, [0; 16]);
        let outcome = *notes.lock().unwrap();
        if let Some(buffer) = before.host_call {
            if self.bench.world().reach(before.owner, buffer, false) == Reach::Missing {
                assert_eq!(outcome, None);
                Self::check_missing(&told, buffer);
                return;
            }
            // Unless the Realm has called the host once more.
            if told.exit_reason != ExitReason::HostCall as u8 {
                self.bench.world_mut().note_host_call(rec, None);
            }
        }
        match deed {
            Deed::Nothing => assert!(is_interrupt(&told)),
            Deed::Load(ipa) => self.check_access(before.owner, ipa, false, &told, outcome),
            Deed::Fetch(ipa) => self.check_access(before.owner, ipa, true, &told, outcome),
            Deed::Call(arguments) if is_about_token(&arguments) => {
                self.check_token(rec, &arguments, &told, outcome);
            }
            Deed::Call(arguments) => {
                self.check_call(before.owner, before.index, arguments, &told, outcome);
            }
        }
    }

    pub(crate) fn check_missing(told: &RecExit, ipa: u64) {
        assert_eq!(told.exit_reason, ExitReason::Sync as u8);
        assert_eq!(told.hpfar, ipa >> 12 << 4);
        assert_eq!(told.far, 0);
    }

    fn check_access(
        &self,
        rd: u64,
        ipa: u64,
        is_fetch: bool,
        told: &RecExit,
        outcome: Option<Outcome>,
    ) {
        let memory = self.bench.memory();
        match self.bench.world().reach(rd, ipa, is_fetch) {
            Reach::Memory(address) => {
                let page = address & !0xfff;
                let is_realms = self.bench.world().granule(page) == Some(Granule::Data);
                let is_protected = self
                    .bench
                    .world()
                    .realm(rd)
                    .unwrap()
                    .shape
                    .is_protected(ipa);
                if is_protected || memory.host_accessible(page) {
                    assert_eq!(is_protected, is_realms);
                    let word = usize::try_from(address % 0x1000 / 8).unwrap();
                    let value = memory.inspect(page, word);
                    match outcome {
                        Some(Outcome::Accessed(Ok(found))) => assert!(
                            // The run page has been written since.
                            is_fetch || page == self.run || found == value,
                            "{found:#x} {value:#x}"
                        ),
                        other => panic!("{other:x?}"),
                    }
                } else {
                    // Of another world, or no memory at all.
                    assert!(outcome.is_none() || status(outcome) == Some(0x28));
                    assert!(is_interrupt(told) || told.esr & 0x3f == 0x10);
                }
            }
            Reach::ExternalAbort => assert_eq!(status(outcome), Some(0x10)),
            Reach::AddressSizeFault => assert_eq!(status(outcome), Some(0)),
            Reach::Missing => {
                assert_eq!(outcome, None);
                Self::check_missing(told, ipa);
            }
            Reach::Emulated => {
                assert_eq!(outcome, None);
                assert_eq!(told.exit_reason, ExitReason::Sync as u8);
                assert_eq!((told.hpfar, told.far), (ipa >> 12 << 4, ipa & 0xfff));
                assert_ne!(told.esr & 1 << 24, 0);
            }
        }
    }

    fn check_call(
        &mut self,
        rd: u64,
        index: u64,
        arguments: [u64; 5],
        told: &RecExit,
        outcome: Option<Outcome>,
    ) {
        let [function, x1, x2, x3, _] = arguments;
        let world = self.bench.world();
        let realm = world.realm(rd).unwrap();
        let protected = |ipa| realm.shape.is_protected(ipa);
        let range = x2 > x1 && protected(x2 - 1) && (x1 | x2).is_multiple_of(0x1000);
        match function {
            rsi::fid::IPA_STATE_GET if range => {
                let (reached, ripas) = world.ripas(rd, x1, x2);
                let ripas = match ripas {
                    Ripas::Empty => 0,
                    Ripas::Ram => 1,
                    Ripas::Destroyed => 2,
                };
                assert_eq!(outcome, Some(Outcome::Replied([0, reached, ripas])));
            }
            rsi::fid::IPA_STATE_SET if range && x3 < 2 => {
                assert_eq!(outcome, None);
                let mut expected = exit(ExitReason::RipasChange);
                (expected.ripas_base, expected.ripas_top) = (x1, x2);
                expected.ripas_value = u8::try_from(x3).unwrap();
                assert_exit(told, &expected);
            }
            rsi::fid::HOST_CALL if protected(x1) => match world.reach(rd, x1, false) {
                Reach::Memory(_) => assert_eq!(told.exit_reason, ExitReason::HostCall as u8),
                Reach::Missing => Self::check_missing(told, x1),
                _ => assert_eq!(code(outcome), Some(1)),
            },
            rsi::fid::HOST_CALL | rsi::fid::IPA_STATE_GET | rsi::fid::IPA_STATE_SET => {
                assert_eq!(code(outcome), Some(1));
            }
            psci::VERSION => assert_eq!(code(outcome), Some(0x1_0001)),
            psci::CPU_ON | psci::AFFINITY_INFO if outcome.is_some() => {
                let number = x1 & 0xf | (x1 >> 8) << 4;
                let is_known = x1 & 0xf0 == 0 && number < realm.next_rec;
                assert!(!is_known || number == index, "{arguments:x?} {outcome:x?}");
            }
            _ => {
                assert_eq!(outcome, None);
                let mut expected = exit(ExitReason::Psci);
                expected.gprs[0] = function;
                if matches!(function, psci::CPU_ON | psci::AFFINITY_INFO) {
                    expected.gprs[1..4].copy_from_slice(&[x1, x2, x3]);
                }
                assert_exit(told, &expected);
            }
        }
    }

    /// A REC of which something holds, if there is one, or any.
    fn rec_with(&mut self, wanted: impl Fn(&World, u64) -> bool) -> u64 {
        let world = self.bench.world();
        let recs = world.recs().map(|(rec, _)| rec);
        let found: Vec<u64> = recs.filter(|&rec| wanted(world, rec)).collect();
        if found.is_empty() || self.rarely(8) {
            self.granule(Granule::Rec)
        } else {
            self.one_of(&found)
        }
    }

    /// Does some of what a REC has asked for, or something else.
    pub(crate) fn set_ripas(&mut self) {
        let rec = self.rec_with(|world, rec| world.ripas_request(rec).is_some());
        let other = self.rd();
        let owner = self.bench.world().rec(rec).map_or(other, |rec| rec.owner);
        let rd = self.one_of(&[owner, owner, owner, other]);
        let request = self.bench.world().ripas_request(rec).unwrap_or(0..0x1000);
        let (base, top) = (request.start, request.end);
        let base = self.one_of(&[base, base, base, base.wrapping_add(0x1000)]);
        let next = base.wrapping_add(0x1000);
        let top = self.one_of(&[top, top, next, top.wrapping_add(0x1000)]);
        self.look(rd, base);
        self.call(fid::RTT_SET_RIPAS, &[rd, rec, base, top]);
    }

    /// Completes a call of PSCI, mostly with the right REC.
    pub(crate) fn complete_psci(&mut self) {
        let calling = self.rec_with(|world, rec| world.psci_call(rec).is_some());
        let world = self.bench.world();
        let wanted = world.psci_call(calling).map(|call| match call {
            PsciCall::CpuOn(index) | PsciCall::AffinityInfo(index) => index,
        });
        let owner = world.rec(calling).map(|rec| rec.owner);
        let target = self.rec_with(|world, rec| {
            world
                .rec(rec)
                .is_some_and(|target| Some(target.owner) == owner && Some(target.index) == wanted)
        });
        let status = self.one_of(&[0, 0, 0, psci::DENIED, 1]);
        let arguments = [calling, target, status.cast_unsigned()];
        self.call(fid::PSCI_COMPLETE, &arguments);
    }

    /// Gives a Realm what it needs to run, as far as that is still possible, and lets it.
    pub(crate) fn furnish(&mut self) {
        let is_new = |world: &World| world.realms().any(|(_, realm)| !realm.active);
        if !is_new(self.bench.world()) {
            self.create_realm();
        }
        let world = self.bench.world();
        let new: Vec<u64> = world
            .realms()
            .filter(|(_, realm)| !realm.active)
            .map(|(rd, _)| rd)
            .collect();
        if new.is_empty() {
            return;
        }
        let rd = self.one_of(&new);
        let Some(realm) = self.bench.world().realm(rd) else {
            return;
        };
        let (start, middle) = (realm.shape.start_level, realm.shape.middle());
        for base in [0, middle] {
            for level in start + 1..=3 {
                let table = self.granule(Granule::Delegated);
                let create = [rd, table, base, level.cast_unsigned()];
                self.call(fid::RTT_CREATE, &create);
            }
        }
        self.call(fid::RTT_INIT_RIPAS, &[rd, 0, 0x5000]);
        for page in [0, 0x1000] {
            let data = self.granule(Granule::Delegated);
            self.call(fid::DATA_CREATE_UNKNOWN, &[rd, data, page]);
        }
        let shared = self.granule(Granule::Undelegated);
        let map = [rd, middle, 3, shared | 0xd8];
        self.call(fid::RTT_MAP_UNPROTECTED, &map);
        for _ in 0..2 {
            self.create_rec(rd);
        }
        self.call(fid::REALM_ACTIVATE, &[rd]);
    }
}
