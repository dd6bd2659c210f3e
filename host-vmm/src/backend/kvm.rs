//! KVM's interface, which all back-ends have. What tells them apart is here: the number of the
//! machine's type, the parameters of a Realm, and who answers PSCI.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::thread::JoinHandle;

use vmm_sys_util::eventfd::EventFd;
use zerocopy::IntoBytes as _;

use super::abilities::Abilities;
use super::{BackendError, Exit, RmiVersion, Start, Vcpu, VirtualMachine, Visibility};
use crate::configuration::{Configuration, HashAlgorithm, PersonalizationValue, RealmOptions};
use crate::devices::lock;
use crate::layout::{GIC_DISTRIBUTOR, INTERRUPTS, Layout, Range, Spi};
use crate::load::Page;
use crate::sys::memory::Ram;
use crate::sys::signal;
use crate::sys::uapi::{
    CONFIGURE_PMU, CONFIGURE_SVE, HASH_SHA256, HASH_SHA512, Information, MODULE_INTERFACE,
    POPULATE_FLAGS_MEASURE, Populate, RealmConfiguration, Statistics,
};

/// `KVM_API_VERSION`: of all kernels since 2007.
pub const API_VERSION: i32 = 12;

/// `KVM_CREATE_VM`, up to series v13 and for the module: a Realm. The width of the address space
/// is in bits 7:0.
const REALM_TYPE_MODULE: u64 = 0x100;
/// The same, from series v14 on.
const REALM_TYPE_KVM: u64 = 1 << 30;

/// `KVM_MEMORY_ATTRIBUTE_PRIVATE`.
const ATTRIBUTE_PRIVATE: u64 = 1 << 3;

// Attributes of the GICv3, which KVM's bindings have for arm64 hosts only.
const GIC_GROUP_ADDRESSES: u32 = 0;
const GIC_ADDRESS_DISTRIBUTOR: u64 = 2;
const GIC_ADDRESS_REDISTRIBUTORS: u64 = 3;
const GIC_GROUP_INTERRUPTS: u32 = 3;
const GIC_GROUP_CONTROL: u32 = 4;
const GIC_CONTROL_INITIALIZE: u64 = 0;

// Registers of a vCPU: 64 bits wide, of the core, by their place in `struct kvm_regs`.
const REGISTER_X0: u64 = 0x6030_0000_0010_0000;
const REGISTER_PC: u64 = REGISTER_X0 + 0x40;

/// `KVM_ARM_VCPU_POWER_OFF`.
const FEATURE_POWER_OFF: u32 = 0;
/// `KVM_ARM_VCPU_PSCI_0_2`.
const FEATURE_PSCI: u32 = 2;

/// Pages that are populated at once: the kernel is left in between, so that this process can end
/// and show how far it is.
const POPULATE_PAGES: usize = 256;

/// The slot of RAM; there is no other.
const RAM_SLOT: u32 = 0;

/// A kind of back-end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flavour {
    /// KVM, for an ordinary machine.
    Ordinary,
    /// The Realm kernel module.
    Module,
    /// KVM with Realms of its own: series v14 and v15 of the patches for Arm CCA hosts.
    KvmCca,
}

impl Flavour {
    /// Its name, as `--backend` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "kvm",
            Self::Module => "module",
            Self::KvmCca => "kvm-cca",
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordinary => "KVM",
            Self::Module => "the Realm kernel module",
            Self::KvmCca => "KVM's support for Realms",
        })
    }
}

/// Calls of a device node (`/dev/kvm`, `/dev/realm`); `sys::kvm` makes them, tests play them.
pub trait Calls {
    /// A virtual machine.
    type Vm: VmCalls;

    /// `KVM_GET_API_VERSION`; something else than [`API_VERSION`] from another device.
    fn api_version(&self) -> i32;

    /// `KVM_CAP_MAX_VCPUS`, and 0 where nothing is known.
    fn max_cpus(&self) -> u32;

    /// `REALM_INFORMATION`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    fn information(&self) -> io::Result<Information>;

    /// `KVM_CREATE_VM`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    fn create_vm(&self, kind: u64) -> io::Result<Self::Vm>;
}

/// Calls of a virtual machine. All give the kernel's errors.
#[allow(clippy::missing_errors_doc)]
pub trait VmCalls: Send + Sync + 'static {
    /// A vCPU.
    type Vcpu: VcpuCalls;

    /// `REALM_CONFIGURE`.
    fn configure(&self, configuration: &RealmConfiguration) -> io::Result<()>;

    /// `KVM_CREATE_GUEST_MEMFD`.
    fn create_guest_memfd(&self, bytes: u64) -> io::Result<OwnedFd>;

    /// `KVM_SET_USER_MEMORY_REGION2`.
    fn set_memory(&self, slot: u32, ram: &Ram, private: Option<&OwnedFd>) -> io::Result<()>;

    /// `KVM_SET_MEMORY_ATTRIBUTES`.
    fn set_attributes(&self, range: Range, attributes: u64) -> io::Result<()>;

    /// `KVM_ARM_RMI_POPULATE` with `source` as where the content comes from. The structure
    /// advances by what is done, also when there is an error.
    fn populate(&self, request: &mut Populate, source: &[u8]) -> io::Result<()>;

    /// `KVM_CREATE_DEVICE` of the interrupt controller, which lives as long as the machine.
    fn create_gic(&self) -> io::Result<()>;

    /// `KVM_SET_DEVICE_ATTR` of the interrupt controller, with a value of 64 bits.
    fn set_gic(&self, group: u32, attribute: u64, value: Option<u64>) -> io::Result<()>;

    /// `KVM_IRQFD`.
    fn irqfd(&self, event: &EventFd, gsi: u32) -> io::Result<()>;

    /// `KVM_IOEVENTFD` for writes of 32 bits.
    fn ioeventfd(&self, event: &EventFd, address: u64, value: u32) -> io::Result<()>;

    /// `KVM_CREATE_VCPU`, `KVM_ARM_PREFERRED_TARGET` and `KVM_ARM_VCPU_INIT` with a set of
    /// features.
    fn create_vcpu(&self, number: u32, features: u32) -> io::Result<Self::Vcpu>;

    /// `REALM_STATISTICS`.
    fn statistics(&self) -> io::Result<Statistics>;
}

/// Calls of a vCPU. All give the kernel's errors.
#[allow(clippy::missing_errors_doc)]
pub trait VcpuCalls: Send + 'static {
    /// `KVM_SET_ONE_REG`.
    fn set_register(&self, register: u64, value: u64) -> io::Result<()>;

    /// `KVM_RUN`.
    fn run(&mut self) -> io::Result<Exit<'_>>;

    /// `KVM_ARM_VCPU_RMI_PSCI_COMPLETE`.
    fn complete_psci(&mut self, target_mpidr: u64, status: u32) -> io::Result<()>;

    /// What `KVM_EXIT_INTERNAL_ERROR` has come with.
    fn error_data(&mut self) -> Vec<u64>;
}

/// Says what was to be done when a call fails.
fn call<T>(what: &'static str, result: io::Result<T>) -> Result<T, BackendError> {
    result.map_err(|error| BackendError::Call { what, error })
}

/// A virtual machine by KVM's interface.
pub struct Machine<V> {
    vm: V,
    flavour: Flavour,
    /// Stands for a Realm's private memory.
    private: Mutex<Option<OwnedFd>>,
}

impl<V: VmCalls> Machine<V> {
    /// Makes the machine of a configuration.
    ///
    /// # Errors
    ///
    /// If this back-end cannot do what the configuration says, or the kernel refuses.
    pub fn create(
        node: &impl Calls<Vm = V>,
        flavour: Flavour,
        configuration: &Configuration,
        layout: &Layout,
    ) -> Result<Self, BackendError> {
        let mut version = RmiVersion(None);
        if flavour == Flavour::Module {
            let information = call("asking the Realm kernel module", node.information())?;
            if information.module_interface != MODULE_INTERFACE {
                return Err(BackendError::ModuleInterface(information.module_interface));
            }
            version = RmiVersion::heard(&information);
            let abilities = Abilities::new(information.features);
            if let Some(lack) = abilities.and_then(|all| all.lack(configuration, layout)) {
                return Err(BackendError::Lack(lack));
            }
        }
        let vm = node
            .create_vm(kind(flavour, layout.ipa_bits))
            .map_err(|error| creation(flavour, version, error))?;
        let limit = node.max_cpus();
        if limit > 0 && configuration.cpus.get() > limit {
            return Err(BackendError::TooManyCpus { flavour, limit });
        }
        match (flavour, &configuration.realm) {
            (Flavour::Module, Some(options)) => call(
                "setting the Realm's parameters",
                vm.configure(&parameters(options)),
            )?,
            (Flavour::KvmCca, Some(options)) => only_defaults(options)?,
            _ => {}
        }
        Ok(Self {
            vm,
            flavour,
            private: Mutex::new(None),
        })
    }

    fn realm_only(&self, what: &'static str) -> Result<(), BackendError> {
        match self.flavour {
            Flavour::Ordinary => Err(BackendError::Unsupported {
                flavour: self.flavour,
                what,
            }),
            Flavour::Module | Flavour::KvmCca => Ok(()),
        }
    }
}

/// The type of a machine with addresses of so many bits, as `KVM_CREATE_VM` takes it.
pub const fn kind(flavour: Flavour, address_bits: u8) -> u64 {
    let bits = address_bits as u64;
    match flavour {
        Flavour::Ordinary => bits,
        Flavour::Module => REALM_TYPE_MODULE | bits,
        Flavour::KvmCca => REALM_TYPE_KVM | bits,
    }
}

/// What it means that a machine cannot be made. The numbers of capabilities tell nothing about
/// Realms: kernels without them have given the numbers to something else.
fn creation(flavour: Flavour, version: RmiVersion, error: io::Error) -> BackendError {
    match (flavour, error.raw_os_error()) {
        (Flavour::KvmCca, Some(libc::EINVAL)) => BackendError::NoRealms,
        (Flavour::Module | Flavour::KvmCca, Some(libc::ENODEV)) => BackendError::NoRmm,
        (Flavour::Module | Flavour::KvmCca, Some(libc::EPROTONOSUPPORT)) => {
            BackendError::RmmVersion(version, flavour)
        }
        _ => BackendError::Call {
            what: "making the machine",
            error,
        },
    }
}

fn parameters(options: &RealmOptions) -> RealmConfiguration {
    let sve = options.sve_vl.map_or(0, |_| CONFIGURE_SVE);
    let pmu = options.pmu_counters.map_or(0, |_| CONFIGURE_PMU);
    RealmConfiguration {
        flags: sve | pmu,
        hash_algorithm: match options.hash_algorithm {
            HashAlgorithm::Sha256 => HASH_SHA256,
            HashAlgorithm::Sha512 => HASH_SHA512,
        },
        sve_vl: options.sve_vl.unwrap_or(0),
        pmu_counters: options.pmu_counters.unwrap_or(0),
        breakpoints: options.breakpoints,
        watchpoints: options.watchpoints,
        reserved: [0; 7],
        personalization_value: *options.personalization_value.as_bytes(),
    }
}

/// Series v14 and v15 choose the parameters of a Realm themselves.
fn only_defaults(options: &RealmOptions) -> Result<(), BackendError> {
    let unsupported = |what| {
        Err(BackendError::Unsupported {
            flavour: Flavour::KvmCca,
            what,
        })
    };
    let default = RealmOptions::default();
    if options.personalization_value != PersonalizationValue::default() {
        return unsupported("a personalization value");
    }
    if options.hash_algorithm != default.hash_algorithm {
        return unsupported("another hash algorithm than SHA-256");
    }
    if *options != default {
        return unsupported("parameters of the Realm's CPUs");
    }
    Ok(())
}

impl<V: VmCalls> VirtualMachine for Machine<V> {
    fn flavour(&self) -> Flavour {
        self.flavour
    }

    fn set_ram(&self, ram: &Ram) -> Result<(), BackendError> {
        let private = match self.flavour {
            Flavour::Ordinary => None,
            Flavour::Module | Flavour::KvmCca => Some(call(
                "making private memory",
                self.vm.create_guest_memfd(ram.range().size),
            )?),
        };
        call(
            "giving the machine its memory",
            self.vm.set_memory(RAM_SLOT, ram, private.as_ref()),
        )?;
        if private.is_some() {
            self.convert(ram.range(), Visibility::Private)?;
        }
        *lock(&self.private) = private;
        Ok(())
    }

    fn populate(&self, ipa: u64, pages: &[Page]) -> Result<usize, BackendError> {
        self.realm_only("private memory")?;
        let source = pages[..pages.len().min(POPULATE_PAGES)].as_bytes();
        let mut request = Populate {
            base: ipa,
            size: source.len() as u64,
            source_uaddr: source.as_ptr().addr() as u64,
            flags: POPULATE_FLAGS_MEASURE,
            reserved: 0,
        };
        let result = self.vm.populate(&mut request, source);
        let left = usize::try_from(request.size).unwrap_or(usize::MAX);
        let done = source.len().saturating_sub(left) / size_of::<Page>();
        match result {
            // What is done is done; an error comes again if it has to.
            _ if done > 0 => Ok(done),
            Ok(()) => call(
                "filling private memory",
                Err(io::ErrorKind::WriteZero.into()),
            ),
            Err(error) => call("filling private memory", Err(error)),
        }
    }

    fn convert(&self, range: Range, to: Visibility) -> Result<(), BackendError> {
        self.realm_only("private memory")?;
        let (what, attributes) = match to {
            Visibility::Private => ("making memory private", ATTRIBUTE_PRIVATE),
            Visibility::Shared => ("making memory shared", 0),
        };
        call(what, self.vm.set_attributes(range, attributes))
    }

    fn create_vcpu(
        &self,
        number: u32,
        start: Option<&Start>,
    ) -> Result<Box<dyn Vcpu>, BackendError> {
        let waits = if start.is_none() {
            1 << FEATURE_POWER_OFF
        } else {
            0
        };
        let vcpu = self.vm.create_vcpu(number, 1 << FEATURE_PSCI | waits);
        let vcpu = call("making a vCPU", vcpu)?;
        if let Some(start) = start {
            let set =
                |register, value| call("setting registers", vcpu.set_register(register, value));
            set(REGISTER_PC, start.entry)?;
            // A place in `struct kvm_regs` is counted in words of 32 bits.
            for (register, value) in (REGISTER_X0..).step_by(2).zip(start.registers) {
                set(register, value)?;
            }
        }
        Ok(Box::new(MachineVcpu(vcpu)))
    }

    fn create_interrupt_controller(&self, layout: &Layout) -> Result<(), BackendError> {
        let what = "making the interrupt controller";
        call(what, self.vm.create_gic())?;
        for (group, attribute, value) in [
            (GIC_GROUP_INTERRUPTS, 0, Some(INTERRUPTS.into())),
            (
                GIC_GROUP_ADDRESSES,
                GIC_ADDRESS_DISTRIBUTOR,
                Some(GIC_DISTRIBUTOR.base),
            ),
            (
                GIC_GROUP_ADDRESSES,
                GIC_ADDRESS_REDISTRIBUTORS,
                Some(layout.gic_redistributors.base),
            ),
            (GIC_GROUP_CONTROL, GIC_CONTROL_INITIALIZE, None),
        ] {
            call(what, self.vm.set_gic(group, attribute, value))?;
        }
        Ok(())
    }

    fn connect_interrupt(&self, event: &EventFd, interrupt: Spi) -> Result<(), BackendError> {
        call("connecting an interrupt", self.vm.irqfd(event, interrupt.0))
    }

    fn connect_notifier(
        &self,
        event: &EventFd,
        address: u64,
        value: u32,
    ) -> Result<(), BackendError> {
        call(
            "connecting a device's queue",
            self.vm.ioeventfd(event, address, value),
        )
    }

    fn interrupt(&self, thread: &JoinHandle<()>) {
        signal::interrupt(thread);
    }

    fn statistics(&self) -> Option<Statistics> {
        match self.flavour {
            Flavour::Module => self.vm.statistics().ok(),
            Flavour::Ordinary | Flavour::KvmCca => None,
        }
    }
}

/// A vCPU by KVM's interface.
struct MachineVcpu<V>(V);

impl<V: VcpuCalls> Vcpu for MachineVcpu<V> {
    fn run(&mut self) -> Result<Exit<'_>, BackendError> {
        match self.0.run() {
            Ok(exit) => Ok(exit),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) =>
            {
                Ok(Exit::Interrupted)
            }
            Err(error) => call("running a vCPU", Err(error)),
        }
    }

    fn complete_psci(&mut self, target_mpidr: u64, status: i32) -> Result<(), BackendError> {
        call(
            "answering a PSCI call",
            self.0.complete_psci(target_mpidr, status.cast_unsigned()),
        )
    }

    fn error_data(&mut self) -> Vec<u64> {
        self.0.error_data()
    }
}

#[cfg(test)]
pub(crate) mod tests;
