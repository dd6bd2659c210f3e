//! The calls of `/dev/kvm` and `/dev/realm`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use kvm_bindings::{
    KVM_MEM_GUEST_MEMFD, KVM_MEMORY_EXIT_FLAG_PRIVATE, KVM_SYSTEM_EVENT_CRASH,
    KVM_SYSTEM_EVENT_RESET, KVM_SYSTEM_EVENT_SHUTDOWN, kvm_create_device, kvm_create_guest_memfd,
    kvm_device_attr, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3, kvm_memory_attributes,
    kvm_userspace_memory_region, kvm_userspace_memory_region2,
};
use kvm_ioctls::{Cap, DeviceFd, IoEventAddress, Kvm, VcpuExit, VcpuFd, VmFd};
use rmm_abi::statistics::Query;
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::ioctl::{ioctl_with_mut_ref, ioctl_with_ref};

use super::memory::Ram;
use super::uapi::{
    Information, KVM_ARM_RMI_POPULATE, KVM_ARM_VCPU_RMI_PSCI_COMPLETE, Populate, PsciComplete,
    REALM_CONFIGURE, REALM_INFORMATION, REALM_RMM_STATISTICS, REALM_STATISTICS, RealmConfiguration,
    RmmStatistics, Statistics,
};
use crate::backend::kvm::{Calls, VcpuCalls, VmCalls};
use crate::backend::{Exit, Visibility};
use crate::layout::Range;
use crate::rmm::{Answer, Questions};

/// A device node with KVM's interface.
#[derive(Debug)]
pub struct Node(Kvm);

impl Node {
    /// Opens a device node.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        Ok(Self(Kvm::new_with_path(path)?))
    }
}

impl Calls for Node {
    type Vm = Vm;

    fn api_version(&self) -> i32 {
        self.0.get_api_version()
    }

    fn max_cpus(&self) -> u32 {
        u32::try_from(self.0.check_extension_int(Cap::MaxVcpus)).unwrap_or(0)
    }

    fn information(&self) -> io::Result<Information> {
        let mut information = Information::default();
        // SAFETY: the module writes a `struct realm_information` there, which this is; another
        // device refuses the number.
        let result = unsafe { ioctl_with_mut_ref(&self.0, REALM_INFORMATION(), &mut information) };
        done(result).map(|()| information)
    }

    fn create_vm(&self, kind: u64) -> io::Result<Vm> {
        let fd = self.0.create_vm_with_type(kind)?;
        Ok(Vm(Arc::new(Inner {
            fd,
            gic: OnceLock::new(),
            ram: OnceLock::new(),
        })))
    }
}

impl Questions for Node {
    fn ask(&self, query: Query) -> io::Result<Answer> {
        let mut statistics = RmmStatistics {
            index: query.index(),
            ..RmmStatistics::default()
        };
        // SAFETY: the module reads and writes a `struct realm_rmm_statistics` there, which this is;
        // another device refuses the number.
        let result =
            unsafe { ioctl_with_mut_ref(&self.0, REALM_RMM_STATISTICS(), &mut statistics) };
        done(result).map(|()| Answer {
            words: statistics.words,
            counter: statistics.counter,
            frequency: statistics.frequency,
        })
    }
}

/// A virtual machine.
#[derive(Debug)]
pub struct Vm(Arc<Inner>);

/// What a virtual machine and its vCPUs hold: as long as one of their descriptors is open, the
/// guest may write to its RAM, and so the mapping must stay. Descriptors are closed first.
#[derive(Debug)]
struct Inner {
    fd: VmFd,
    gic: OnceLock<DeviceFd>,
    ram: OnceLock<Ram>,
}

fn done(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

impl VmCalls for Vm {
    type Vcpu = VmVcpu;

    fn configure(&self, configuration: &RealmConfiguration) -> io::Result<()> {
        // SAFETY: the kernel reads a `struct realm_configuration` there, which this is.
        done(unsafe { ioctl_with_ref(&self.0.fd, REALM_CONFIGURE(), configuration) })
    }

    fn create_guest_memfd(&self, bytes: u64) -> io::Result<OwnedFd> {
        let number = self.0.fd.create_guest_memfd(kvm_create_guest_memfd {
            size: bytes,
            flags: 0,
            reserved: [0; 6],
        })?;
        // SAFETY: the descriptor is new, and nobody else has it.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    }

    fn set_memory(&self, slot: u32, ram: &Ram, private: Option<&OwnedFd>) -> io::Result<()> {
        let range = ram.range();
        let userspace_addr = ram.region().as_ptr().addr() as u64;
        // The mapping has to be there longer than the slot, so it is kept first.
        self.0
            .ram
            .set(ram.clone())
            .map_err(|_| io::Error::from(io::ErrorKind::AlreadyExists))?;
        let Some(private) = private else {
            let region = kvm_userspace_memory_region {
                slot,
                flags: 0,
                guest_phys_addr: range.base,
                memory_size: range.size,
                userspace_addr,
            };
            // SAFETY: `userspace_addr` is a mapping of `range.size` bytes, which is accessed as
            // volatile memory only, and which `self.0` keeps until the machine's descriptor and
            // those of its vCPUs are closed.
            return Ok(unsafe { self.0.fd.set_user_memory_region(region) }?);
        };
        let region = kvm_userspace_memory_region2 {
            slot,
            flags: KVM_MEM_GUEST_MEMFD,
            guest_phys_addr: range.base,
            memory_size: range.size,
            userspace_addr,
            guest_memfd_offset: 0,
            guest_memfd: u32::try_from(private.as_raw_fd()).map_err(io::Error::other)?,
            ..Default::default()
        };
        // SAFETY: as above.
        Ok(unsafe { self.0.fd.set_user_memory_region2(region) }?)
    }

    fn set_attributes(&self, range: Range, attributes: u64) -> io::Result<()> {
        Ok(self.0.fd.set_memory_attributes(kvm_memory_attributes {
            address: range.base,
            size: range.size,
            attributes,
            flags: 0,
        })?)
    }

    fn populate(&self, request: &mut Populate, source: &[u8]) -> io::Result<()> {
        // Whatever the caller says, the kernel reads no more than the slice.
        request.source_uaddr = source.as_ptr().addr() as u64;
        request.size = source.len() as u64;
        // SAFETY: the kernel reads and writes a `struct kvm_arm_rmi_populate`, which this is, and
        // reads from the slice.
        done(unsafe { ioctl_with_mut_ref(&self.0.fd, KVM_ARM_RMI_POPULATE(), request) })
    }

    fn create_gic(&self) -> io::Result<()> {
        let mut device = kvm_create_device {
            type_: kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3,
            fd: 0,
            flags: 0,
        };
        let device = self.0.fd.create_device(&mut device)?;
        self.0
            .gic
            .set(device)
            .map_err(|_| io::ErrorKind::AlreadyExists.into())
    }

    fn set_gic(&self, group: u32, attribute: u64, value: Option<u64>) -> io::Result<()> {
        let gic = self.0.gic.get().ok_or(io::ErrorKind::NotFound)?;
        // The kernel takes 32 or 64 bits from there, and the machine is little-endian.
        let addr = value
            .as_ref()
            .map_or(0, |value| std::ptr::from_ref(value).addr() as u64);
        Ok(gic.set_device_attr(&kvm_device_attr {
            flags: 0,
            group,
            attr: attribute,
            addr,
        })?)
    }

    fn irqfd(&self, event: &EventFd, gsi: u32) -> io::Result<()> {
        Ok(self.0.fd.register_irqfd(event, gsi)?)
    }

    fn ioeventfd(&self, event: &EventFd, address: u64, value: u32) -> io::Result<()> {
        let address = IoEventAddress::Mmio(address);
        Ok(self.0.fd.register_ioevent(event, &address, value)?)
    }

    fn create_vcpu(&self, number: u32, features: u32) -> io::Result<VmVcpu> {
        let fd = self.0.fd.create_vcpu(number.into())?;
        initialize(&self.0.fd, &fd, features)?;
        Ok(VmVcpu {
            fd,
            _vm: Arc::clone(&self.0),
        })
    }

    fn statistics(&self) -> io::Result<Statistics> {
        let mut statistics = Statistics::default();
        // SAFETY: the module writes a `struct realm_statistics` there, which this is; another
        // device refuses the number.
        let result = unsafe { ioctl_with_mut_ref(&self.0.fd, REALM_STATISTICS(), &mut statistics) };
        done(result).map(|()| statistics)
    }
}

#[cfg(target_arch = "aarch64")]
fn initialize(vm: &VmFd, vcpu: &VcpuFd, features: u32) -> io::Result<()> {
    let mut target = kvm_bindings::kvm_vcpu_init::default();
    vm.get_preferred_target(&mut target)?;
    target.features[0] |= features;
    Ok(vcpu.vcpu_init(&target)?)
}

/// Machines of another architecture run no guests of this one.
#[cfg(not(target_arch = "aarch64"))]
fn initialize(_vm: &VmFd, _vcpu: &VcpuFd, _features: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A vCPU.
#[derive(Debug)]
pub struct VmVcpu {
    fd: VcpuFd,
    /// Keeps RAM mapped; behind the descriptor, so that that is closed first.
    _vm: Arc<Inner>,
}

impl VcpuCalls for VmVcpu {
    fn set_register(&self, register: u64, value: u64) -> io::Result<()> {
        self.fd.set_one_reg(register, &value.to_le_bytes())?;
        Ok(())
    }

    fn run(&mut self) -> io::Result<Exit<'_>> {
        Ok(match self.fd.run()? {
            VcpuExit::MmioRead(address, data) => Exit::Read(address, data),
            VcpuExit::MmioWrite(address, data) => Exit::Write(address, data),
            VcpuExit::MemoryFault { flags, gpa, size } => {
                let private = flags & u64::from(KVM_MEMORY_EXIT_FLAG_PRIVATE) != 0;
                let to = if private {
                    Visibility::Private
                } else {
                    Visibility::Shared
                };
                Exit::Convert(Range::new(gpa, size), to)
            }
            VcpuExit::Hypercall(call) => Exit::Psci(call.nr, call.args),
            VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_SHUTDOWN, _) => Exit::PowerOff,
            VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_RESET, _) => Exit::Reset,
            VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_CRASH, _) => Exit::Crash,
            VcpuExit::Intr => Exit::Interrupted,
            VcpuExit::FailEntry(reason, _) => Exit::FailedEntry(reason),
            VcpuExit::InternalError => Exit::InternalError,
            other => Exit::Unknown(format!("{other:?}")),
        })
    }

    fn complete_psci(&mut self, target_mpidr: u64, status: u32) -> io::Result<()> {
        let answer = PsciComplete {
            target_mpidr,
            psci_status: status,
            padding: [0; 3],
        };
        // SAFETY: the kernel reads a `struct kvm_arm_rmi_psci_complete` there, which this is.
        done(unsafe { ioctl_with_ref(&self.fd, KVM_ARM_VCPU_RMI_PSCI_COMPLETE(), &answer) })
    }

    fn error_data(&mut self) -> Vec<u64> {
        let run = self.fd.get_kvm_run();
        // SAFETY: all members of the union are numbers, for which every pattern of bits is a
        // value; whether the last exit was one with this member does not matter for that.
        let internal = unsafe { run.__bindgen_anon_1.internal };
        let count = usize::try_from(internal.ndata).unwrap_or(0);
        let mut data = vec![internal.suberror.into()];
        data.extend(internal.data.iter().take(count));
        data
    }
}
