//! What a machine runs on: the Realm kernel module, KVM, or KVM with Realms of its own, behind one
//! interface.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use thiserror::Error;
use tracing::debug;
use vmm_sys_util::eventfd::EventFd;

use crate::configuration::{Backend, Configuration};
use crate::layout::{Layout, Range, Spi};
use crate::load::Page;
use crate::sys::kvm::Node;
use crate::sys::memory::Ram;
use crate::sys::uapi::{Information, Statistics};

pub mod abilities;
pub mod kvm;

use abilities::Lack;
use kvm::{Calls as _, Flavour, Machine};

/// Why a machine cannot be made, or cannot go on.
#[derive(Error, Debug)]
pub enum BackendError {
    /// There is no device node.
    #[error("{path}: {what}", path = path.display(), what = missing(*.flavour))]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// Of which back-end.
        flavour: Flavour,
    },
    /// It is not for this user.
    #[error("{path}: no permission: run as root, or as a user who may open it", path = .0.display())]
    Permission(PathBuf),
    /// It cannot be opened.
    #[error("{path}: {error}", path = path.display())]
    Open {
        /// The device node.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is something else.
    #[error("{path}: not a device node of {flavour}", path = path.display())]
    Foreign {
        /// The device node.
        path: PathBuf,
        /// The back-end that was expected.
        flavour: Flavour,
    },
    /// The module and this command are from different times.
    #[error(
        "the Realm kernel module has interface {0}, and this host-vmm speaks {expected}: \
         install module and host-vmm of the same release",
        expected = crate::sys::uapi::MODULE_INTERFACE
    )]
    ModuleInterface(u32),
    /// The kernel's KVM has no Realms.
    #[error("this kernel's KVM has no support for Realms: load the Realm kernel module (realm.ko)")]
    NoRealms,
    /// The machine has no Realm world.
    #[error(
        "there is no Realm Management Monitor: this machine or its firmware has no Arm CCA, or it is switched off"
    )]
    NoRmm,
    /// The RMM is too old or too new.
    #[error(
        "the Realm Management Monitor speaks RMI {0}, and {1} speaks RMI 1.0: \
         update the one that is older"
    )]
    RmmVersion(RmiVersion, Flavour),
    /// The RMM cannot do what the configuration says.
    #[error("the Realm Management Monitor of this machine does not have {0}")]
    Lack(Lack),
    /// The back-end cannot do what the configuration says.
    #[error("{flavour} cannot do this: {what}")]
    Unsupported {
        /// The back-end.
        flavour: Flavour,
        /// What was asked for.
        what: &'static str,
    },
    /// The back-end runs fewer vCPUs.
    #[error("{flavour} runs at most {limit} vCPUs")]
    TooManyCpus {
        /// The back-end.
        flavour: Flavour,
        /// How many it runs.
        limit: u32,
    },
    /// A call failed.
    #[error("{what}: {error}")]
    Call {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        error: io::Error,
    },
}

/// A version of the interface between host and RMM, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RmiVersion(pub Option<(u16, u16)>);

impl fmt::Display for RmiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((major, minor)) => write!(f, "{major}.{minor}"),
            None => f.write_str("of another version"),
        }
    }
}

impl RmiVersion {
    /// The one that the Realm kernel module has heard; it says 0.0 if it has heard nothing.
    pub fn heard(information: &Information) -> Self {
        let version = (information.rmi_major, information.rmi_minor);
        Self((version != (0, 0)).then_some(version))
    }
}

fn missing(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Module => "no such device: load the Realm kernel module (realm.ko)",
        Flavour::Ordinary | Flavour::KvmCca => {
            "no such device: this kernel has no KVM, or was not started at EL2"
        }
    }
}

/// Who can see a range of a Realm's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visibility {
    /// The Realm alone.
    Private,
    /// The Realm and this process.
    Shared,
}

/// A virtual machine without its vCPUs. Addresses are without the shared bit.
pub trait VirtualMachine: Send + Sync {
    /// On what it runs.
    fn flavour(&self) -> Flavour;

    /// Gives it its RAM. In a Realm all of it is private then.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn set_ram(&self, ram: &Ram) -> Result<(), BackendError>;

    /// Fills private memory with whole pages, which are measured. The kernel may stop in between;
    /// the number of pages that are done comes back, and is not 0.
    ///
    /// # Errors
    ///
    /// If the kernel refuses, or if the machine is no Realm.
    fn populate(&self, ipa: u64, pages: &[Page]) -> Result<usize, BackendError>;

    /// Makes whole pages of a Realm's RAM private or shared.
    ///
    /// # Errors
    ///
    /// If the kernel refuses, or if the machine is no Realm.
    fn convert(&self, range: Range, to: Visibility) -> Result<(), BackendError>;

    /// Makes a vCPU; the numbers go up from 0. One with a start begins there, the others wait
    /// until the guest switches them on.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn create_vcpu(
        &self,
        number: u32,
        start: Option<&Start>,
    ) -> Result<Box<dyn Vcpu>, BackendError>;

    /// Makes the interrupt controller, after the vCPUs.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn create_interrupt_controller(&self, layout: &Layout) -> Result<(), BackendError>;

    /// Each time that `event` is written to there is an edge of the interrupt.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn connect_interrupt(&self, event: &EventFd, interrupt: Spi) -> Result<(), BackendError>;

    /// Writes of a 32-bit value to an address go to `event` instead of leaving the kernel.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn connect_notifier(
        &self,
        event: &EventFd,
        address: u64,
        value: u32,
    ) -> Result<(), BackendError>;

    /// Makes a vCPU that runs in this thread return soon. It may be called too early, and so is
    /// called until the thread has ended.
    fn interrupt(&self, thread: &JoinHandle<()>);

    /// How the memory of a Realm is mapped, where that is known.
    fn statistics(&self) -> Option<Statistics> {
        None
    }
}

/// Where a vCPU begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// Its first instruction.
    pub entry: u64,
    /// X0 to X7.
    pub registers: [u64; 8],
}

/// A vCPU.
pub trait Vcpu: Send {
    /// Runs until there is something to do for this process. What a read of the guest shall see
    /// goes into the exit's bytes, before the next call.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn run(&mut self) -> Result<Exit<'_>, BackendError>;

    /// Answers the PSCI call that the last run has ended with.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn complete_psci(&mut self, target_mpidr: u64, status: i32) -> Result<(), BackendError>;

    /// What the kernel says about the [`Exit::InternalError`] that the last run has ended with.
    fn error_data(&mut self) -> Vec<u64>;
}

/// Why a vCPU does not run.
#[derive(PartialEq, Eq, Debug)]
pub enum Exit<'a> {
    /// It reads where there is no memory: address, bytes to be filled.
    Read(u64, &'a mut [u8]),
    /// It writes where there is no memory: address, bytes.
    Write(u64, &'a [u8]),
    /// A Realm wants its memory to be private or shared.
    Convert(Range, Visibility),
    /// It makes a PSCI call that is for this process: function, arguments.
    Psci(u64, [u64; 6]),
    /// The guest has switched the machine off.
    PowerOff,
    /// The guest restarts the machine.
    Reset,
    /// The guest says that it has crashed.
    Crash,
    /// A signal came, or it was told to return.
    Interrupted,
    /// It cannot be run: the hardware's reason.
    FailedEntry(u64),
    /// It cannot go on; [`Vcpu::error_data`] has more.
    InternalError,
    /// Something that nobody has asked the kernel for: KVM's number or name.
    Unknown(String),
}

/// Makes the virtual machine of a configuration, on what the configuration says or the first that
/// can. Its device node stays open in `held`, and is taken when the machine is made again.
///
/// # Errors
///
/// If there is none that can.
pub fn create(
    configuration: &Configuration,
    layout: &Layout,
    held: &OnceLock<(Flavour, Node)>,
) -> Result<Arc<dyn VirtualMachine>, BackendError> {
    if let Some((flavour, node)) = held.get() {
        let machine = Machine::create(node, *flavour, configuration, layout)?;
        return Ok(Arc::new(machine));
    }
    let nodes = &configuration.device_nodes;
    let on = |flavour: Flavour, path: &Path| -> Result<Arc<dyn VirtualMachine>, BackendError> {
        let node = Node::open(path).map_err(|error| opening(path, flavour, error))?;
        if node.api_version() != kvm::API_VERSION {
            return Err(BackendError::Foreign {
                path: path.into(),
                flavour,
            });
        }
        let machine = Machine::create(&node, flavour, configuration, layout)?;
        debug!("the machine runs on {flavour}");
        // It is the first: else it would have been taken.
        let _ = held.set((flavour, node));
        Ok(Arc::new(machine))
    };
    match (configuration.backend, &configuration.realm) {
        (Backend::Auto | Backend::Kvm, None) => on(Flavour::Ordinary, &nodes.kvm),
        (Backend::Module, None) => Err(BackendError::Unsupported {
            flavour: Flavour::Module,
            what: "an ordinary virtual machine",
        }),
        (Backend::KvmCca, None) => Err(BackendError::Unsupported {
            flavour: Flavour::KvmCca,
            what: "an ordinary virtual machine",
        }),
        (Backend::Kvm, Some(_)) => Err(BackendError::Unsupported {
            flavour: Flavour::Ordinary,
            what: "a Realm",
        }),
        (Backend::Module, Some(_)) => on(Flavour::Module, &nodes.realm),
        (Backend::KvmCca, Some(_)) => on(Flavour::KvmCca, &nodes.kvm),
        // A kernel with Realms of its own knows its RMM best; the module is for all others.
        (Backend::Auto, Some(_)) => on(Flavour::KvmCca, &nodes.kvm).or_else(|error| {
            debug!("no Realms in the kernel's KVM: {error}");
            on(Flavour::Module, &nodes.realm).map_err(|second| more_telling(error, second))
        }),
    }
}

/// Which of two errors an operator should see: of the kernel's KVM, and of the module behind it. That
/// the module is not loaded says little when KVM has Realms and something else is wrong.
fn more_telling(kvm: BackendError, module: BackendError) -> BackendError {
    match (&kvm, &module) {
        (BackendError::NoRealms | BackendError::Missing { .. }, _) => module,
        (_, BackendError::Missing { .. }) => kvm,
        _ => module,
    }
}

fn opening(path: &Path, flavour: Flavour, error: io::Error) -> BackendError {
    match error.kind() {
        io::ErrorKind::NotFound => BackendError::Missing {
            path: path.into(),
            flavour,
        },
        io::ErrorKind::PermissionDenied => BackendError::Permission(path.into()),
        _ => BackendError::Open {
            path: path.into(),
            error,
        },
    }
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
