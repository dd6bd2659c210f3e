//! The end of a Realm, wherever it was.

use super::region::{Mapping, Region};
use super::{Descriptor, Realm};
use crate::granules::{self, TRIES};
use crate::host::{Host, Severity};
use crate::pool::{Page, Sweep};
use crate::rmi;
use crate::{BLOCK_PAGES, BLOCK_SIZE, PAGE_SIZE};

/// Keeps a table's granule for the next block that has to be taken apart.
fn keep(host: &impl Host, spare: &mut Option<Page>, table: Page) {
    match spare {
        Some(_) => granules::give_back(host, table),
        None => *spare = Some(table),
    }
}

impl Region {
    /// Takes everything away. What is left after a failure can be tried again.
    fn clear(
        &mut self,
        host: &impl Host,
        rd: Page,
        base: u64,
        shared_bit: u64,
        spare: &mut Option<Page>,
    ) {
        if let Ok(Some(table)) = self.drop_shared_table(host, rd, base | shared_bit) {
            keep(host, spare, table);
        }
        if self.mapping == Mapping::Block {
            let Some(table) = spare.take() else {
                return;
            };
            if rmi::rtt_create(host, rd, table, base, 3).is_err() {
                *spare = Some(table);
                return;
            }
            self.mapping = Mapping::Table;
            self.block = None;
        }
        self.drop_block(host);
        if self.mapping == Mapping::Nothing {
            return;
        }
        // Without memory to note what is done, the table tells in the end.
        let noted = self.assigned.prepare().is_ok();
        for number in 0..BLOCK_PAGES {
            if !self.assigned.contains(number) {
                continue;
            }
            let ipa = base + number as u64 * PAGE_SIZE;
            if let Ok(page) = rmi::data_destroy(host, rd, ipa) {
                if noted {
                    self.assigned.set(number, false);
                }
                granules::give_back(host, page);
            }
        }
        if let Ok(table) = rmi::rtt_destroy(host, rd, base, 3) {
            keep(host, spare, table);
            self.mapping = Mapping::Nothing;
            self.assigned = crate::page_set::PageSet::None;
        }
    }

    /// Granules of which nobody knows the address.
    fn granules(&self) -> u64 {
        self.assigned.len() as u64
            + u64::from(self.mapping == Mapping::Table)
            + u64::from(self.shared_table)
    }
}

impl Realm {
    /// Ends the Realm and gives all its memory back. No REC of it runs. What the RMM does not give
    /// back is lost, and counted.
    pub fn teardown(mut self, host: &impl Host) {
        if let Some(mut descriptor) = self.descriptor.take() {
            let gone = (0..TRIES).any(|_| self.dismantle(host, &mut descriptor));
            if gone {
                Self::bury(host, &descriptor);
            } else {
                self.write_off(host, &descriptor);
            }
        }
        granules::sweep(host, Sweep::Whole);
    }

    /// Takes apart what can be; whether nothing is left.
    fn dismantle(&mut self, host: &impl Host, descriptor: &mut Descriptor) -> bool {
        let rd = descriptor.rd;
        let shared_bit = self.shared_bit();
        self.recs.retain(|rec| {
            let destroyed = rmi::rec_destroy(host, rec.page).is_ok();
            if destroyed {
                rec.pages().for_each(|page| granules::give_back(host, page));
            }
            !destroyed
        });
        for slot in &mut self.slots {
            let bases = (slot.base..).step_by(usize::try_from(BLOCK_SIZE).unwrap_or(1));
            for (region, base) in slot.regions.iter_mut().zip(bases) {
                host.rest();
                region.clear(host, rd, base, shared_bit, &mut descriptor.spare);
            }
        }
        for index in (0..self.upper_tables.len()).rev() {
            let Some(table) = self.upper_tables.get(index) else {
                continue;
            };
            if let Ok(page) = rmi::rtt_destroy(host, rd, table.ipa, table.level) {
                granules::give_back(host, page);
                self.upper_tables.remove(index);
            }
        }
        rmi::realm_destroy(host, rd).is_ok()
    }

    /// The Realm is gone: what was its descriptor comes back.
    fn bury(host: &impl Host, descriptor: &Descriptor) {
        let start = (0..1 << descriptor.start_order).map(|number| descriptor.start.nth(number));
        for page in start.chain([descriptor.rd]).chain(descriptor.spare) {
            granules::give_back(host, page);
        }
        host.give_pages(descriptor.scratch, 0);
        host.with_shared(|shared| shared.vmids.release(descriptor.vmid));
    }

    /// The Realm does not go away: its identifier stays in use, and its memory is lost.
    fn write_off(&mut self, host: &impl Host, descriptor: &Descriptor) {
        let start = (0..1 << descriptor.start_order).map(|number| descriptor.start.nth(number));
        let recs = self.recs.iter().flat_map(super::recs::Rec::pages);
        for page in start.chain([descriptor.rd]).chain(recs) {
            granules::lose(host, page, None);
        }
        if let Some(spare) = descriptor.spare {
            granules::give_back(host, spare);
        }
        host.give_pages(descriptor.scratch, 0);
        let regions = self.slots.iter().flat_map(|slot| &slot.regions);
        let granules = regions.map(|region| {
            host.rest();
            region.granules()
        });
        let unknown = granules.sum::<u64>() + self.upper_tables.len() as u64;
        host.with_shared(|shared| shared.pool.abandon(unknown));
        host.log(
            Severity::Error,
            format_args!("a Realm does not end; {unknown} more of its pages are lost"),
        );
    }
}
