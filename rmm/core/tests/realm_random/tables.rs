//! A host that works on a whole table at a time.

use fake_machine::PAGE;
use rmm_abi::rmi::fid;
use rmm_model::Granule;

use crate::host::{BLOCK_GRANULES, Host};

impl Host<'_, '_> {
    /// A page table of a Realm in one of the halves.
    fn page_table(&mut self, protected: bool) -> Option<(u64, u64)> {
        let rd = self.rd();
        let realm = self.bench.world().realm(rd)?;
        let tables: Vec<u64> = self
            .bench
            .world()
            .tables(rd)
            .iter()
            .filter(|table| table.level == 3 && realm.shape.is_protected(table.base) == protected)
            .map(|table| table.base)
            .collect();
        if tables.is_empty() {
            None
        } else {
            Some((rd, self.one_of(&tables)))
        }
    }

    /// Fills a page table with the pages of a block, so that it can be folded.
    pub(crate) fn fill_table(&mut self) {
        let Some((rd, base)) = self.page_table(true) else {
            return;
        };
        let pages = self.one_of(&[2, 4, 8, BLOCK_GRANULES]);
        for offset in (0..pages * PAGE).step_by(0x1000) {
            let granule = self.base + offset;
            if self.bench.world().granule(granule) == Some(Granule::Undelegated) {
                self.call(fid::GRANULE_DELEGATE, &[granule]);
            }
            self.call(fid::DATA_CREATE_UNKNOWN, &[rd, granule, base + offset]);
        }
    }

    /// Maps a block of the host page by page.
    pub(crate) fn map_table(&mut self) {
        let Some((rd, base)) = self.page_table(false) else {
            return;
        };
        let pages = self.one_of(&[2, 4, 8, BLOCK_GRANULES]);
        for offset in (0..pages * PAGE).step_by(0x1000) {
            self.call(
                fid::RTT_MAP_UNPROTECTED,
                &[rd, base + offset, 3, 0x4000_00d8 + offset],
            );
        }
    }

    /// Takes all memory out of a page table, as a host does: by what `top` says.
    pub(crate) fn drain_table(&mut self) {
        let Some((rd, base)) = self.page_table(true) else {
            return;
        };
        let end = base + BLOCK_GRANULES * PAGE;
        let mut ipa = base;
        while ipa < end {
            self.look(rd, ipa);
            self.calls += 1;
            let [_, _, top, ..] = self.bench.call(fid::DATA_DESTROY, &[rd, ipa]);
            // No progress: a table is in the way.
            ipa = if top > ipa { top } else { end };
        }
    }
}
