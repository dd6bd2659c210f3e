//! Pages of a Realm that the RMM reads and writes on the Realm's behalf (reference, section 7.6).

use rmm_abi::GRANULE_SIZE;
use rmm_abi::rmi::Ripas;

use super::Session;
use crate::Machine;
use crate::error::Fatal;
use crate::exit::Exit;
use crate::granule::{Data, GranuleAddress, Locked};
use crate::rtt::{Entry, PAGE_LEVEL, Stage2, walk_for_rec};

/// What there is at an address of a Realm.
#[derive(Debug)]
pub(crate) enum Page<'t> {
    /// Memory, locked.
    Found(Locked<'t, Data>),
    /// Nothing, and the Realm knows.
    Empty,
    /// Memory that the host is to provide first: it is told by this exit.
    Missing(Exit),
}

impl<M: Machine> Session<'_, M> {
    /// Finds the page of a protected address.
    pub(crate) fn page(&self, ipa: u64) -> Result<Page<'_>, Fatal> {
        let walk = walk_for_rec(self.context, self.running, self.stage2, ipa, PAGE_LEVEL)?;
        match walk.entry {
            Entry::Assigned(base, Ripas::Ram) => {
                let size = Stage2::entry_size(walk.level);
                let offset = ipa & (size - 1) & !(GRANULE_SIZE as u64 - 1);
                let broken = Fatal::BrokenTable {
                    granule: walk.table.address(),
                    entry: base.get(),
                };
                let address = GranuleAddress::new(base.get() | offset).ok_or(broken)?;
                // The table stays locked until the page is, so the page stays the Realm's.
                Ok(Page::Found(self.context.lock_known(address)?))
            }
            Entry::Unassigned(Ripas::Empty) | Entry::Assigned(_, Ripas::Empty) => Ok(Page::Empty),
            _ => Ok(Page::Missing(Exit::MissingPage {
                ipa,
                level: walk.level,
            })),
        }
    }
}
