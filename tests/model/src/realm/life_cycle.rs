//! Realms and RECs come and go.

use std::sync::Arc;

use rmm_abi::rmi::ReturnCode;

use super::failures::Cause::{self, Input, Rd};
use super::failures::{Failures, Prediction};
use super::measurement::{Kind, extended, hash_of_fields};
use super::parameters::{MEASURED_OF_REALM, MEASURED_OF_REC, Page, RealmParameters, RecParameters};
use super::running::LastAccess;
use super::shape::entry_size;
use super::token::Token;
use super::tree::{ENTRIES, Entry, Ripas, Table};
use super::world::{HostMemory, Realm, Rec, RipasRequest, World};
use crate::Granule;

impl World {
    pub(super) fn realm_create(
        &mut self,
        [rd, params]: [u64; 2],
        x4: u64,
        host: &dyn HostMemory,
    ) -> Prediction {
        let mut failures = Failures::default();
        failures.input(!self.is(rd, Granule::Delegated), Input);
        failures.input(self.not_the_hosts(params), Input);
        let mut wanted = None;
        if !self.not_the_hosts(params) {
            let page = Page(host.read(params));
            let parameters = RealmParameters::read(&page, &self.limits);
            failures.input(parameters.is_none(), Input);
            if let Some(parameters) = parameters {
                let tables = &parameters.shape.start_tables;
                failures.input(tables.contains(&rd), Input);
                failures.input(
                    tables
                        .iter()
                        .any(|&table| !self.is(table, Granule::Delegated)),
                    Input,
                );
                failures.input(self.vmids.contains(&parameters.vmid), Input);
                wanted = Some((parameters, page));
            }
        }
        let (true, Some((parameters, page))) = (failures.is_empty(), wanted) else {
            return failures.prediction(x4);
        };
        let RealmParameters {
            shape,
            vmid,
            hash_algorithm,
        } = parameters;
        let size = entry_size(shape.start_level);
        for (number, &address) in (0..).zip(&shape.start_tables) {
            let base = number * ENTRIES as u64 * size;
            let state = |index| {
                // What the IPA space does not reach stays as it was made.
                let ipa = base.saturating_add(index * size);
                if shape.contains(ipa) && !shape.is_protected(ipa) {
                    Entry::UnassignedNs
                } else {
                    Entry::Unassigned(Ripas::Empty)
                }
            };
            let entries = (0..ENTRIES as u64).map(state).collect();
            let table = Table {
                level: shape.start_level,
                base,
                entries,
            };
            self.tables.insert(address, Arc::new(table));
            self.set(address, Granule::Rtt);
        }
        let rim = hash_of_fields(hash_algorithm, &page.0, &MEASURED_OF_REALM);
        let realm = Realm {
            active: false,
            off: false,
            shape,
            vmid,
            hash_algorithm,
            rim,
            next_rec: 0,
            recs: 0,
        };
        self.realms.insert(rd, realm);
        self.vmids.insert(vmid);
        self.set(rd, Granule::Rd);
        Prediction::success([0; 3], x4)
    }

    pub(super) fn realm_activate(&mut self, rd: u64, x4: u64) -> Prediction {
        let mut failures = Failures::default();
        match self.realms.get_mut(&rd) {
            None => failures.input(true, Rd),
            Some(realm) if realm.active => {
                failures.add(true, Cause::Realm, ReturnCode::ERROR_REALM);
            }
            Some(realm) => {
                realm.active = true;
                return Prediction::success([0; 3], x4);
            }
        }
        failures.prediction(x4)
    }

    pub(super) fn realm_destroy(&mut self, rd: u64, x4: u64) -> Prediction {
        let mut failures = Failures::default();
        let Some(realm) = self.realms.get(&rd) else {
            failures.input(true, Rd);
            return failures.prediction(x4);
        };
        let live = realm
            .shape
            .start_tables
            .iter()
            .any(|table| self.tables[table].is_live());
        failures.add(
            realm.recs != 0 || live,
            Cause::Realm,
            ReturnCode::ERROR_REALM,
        );
        if !failures.is_empty() {
            return failures.prediction(x4);
        }
        if let Some(realm) = self.realms.remove(&rd) {
            for table in realm.shape.start_tables {
                self.tables.remove(&table);
                self.set(table, Granule::Delegated);
            }
            self.vmids.remove(&realm.vmid);
            self.set(rd, Granule::Delegated);
        }
        Prediction::success([0; 3], x4)
    }

    pub(super) fn rec_aux_count(&self, rd: u64, x4: u64) -> Prediction {
        let mut failures = Failures::default();
        failures.input(!self.is(rd, Granule::Rd), Rd);
        if failures.is_empty() {
            return Prediction::success([self.limits.aux_granules, 0, 0], x4);
        }
        failures.prediction(x4)
    }

    pub(super) fn rec_create(
        &mut self,
        [rd, rec, params]: [u64; 3],
        x4: u64,
        host: &dyn HostMemory,
    ) -> Prediction {
        let mut failures = Failures::default();
        failures.input(!self.is(rd, Granule::Rd), Rd);
        failures.input(!self.is(rec, Granule::Delegated), Input);
        failures.input(self.not_the_hosts(params), Input);
        let page = (!self.not_the_hosts(params)).then(|| Page(host.read(params)));
        let parameters = page.as_ref().map(RecParameters::read);
        if let Some(realm) = self.realms.get(&rd) {
            let most = (1_u64 << self.limits.features.max_recs_order) - 1;
            let closed = realm.active || realm.recs == most;
            failures.add(closed, Cause::Realm, ReturnCode::ERROR_REALM);
            let other_index = parameters
                .as_ref()
                .is_some_and(|p| p.index != realm.next_rec);
            failures.input(other_index, Input);
        }
        let mut aux = Vec::new();
        if let Some(parameters) = &parameters {
            aux = parameters.aux.clone().unwrap_or_default();
            failures.input(aux.len() as u64 != self.limits.aux_granules, Input);
            failures.input(
                aux.iter()
                    .any(|&granule| !self.is(granule, Granule::Delegated)),
                Input,
            );
            let mut all = aux.clone();
            all.push(rec);
            all.sort_unstable();
            failures.input(all.windows(2).any(|pair| pair[0] == pair[1]), Input);
        }
        let (true, Some(page), Some(parameters)) = (failures.is_empty(), page, parameters) else {
            return failures.prediction(x4);
        };
        let realm = self.realms.get_mut(&rd).expect("checked");
        if parameters.runnable {
            let content = hash_of_fields(realm.hash_algorithm, &page.0, &MEASURED_OF_REC);
            realm.rim = extended(realm.hash_algorithm, &realm.rim, Kind::Rec, &content);
        }
        realm.next_rec += 1;
        realm.recs += 1;
        for &granule in &aux {
            self.set(granule, Granule::RecAux);
        }
        self.set(rec, Granule::Rec);
        self.recs.insert(
            rec,
            Rec {
                owner: rd,
                aux,
                index: parameters.index,
                runnable: parameters.runnable,
                host_call: None,
                request: RipasRequest::default(),
                last_access: LastAccess::Closed,
                psci_call: None,
                token: Token::None,
            },
        );
        Prediction::success([0; 3], x4)
    }

    pub(super) fn rec_destroy(&mut self, rec: u64, x4: u64) -> Prediction {
        let Some(Rec { owner, aux, .. }) = self.recs.remove(&rec) else {
            let mut failures = Failures::default();
            failures.input(true, Cause::RecGranule);
            return failures.prediction(x4);
        };
        for granule in aux {
            self.set(granule, Granule::Delegated);
        }
        self.set(rec, Granule::Delegated);
        self.realms.get_mut(&owner).expect("a REC has a Realm").recs -= 1;
        Prediction::success([0; 3], x4)
    }
}
