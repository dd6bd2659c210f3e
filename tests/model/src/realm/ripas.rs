//! The RIPAS of ranges.

use rmm_abi::rmi::ReturnCode;

use super::calls::rtt;
use super::failures::Cause::{
    self, BaseAlign, BaseBound, Input, Progress, Rd, RecGranule, TopAlign,
};
use super::failures::{Failures, Prediction};
use super::measurement::{Kind, extended};
use super::shape::entry_size;
use super::tree::{ENTRIES, Entry, Ripas};
use super::world::{RipasRequest, World};
use crate::Granule;

impl World {
    pub(super) fn rtt_init_ripas(&mut self, [rd, base, top]: [u64; 3], x4: u64) -> Prediction {
        let mut failures = Failures::default();
        failures.input(top <= base, Input);
        failures.input(!top.is_multiple_of(0x1000), TopAlign);
        let Some(realm) = self.realms.get(&rd) else {
            failures.input(true, Rd);
            return failures.prediction(x4);
        };
        let shape = realm.shape.clone();
        let top_in_bounds = top
            .checked_sub(0x1000)
            .is_some_and(|last| shape.is_protected(last));
        failures.input(!top_in_bounds, Input);
        failures.add(realm.active, Cause::Realm, ReturnCode::ERROR_REALM);
        // The walk is only defined for a base that is in the protected half.
        if !shape.is_protected(base) {
            return failures.prediction(x4);
        }
        let walk = self.walk(&shape, base, 3);
        let size = entry_size(walk.level);
        let code = rtt(walk.level);
        failures.add(!base.is_multiple_of(size), BaseAlign, code);
        let unassigned = matches!(walk.entry, Entry::Unassigned(_));
        failures.add(!unassigned, Cause::Entry, code);

        // From the first entry on, what has a RIPAS and ends below the top.
        let table = &self.tables[&walk.table];
        let mut end = walk.index;
        while end < ENTRIES
            && matches!(
                table.entries[end],
                Entry::Unassigned(_) | Entry::Assigned(..)
            )
            && table.address(end) + size <= top
        {
            end += 1;
        }
        failures.add(end == walk.index, Progress, code);
        if !failures.is_empty() {
            return failures.prediction(x4);
        }
        for index in walk.index..end {
            let address = self.tables[&walk.table].address(index);
            // Memory that is there keeps its RIPAS and is not measured again.
            if matches!(self.tables[&walk.table].entries[index], Entry::Assigned(..)) {
                continue;
            }
            self.table_mut(walk.table).entries[index] = Entry::Unassigned(Ripas::Ram);
            let realm = self.realms.get_mut(&rd).expect("checked");
            let mut specific = Vec::new();
            specific.extend(address.to_le_bytes());
            specific.extend((address + size).to_le_bytes());
            realm.rim = extended(realm.hash_algorithm, &realm.rim, Kind::Ripas, &specific);
        }
        Prediction::success([self.tables[&walk.table].address(end), 0, 0], x4)
    }

    pub(super) fn rtt_set_ripas(&mut self, [rd, rec, base, top]: [u64; 4]) -> Prediction {
        let mut failures = Failures::default();
        failures.input(top <= base, Input);
        failures.input(!top.is_multiple_of(0x1000), TopAlign);
        failures.input(!self.is(rd, Granule::Rd), Rd);
        failures.input(!self.is(rec, Granule::Rec), RecGranule);
        let (Some(realm), Some(context)) = (self.realms.get(&rd), self.recs.get(&rec)) else {
            if let Some(context) = self.recs.get(&rec) {
                failures.add(context.owner != rd, Cause::Rec, ReturnCode::ERROR_REC);
            }
            return failures.prediction(top);
        };
        let request = context.request;
        let wanted = if request.ram {
            Ripas::Ram
        } else {
            Ripas::Empty
        };
        failures.add(context.owner != rd, Cause::Rec, ReturnCode::ERROR_REC);
        failures.input(base != request.base, BaseBound);
        failures.input(top > request.top, Input);
        if !realm.shape.is_protected(base) {
            return failures.prediction(top);
        }
        let walk = self.walk(&realm.shape, base, 3);
        let size = entry_size(walk.level);
        let code = rtt(walk.level);
        let ripas = |entry| match entry {
            Entry::Unassigned(ripas) | Entry::Assigned(_, ripas) => Some(ripas),
            _ => None,
        };
        let done_already = ripas(walk.entry) == Some(wanted);
        failures.add(!base.is_multiple_of(size) && !done_already, BaseAlign, code);

        let table = &self.tables[&walk.table];
        let mut end = walk.index;
        while end < ENTRIES {
            let Some(now) = ripas(table.entries[end]) else {
                break;
            };
            let fits = table.address(end) + size <= top;
            let may_change = now != Ripas::Destroyed || request.may_change_destroyed;
            // An entry that has the value already need not end below the top.
            let begins_below = table.address(end) < top;
            if !(fits && may_change || now == wanted && begins_below) {
                break;
            }
            end += 1;
        }
        let reached = table.address(end).min(top);
        failures.add(reached <= base && !done_already, Progress, code);
        if !failures.is_empty() {
            return failures.prediction(top);
        }
        for entry in &mut self.table_mut(walk.table).entries[walk.index..end] {
            *entry = match *entry {
                Entry::Unassigned(_) => Entry::Unassigned(wanted),
                Entry::Assigned(address, _) => Entry::Assigned(address, wanted),
                other => other,
            };
        }
        self.recs.get_mut(&rec).expect("checked").request.base = reached;
        Prediction::success([reached, 0, 0], top)
    }

    /// A Realm asks by one of its RECs for a change of RIPAS, and the host gets to know it.
    pub fn request_ripas(
        &mut self,
        rec: u64,
        range: std::ops::Range<u64>,
        ram: bool,
        may_change_destroyed: bool,
    ) {
        if let Some(rec) = self.recs.get_mut(&rec) {
            let std::ops::Range {
                start: base,
                end: top,
            } = range;
            rec.request = RipasRequest {
                base,
                top,
                ram,
                may_change_destroyed,
            };
        }
    }

    /// What a Realm asked for is answered or given up.
    pub fn end_ripas_request(&mut self, rec: u64) {
        if let Some(rec) = self.recs.get_mut(&rec) {
            rec.request = RipasRequest::default();
        }
    }
}
