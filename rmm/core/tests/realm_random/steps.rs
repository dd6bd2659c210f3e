//! Steps of a random sequence: what the host tries next, given what there is.

use std::fmt;

use fake_machine::{AUX_GRANULES, PAGE, realm_params};
use proptest::prelude::*;
use rmm_abi::rmi::fid;
use rmm_model::Granule;
use rmm_model::realm::entry_size;

use crate::host::Host;

/// What the host tries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Delegate,
    Undelegate,
    CreateRealm,
    Activate,
    DestroyRealm,
    CountAux,
    CreateRec,
    DestroyRec,
    CreateData,
    CreateUnknownData,
    DestroyData,
    CreateTable,
    DestroyTable,
    Fold,
    ReadEntry,
    Map,
    Unmap,
    InitRipas,
    SetRipas,
    Furnish,
    Enter,
    CompletePsci,
    FillTable,
    MapTable,
    DrainTable,
}

/// An action, and numbers by which its arguments are chosen from what there is. Zero is the most
/// ordinary choice.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) action: Action,
    choices: [u16; 8],
}

impl fmt::Debug for Step {
    /// On one line, or a sequence would fill pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{:?}", self.action, self.choices)
    }
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let action = prop_oneof![
        12 => Just(Action::Delegate),
        2 => Just(Action::Undelegate),
        5 => Just(Action::CreateRealm),
        1 => Just(Action::Activate),
        2 => Just(Action::DestroyRealm),
        1 => Just(Action::CountAux),
        3 => Just(Action::CreateRec),
        2 => Just(Action::DestroyRec),
        10 => Just(Action::CreateData),
        6 => Just(Action::CreateUnknownData),
        6 => Just(Action::DestroyData),
        14 => Just(Action::CreateTable),
        6 => Just(Action::DestroyTable),
        6 => Just(Action::Fold),
        4 => Just(Action::ReadEntry),
        6 => Just(Action::Map),
        4 => Just(Action::Unmap),
        4 => Just(Action::InitRipas),
        2 => Just(Action::SetRipas),
        1 => Just(Action::Enter),
        1 => Just(Action::CompletePsci),
        1 => Just(Action::FillTable),
        1 => Just(Action::MapTable),
        1 => Just(Action::DrainTable),
    ];
    (action, any::<[u16; 8]>()).prop_map(|(action, choices)| Step { action, choices })
}

/// A step of a host whose Realms run.
pub(crate) fn running_step() -> impl Strategy<Value = Step> {
    let action = prop_oneof![
        40 => Just(Action::Enter),
        10 => Just(Action::SetRipas),
        10 => Just(Action::CompletePsci),
        6 => Just(Action::DestroyData),
        6 => Just(Action::CreateUnknownData),
        4 => Just(Action::CreateTable),
        3 => Just(Action::DestroyTable),
        2 => Just(Action::Fold),
        4 => Just(Action::Map),
        4 => Just(Action::Unmap),
        2 => Just(Action::Undelegate),
        2 => Just(Action::Furnish),
        1 => Just(Action::DestroyRec),
        1 => Just(Action::DestroyRealm),
    ];
    (action, any::<[u16; 8]>()).prop_map(|(action, choices)| Step { action, choices })
}

/// Sequences that begin with Realms to run.
pub(crate) fn running_steps() -> impl Strategy<Value = Vec<Step>> {
    let furnish = any::<[u16; 8]>().prop_map(|choices| Step {
        action: Action::Furnish,
        choices,
    });
    let furnished = proptest::collection::vec(furnish, 2..5);
    let steps = proptest::collection::vec(running_step(), 1..400);
    (furnished, steps).prop_map(|(mut first, steps)| {
        first.extend(steps);
        first
    })
}

/// Shapes of address spaces: IPA width, start level, start tables.
const SHAPES: [(u8, i64, u32); 6] = [
    (32, 2, 4),
    (40, 1, 2),
    (39, 1, 1),
    (48, 0, 1),
    (33, 1, 1),
    (34, 2, 16),
];

impl Host<'_, '_> {
    /// Does what a step says.
    pub(crate) fn take(&mut self, step: Step) {
        self.choices = step.choices;
        self.next = 0;
        match step.action {
            Action::Delegate => {
                let granule = self.granule(Granule::Undelegated);
                self.call(fid::GRANULE_DELEGATE, &[granule]);
            }
            Action::Undelegate => {
                let granule = self.granule(Granule::Delegated);
                self.call(fid::GRANULE_UNDELEGATE, &[granule]);
            }
            Action::CreateRealm => self.create_realm(),
            Action::Activate => self.on_realm(fid::REALM_ACTIVATE),
            Action::DestroyRealm => self.on_realm(fid::REALM_DESTROY),
            Action::CountAux => self.on_realm(fid::REC_AUX_COUNT),
            Action::CreateRec => {
                let rd = self.rd();
                self.create_rec(rd);
            }
            Action::DestroyRec => {
                let rec = self.granule(Granule::Rec);
                self.call(fid::REC_DESTROY, &[rec]);
            }
            Action::CreateData => self.create_data(),
            Action::CreateUnknownData => {
                let rd = self.rd();
                let data = self.granule(Granule::Delegated);
                let (ipa, _) = self.entry(rd, &[3], Some(true));
                self.look(rd, ipa);
                self.call(fid::DATA_CREATE_UNKNOWN, &[rd, data, ipa]);
            }
            Action::DestroyData => {
                let rd = self.rd();
                let (ipa, _) = self.entry(rd, &[3], Some(true));
                self.look(rd, ipa);
                self.call(fid::DATA_DESTROY, &[rd, ipa]);
            }
            Action::CreateTable => {
                let rd = self.rd();
                let rtt = self.granule(Granule::Delegated);
                let (ipa, level) = self.entry(rd, &[-1, 0, 1, 2], None);
                self.look(rd, ipa);
                let below = level.wrapping_add(1).cast_unsigned();
                self.call(fid::RTT_CREATE, &[rd, rtt, ipa, below]);
            }
            Action::DestroyTable => self.on_table(fid::RTT_DESTROY),
            Action::Fold => self.on_table(fid::RTT_FOLD),
            Action::ReadEntry => {
                let rd = self.rd();
                let (ipa, level) = self.entry(rd, &[-1, 0, 1, 2, 3], None);
                self.call(fid::RTT_READ_ENTRY, &[rd, ipa, level.cast_unsigned()]);
            }
            Action::Map => {
                let rd = self.rd();
                let (ipa, level) = self.entry(rd, &[1, 2, 3], Some(false));
                let output = self.one_of(&[0x4000_0000, 0xc000_0000, 0x1000, self.base]);
                let attributes = self.one_of(&[0xd8, 0, 0x40, 0x10, 0x400, 1 << 54]);
                self.look(rd, ipa);
                let arguments = [rd, ipa, level.cast_unsigned(), output | attributes];
                self.call(fid::RTT_MAP_UNPROTECTED, &arguments);
            }
            Action::Unmap => {
                let rd = self.rd();
                let (ipa, level) = self.entry(rd, &[1, 2, 3], Some(false));
                self.look(rd, ipa);
                self.call(
                    fid::RTT_UNMAP_UNPROTECTED,
                    &[rd, ipa, level.cast_unsigned()],
                );
            }
            Action::InitRipas => {
                let rd = self.rd();
                let (base, level) = self.entry(rd, &[3, 2, 1], Some(true));
                let size = entry_size(level.clamp(-1, 3));
                let length = self.one_of(&[1, 2, 5, 600]) * size;
                let odd = self.one_of(&[0, 0, 0, 8, 0x1000]);
                let top = base.wrapping_add(length).wrapping_add(odd);
                self.call(fid::RTT_INIT_RIPAS, &[rd, base, top]);
            }
            Action::SetRipas => {
                self.set_ripas();
            }
            Action::Furnish => self.furnish(),
            Action::Enter => self.enter(),
            Action::CompletePsci => self.complete_psci(),
            Action::FillTable => self.fill_table(),
            Action::MapTable => self.map_table(),
            Action::DrainTable => self.drain_table(),
        }
    }

    fn on_realm(&mut self, function: u64) {
        let rd = self.rd();
        self.call(function, &[rd]);
    }

    pub(crate) fn create_realm(&mut self) {
        let (width, level, tables) = self.one_of(&SHAPES);
        let others = self.other_granules();
        let run = u64::from(tables) * PAGE;
        let runs = (others.end - others.start) / run;
        let rtt_base = others.start + self.choose() as u64 % runs * run;
        for number in 0..tables.into() {
            self.call(fid::GRANULE_DELEGATE, &[rtt_base + number * PAGE]);
        }
        let mut params = realm_params(width, level, tables);
        params.rtt_base = rtt_base;
        params.vmid = self.first_vmid + self.one_of(&[0, 1, 2, 3]);
        params.hash_algo = self.one_of(&[0, 1]);
        if self.rarely(8) {
            match self.choose() % 8 {
                0 => params.s2sz += 1,
                1 => params.rtt_num_start += 1,
                2 => params.rtt_level_start -= 1,
                3 => params.rtt_base += PAGE,
                4 => params.num_bps = 0,
                5 => params.hash_algo = 2,
                6 => params.flags = 1,
                _ => params.rtt_base = u64::MAX - 0xfff,
            }
        }
        let page = self.granule(Granule::Undelegated);
        if self.bench.memory().host_accessible(page) {
            self.bench.write(page, &params);
        }
        let rd = self.granule(Granule::Delegated);
        self.call(fid::REALM_CREATE, &[rd, page]);
    }

    pub(crate) fn create_rec(&mut self, rd: u64) {
        let rec = self.granule(Granule::Delegated);
        self.delegate_for_rec(rec);
        let mut params = rmm_abi::rmi::RecParams::default();
        let index = self
            .bench
            .world()
            .realm(rd)
            .map_or(0, |realm| realm.next_rec);
        params.mpidr = index & 0xf | (index >> 4) << 8;
        params.flags = self.one_of(&[1, 0]);
        params.pc = self.choose() as u64;
        params.num_aux = AUX_GRANULES as u64;
        let free = self.others_in(Granule::Delegated);
        let free = free.into_iter().filter(|granule| *granule != rec);
        for (aux, granule) in params.aux[..AUX_GRANULES].iter_mut().zip(free) {
            *aux = granule;
        }
        if self.rarely(8) {
            match self.choose() % 5 {
                0 => params.num_aux -= 1,
                1 => params.aux[AUX_GRANULES - 1] = params.aux[0],
                2 => params.aux[self.choose() % AUX_GRANULES] = rec,
                3 => params.mpidr += 1,
                _ => params.aux[self.choose() % AUX_GRANULES] += 8,
            }
        }
        let page = self.granule(Granule::Undelegated);
        if self.bench.memory().host_accessible(page) {
            self.bench.write(page, &params);
        }
        self.call(fid::REC_CREATE, &[rd, rec, page]);
    }

    /// Delegates what is missing for the auxiliary granules of a REC, unless that goes wrong.
    fn delegate_for_rec(&mut self, rec: u64) {
        if self.rarely(8) {
            return;
        }
        let there = self.others_in(Granule::Delegated);
        let there = there.iter().filter(|granule| **granule != rec).count();
        let more = self.others_in(Granule::Undelegated);
        for granule in more.into_iter().take(AUX_GRANULES.saturating_sub(there)) {
            self.call(fid::GRANULE_DELEGATE, &[granule]);
        }
    }

    fn create_data(&mut self) {
        let rd = self.rd();
        let data = self.granule(Granule::Delegated);
        let source = self.granule(Granule::Undelegated);
        let (ipa, _) = self.entry(rd, &[3], Some(true));
        if self.bench.memory().host_accessible(source) {
            let seed = self.choose() as u64;
            self.bench
                .memory()
                .host_write(source, 5, seed)
                .expect("the host's own");
        }
        let flags = self.one_of(&[0, 1, 0, 1, 0, 1, 2]);
        self.look(rd, ipa);
        self.call(fid::DATA_CREATE, &[rd, data, ipa, source, flags]);
    }

    fn on_table(&mut self, function: u64) {
        let rd = self.rd();
        let Some(realm) = self.bench.world().realm(rd) else {
            return self.call(function, &[rd, 0, 3]);
        };
        let (shape, start) = (realm.shape.clone(), realm.shape.start_level);
        let tables: Vec<(u64, i64)> = self
            .bench
            .world()
            .tables(rd)
            .iter()
            .filter(|table| table.level > start)
            .map(|table| (table.base, table.level))
            .collect();
        let (ipa, level) = if tables.is_empty() || self.rarely(6) {
            self.any_entry(&shape)
        } else {
            self.one_of(&tables)
        };
        self.look(rd, ipa);
        self.call(function, &[rd, ipa, level.cast_unsigned()]);
    }
}
