//! One granule of each kind, to be given to commands that want another kind.

use arrayvec::ArrayVec;
use rmm_abi::rmi::DATA_MEASURE;

use super::tear_down::give_back;
use super::{EntryState, PAGE_LEVEL, Realm, Shape, TWO_MEGABYTES};
use crate::machine::CarveOut;
use crate::memory::{self, GRANULE};
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::rmi::{ERROR_INPUT, Reply, commands, must_delegate, must_undelegate, undelegate};
use crate::suite::{Host, expect};

/// What the RMM uses a granule for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Memory of the host.
    Undelegated,
    /// Not used yet.
    Delegated,
    /// Realm descriptor.
    Rd,
    /// Realm execution context.
    Rec,
    /// More memory of one.
    RecAux,
    /// Realm translation table.
    Rtt,
    /// Memory of a Realm.
    Data,
}

/// A Realm that has everything, and one granule of each kind.
///
/// | protected address | |
/// |---|---|
/// | 0 | a page |
/// | 0x1000 | no page |
/// | 2 MiB | no table of level 3 |
/// | 1 GiB | no table of level 2 |
/// | 512 GiB | no table of level 1 |
///
/// The unprotected half looks alike.
pub(crate) struct Specimens<'h> {
    pub(crate) realm: Realm<'h>,
    pub(crate) undelegated: u64,
    pub(crate) delegated: u64,
    pub(crate) rec: u64,
    granules: ArrayVec<(Kind, u64), 24>,
    outside: ArrayVec<u64, 24>,
    entries: ArrayVec<(u64, i8, EntryState), 16>,
}

/// Content of the granule of the host.
const fn pattern(index: u64) -> u64 {
    0x00c0_ffee_0000_0000 | index
}

impl<'h> Specimens<'h> {
    /// All of them.
    pub(crate) fn new(host: &'h Host) -> Outcome<Self> {
        let mut realm = Realm::new(host, Shape::DEEP)?;
        let mut granules = ArrayVec::new();
        granules.push((Kind::Rd, realm.rd));
        granules.push((Kind::Rtt, realm.start_tables));
        let half = realm.shape.half();
        for base in [0, half] {
            for level in realm.shape.level + 1..=PAGE_LEVEL {
                granules.push((Kind::Rtt, realm.table(base, level)?));
            }
        }
        granules.push((Kind::Data, realm.data(0, DATA_MEASURE)?));
        let rec = realm.rec()?;
        granules.push((Kind::Rec, rec));
        for aux in realm.recs()[0].aux.iter().take(2) {
            granules.push((Kind::RecAux, *aux));
        }
        let undelegated = host.granule()?;
        expect::fill(undelegated, pattern)?;
        commands::map_unprotected(realm.rd, half, PAGE_LEVEL, undelegated)?
            .done("MAP_UNPROTECTED")?;
        let delegated = realm.granule()?;
        granules.push((Kind::Undelegated, undelegated));
        granules.push((Kind::Delegated, delegated));
        let mut specimens = Self {
            realm,
            undelegated,
            delegated,
            rec,
            granules,
            outside: outside(host)?,
            entries: ArrayVec::new(),
        };
        for ipa in [0, half] {
            for level in specimens.realm.shape.level..=PAGE_LEVEL {
                let entry = specimens.realm.entry(ipa, level)?;
                specimens.entries.push((ipa, level, entry));
            }
            for ipa in [ipa + GRANULE, ipa + TWO_MEGABYTES - GRANULE] {
                let entry = specimens.realm.entry(ipa, PAGE_LEVEL)?;
                specimens.entries.push((ipa, PAGE_LEVEL, entry));
            }
        }
        Ok(specimens)
    }

    /// Each granule and its kind.
    pub(crate) fn granules(&self) -> &[(Kind, u64)] {
        &self.granules
    }

    /// Gives a command every granule that is not of the kind that it wants, granules that are but
    /// with an unaligned address, and addresses that are no granules. All must be refused as
    /// unacceptable input and change nothing.
    pub(crate) fn only(
        &self,
        wanted: Kind,
        what: &str,
        command: impl Fn(u64) -> Outcome<Reply>,
    ) -> Outcome {
        for (kind, address) in &self.granules {
            if *kind != wanted {
                command(*address)?
                    .refused(ERROR_INPUT, format_args!("{what}: {kind:?} {address:#x}"))?;
                continue;
            }
            for offset in [1, 8, 0x800, GRANULE - 1] {
                command(address + offset)?.refused(
                    ERROR_INPUT,
                    format_args!("{what}: {address:#x} + {offset:#x}"),
                )?;
            }
            for bit in [48, 52, 56, 63] {
                command(address | 1 << bit)?.refused(
                    ERROR_INPUT,
                    format_args!("{what}: {address:#x} with bit {bit}"),
                )?;
            }
        }
        for address in &self.outside {
            command(*address)?.refused(ERROR_INPUT, format_args!("{what}: {address:#x}"))?;
        }
        self.are_unchanged(what)
    }

    /// Every granule must be of its kind still, and every entry of the tables as it was.
    pub(crate) fn are_unchanged(&self, what: &str) -> Outcome {
        for (kind, granule) in &self.granules {
            match kind {
                Kind::Undelegated => expect::holds(*granule, pattern)?,
                Kind::Delegated => {
                    must_undelegate(*granule)?;
                    must_delegate(*granule)?;
                }
                _ => ensure_word!(
                    undelegate(*granule)?,
                    ERROR_INPUT,
                    "{what}: undelegate of {kind:?} {granule:#x} afterwards"
                ),
            }
            if *kind != Kind::Undelegated {
                ensure!(
                    matches!(memory::try_read(*granule), Some(Err(_))),
                    "{what}: the host can read {kind:?} {granule:#x} afterwards"
                );
            }
        }
        for (ipa, level, entry) in &self.entries {
            self.realm.expect(*ipa, *level, *entry)?;
        }
        Ok(())
    }

    /// Takes everything down.
    pub(crate) fn tear_down(self) -> Outcome {
        give_back(self.delegated)?;
        expect::holds(self.undelegated, pattern)?;
        self.realm.tear_down()
    }
}

/// Addresses at which the RMM may use nothing.
fn outside(host: &Host) -> Outcome<ArrayVec<u64, 24>> {
    let Some(end) = host.machine.dram().map(|range| range.end()).max() else {
        return fail!("the device tree lists no memory");
    };
    let mut addresses = ArrayVec::from_iter([
        0,
        end,
        end.next_power_of_two() * 2,
        1 << 47,
        1 << 48,
        1 << 63,
        !(GRANULE - 1),
        u64::MAX,
    ]);
    for device in host.machine.devices.iter().take(4) {
        addresses.push(device & !(GRANULE - 1));
    }
    for carve_out in CarveOut::ALL {
        let range = expect::carve_out(host, carve_out)?.whole_granules();
        addresses.push(range.start());
        addresses.push(range.last_granule());
    }
    Ok(addresses)
}
