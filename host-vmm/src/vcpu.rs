//! What a vCPU's thread does: runs it, and does what it stops for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;
use tracing::debug;

use crate::backend::kvm::Flavour;
use crate::backend::{BackendError, Exit, Vcpu, VirtualMachine, Visibility};
use crate::devices::{Bus, Complaints};
use crate::layout::{PAGE_BYTES, Range};
use crate::life::counters::{ExitCounters, Reason};
use crate::sys::memory::Ram;

const PSCI_CPU_ON_32: u64 = 0x8400_0003;
const PSCI_CPU_ON_64: u64 = 0xc400_0003;
const PSCI_AFFINITY_INFO_32: u64 = 0x8400_0004;
const PSCI_AFFINITY_INFO_64: u64 = 0xc400_0004;
const PSCI_SUCCESS: i32 = 0;
const PSCI_DENIED: i32 = -3;

/// Why a vCPU cannot go on.
#[derive(Error, Debug)]
pub enum VcpuError {
    /// A call failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The guest says so.
    #[error("the guest has crashed")]
    Crash,
    /// The hardware or the RMM refuses it.
    #[error("it cannot be entered: reason {0:#x}")]
    FailedEntry(u64),
    /// The guest did something that cannot be emulated, or the RMM refuses to go on.
    #[error("it cannot go on: {0}")]
    Internal(String),
    /// A call that nobody has asked the kernel for.
    #[error("the guest makes call {0:#x}, which is not for this program")]
    UnknownCall(u64),
    /// Something that nobody has asked the kernel for.
    #[error("it stopped for {0}")]
    UnknownExit(String),
}

/// How a vCPU's thread has ended.
#[derive(Debug)]
pub enum Ended {
    /// The guest has switched the machine off.
    PoweredOff,
    /// The guest restarts the machine.
    Reset,
    /// It was told to.
    Stopped,
    /// It cannot go on.
    Failed(VcpuError),
}

/// What a machine's vCPUs have in common.
pub struct Shared {
    /// Its devices.
    pub bus: Bus,
    /// The machine itself.
    pub machine: Arc<dyn VirtualMachine>,
    /// Its RAM.
    pub ram: Ram,
    /// How many vCPUs it has.
    pub cpus: u32,
    /// What makes an address of a Realm a shared one; 0 in an ordinary machine.
    pub shared_bit: u64,
    /// They are to end.
    pub stop: Arc<AtomicBool>,
    /// Why they have stopped.
    pub exits: Arc<ExitCounters>,
    /// What is said of the guest.
    pub complaints: Complaints,
}

/// What the kernel says of an internal error, in one line. The Realm kernel module has two values
/// behind KVM's kind of the error: the second one tells what the first one is.
fn internal(flavour: Flavour, data: &[u64]) -> String {
    match (flavour, data) {
        (Flavour::Module, [_, value, 0]) => {
            format!("the RMM refuses to run it, X0 is {value:#x}")
        }
        (Flavour::Module, [_, value, 1]) => format!(
            "the guest did what cannot be emulated, or used private memory that it has lost: \
             syndrome or address {value:#x}"
        ),
        (Flavour::Module, [_, value, 2]) => {
            format!("the RMM gives a reason that is not known: {value:#x}")
        }
        _ => format!("the kernel says {data:x?}"),
    }
}

/// Runs a vCPU until it ends.
pub fn run(vcpu: &mut dyn Vcpu, shared: &Shared) -> Ended {
    loop {
        if shared.stop.load(Ordering::SeqCst) {
            return Ended::Stopped;
        }
        match step(vcpu, shared) {
            Ok(None) => {}
            Ok(Some(ended)) => return ended,
            Err(error) => return Ended::Failed(error),
        }
    }
}

fn step(vcpu: &mut dyn Vcpu, shared: &Shared) -> Result<Option<Ended>, VcpuError> {
    let exit = vcpu.run()?;
    shared.exits.count(reason(&exit));
    match exit {
        Exit::Read(address, data) => shared.bus.read(address & !shared.shared_bit, data),
        Exit::Write(address, data) => shared.bus.write(address & !shared.shared_bit, data),
        Exit::Convert(range, to) => convert(range, to, shared)?,
        Exit::Psci(function, arguments) => {
            let target = arguments[0];
            let status = psci(function, target, shared.cpus)?;
            debug!("PSCI {function:#x} about {target:#x}: {status}");
            vcpu.complete_psci(target, status)?;
        }
        Exit::PowerOff => return Ok(Some(Ended::PoweredOff)),
        Exit::Reset => return Ok(Some(Ended::Reset)),
        Exit::Crash => return Err(VcpuError::Crash),
        Exit::Interrupted => {}
        Exit::FailedEntry(reason) => return Err(VcpuError::FailedEntry(reason)),
        Exit::InternalError => {
            let what = internal(shared.machine.flavour(), &vcpu.error_data());
            return Err(VcpuError::Internal(what));
        }
        Exit::Unknown(name) => return Err(VcpuError::UnknownExit(name)),
    }
    Ok(None)
}

/// What is counted.
fn reason(exit: &Exit<'_>) -> Reason {
    match exit {
        Exit::Read(..) => Reason::Read,
        Exit::Write(..) => Reason::Write,
        Exit::Convert(..) => Reason::Convert,
        Exit::Psci(..) => Reason::Psci,
        Exit::Interrupted => Reason::Interrupted,
        Exit::PowerOff
        | Exit::Reset
        | Exit::Crash
        | Exit::FailedEntry(_)
        | Exit::InternalError
        | Exit::Unknown(_) => Reason::Other,
    }
}

/// Memory becomes private or shared because the Realm wants it. What is not whole pages of its RAM
/// stays as it is: the Realm is told that by the kernel when it runs again.
fn convert(range: Range, to: Visibility, shared: &Shared) -> Result<(), BackendError> {
    let ram = shared.ram.range();
    let base = range.base & !shared.shared_bit;
    let inside = base.is_multiple_of(PAGE_BYTES)
        && range.size.is_multiple_of(PAGE_BYTES)
        && range.size > 0
        && base >= ram.base
        && (base - ram.base)
            .checked_add(range.size)
            .is_some_and(|end| end <= ram.size);
    if !inside {
        let size = range.size;
        let what = format_args!("wants {size:#x} bytes at {base:#x} {to:?}, which is not RAM");
        shared.complaints.say("the guest", what);
        return Ok(());
    }
    let range = Range::new(base, range.size);
    shared.machine.convert(range, to)?;
    if to == Visibility::Private {
        // Nobody looks at the shared pages behind private ones; the host can have them back. The
        // kernel has let go of them by now.
        if let Err(error) = shared.ram.discard(range) {
            debug!("memory is not given back: {error}");
        }
    }
    Ok(())
}

/// The answer to a PSCI call that the RMM leaves to the host. The RMM has checked the arguments;
/// there is nothing that this host refuses about a vCPU that the machine has.
fn psci(function: u64, target: u64, cpus: u32) -> Result<i32, VcpuError> {
    match function {
        PSCI_AFFINITY_INFO_32 | PSCI_AFFINITY_INFO_64 => Ok(PSCI_SUCCESS),
        PSCI_CPU_ON_32 | PSCI_CPU_ON_64 => {
            let known = number(target).is_some_and(|number| number < u64::from(cpus));
            Ok(if known { PSCI_SUCCESS } else { PSCI_DENIED })
        }
        _ => Err(VcpuError::UnknownCall(function)),
    }
}

/// The number of the vCPU with an MPIDR: its affinity fields are the number's bits 3:0, 11:4, 19:12
/// and 27:20.
fn number(mpidr: u64) -> Option<u64> {
    let [zero, one, two] = [0, 8, 16].map(|shift| mpidr >> shift & 0xff);
    let three = mpidr >> 32 & 0xff;
    (zero < 16).then_some(zero | one << 4 | two << 12 | three << 20)
}

#[cfg(test)]
mod tests;
