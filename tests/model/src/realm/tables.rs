//! Tables come and go.

use std::sync::Arc;

use super::calls::rtt;
use super::failures::Cause::{self, Input, IpaBound, Level, Rd};
use super::failures::{Failures, Prediction};
use super::shape::entry_size;
use super::tree::{Entry, Ripas, Table};
use super::world::{Walk, World};
use crate::Granule;

impl World {
    pub(super) fn rtt_create(&mut self, [rd, granule, ipa, level]: [u64; 4]) -> Prediction {
        let mut failures = Failures::default();
        failures.input(!self.is(granule, Granule::Delegated), Input);
        let walk = self.check_parent(&mut failures, [rd, ipa, level]);
        if let Some(walk) = walk {
            let is_table = matches!(walk.entry, Entry::Table(_));
            failures.add(is_table, Cause::Entry, rtt(walk.level));
            let lpa2 = self.realms[&rd].shape.lpa2;
            failures.input(!lpa2 && granule >> 48 != 0, Input);
            if failures.is_empty() {
                let table = Table::unfolded(walk.entry, level.cast_signed(), ipa);
                self.tables.insert(granule, Arc::new(table));
                self.set(granule, Granule::Rtt);
                self.write(&walk, Entry::Table(granule));
                return Prediction::success([0; 3], level);
            }
        }
        failures.prediction(level)
    }

    pub(super) fn rtt_destroy(&mut self, arguments: [u64; 3], x4: u64) -> Prediction {
        let [rd, ipa, level] = arguments;
        let mut failures = Failures::default();
        let Some(walk) = self.check_parent_with_top(&mut failures, arguments, true) else {
            return failures.prediction(x4);
        };
        let Entry::Table(child) = walk.entry else {
            let top = self.tables[&walk.table].walk_top(ipa);
            failures.add_with_outputs(true, Cause::Entry, rtt(walk.level), [0, top]);
            return failures.prediction(x4);
        };
        if failures.is_empty() {
            let live = self.tables[&child].is_live();
            let code = rtt(level.cast_signed());
            failures.add_with_outputs(live, Cause::Child, code, [0, ipa]);
        }
        if !failures.is_empty() {
            return failures.prediction(x4);
        }
        let after = if self.realms[&rd].shape.is_protected(ipa) {
            Entry::Unassigned(Ripas::Destroyed)
        } else {
            Entry::UnassignedNs
        };
        self.remove_table(child, &walk, after);
        Prediction::success([child, self.tables[&walk.table].walk_top(ipa), 0], x4)
    }

    pub(super) fn rtt_fold(&mut self, arguments: [u64; 3], x4: u64) -> Prediction {
        let [_, _, level] = arguments;
        let mut failures = Failures::default();
        let Some(walk) = self.check_parent(&mut failures, arguments) else {
            return failures.prediction(x4);
        };
        let Entry::Table(child) = walk.entry else {
            failures.add(true, Cause::Entry, rtt(walk.level));
            return failures.prediction(x4);
        };
        let folded = if failures.is_empty() {
            self.tables[&child].folded()
        } else {
            None
        };
        failures.add(folded.is_none(), Cause::Child, rtt(level.cast_signed()));
        let (true, Some(entry)) = (failures.is_empty(), folded) else {
            return failures.prediction(x4);
        };
        self.remove_table(child, &walk, entry);
        Prediction::success([child, 0, 0], x4)
    }

    fn remove_table(&mut self, table: u64, parent: &Walk, entry: Entry) {
        self.tables.remove(&table);
        self.set(table, Granule::Delegated);
        self.write(parent, entry);
    }

    fn check_parent(&self, failures: &mut Failures, arguments: [u64; 3]) -> Option<Walk> {
        self.check_parent_with_top(failures, arguments, false)
    }

    /// What the commands on a table have in common, and the walk to the entry above the table.
    fn check_parent_with_top(
        &self,
        failures: &mut Failures,
        [rd, ipa, level]: [u64; 3],
        says_top: bool,
    ) -> Option<Walk> {
        let Some(realm) = self.realms.get(&rd) else {
            failures.input(true, Rd);
            return None;
        };
        let shape = &realm.shape;
        let level = level.cast_signed();
        let level_exists = (shape.start_level + 1..=3).contains(&level);
        failures.input(!level_exists, Level);
        failures.input(!shape.contains(ipa), IpaBound);
        if !level_exists || !shape.contains(ipa) {
            return None;
        }
        failures.input(!ipa.is_multiple_of(entry_size(level - 1)), Input);
        let walk = self.walk(shape, ipa, level - 1);
        let top = if says_top {
            self.tables[&walk.table].walk_top(ipa)
        } else {
            0
        };
        let early = walk.level < level - 1;
        failures.add_with_outputs(early, Cause::Walk, rtt(walk.level), [0, top]);
        Some(walk)
    }

    pub(super) fn rtt_read_entry(&self, [rd, ipa, level]: [u64; 3]) -> Prediction {
        let mut failures = Failures::default();
        let Some(realm) = self.realms.get(&rd) else {
            failures.input(true, Rd);
            return failures.prediction(0);
        };
        let shape = &realm.shape;
        let level = level.cast_signed();
        let level_exists = (shape.start_level..=3).contains(&level);
        failures.input(!level_exists, Level);
        failures.input(!shape.contains(ipa), IpaBound);
        failures.input(
            level_exists && !ipa.is_multiple_of(entry_size(level)),
            Input,
        );
        if !failures.is_empty() {
            return failures.prediction(0);
        }
        let walk = self.walk(shape, ipa, level);
        let (state, descriptor, ripas) = match walk.entry {
            Entry::Unassigned(ripas) => (0, 0, ripas.number()),
            Entry::UnassignedNs => (0, 0, 0),
            Entry::Assigned(address, ripas) => (1, address, ripas.number()),
            Entry::AssignedNs(descriptor) => (1, descriptor, 0),
            Entry::Table(address) => (2, address, 0),
        };
        Prediction::success([walk.level.cast_unsigned(), state, descriptor], ripas)
    }
}
