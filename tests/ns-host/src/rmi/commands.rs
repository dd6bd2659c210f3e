//! The commands that build Realms, each with its arguments by name.

use rmm_abi::rmi::fid;

use super::Reply;
use crate::outcome::{Outcome, ensure};
use crate::smc::Registers;

/// Makes a call. X1 to X`outputs` may carry something; X1 to X3 beyond it must be zero, and X4
/// and above must be what they were unless they carry an output.
fn call(function: u64, arguments: &[u64], outputs: usize) -> Outcome<Reply> {
    let before = Registers::new(function, arguments);
    let after = before.call();
    after.expect_kept(&before, if outputs < 4 { 4 } else { 5 })?;
    let [code, x1, x2, x3, x4, ..] = after.0;
    let mut reply = Reply {
        code,
        outputs: [x1, x2, x3, x4],
    };
    if outputs < 4 {
        reply.outputs[3] = 0;
    }
    let rest = &reply.outputs[outputs..];
    ensure!(
        rest.iter().all(|register| *register == 0),
        "call {function:#x} returned {code:#x}, and {rest:x?} in the registers behind its {outputs} outputs"
    );
    Ok(reply)
}

/// `RMI_REALM_CREATE`.
pub(crate) fn realm_create(rd: u64, params: u64) -> Outcome<Reply> {
    call(fid::REALM_CREATE, &[rd, params], 0)
}

/// `RMI_REALM_ACTIVATE`.
pub(crate) fn realm_activate(rd: u64) -> Outcome<Reply> {
    call(fid::REALM_ACTIVATE, &[rd], 0)
}

/// `RMI_REALM_DESTROY`.
pub(crate) fn realm_destroy(rd: u64) -> Outcome<Reply> {
    call(fid::REALM_DESTROY, &[rd], 0)
}

/// `RMI_REC_AUX_COUNT`; output: count.
pub(crate) fn rec_aux_count(rd: u64) -> Outcome<Reply> {
    call(fid::REC_AUX_COUNT, &[rd], 1)
}

/// `RMI_REC_CREATE`.
pub(crate) fn rec_create(rd: u64, rec: u64, params: u64) -> Outcome<Reply> {
    call(fid::REC_CREATE, &[rd, rec, params], 0)
}

/// `RMI_REC_DESTROY`.
pub(crate) fn rec_destroy(rec: u64) -> Outcome<Reply> {
    call(fid::REC_DESTROY, &[rec], 0)
}

/// `RMI_REC_ENTER`.
pub(crate) fn rec_enter(rec: u64, run: u64) -> Outcome<Reply> {
    call(fid::REC_ENTER, &[rec, run], 0)
}

/// `RMI_PSCI_COMPLETE`.
pub(crate) fn psci_complete(calling: u64, target: u64, status: i64) -> Outcome<Reply> {
    call(
        fid::PSCI_COMPLETE,
        &[calling, target, status.cast_unsigned()],
        0,
    )
}

/// `RMI_DATA_CREATE`.
pub(crate) fn data_create(rd: u64, data: u64, ipa: u64, source: u64, flags: u64) -> Outcome<Reply> {
    call(fid::DATA_CREATE, &[rd, data, ipa, source, flags], 0)
}

/// `RMI_DATA_CREATE_UNKNOWN`.
pub(crate) fn data_create_unknown(rd: u64, data: u64, ipa: u64) -> Outcome<Reply> {
    call(fid::DATA_CREATE_UNKNOWN, &[rd, data, ipa], 0)
}

/// `RMI_DATA_DESTROY`; outputs: data, top.
pub(crate) fn data_destroy(rd: u64, ipa: u64) -> Outcome<Reply> {
    call(fid::DATA_DESTROY, &[rd, ipa], 2)
}

/// `RMI_RTT_CREATE`.
pub(crate) fn rtt_create(rd: u64, table: u64, ipa: u64, level: i8) -> Outcome<Reply> {
    rtt_create_at(rd, table, ipa, level_word(level))
}

/// `RMI_RTT_CREATE` with any word for the level.
pub(crate) fn rtt_create_at(rd: u64, table: u64, ipa: u64, level: u64) -> Outcome<Reply> {
    call(fid::RTT_CREATE, &[rd, table, ipa, level], 0)
}

/// `RMI_RTT_DESTROY`; outputs: table, top.
pub(crate) fn rtt_destroy(rd: u64, ipa: u64, level: i8) -> Outcome<Reply> {
    rtt_destroy_at(rd, ipa, level_word(level))
}

/// `RMI_RTT_DESTROY` with any word for the level.
pub(crate) fn rtt_destroy_at(rd: u64, ipa: u64, level: u64) -> Outcome<Reply> {
    call(fid::RTT_DESTROY, &[rd, ipa, level], 2)
}

/// `RMI_RTT_FOLD`; output: table.
pub(crate) fn rtt_fold(rd: u64, ipa: u64, level: i8) -> Outcome<Reply> {
    rtt_fold_at(rd, ipa, level_word(level))
}

/// `RMI_RTT_FOLD` with any word for the level.
pub(crate) fn rtt_fold_at(rd: u64, ipa: u64, level: u64) -> Outcome<Reply> {
    call(fid::RTT_FOLD, &[rd, ipa, level], 1)
}

/// `RMI_RTT_MAP_UNPROTECTED`.
pub(crate) fn map_unprotected(rd: u64, ipa: u64, level: i8, descriptor: u64) -> Outcome<Reply> {
    map_unprotected_at(rd, ipa, level_word(level), descriptor)
}

/// `RMI_RTT_MAP_UNPROTECTED` with any word for the level.
pub(crate) fn map_unprotected_at(rd: u64, ipa: u64, level: u64, descriptor: u64) -> Outcome<Reply> {
    call(fid::RTT_MAP_UNPROTECTED, &[rd, ipa, level, descriptor], 0)
}

/// `RMI_RTT_UNMAP_UNPROTECTED`; output: top.
pub(crate) fn unmap_unprotected(rd: u64, ipa: u64, level: i8) -> Outcome<Reply> {
    unmap_unprotected_at(rd, ipa, level_word(level))
}

/// `RMI_RTT_UNMAP_UNPROTECTED` with any word for the level.
pub(crate) fn unmap_unprotected_at(rd: u64, ipa: u64, level: u64) -> Outcome<Reply> {
    call(fid::RTT_UNMAP_UNPROTECTED, &[rd, ipa, level], 1)
}

/// `RMI_RTT_INIT_RIPAS`; output: out top.
pub(crate) fn init_ripas(rd: u64, base: u64, top: u64) -> Outcome<Reply> {
    call(fid::RTT_INIT_RIPAS, &[rd, base, top], 1)
}

/// `RMI_RTT_SET_RIPAS`; output: out top.
pub(crate) fn set_ripas(rd: u64, rec: u64, base: u64, top: u64) -> Outcome<Reply> {
    call(fid::RTT_SET_RIPAS, &[rd, rec, base, top], 1)
}

/// `RMI_RTT_READ_ENTRY`; outputs: level, state, descriptor, RIPAS.
pub(crate) fn read_entry(rd: u64, ipa: u64, level: i8) -> Outcome<Reply> {
    read_entry_at(rd, ipa, level_word(level))
}

/// `RMI_RTT_READ_ENTRY` with any word for the level.
pub(crate) fn read_entry_at(rd: u64, ipa: u64, level: u64) -> Outcome<Reply> {
    call(fid::RTT_READ_ENTRY, &[rd, ipa, level], 4)
}

/// A level as it travels in a register.
pub(crate) fn level_word(level: i8) -> u64 {
    i64::from(level).cast_unsigned()
}
