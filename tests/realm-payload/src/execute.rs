//! What each command does.

use realm_payload::command::{Load, Size};
use realm_payload::{Command, Reply};

use crate::calls::{self, Instruction, Mismatch};
use crate::exceptions::COUNTS;
use crate::rec::Rec;
use crate::{
    access, attesting, canaries, interrupts, measuring, registers, soaking, timers, translation,
};

/// Does a command.
pub(crate) fn execute(rec: &mut Rec, command: &Command) -> Reply {
    match check(rec, command) {
        Ok(reply) => reply,
        Err(mismatch) => mismatch.into(),
    }
}

#[expect(clippy::too_many_lines, reason = "a few lines for each command")]
fn check(rec: &mut Rec, command: &Command) -> Result<Reply, Mismatch> {
    let nothing = Reply::done(&[]);
    Ok(match command {
        Command::Smc(arguments) => Reply::done(&calls::call(Instruction::Smc, arguments)?),
        Command::Hvc(arguments) => Reply::done(&calls::call(Instruction::Hvc, arguments)?),
        Command::Load(load) => Reply::done(&[access::load(load)]),
        &Command::Store {
            address,
            size,
            value,
        } => {
            access::store(address, size, value);
            nothing
        }
        &Command::LoadPair { address } => Reply::done(&access::load_pair(address)),
        &Command::Fetch { address } => {
            access::fetch(address);
            nothing
        }
        &Command::AtomicAdd { address, value } => {
            Reply::done(&[access::atomic_add(address, value)])
        }
        &Command::CleanInvalidate { address } => {
            access::clean_invalidate(address);
            nothing
        }
        &Command::LoadTranslated { offset, table } => {
            let base = translation::translate_through(rec.number, table);
            let value = access::load(&Load {
                address: base + offset,
                size: Size::Doubleword,
                sign_extend: false,
                wide: true,
            });
            translation::forget_spare(rec.number);
            Reply::done(&[value])
        }
        &Command::ReadRegister(register) => Reply::done(&[registers::read(rec.number, register)]),
        &Command::WriteRegister { register, value } => {
            registers::write(rec.number, register, value);
            nothing
        }
        Command::Wfi => {
            access::wait_for_interrupt();
            nothing
        }
        Command::Wfe => {
            access::wait_for_event();
            nothing
        }
        &Command::Wfit { deadline } => {
            calls::wait_for_interrupt_with_deadline(deadline);
            nothing
        }
        &Command::Wfet { deadline } => {
            calls::wait_for_event_with_deadline(deadline);
            nothing
        }
        &Command::Yield { count } => {
            access::count_to(count);
            nothing
        }
        &Command::SetDaif(daif) => {
            let old = access::daif();
            rec.daif = daif;
            access::set_daif(daif);
            Reply::done(&[old])
        }
        &Command::MapUnprotected(memory) => {
            translation::map_unprotected(memory);
            nothing
        }
        &Command::Fill { kind, seed } => canaries::fill(rec, kind, seed)?,
        &Command::Check { kind, seed } => canaries::check(rec, kind, seed)?,
        &Command::CanaryExit {
            exit,
            seed,
            address,
        } => Reply::done(&calls::canary_exit(rec, exit, seed, address)?),
        &Command::Interrupts { enable, split } => {
            interrupts::set_up(&COUNTS[rec.number], enable, split);
            rec.daif = if enable {
                rec.daif & !interrupts::MASKS
            } else {
                rec.daif | interrupts::MASKS
            };
            access::set_daif(rec.daif);
            nothing
        }
        Command::InterruptCounts => {
            let mut results = [0; 30];
            for (result, word) in results[1..].iter_mut().zip(COUNTS[rec.number].words()) {
                *result = word;
            }
            results[0] = results[1..].iter().filter(|word| **word != 0).count() as u64;
            Reply::Done(results)
        }
        &Command::Timer {
            timer,
            ticks,
            enable,
        } => Reply::done(&[timers::set(timer, ticks, enable)]),
        &Command::SendSgi(value) => {
            interrupts::send(value);
            nothing
        }
        &Command::Soak {
            steps,
            seed,
            device,
        } => soaking::soak(rec, steps, seed, device),
        Command::Time => Reply::done(&[timers::now(), timers::frequency()]),
        &Command::Measure {
            operation,
            repetitions,
            address,
        } => measuring::measure(rec, operation, repetitions, address),
        Command::Attest { challenge } => attesting::attest(rec, challenge)?,
    })
}
