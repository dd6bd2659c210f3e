//! A host that chooses what it needs from what there is.

use std::collections::BTreeMap;

use fake_machine::{Bench, PAGE};
use rmm_abi::rmi::fid;
use rmm_model::Granule;
use rmm_model::realm::{Shape, entry_size};

/// Granules that a host needs: 512 that make a block, and others.
pub(crate) const BLOCK_GRANULES: u64 = 512;
pub(crate) const OTHER_GRANULES: u64 = 192;

/// The host, and the numbers of the present step.
pub(crate) struct Host<'b, 'm> {
    pub(crate) bench: &'b mut Bench<'m>,
    /// First granule of the host's block; the others follow.
    pub(crate) base: u64,
    /// VMIDs are this and the next few.
    pub(crate) first_vmid: u16,
    /// Calls made.
    pub(crate) calls: u64,
    /// What came of calls about tokens: function and X0.
    pub(crate) tokens: BTreeMap<(u64, u64), u64>,
    /// The run page of the last entry.
    pub(crate) run: u64,
    pub(crate) choices: [u16; 8],
    pub(crate) next: usize,
}

impl<'b, 'm> Host<'b, 'm> {
    pub(crate) fn new(bench: &'b mut Bench<'m>, base: u64, first_vmid: u16) -> Self {
        Self {
            bench,
            base,
            first_vmid,
            calls: 0,
            tokens: BTreeMap::new(),
            run: 0,
            choices: [0; 8],
            next: 0,
        }
    }

    pub(crate) fn call(&mut self, function: u64, arguments: &[u64]) {
        self.calls += 1;
        self.bench.call(function, arguments);
    }

    /// The next number of the step.
    pub(crate) fn choose(&mut self) -> usize {
        let (round, number) = (self.next / 8, self.next % 8);
        self.next += 1;
        // A long step does not do the same over and over. Zero stays zero.
        usize::from(self.choices[number]).wrapping_mul(1 + 2 * round) & 0xffff
    }

    pub(crate) fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.choose() % from.len()]
    }

    /// One time in `times` something goes wrong on purpose.
    pub(crate) fn rarely(&mut self, times: usize) -> bool {
        self.choose() % times == times - 1
    }

    pub(crate) fn other_granules(&self) -> std::ops::Range<u64> {
        let first = self.base + BLOCK_GRANULES * PAGE;
        first..first + OTHER_GRANULES * PAGE
    }

    /// All granules in a state, but those of the block.
    pub(crate) fn others_in(&self, wanted: Granule) -> Vec<u64> {
        let others = self.other_granules();
        self.bench
            .world()
            .granules()
            .filter(|(address, granule)| *granule == wanted && others.contains(address))
            .map(|(address, _)| address)
            .collect()
    }

    /// A granule in a state, or once in a while anything else.
    pub(crate) fn granule(&mut self, wanted: Granule) -> u64 {
        if self.rarely(16) {
            let inside =
                self.base + (self.choose() as u64 % (BLOCK_GRANULES + OTHER_GRANULES)) * PAGE;
            let outside = 0x7f_0000_0000;
            return self.one_of(&[
                inside,
                inside + 8,
                inside + 0x800,
                outside,
                0,
                u64::MAX - 0xfff,
                inside | 1 << 52,
            ]);
        }
        let candidates = self.others_in(wanted);
        if !candidates.is_empty() {
            return self.one_of(&candidates);
        }
        if wanted == Granule::Delegated {
            // A host sees to it that it has what it needs.
            let granule = self.granule(Granule::Undelegated);
            self.call(fid::GRANULE_DELEGATE, &[granule]);
            return granule;
        }
        self.other_granules().start
    }

    pub(crate) fn rd(&mut self) -> u64 {
        let realms: Vec<u64> = self.bench.world().realms().map(|(rd, _)| rd).collect();
        if realms.is_empty() || self.rarely(32) {
            self.granule(Granule::Delegated)
        } else {
            self.one_of(&realms)
        }
    }

    /// An entry of a table of a Realm, of one of some levels and perhaps one of the halves: its
    /// address and level.
    pub(crate) fn entry(&mut self, rd: u64, levels: &[i64], protected: Option<bool>) -> (u64, i64) {
        let Some(realm) = self.bench.world().realm(rd) else {
            return (0, 3);
        };
        let shape = realm.shape.clone();
        let found: Vec<(u64, i64)> = self
            .bench
            .world()
            .tables(rd)
            .iter()
            .filter(|table| {
                let last = table.base + 511 * entry_size(table.level);
                let in_half = match protected {
                    Some(true) => shape.is_protected(table.base),
                    Some(false) => !shape.is_protected(last),
                    None => true,
                };
                levels.contains(&table.level) && in_half
            })
            .map(|table| (table.base, table.level))
            .collect();
        if found.is_empty() || self.rarely(8) {
            return self.any_entry(&shape);
        }
        let (base, level) = self.one_of(&found);
        let used = (shape.end() - base) / entry_size(level);
        // In a start table the two halves of the address space may meet.
        let first = if protected == Some(false) && shape.middle() > base {
            (shape.middle() - base) / entry_size(level)
        } else {
            0
        };
        let any = self.choose() as u64 % 512;
        let index = (first + self.one_of(&[0, 1, 2, 511, any])).min(used.min(512) - 1);
        (base + index * entry_size(level), level)
    }

    /// An address that has nothing to do with tables that exist.
    pub(crate) fn any_entry(&mut self, shape: &Shape) -> (u64, i64) {
        let level = self.one_of(&[3, 2, 1, 0, -1, 4, -2, i64::MAX, 1 << 32]);
        let anchors = [
            0,
            0x4000_0000,
            shape.middle(),
            shape.middle() - 0x20_0000,
            shape.end(),
        ];
        let ipa = self.one_of(&anchors) + self.one_of(&[0, 0x1000, 0x20_0000, 0x4000_0000]);
        let odd = [
            ipa,
            ipa,
            ipa,
            ipa + 8,
            ipa | 1 << 52,
            u64::MAX - 0xfff,
            u64::MAX,
        ];
        (self.one_of(&odd), level)
    }

    /// A CPU that runs the Realm looks at an address and what is around it, so that something is
    /// remembered that the RMM has to invalidate.
    pub(crate) fn look(&mut self, rd: u64, ipa: u64) {
        if self.bench.world().realm(rd).is_some() {
            for offset in [0, 0x1000, 0x1f_f000] {
                self.bench.translate(rd, ipa.wrapping_add(offset));
            }
        }
    }
}
