//! Private memory that is there when it is wanted.

use rmm_abi::rmi::{Ripas, RttEntryState};

use super::region::Mapping;
use super::slots::page_number;
use super::{Realm, RealmError};
use crate::granules;
use crate::host::Host;
use crate::rmi;
use crate::{BLOCK_SIZE, PAGE_SIZE};

/// What became of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The access can be made again.
    Resolved,
    /// The page is of the other kind. The owner of the VM may change that.
    OtherKind,
    /// The Realm cannot go on from there.
    Hopeless,
}

impl Realm {
    /// A REC wants private memory.
    ///
    /// # Errors
    ///
    /// When there is none to be had; the Realm may try again.
    pub fn private_fault(&mut self, host: &impl Host, ipa: u64) -> Result<Fault, RealmError> {
        let rd = self.rd()?;
        let (base, number) = (ipa - ipa % BLOCK_SIZE, page_number(ipa));
        let Some(region) = self.region_mut(ipa) else {
            return Ok(Fault::Hopeless);
        };
        if !region.private.contains(number) {
            return Ok(Fault::OtherKind);
        }
        if region.assigned.contains(number) {
            // Another REC was faster, or the Realm has not said what it wants with this memory.
            let entry = rmi::rtt_read_entry(host, rd, ipa - ipa % PAGE_SIZE, 3)?;
            let there =
                entry.state == RttEntryState::Assigned as u64 && entry.ripas == Ripas::Ram as u64;
            return Ok(if there {
                Fault::Resolved
            } else {
                Fault::Hopeless
            });
        }
        if region.assigned.is_empty() && region.block.is_none() && region.private.is_all() {
            region.fold(host, rd, base);
            if region.mapping == Mapping::Nothing {
                region.block = granules::take_block(host);
            }
        }
        if region.block.is_some() {
            region.complete(host, rd, base)?;
        }
        if !region.assigned.contains(number) {
            region.ensure_table(host, rd, base)?;
            region.assign_unknown(host, rd, base, number)?;
            region.assigned.compact();
        }
        self.faults = self.faults.saturating_add(1);
        Ok(Fault::Resolved)
    }
}
