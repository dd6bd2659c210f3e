//! From a Realm back to pages of the host.

use rmm_abi::rmi::StatusCode;

use super::{PAGE_LEVEL, Realm, Rec, entry_size, nth};
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::rmi::{Reply, commands, must_undelegate};
use crate::suite::expect;

/// Undelegates a granule, which must then be full of zeroes.
pub(crate) fn give_back(granule: u64) -> Outcome {
    must_undelegate(granule)?;
    expect::holds(granule, |_| 0)
}

impl Rec {
    /// Destroys the REC and takes its memory back.
    pub(crate) fn destroy(&self) -> Outcome {
        commands::rec_destroy(self.address)?.done("REC_DESTROY")?;
        self.give_back()
    }

    /// Takes its delegated memory back.
    pub(crate) fn give_back(&self) -> Outcome {
        give_back(self.address)?;
        self.aux.iter().try_for_each(|aux| give_back(*aux))
    }
}

/// Level at which a walk ended, when that is why the command failed.
pub(super) fn walk_level(reply: Reply) -> Option<i8> {
    let [status, level, ..] = reply.code.to_le_bytes();
    (status == StatusCode::ErrorRtt as u8 && reply.code >> 16 == 0).then(|| level.cast_signed())
}

impl Realm<'_> {
    /// Destroys all of it and takes all memory back, which must be full of zeroes.
    pub(crate) fn tear_down(self) -> Outcome {
        self.recs.iter().try_for_each(Rec::destroy)?;
        self.destroy_data()?;
        self.destroy_tables()?;
        commands::realm_destroy(self.rd)?.done("REALM_DESTROY")?;
        self.give_back()?;
        let lost = self.lent();
        ensure!(
            lost == 0,
            "{lost} granules went into the Realm and did not come out"
        );
        Ok(())
    }

    /// Takes back the memory of a REC that a test has destroyed.
    pub(crate) fn forget_rec(&mut self, address: u64) -> Outcome {
        match self.recs.iter().position(|rec| rec.address == address) {
            Some(index) => self.recs.remove(index).give_back(),
            None => fail!("{address:#x} is no REC of this Realm"),
        }
    }

    /// Takes the delegated memory of the descriptor and the start tables back.
    pub(crate) fn give_back(&self) -> Outcome {
        give_back(self.rd)?;
        for index in 0..u64::from(self.shape.tables) {
            give_back(nth(self.start_tables, index))?;
        }
        Ok(())
    }

    /// Destroys one page and takes it back; the address up to which there is nothing more.
    pub(crate) fn destroy_page(&self, ipa: u64, data: u64) -> Outcome<u64> {
        let [destroyed, top, ..] =
            commands::data_destroy(self.rd, ipa)?.done(format_args!("DATA_DESTROY of {ipa:#x}"))?;
        self.lend(-1);
        ensure_word!(destroyed, data, "granule of DATA_DESTROY of {ipa:#x}");
        give_back(destroyed)?;
        Ok(top)
    }

    /// Destroys one table and takes it back; the address up to which there is nothing more.
    pub(crate) fn destroy_table(&self, ipa: u64, level: i8, table: u64) -> Outcome<u64> {
        let [destroyed, top, ..] = commands::rtt_destroy(self.rd, ipa, level)?
            .done(format_args!("RTT_DESTROY of {ipa:#x} level {level}"))?;
        self.lend(-1);
        ensure_word!(destroyed, table, "granule of RTT_DESTROY of {ipa:#x}");
        give_back(destroyed)?;
        Ok(top)
    }

    /// Destroys all pages, going from one to the next as the RMM says.
    fn destroy_data(&self) -> Outcome {
        let mut ipa = 0;
        while ipa < self.shape.half() {
            let reply = commands::data_destroy(self.rd, ipa)?;
            let [data, top, ..] = reply.outputs;
            if reply.succeeded() {
                self.lend(-1);
                give_back(data)?;
                ensure!(top > ipa, "top {top:#x} of DATA_DESTROY of {ipa:#x}");
                ipa = top;
            } else if let Some(level) = walk_level(reply) {
                if top > ipa {
                    ipa = top;
                } else {
                    ensure!(
                        level < PAGE_LEVEL,
                        "DATA_DESTROY of {ipa:#x} stops at a page, top {top:#x}"
                    );
                    // A block: its pages can be destroyed one by one.
                    let size = entry_size(level);
                    self.table(ipa & !(size - 1), level + 1)?;
                }
            } else {
                return fail!("DATA_DESTROY of {ipa:#x} returned {:#x}", reply.code);
            }
        }
        Ok(())
    }

    /// Destroys all tables below the start level, the deepest first.
    fn destroy_tables(&self) -> Outcome {
        for level in (self.shape.level + 1..=PAGE_LEVEL).rev() {
            let mut ipa = 0;
            while ipa < self.shape.end() {
                let reply = commands::rtt_destroy(self.rd, ipa, level)?;
                let [table, top, ..] = reply.outputs;
                let next = if reply.succeeded() {
                    self.lend(-1);
                    give_back(table)?;
                    top
                } else if let Some(at) = walk_level(reply).filter(|at| *at < level) {
                    // Mapped memory of the host stops the search but needs no table.
                    let size = entry_size(at);
                    top.max((ipa & !(size - 1)) + size)
                } else {
                    return fail!(
                        "RTT_DESTROY of {ipa:#x} level {level} returned {:#x}",
                        reply.code
                    );
                };
                ensure!(next > ipa, "top {next:#x} of RTT_DESTROY of {ipa:#x}");
                ipa = next;
            }
        }
        Ok(())
    }
}
