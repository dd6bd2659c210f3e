//! From the registers of a call to those of its reply.

use rmm_abi::rmi::{ReturnCode, Ripas, fid};
use rmm_abi::smc;

use crate::context::{Context, Outcome, Rmm};
use crate::error::{Error, Fatal};
use crate::granule::LockLedger;
use crate::{Machine, rmi, statistics};

/// X0 to X7 of a call of the host.
pub type Call = [u64; 8];

/// X0 to X4 of the reply.
pub type Reply = [u64; 5];

impl Rmm<'_> {
    /// Serves one call of the host on the CPU of `machine`.
    ///
    /// X4 of the caller comes back unless the command has an output there; X1 to X3 are zero
    /// where they carry none.
    ///
    /// # Errors
    ///
    /// [`Fatal`]: no reply may be given, and no further call served on any CPU.
    pub fn call<M: Machine>(&self, machine: &M, call: &Call) -> Result<Reply, Fatal> {
        let context = Context {
            rmm: self,
            machine,
            locks: LockLedger::new(),
        };
        let function = smc::function_identifier(call[0]);
        let outcome = command(&context, function, call);
        check_exit(function, context.locks.count(), machine.mapped_granules())?;
        // What succeeds must not pay for what fails.
        match outcome {
            Some(Ok(Outcome {
                code: ReturnCode::SUCCESS,
                outputs,
                ripas,
            })) => {
                machine.statistics().count_success(function);
                Ok(reply(function, 0, outputs, ripas, call))
            }
            _ => no_success(machine, function, call, outcome),
        }
    }
}

/// The reply to a command that has not succeeded, or that is none.
#[cold]
#[inline(never)]
fn no_success<M: Machine>(
    machine: &M,
    function: u64,
    call: &Call,
    outcome: Option<Result<Outcome, Error>>,
) -> Result<Reply, Fatal> {
    let (word, outputs, ripas) = match outcome {
        Some(Ok(Outcome {
            code,
            outputs,
            ripas,
        })) => (code.word(), outputs, ripas),
        Some(Err(Error::Reply(code))) => (code.word(), [0; 3], Ripas::Empty),
        Some(Err(Error::Fatal(fatal))) => return Err(fatal),
        None => (smc::NOT_SUPPORTED, [0; 3], Ripas::Empty),
    };
    statistics::count_failure(machine, function, word, call[1]);
    Ok(reply(function, word, outputs, ripas, call))
}

fn reply(function: u64, word: u64, outputs: [u64; 3], ripas: Ripas, call: &Call) -> Reply {
    let [x1, x2, x3] = outputs;
    // The only command with a fourth output.
    let x4 = if function == fid::RTT_READ_ENTRY {
        ripas as u64
    } else {
        call[4]
    };
    [word, x1, x2, x3, x4]
}

/// The command behind a function identifier; `None` when there is none.
fn command<M: Machine>(
    context: &Context<'_, M>,
    function: u64,
    call: &Call,
) -> Option<Result<Outcome, Error>> {
    let [_, x1, x2, x3, x4, x5, ..] = *call;
    Some(match function {
        fid::VERSION => Ok(rmi::version::version(x1)),
        fid::FEATURES if statistics::may_be_asked_for(x1) => {
            Ok(statistics::answer(context.machine, x1))
        }
        fid::FEATURES => Ok(rmi::features::features(context, x1)),
        fid::GRANULE_DELEGATE => rmi::granule::delegate(context, x1),
        fid::GRANULE_UNDELEGATE => rmi::granule::undelegate(context, x1),
        fid::REALM_CREATE => rmi::realm::create(context, x1, x2),
        fid::REALM_ACTIVATE => rmi::realm::activate(context, x1),
        fid::REALM_DESTROY => rmi::realm::destroy(context, x1),
        fid::REC_AUX_COUNT => rmi::realm::rec_aux_count(context, x1),
        fid::REC_CREATE => rmi::rec::create(context, x1, x2, x3),
        fid::REC_DESTROY => rmi::rec::destroy(context, x1),
        fid::REC_ENTER => rmi::run::enter(context, x1, x2),
        fid::PSCI_COMPLETE => rmi::psci::complete(context, x1, x2, x3),
        fid::DATA_CREATE => rmi::data::create(context, [x1, x2, x3, x4, x5]),
        fid::DATA_CREATE_UNKNOWN => rmi::data::create_unknown(context, x1, x2, x3),
        fid::DATA_DESTROY => rmi::data::destroy(context, x1, x2),
        fid::RTT_CREATE => rmi::rtt::create(context, [x1, x2, x3, x4]),
        fid::RTT_DESTROY => rmi::rtt::destroy(context, x1, x2, x3),
        fid::RTT_FOLD => rmi::rtt::fold(context, x1, x2, x3),
        fid::RTT_READ_ENTRY => rmi::rtt::read_entry(context, x1, x2, x3),
        fid::RTT_MAP_UNPROTECTED => rmi::unprotected::map(context, [x1, x2, x3, x4]),
        fid::RTT_UNMAP_UNPROTECTED => rmi::unprotected::unmap(context, x1, x2, x3),
        fid::RTT_INIT_RIPAS => rmi::ripas::init(context, x1, x2, x3),
        fid::RTT_SET_RIPAS => rmi::ripas::set(context, [x1, x2, x3, x4]),
        _ => return None,
    })
}

/// What must hold after every call, whatever it was and however it ended.
fn check_exit(function: u64, locks: usize, mapped: usize) -> Result<(), Fatal> {
    if locks != 0 {
        return Err(Fatal::LocksHeld {
            function,
            count: locks,
        });
    }
    if mapped != 0 {
        return Err(Fatal::GranulesMapped {
            function,
            count: mapped,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_leaves_something_behind_is_fatal() {
        assert_eq!(check_exit(1, 0, 0), Ok(()));
        assert_eq!(
            check_exit(1, 2, 0),
            Err(Fatal::LocksHeld {
                function: 1,
                count: 2
            })
        );
        assert_eq!(
            check_exit(1, 0, 3),
            Err(Fatal::GranulesMapped {
                function: 1,
                count: 3
            })
        );
    }
}
