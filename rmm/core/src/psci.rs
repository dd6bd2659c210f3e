//! PSCI as a Realm calls it (DEN0022; DEN0137 chapter B6; reference, section 8.9).

use rmm_abi::smc::{self, psci};

use crate::Machine;
use crate::error::Fatal;
use crate::exit::Exit;
use crate::realm::RealmState;
use crate::rec::{Flag, index_of_mpidr, index_of_mpidr_el1};
use crate::session::{Next, Session};

/// Whether a function identifier is one of PSCI's, known or not.
pub(crate) const fn is_function(function: u64) -> bool {
    const NUMBERS: u64 = 0x1f;
    const SMC64: u64 = 1 << 30;
    function & !(NUMBERS | SMC64) == psci::VERSION
}

/// Bit of a function identifier that says that arguments have 64 bits.
const SMC64: u64 = 1 << 30;

/// Version 1.1.
const VERSION_1_1: u64 = 0x1_0001;

/// Functions that `PSCI_FEATURES` knows.
const FUNCTIONS: [u64; 12] = [
    psci::VERSION,
    psci::CPU_SUSPEND_32,
    psci::CPU_SUSPEND,
    psci::CPU_OFF,
    psci::CPU_ON_32,
    psci::CPU_ON,
    psci::AFFINITY_INFO_32,
    psci::AFFINITY_INFO,
    psci::SYSTEM_OFF,
    psci::SYSTEM_RESET,
    psci::FEATURES,
    smc::SMCCC_VERSION,
];

/// Serves a call of a Realm.
pub(crate) fn call<M: Machine>(session: &Session<'_, M>, function: u64) -> Result<Next, Fatal> {
    Ok(match function {
        psci::VERSION => session.reply([VERSION_1_1, 0, 0, 0]),
        psci::FEATURES => {
            let asked = smc::function_identifier(session.rec.general(1));
            answer(
                session,
                if FUNCTIONS.contains(&asked) {
                    psci::SUCCESS
                } else {
                    psci::NOT_SUPPORTED
                },
            )
        }
        psci::CPU_SUSPEND_32 | psci::CPU_SUSPEND => {
            let exit = exit(function, arguments(session, function));
            // Always a standby: the REC goes on here, whatever the entry point.
            answer(session, psci::SUCCESS);
            Some(exit)
        }
        psci::CPU_OFF => {
            session.abandon_token()?;
            session.rec.set_flag(Flag::Runnable, false);
            session.advance();
            Some(exit(function, [0; 3]))
        }
        psci::CPU_ON_32 | psci::CPU_ON => switch_on(session, function),
        psci::AFFINITY_INFO_32 | psci::AFFINITY_INFO => affinity_info(session, function),
        psci::SYSTEM_OFF | psci::SYSTEM_RESET => {
            // A REC runs, so the Realm is active or off; both become off.
            session.realm.set_state(RealmState::SystemOff);
            session.advance();
            Some(exit(function, [0; 3]))
        }
        _ => answer(session, psci::NOT_SUPPORTED),
    })
}

fn switch_on<M: Machine>(session: &Session<'_, M>, function: u64) -> Next {
    let arguments = arguments(session, function);
    let [target, entry, _] = arguments;
    if !session.stage2.is_protected(entry) {
        return answer(session, psci::INVALID_ADDRESS);
    }
    let Some(index) = existing_rec(session, target) else {
        return answer(session, psci::INVALID_PARAMETERS);
    };
    if is_self(session, index) {
        return answer(session, psci::ALREADY_ON);
    }
    Some(ask_host(session, function, arguments))
}

fn affinity_info<M: Machine>(session: &Session<'_, M>, function: u64) -> Next {
    let arguments = arguments(session, function);
    let [target, lowest_level, _] = arguments;
    let index = existing_rec(session, target).filter(|_| lowest_level == 0);
    let Some(index) = index else {
        return answer(session, psci::INVALID_PARAMETERS);
    };
    if is_self(session, index) {
        // On.
        return answer(session, psci::SUCCESS);
    }
    Some(ask_host(session, function, arguments))
}

/// X1 to X3, as wide as the function takes them.
fn arguments<M: Machine>(session: &Session<'_, M>, function: u64) -> [u64; 3] {
    let mask = if function & SMC64 == 0 {
        0xffff_ffff
    } else {
        u64::MAX
    };
    [1, 2, 3].map(|number| session.rec.general(number) & mask)
}

/// Index of the REC that a Realm names, if there is one.
fn existing_rec<M: Machine>(session: &Session<'_, M>, affinities: u64) -> Option<u64> {
    index_of_mpidr_el1(affinities).filter(|index| *index < session.realm.next_rec_index())
}

fn is_self<M: Machine>(session: &Session<'_, M>, index: u64) -> bool {
    index == index_of_mpidr(session.rec.mpidr())
}

/// Leaves it to the host to say which REC is meant. The result comes by `RMI_PSCI_COMPLETE`, which
/// finds the arguments in the REC.
fn ask_host<M: Machine>(session: &Session<'_, M>, function: u64, arguments: [u64; 3]) -> Exit {
    for (number, value) in (1..).zip(arguments) {
        session.rec.set_general(number, value);
    }
    session.rec.set_flag(Flag::PsciPending, true);
    session.advance();
    exit(function, arguments)
}

const fn exit(function: u64, arguments: [u64; 3]) -> Exit {
    Exit::Psci {
        function,
        arguments,
    }
}

fn answer<M: Machine>(session: &Session<'_, M>, code: i64) -> Next {
    session.reply([code.cast_unsigned(), 0, 0, 0])
}
