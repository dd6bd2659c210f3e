//! PSCI 1.1 for the normal world (DEN0022): which CPU is on, and what a call may do about it.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use rmm_abi::smc::{SMCCC_VERSION, psci};

/// Most CPUs that the monitor can handle.
pub const MAX_CPUS: usize = 64;
/// PSCI 1.1.
const VERSION: i64 = 0x1_0001;
/// There is no trusted OS that would have to migrate.
const MIGRATE_INFO_TYPE: u64 = 0x8400_0006;
const NO_TRUSTED_OS: i64 = 2;
/// `CPU_SUSPEND`, original format: the state type, and the fields that say which level.
const POWER_DOWN: u64 = 1 << 16;
const POWER_LEVEL: u64 = 0b11 << 24;
const POWER_STATE_RESERVED: u64 = 0xfcfe_0000;

/// Power state of a CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum State {
    Off = 0,
    /// A caller of `CPU_ON` has it for itself and writes down where it starts.
    Claimed = 1,
    /// It may start.
    Starting = 2,
    On = 3,
}

/// Where a CPU starts in the normal world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// Address of its first instruction.
    pub entry: u64,
    /// X0.
    pub context: u64,
}

/// What a call asks the hardware for.
pub trait Hardware {
    /// Whether the normal world may execute at this address.
    fn is_normal_memory(&self, address: u64) -> bool;
    /// Wakes a CPU that waits to be switched on.
    fn wake(&self, cpu: usize);
}

/// What comes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The caller goes on with this in X0.
    Return(i64),
    /// The CPU waits for an interrupt, then the caller goes on with success.
    Standby,
    /// The CPU is off and waits to be switched on.
    Off,
    /// The machine goes off.
    SystemOff,
    /// The machine is reset.
    SystemReset,
}

struct Cpu {
    state: AtomicU8,
    entry: AtomicU64,
    context: AtomicU64,
}

/// The power states of all CPUs. CPUs have linear numbers here.
pub struct Cpus<'a> {
    affinities: &'a [u64],
    cpus: [Cpu; MAX_CPUS],
}

impl<'a> Cpus<'a> {
    /// The state after reset: the first CPU is on, the others are off.
    pub fn new(affinities: &'a [u64]) -> Self {
        let cpus = core::array::from_fn(|number| Cpu {
            state: AtomicU8::new(match number {
                0 => State::On,
                _ => State::Off,
            } as u8),
            entry: AtomicU64::new(0),
            context: AtomicU64::new(0),
        });
        Self { affinities, cpus }
    }

    /// The affinity of a CPU.
    pub fn affinity(&self, cpu: usize) -> Option<u64> {
        self.affinities.get(cpu).copied()
    }

    /// A CPU that was woken takes where it starts, and is on.
    pub fn start(&self, cpu: usize) -> Option<Start> {
        let cpu = self.cpus.get(cpu)?;
        let starting = cpu.state.compare_exchange(
            State::Starting as u8,
            State::On as u8,
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        // Nobody changes where it starts until it is off again.
        starting.ok().map(|_| Start {
            entry: cpu.entry.load(Ordering::Relaxed),
            context: cpu.context.load(Ordering::Relaxed),
        })
    }

    /// Answers a call of CPU `caller`. `None` when PSCI has no such function.
    pub fn call(
        &self,
        hardware: &impl Hardware,
        caller: usize,
        function: u64,
        arguments: [u64; 3],
    ) -> Option<Outcome> {
        let [first, second, third] = arguments;
        let narrow = arguments.map(|argument| argument & 0xffff_ffff);
        let outcome = match function {
            psci::VERSION => Outcome::Return(VERSION),
            psci::FEATURES => Outcome::Return(features(narrow[0])),
            psci::CPU_ON_32 => {
                Outcome::Return(self.turn_on(hardware, narrow[0], narrow[1], narrow[2]))
            }
            psci::CPU_ON => Outcome::Return(self.turn_on(hardware, first, second, third)),
            psci::CPU_OFF => {
                if let Some(cpu) = self.cpus.get(caller) {
                    cpu.state.store(State::Off as u8, Ordering::Release);
                }
                Outcome::Off
            }
            psci::AFFINITY_INFO_32 => Outcome::Return(self.info(narrow[0], narrow[1])),
            psci::AFFINITY_INFO => Outcome::Return(self.info(first, second)),
            psci::CPU_SUSPEND_32 | psci::CPU_SUSPEND => suspend(narrow[0]),
            psci::SYSTEM_OFF => Outcome::SystemOff,
            psci::SYSTEM_RESET => Outcome::SystemReset,
            MIGRATE_INFO_TYPE => Outcome::Return(NO_TRUSTED_OS),
            _ => return None,
        };
        Some(outcome)
    }

    fn find(&self, affinity: u64) -> Option<(usize, &Cpu)> {
        let number = self.affinities.iter().position(|own| *own == affinity)?;
        Some((number, self.cpus.get(number)?))
    }

    fn turn_on(&self, hardware: &impl Hardware, target: u64, entry: u64, context: u64) -> i64 {
        let Some((number, cpu)) = self.find(target) else {
            return psci::INVALID_PARAMETERS;
        };
        if !entry.is_multiple_of(4) || !hardware.is_normal_memory(entry) {
            return psci::INVALID_ADDRESS;
        }
        let claimed = cpu.state.compare_exchange(
            State::Off as u8,
            State::Claimed as u8,
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        match claimed {
            Ok(_) => {
                cpu.entry.store(entry, Ordering::Relaxed);
                cpu.context.store(context, Ordering::Relaxed);
                cpu.state.store(State::Starting as u8, Ordering::Release);
                hardware.wake(number);
                psci::SUCCESS
            }
            Err(state) if state == State::On as u8 => psci::ALREADY_ON,
            Err(_) => psci::ON_PENDING,
        }
    }

    fn info(&self, target: u64, level: u64) -> i64 {
        match self.find(target) {
            Some((_, cpu)) if level == 0 => match cpu.state.load(Ordering::Acquire) {
                state if state == State::On as u8 => psci::SUCCESS,
                state if state == State::Off as u8 => psci::AFFINITY_OFF,
                _ => psci::AFFINITY_ON_PENDING,
            },
            _ => psci::INVALID_PARAMETERS,
        }
    }
}

fn features(function: u64) -> i64 {
    match function {
        psci::VERSION
        | psci::FEATURES
        | psci::CPU_ON_32
        | psci::CPU_ON
        | psci::CPU_OFF
        | psci::AFFINITY_INFO_32
        | psci::AFFINITY_INFO
        // No flags: the original format of the power state, and no OS-initiated mode.
        | psci::CPU_SUSPEND_32
        | psci::CPU_SUSPEND
        | psci::SYSTEM_OFF
        | psci::SYSTEM_RESET
        | MIGRATE_INFO_TYPE
        | SMCCC_VERSION => psci::SUCCESS,
        _ => psci::NOT_SUPPORTED,
    }
}

/// The one state is standby of the CPU itself.
fn suspend(power_state: u64) -> Outcome {
    if power_state & (POWER_DOWN | POWER_LEVEL | POWER_STATE_RESERVED) == 0 {
        Outcome::Standby
    } else {
        Outcome::Return(psci::INVALID_PARAMETERS)
    }
}

#[cfg(test)]
mod tests;
