//! Memory of Realms, and memory of the host in Realms.

use rmm_abi::rmi::ReturnCode;

use super::calls::rtt;
use super::failures::Cause::{self, Input, IpaBound, Level, Rd};
use super::failures::{Failures, Prediction};
use super::measurement::{Kind, extended, hash};
use super::shape::entry_size;
use super::tree::{Entry, Ripas};
use super::world::{HostMemory, Walk, World};
use crate::Granule;

impl World {
    pub(super) fn data_create(
        &mut self,
        [rd, data, ipa, source, flags]: [u64; 5],
        host: &dyn HostMemory,
    ) -> Prediction {
        let mut failures = Failures::default();
        // The specification has the other flags "should be zero"; this RMM insists.
        failures.input(flags > 1, Input);
        failures.input(self.not_the_hosts(source), Input);
        if let Some(realm) = self.realms.get(&rd) {
            failures.add(realm.active, Cause::Realm, ReturnCode::ERROR_REALM);
        }
        let walk = self.check_data(&mut failures, [rd, data, ipa]);
        let (true, Some(walk)) = (failures.is_empty(), walk) else {
            return failures.prediction(source);
        };
        let realm = self.realms.get_mut(&rd).expect("checked");
        let content = match flags {
            1 => hash(realm.hash_algorithm, &host.read(source)),
            _ => [0; 64],
        };
        let mut specific = Vec::new();
        specific.extend(ipa.to_le_bytes());
        specific.extend(flags.to_le_bytes());
        specific.extend(content);
        realm.rim = extended(realm.hash_algorithm, &realm.rim, Kind::Data, &specific);
        self.set(data, Granule::Data);
        self.write(&walk, Entry::Assigned(data, Ripas::Ram));
        Prediction::success([0; 3], source)
    }

    pub(super) fn data_create_unknown(&mut self, arguments: [u64; 3], x4: u64) -> Prediction {
        let mut failures = Failures::default();
        let walk = self.check_data(&mut failures, arguments);
        let (true, Some(walk)) = (failures.is_empty(), walk) else {
            return failures.prediction(x4);
        };
        let Entry::Unassigned(ripas) = walk.entry else {
            unreachable!("checked")
        };
        let [_, data, _] = arguments;
        self.set(data, Granule::Data);
        self.write(&walk, Entry::Assigned(data, ripas));
        Prediction::success([0; 3], x4)
    }

    fn check_data(&self, failures: &mut Failures, [rd, data, ipa]: [u64; 3]) -> Option<Walk> {
        failures.input(!self.is(data, Granule::Delegated), Input);
        failures.input(!ipa.is_multiple_of(0x1000), Input);
        let Some(realm) = self.realms.get(&rd) else {
            failures.input(true, Rd);
            return None;
        };
        failures.input(!realm.shape.lpa2 && data >> 48 != 0, Input);
        failures.input(!realm.shape.is_protected(ipa), IpaBound);
        if !realm.shape.is_protected(ipa) {
            return None;
        }
        let walk = self.walk(&realm.shape, ipa, 3);
        failures.add(walk.level < 3, Cause::Walk, rtt(walk.level));
        let unassigned = matches!(walk.entry, Entry::Unassigned(_));
        failures.add(!unassigned, Cause::Entry, rtt(walk.level));
        Some(walk)
    }

    pub(super) fn data_destroy(&mut self, [rd, ipa]: [u64; 2], x4: u64) -> Prediction {
        let mut failures = Failures::default();
        failures.input(!ipa.is_multiple_of(0x1000), Input);
        let Some(realm) = self.realms.get(&rd) else {
            failures.input(true, Rd);
            return failures.prediction(x4);
        };
        failures.input(!realm.shape.is_protected(ipa), IpaBound);
        if !realm.shape.is_protected(ipa) {
            return failures.prediction(x4);
        }
        let walk = self.walk(&realm.shape, ipa, 3);
        let outputs = [0, self.tables[&walk.table].walk_top(ipa)];
        failures.add_with_outputs(walk.level < 3, Cause::Walk, rtt(walk.level), outputs);
        let assigned = matches!(walk.entry, Entry::Assigned(..));
        failures.add_with_outputs(!assigned, Cause::Entry, rtt(walk.level), outputs);
        let (true, Entry::Assigned(data, ripas)) = (failures.is_empty(), walk.entry) else {
            return failures.prediction(x4);
        };
        let after = if ripas == Ripas::Ram {
            Ripas::Destroyed
        } else {
            ripas
        };
        self.write(&walk, Entry::Unassigned(after));
        self.set(data, Granule::Delegated);
        let top = self.tables[&walk.table].walk_top(ipa);
        Prediction::success([data, top, 0], x4)
    }

    pub(super) fn rtt_map_unprotected(
        &mut self,
        [rd, ipa, level, descriptor]: [u64; 4],
    ) -> Prediction {
        let mut failures = Failures::default();
        let walk = self.check_unprotected(&mut failures, [rd, ipa, level]);
        if let Some(realm) = self.realms.get(&rd) {
            let level = level.cast_signed();
            let acceptable =
                (1..=3).contains(&level) && is_host_descriptor(descriptor, level, realm.shape.lpa2);
            failures.input(!acceptable, Input);
        }
        if let Some(walk) = walk {
            let unassigned = walk.entry == Entry::UnassignedNs;
            failures.add(
                walk.level < level.cast_signed(),
                Cause::Walk,
                rtt(walk.level),
            );
            failures.add(!unassigned, Cause::Entry, rtt(walk.level));
            if failures.is_empty() {
                self.write(&walk, Entry::AssignedNs(descriptor));
                return Prediction::success([0; 3], descriptor);
            }
        }
        failures.prediction(descriptor)
    }

    pub(super) fn rtt_unmap_unprotected(&mut self, arguments: [u64; 3], x4: u64) -> Prediction {
        let [_, ipa, level] = arguments;
        let mut failures = Failures::default();
        let Some(walk) = self.check_unprotected(&mut failures, arguments) else {
            return failures.prediction(x4);
        };
        let outputs = [self.tables[&walk.table].walk_top(ipa), 0];
        let early = walk.level < level.cast_signed();
        failures.add_with_outputs(early, Cause::Walk, rtt(walk.level), outputs);
        let assigned = matches!(walk.entry, Entry::AssignedNs(_));
        failures.add_with_outputs(!assigned, Cause::Entry, rtt(walk.level), outputs);
        if !failures.is_empty() {
            return failures.prediction(x4);
        }
        self.write(&walk, Entry::UnassignedNs);
        Prediction::success([self.tables[&walk.table].walk_top(ipa), 0, 0], x4)
    }

    fn check_unprotected(
        &self,
        failures: &mut Failures,
        [rd, ipa, level]: [u64; 3],
    ) -> Option<Walk> {
        let Some(realm) = self.realms.get(&rd) else {
            failures.input(true, Rd);
            return None;
        };
        let shape = &realm.shape;
        let level = level.cast_signed();
        let level_exists = (shape.start_level.max(1)..=3).contains(&level);
        let unprotected = shape.contains(ipa) && !shape.is_protected(ipa);
        failures.input(!level_exists, Level);
        failures.input(!unprotected, IpaBound);
        if !level_exists || !unprotected {
            return None;
        }
        failures.input(!ipa.is_multiple_of(entry_size(level)), Input);
        Some(self.walk(shape, ipa, level))
    }
}

/// Whether a descriptor has nothing but an aligned address, `MemAttr[2:0]` and `S2AP`, none reserved.
fn is_host_descriptor(descriptor: u64, level: i64, lpa2: bool) -> bool {
    let mut rest = descriptor & !0xdc;
    let high_address = if lpa2 { 0x3_0000_0000_0300 } else { 0 };
    rest &= !high_address;
    let memory_attributes = descriptor >> 2 & 7;
    rest < 1 << 48 && rest.is_multiple_of(entry_size(level)) && memory_attributes != 4
}
