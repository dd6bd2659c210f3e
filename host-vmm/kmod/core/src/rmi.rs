//! The commands of the RMM, typed.

use rmm_abi::rmi::{DATA_MEASURE, FeatureRegister0, VERSION_1_0, fid};
use rmm_abi::statistics::Query;

use crate::host::Host;
use crate::pool::Page;

/// Why a command failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RmiError {
    /// An argument is unacceptable, or a granule not in the right state.
    Input,
    /// The Realm's state does not allow it; with the index.
    Realm(u8),
    /// The REC's state does not allow it.
    Rec,
    /// The walk ended at this level, or found something else than was expected there.
    Table(i8),
    /// No code of this interface: the whole of X0.
    Unknown(u64),
}

impl RmiError {
    /// What X0 says; `Ok` for success.
    pub(crate) fn check(x0: u64) -> Result<(), Self> {
        let index = x0.to_le_bytes()[1];
        if x0 > 0xffff {
            return Err(Self::Unknown(x0));
        }
        match x0 & 0xff {
            0 => Ok(()),
            1 => Err(Self::Input),
            2 => Err(Self::Realm(index)),
            3 => Err(Self::Rec),
            4 => Err(Self::Table(index.cast_signed())),
            _ => Err(Self::Unknown(x0)),
        }
    }
}

/// What an entry of a table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where the walk ended.
    pub level: u64,
    /// `RmiRttEntryState`.
    pub state: u64,
    /// `RmiRipas`.
    pub ripas: u64,
}

/// Why there is no RMM to work with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoRmm {
    /// Nobody answers.
    Missing,
    /// It speaks another version: its highest one.
    Version(u64),
}

fn call(host: &impl Host, function: u64, arguments: &[u64]) -> (Result<(), RmiError>, [u64; 4]) {
    let mut registers = [0; 8];
    registers[0] = function;
    for (register, argument) in registers[1..].iter_mut().zip(arguments) {
        *register = *argument;
    }
    let [x0, outputs @ ..] = host.rmi(registers);
    (RmiError::check(x0), outputs)
}

fn plain(host: &impl Host, function: u64, arguments: &[u64]) -> Result<(), RmiError> {
    call(host, function, arguments).0
}

fn first_output(host: &impl Host, function: u64, arguments: &[u64]) -> Result<u64, RmiError> {
    let (result, [first, ..]) = call(host, function, arguments);
    result.map(|()| first)
}

/// A granule that a command gives back.
fn page_output(host: &impl Host, function: u64, arguments: &[u64]) -> Result<Page, RmiError> {
    let address = first_output(host, function, arguments)?;
    Page::new(address).ok_or(RmiError::Unknown(address))
}

/// Whether there is an RMM that speaks 1.0: the features it has.
///
/// # Errors
///
/// [`NoRmm`].
pub fn greet(host: &impl Host) -> Result<Features, NoRmm> {
    let wanted = VERSION_1_0.word();
    let [x0, lower, higher, ..] = host.rmi([fid::VERSION, wanted, 0, 0, 0, 0, 0, 0]);
    match RmiError::check(x0) {
        Ok(()) if lower == wanted => {}
        Ok(()) | Err(RmiError::Input) => return Err(NoRmm::Version(higher)),
        Err(_) => return Err(NoRmm::Missing),
    }
    let word = first_output(host, fid::FEATURES, &[0]).map_err(|_| NoRmm::Missing)?;
    Ok(Features { word })
}

/// The RMM's answer to a question about what it has counted; zeroes from one that counts nothing.
///
/// # Errors
///
/// An RMM that has stopped.
pub fn statistics(host: &impl Host, query: Query) -> Result<[u64; 3], RmiError> {
    let (result, [first, second, third, _]) = call(host, fid::FEATURES, &[query.index()]);
    result.map(|()| [first, second, third])
}

/// What the RMM has, as it says itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// Feature register 0.
    pub word: u64,
}

impl Features {
    const fn field(self, shift: u32, width: u32) -> u8 {
        (self.word >> shift & ((1 << width) - 1)).to_le_bytes()[0]
    }

    const fn bit(self, shift: u32) -> bool {
        self.word >> shift & 1 != 0
    }

    /// The fields of the register.
    pub fn register(self) -> FeatureRegister0 {
        FeatureRegister0 {
            ipa_width: self.field(0, 8),
            lpa2: self.bit(8),
            sve_vector_length: self.bit(9).then(|| self.field(10, 4)),
            breakpoints: self.field(14, 6),
            watchpoints: self.field(20, 6),
            pmu_counters: self.bit(26).then(|| self.field(27, 5)),
            sha_256: self.bit(32),
            sha_512: self.bit(33),
            gic_list_registers: self.field(34, 4),
            max_recs_order: self.field(38, 4),
        }
    }
}

pub(crate) fn granule_delegate(host: &impl Host, page: Page) -> Result<(), RmiError> {
    plain(host, fid::GRANULE_DELEGATE, &[page.address()])
}

pub(crate) fn granule_undelegate(host: &impl Host, page: Page) -> Result<(), RmiError> {
    plain(host, fid::GRANULE_UNDELEGATE, &[page.address()])
}

pub(crate) fn realm_create(host: &impl Host, rd: Page, params: Page) -> Result<(), RmiError> {
    plain(host, fid::REALM_CREATE, &[rd.address(), params.address()])
}

pub(crate) fn realm_activate(host: &impl Host, rd: Page) -> Result<(), RmiError> {
    plain(host, fid::REALM_ACTIVATE, &[rd.address()])
}

pub(crate) fn realm_destroy(host: &impl Host, rd: Page) -> Result<(), RmiError> {
    plain(host, fid::REALM_DESTROY, &[rd.address()])
}

pub(crate) fn rec_aux_count(host: &impl Host, rd: Page) -> Result<u64, RmiError> {
    first_output(host, fid::REC_AUX_COUNT, &[rd.address()])
}

pub(crate) fn rec_create(
    host: &impl Host,
    rd: Page,
    rec: Page,
    params: Page,
) -> Result<(), RmiError> {
    let arguments = [rd.address(), rec.address(), params.address()];
    plain(host, fid::REC_CREATE, &arguments)
}

pub(crate) fn rec_destroy(host: &impl Host, rec: Page) -> Result<(), RmiError> {
    plain(host, fid::REC_DESTROY, &[rec.address()])
}

pub(crate) fn psci_complete(
    host: &impl Host,
    calling: Page,
    target: Page,
    status: u64,
) -> Result<(), RmiError> {
    let arguments = [calling.address(), target.address(), status];
    plain(host, fid::PSCI_COMPLETE, &arguments)
}

pub(crate) fn data_create(
    host: &impl Host,
    rd: Page,
    data: Page,
    ipa: u64,
    source: Page,
    measured: bool,
) -> Result<(), RmiError> {
    let flags = if measured { DATA_MEASURE } else { 0 };
    let arguments = [rd.address(), data.address(), ipa, source.address(), flags];
    plain(host, fid::DATA_CREATE, &arguments)
}

pub(crate) fn data_create_unknown(
    host: &impl Host,
    rd: Page,
    data: Page,
    ipa: u64,
) -> Result<(), RmiError> {
    let arguments = [rd.address(), data.address(), ipa];
    plain(host, fid::DATA_CREATE_UNKNOWN, &arguments)
}

pub(crate) fn data_destroy(host: &impl Host, rd: Page, ipa: u64) -> Result<Page, RmiError> {
    page_output(host, fid::DATA_DESTROY, &[rd.address(), ipa])
}

pub(crate) fn rtt_create(
    host: &impl Host,
    rd: Page,
    table: Page,
    ipa: u64,
    level: i8,
) -> Result<(), RmiError> {
    let arguments = [rd.address(), table.address(), ipa, level_word(level)];
    plain(host, fid::RTT_CREATE, &arguments)
}

pub(crate) fn rtt_destroy(
    host: &impl Host,
    rd: Page,
    ipa: u64,
    level: i8,
) -> Result<Page, RmiError> {
    page_output(
        host,
        fid::RTT_DESTROY,
        &[rd.address(), ipa, level_word(level)],
    )
}

pub(crate) fn rtt_fold(host: &impl Host, rd: Page, ipa: u64, level: i8) -> Result<Page, RmiError> {
    page_output(host, fid::RTT_FOLD, &[rd.address(), ipa, level_word(level)])
}

pub(crate) fn rtt_init_ripas(
    host: &impl Host,
    rd: Page,
    base: u64,
    top: u64,
) -> Result<u64, RmiError> {
    first_output(host, fid::RTT_INIT_RIPAS, &[rd.address(), base, top])
}

pub(crate) fn rtt_set_ripas(
    host: &impl Host,
    rd: Page,
    rec: Page,
    base: u64,
    top: u64,
) -> Result<u64, RmiError> {
    let arguments = [rd.address(), rec.address(), base, top];
    first_output(host, fid::RTT_SET_RIPAS, &arguments)
}

pub(crate) fn rtt_map_unprotected(
    host: &impl Host,
    rd: Page,
    ipa: u64,
    page: Page,
) -> Result<(), RmiError> {
    /// `MemAttr`: write-back, whatever the Realm says.
    const WRITE_BACK: u64 = 0b0110 << 2;
    /// `S2AP`: to read and to write.
    const READ_WRITE: u64 = 0b11 << 6;
    let descriptor = page.address() | WRITE_BACK | READ_WRITE;
    let arguments = [rd.address(), ipa, level_word(3), descriptor];
    plain(host, fid::RTT_MAP_UNPROTECTED, &arguments)
}

pub(crate) fn rtt_unmap_unprotected(host: &impl Host, rd: Page, ipa: u64) -> Result<(), RmiError> {
    let arguments = [rd.address(), ipa, level_word(3)];
    plain(host, fid::RTT_UNMAP_UNPROTECTED, &arguments)
}

pub(crate) fn rtt_read_entry(
    host: &impl Host,
    rd: Page,
    ipa: u64,
    level: i8,
) -> Result<Entry, RmiError> {
    let arguments = [rd.address(), ipa, level_word(level)];
    let (result, [level, state, _, ripas]) = call(host, fid::RTT_READ_ENTRY, &arguments);
    result.map(|()| Entry {
        level,
        state,
        ripas,
    })
}

const fn level_word(level: i8) -> u64 {
    (level as i64).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        assert_eq!(RmiError::check(0), Ok(()));
        assert_eq!(RmiError::check(1), Err(RmiError::Input));
        assert_eq!(RmiError::check(0x102), Err(RmiError::Realm(1)));
        assert_eq!(RmiError::check(3), Err(RmiError::Rec));
        assert_eq!(RmiError::check(0xff04), Err(RmiError::Table(-1)));
        assert_eq!(RmiError::check(5), Err(RmiError::Unknown(5)));
        assert_eq!(RmiError::check(!0), Err(RmiError::Unknown(!0)));
    }

    #[test]
    fn features_are_taken_apart_as_they_were_put_together() {
        let register = FeatureRegister0 {
            ipa_width: 48,
            lpa2: true,
            sve_vector_length: Some(7),
            breakpoints: 5,
            watchpoints: 3,
            pmu_counters: None,
            sha_256: true,
            sha_512: false,
            gic_list_registers: 3,
            max_recs_order: 10,
        };
        let features = Features {
            word: register.word(),
        };
        assert_eq!(features.register(), register);
    }
}
