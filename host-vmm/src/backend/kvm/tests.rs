//! A stand-in for a kernel: which calls each back-end makes, in which order, and what it makes of
//! the answers. Its populate is that of the patches: it advances the structure by what is done.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use vmm_sys_util::eventfd::EFD_NONBLOCK;

use super::*;
use crate::backend::fake::configuration;
use crate::configuration::{CpuCount, MemorySize};
use crate::layout::PAGE_BYTES;

/// A call, with its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    CreateVm(u64),
    Configure(RealmConfiguration),
    GuestMemory(u64),
    SetMemory(u32, Range, bool),
    SetAttributes(Range, u64),
    /// Base, size, flags, and the first byte of the content.
    Populate(u64, u64, u32, u8),
    CreateGic,
    SetGic(u32, u64, Option<u64>),
    Irqfd(u32),
    Ioeventfd(u64, u32),
    CreateVcpu(u32, u32),
    SetRegister(u64, u64),
    PsciComplete(u64, u32),
}

pub(crate) type Log = Arc<Mutex<Vec<Call>>>;

/// A kernel, by what tells it from others.
pub(crate) struct Kernel {
    /// The type of machines that it makes, without the width of their addresses.
    pub(crate) kind: Option<u64>,
    /// What else `KVM_CREATE_VM` says.
    pub(crate) refuses: i32,
    pub(crate) max_cpus: u32,
    pub(crate) module: Option<u32>,
    /// What the module knows of the RMM.
    pub(crate) rmi: (u16, u16),
    pub(crate) features: u64,
    /// Bytes that one call populates.
    pub(crate) populates: u64,
    /// How populating ends after that.
    pub(crate) interrupts: Option<i32>,
    pub(crate) log: Log,
}

impl Kernel {
    pub(crate) fn new(kind: Option<u64>) -> Self {
        Self {
            kind,
            refuses: libc::EINVAL,
            max_cpus: 512,
            module: None,
            rmi: (0, 0),
            features: 0,
            populates: u64::MAX,
            interrupts: None,
            log: Log::default(),
        }
    }

    /// A stock kernel of today.
    pub(crate) fn stock() -> Self {
        Self::new(Some(0))
    }

    /// One with series v14 or v15 of the patches for Arm CCA hosts.
    pub(crate) fn cca() -> Self {
        Self::new(Some(1 << 30))
    }

    /// The device of the Realm kernel module.
    pub(crate) fn module() -> Self {
        Self {
            module: Some(1),
            ..Self::new(Some(0x100))
        }
    }

    fn create(
        &self,
        flavour: Flavour,
        configuration: &Configuration,
    ) -> Result<Machine<FakeVm>, BackendError> {
        Machine::create(self, flavour, configuration, &layout(configuration))
    }

    fn log(&self) -> Vec<Call> {
        lock(&self.log).clone()
    }
}

fn layout(configuration: &Configuration) -> Layout {
    Layout::new(configuration.memory, configuration.cpus)
}

fn failure<T>(number: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(number))
}

impl Calls for Kernel {
    type Vm = FakeVm;

    fn api_version(&self) -> i32 {
        API_VERSION
    }

    fn max_cpus(&self) -> u32 {
        self.max_cpus
    }

    fn information(&self) -> io::Result<Information> {
        match self.module {
            Some(module_interface) => Ok(Information {
                module_interface,
                rmi_major: self.rmi.0,
                rmi_minor: self.rmi.1,
                features: self.features,
                ..Information::default()
            }),
            None => failure(libc::ENOTTY),
        }
    }

    fn create_vm(&self, kind: u64) -> io::Result<FakeVm> {
        lock(&self.log).push(Call::CreateVm(kind));
        if self.kind != Some(kind & !0xff) {
            return failure(self.refuses);
        }
        Ok(FakeVm {
            log: Arc::clone(&self.log),
            populates: self.populates,
            interrupts: self.interrupts,
        })
    }
}

#[derive(Debug)]
pub(crate) struct FakeVm {
    log: Log,
    populates: u64,
    interrupts: Option<i32>,
}

impl FakeVm {
    fn note(&self, call: Call) {
        lock(&self.log).push(call);
    }
}

impl VmCalls for FakeVm {
    type Vcpu = FakeVcpu;

    fn configure(&self, configuration: &RealmConfiguration) -> io::Result<()> {
        self.note(Call::Configure(*configuration));
        Ok(())
    }

    fn create_guest_memfd(&self, bytes: u64) -> io::Result<OwnedFd> {
        self.note(Call::GuestMemory(bytes));
        Ok(File::open("/dev/null")?.into())
    }

    fn set_memory(&self, slot: u32, ram: &Ram, private: Option<&OwnedFd>) -> io::Result<()> {
        self.note(Call::SetMemory(slot, ram.range(), private.is_some()));
        Ok(())
    }

    fn set_attributes(&self, range: Range, attributes: u64) -> io::Result<()> {
        self.note(Call::SetAttributes(range, attributes));
        Ok(())
    }

    fn populate(&self, request: &mut Populate, source: &[u8]) -> io::Result<()> {
        assert!(request.source_uaddr.is_multiple_of(PAGE_BYTES));
        assert_eq!(request.source_uaddr, source.as_ptr().addr() as u64);
        assert_eq!(request.size, source.len() as u64);
        self.note(Call::Populate(
            request.base,
            request.size,
            request.flags,
            source[0],
        ));
        let done = request.size.min(self.populates);
        request.base += done;
        request.size -= done;
        request.source_uaddr += done;
        match self.interrupts {
            Some(number) if request.size > 0 => failure(number),
            _ => Ok(()),
        }
    }

    fn create_gic(&self) -> io::Result<()> {
        self.note(Call::CreateGic);
        Ok(())
    }

    fn set_gic(&self, group: u32, attribute: u64, value: Option<u64>) -> io::Result<()> {
        self.note(Call::SetGic(group, attribute, value));
        Ok(())
    }

    fn irqfd(&self, _event: &EventFd, gsi: u32) -> io::Result<()> {
        self.note(Call::Irqfd(gsi));
        Ok(())
    }

    fn ioeventfd(&self, _event: &EventFd, address: u64, value: u32) -> io::Result<()> {
        self.note(Call::Ioeventfd(address, value));
        Ok(())
    }

    fn create_vcpu(&self, number: u32, features: u32) -> io::Result<FakeVcpu> {
        self.note(Call::CreateVcpu(number, features));
        Ok(FakeVcpu {
            log: Arc::clone(&self.log),
            error: None,
        })
    }

    fn statistics(&self) -> io::Result<Statistics> {
        Ok(Statistics {
            blocks_private: 3,
            ..Statistics::default()
        })
    }
}

pub(crate) struct FakeVcpu {
    log: Log,
    error: Option<i32>,
}

impl VcpuCalls for FakeVcpu {
    fn set_register(&self, register: u64, value: u64) -> io::Result<()> {
        lock(&self.log).push(Call::SetRegister(register, value));
        Ok(())
    }

    fn run(&mut self) -> io::Result<Exit<'_>> {
        match self.error {
            Some(number) => failure(number),
            None => Ok(Exit::PowerOff),
        }
    }

    fn complete_psci(&mut self, target_mpidr: u64, status: u32) -> io::Result<()> {
        lock(&self.log).push(Call::PsciComplete(target_mpidr, status));
        Ok(())
    }

    fn error_data(&mut self) -> Vec<u64> {
        Vec::new()
    }
}

#[test]
fn a_realm_of_the_module_has_its_parameters() {
    let (_folder, mut configuration) = configuration(true);
    let options = configuration.realm.as_mut().unwrap();
    options.hash_algorithm = HashAlgorithm::Sha512;
    options.personalization_value = PersonalizationValue::new(b"tenant").unwrap();
    options.sve_vl = Some(1);
    options.pmu_counters = Some(4);
    options.watchpoints = 3;
    let kernel = Kernel::module();
    kernel.create(Flavour::Module, &configuration).unwrap();
    let mut personalization_value = [0; 64];
    personalization_value[..6].copy_from_slice(b"tenant");
    assert_eq!(
        kernel.log(),
        [
            Call::CreateVm(0x121),
            Call::Configure(RealmConfiguration {
                flags: CONFIGURE_SVE | CONFIGURE_PMU,
                hash_algorithm: HASH_SHA512,
                sve_vl: 1,
                pmu_counters: 4,
                breakpoints: 1,
                watchpoints: 3,
                reserved: [0; 7],
                personalization_value,
            }),
        ]
    );
}

#[test]
fn a_kernel_with_realms_is_known_by_making_one() {
    let (_folder, mut configuration) = configuration(true);
    configuration.memory = MemorySize::new(4 << 30).unwrap();
    let kernel = Kernel::cca();
    kernel.create(Flavour::KvmCca, &configuration).unwrap();
    assert_eq!(kernel.log(), [Call::CreateVm(0x4000_0022)]);
    // A stock kernel says EINVAL, whatever it says of capabilities.
    let error = Kernel::stock().create(Flavour::KvmCca, &configuration);
    assert!(matches!(error.err(), Some(BackendError::NoRealms)));
    // Older series have the module's number, and another life of Realms: they are not taken for
    // newer ones.
    let error = Kernel::module().create(Flavour::KvmCca, &configuration);
    assert!(matches!(error.err(), Some(BackendError::NoRealms)));
}

#[test]
fn the_kernels_realms_have_parameters_of_its_choice() {
    let (_folder, mut configuration) = configuration(true);
    let mut refused = |change: fn(&mut RealmOptions), what: &str| {
        let mut options = RealmOptions::default();
        change(&mut options);
        configuration.realm = Some(options);
        let error = Kernel::cca().create(Flavour::KvmCca, &configuration);
        let message = error.err().unwrap().to_string();
        assert!(message.contains(what), "{message}");
    };
    refused(
        |options| options.personalization_value = PersonalizationValue::new(b"x").unwrap(),
        "personalization",
    );
    refused(
        |options| options.hash_algorithm = HashAlgorithm::Sha512,
        "hash",
    );
    refused(|options| options.sve_vl = Some(0), "CPUs");
    refused(|options| options.breakpoints = 2, "CPUs");
}

#[test]
fn why_there_is_no_realm() {
    let (_folder, configuration) = configuration(true);
    let answer = |number| {
        let kernel = Kernel {
            kind: None,
            refuses: number,
            ..Kernel::module()
        };
        kernel
            .create(Flavour::Module, &configuration)
            .err()
            .unwrap()
    };
    assert!(matches!(answer(libc::ENODEV), BackendError::NoRmm));
    assert!(matches!(
        answer(libc::EPROTONOSUPPORT),
        BackendError::RmmVersion(RmiVersion(None), Flavour::Module)
    ));
    assert!(matches!(answer(libc::ENOMEM), BackendError::Call { .. }));
    let kernel = Kernel {
        module: Some(2),
        ..Kernel::module()
    };
    let error = kernel.create(Flavour::Module, &configuration);
    assert!(matches!(
        error.err(),
        Some(BackendError::ModuleInterface(2))
    ));
    let kernel = Kernel {
        rmi: (2, 0),
        kind: None,
        refuses: libc::EPROTONOSUPPORT,
        ..Kernel::module()
    };
    let error = kernel
        .create(Flavour::Module, &configuration)
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "the Realm Management Monitor speaks RMI 2.0, and the Realm kernel module speaks RMI 1.0: \
         update the one that is older"
    );
    let kernel = Kernel {
        features: 1,
        ..Kernel::module()
    };
    let error = kernel
        .create(Flavour::Module, &configuration)
        .err()
        .unwrap();
    assert!(matches!(error, BackendError::Lack(_)), "{error}");
    let kernel = Kernel {
        max_cpus: 1,
        ..Kernel::module()
    };
    let error = kernel.create(Flavour::Module, &configuration);
    assert!(matches!(
        error.err(),
        Some(BackendError::TooManyCpus { limit: 1, .. })
    ));
}

#[test]
fn private_memory_has_a_file_and_begins_private() {
    let (_folder, configuration) = configuration(true);
    for (kernel, flavour) in [
        (Kernel::module(), Flavour::Module),
        (Kernel::cca(), Flavour::KvmCca),
    ] {
        let machine = kernel.create(flavour, &configuration).unwrap();
        let before = kernel.log().len();
        let range = layout(&configuration).ram;
        let ram = Ram::new(range, 1 << 32).unwrap();
        machine.set_ram(&ram).unwrap();
        let page = Range::new(0x8010_0000, 0x1000);
        machine.convert(page, Visibility::Shared).unwrap();
        machine.convert(page, Visibility::Private).unwrap();
        assert_eq!(
            kernel.log()[before..],
            [
                Call::GuestMemory(16 << 20),
                Call::SetMemory(0, range, true),
                Call::SetAttributes(range, 8),
                Call::SetAttributes(page, 0),
                Call::SetAttributes(page, 8),
            ]
        );
    }
}

#[test]
fn an_ordinary_machine_has_nothing_private() {
    let (_folder, configuration) = configuration(false);
    let kernel = Kernel::stock();
    let machine = kernel.create(Flavour::Ordinary, &configuration).unwrap();
    let range = layout(&configuration).ram;
    machine.set_ram(&Ram::new(range, 0).unwrap()).unwrap();
    machine.populate(range.base, &[page(0)]).unwrap_err();
    machine.convert(range, Visibility::Shared).unwrap_err();
    assert_eq!(
        kernel.log(),
        [Call::CreateVm(33), Call::SetMemory(0, range, false)]
    );
    assert_eq!(machine.statistics(), None);
}

fn page(byte: u8) -> Page {
    Page([byte; 4096])
}

#[test]
fn populating_goes_on_where_the_kernel_has_stopped() {
    let (_folder, configuration) = configuration(true);
    let content = [1, 2, 3].map(page);
    // Series v13 and later return 0 with part of it done; a signal is EINTR with part of it done.
    for interrupts in [None, Some(libc::EINTR)] {
        let kernel = Kernel {
            populates: 0x2000,
            interrupts,
            ..Kernel::cca()
        };
        let machine = kernel.create(Flavour::KvmCca, &configuration).unwrap();
        let mut ipa = 0x8000_0000;
        let mut rest = &content[..];
        while !rest.is_empty() {
            let done = machine.populate(ipa, rest).unwrap();
            rest = &rest[done..];
            ipa += done as u64 * PAGE_BYTES;
        }
        assert_eq!(
            kernel.log()[1..],
            [
                Call::Populate(0x8000_0000, 0x3000, 1, 1),
                Call::Populate(0x8000_2000, 0x1000, 1, 3),
            ]
        );
    }
}

#[test]
fn populating_that_does_nothing_is_an_error() {
    let (_folder, configuration) = configuration(true);
    for interrupts in [None, Some(libc::ENOMEM)] {
        let kernel = Kernel {
            populates: 0,
            interrupts,
            ..Kernel::module()
        };
        let machine = kernel.create(Flavour::Module, &configuration).unwrap();
        let error = machine.populate(0x8000_0000, &[page(0)]).unwrap_err();
        let BackendError::Call { error, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(error.raw_os_error(), interrupts);
    }
}

#[test]
fn much_is_populated_in_pieces() {
    let (_folder, configuration) = configuration(true);
    let machine = Kernel::module().create(Flavour::Module, &configuration);
    let done = machine
        .unwrap()
        .populate(0x8000_0000, &vec![page(0); 3 << 8]);
    assert_eq!(done.unwrap(), 1 << 8);
}

#[test]
fn the_first_vcpu_has_a_start_and_the_others_wait() {
    let (_folder, configuration) = configuration(true);
    let kernel = Kernel::module();
    let machine = kernel.create(Flavour::Module, &configuration).unwrap();
    let before = kernel.log().len();
    let start = Start {
        entry: 0x8000_1234,
        registers: [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17],
    };
    let mut first = machine.create_vcpu(0, Some(&start)).unwrap();
    machine.create_vcpu(1, None).unwrap();
    first.complete_psci(0x101, -3).unwrap();
    let mut expected = vec![
        Call::CreateVcpu(0, 0b100),
        Call::SetRegister(0x6030_0000_0010_0040, 0x8000_1234),
    ];
    expected.extend(
        (0..8).map(|number| Call::SetRegister(0x6030_0000_0010_0000 + 2 * number, 0x10 + number)),
    );
    expected.push(Call::CreateVcpu(1, 0b101));
    expected.push(Call::PsciComplete(0x101, 0xffff_fffd));
    assert_eq!(kernel.log()[before..], expected);
    assert_eq!(machine.statistics().unwrap().blocks_private, 3);
}

#[test]
fn the_interrupt_controller_is_where_the_layout_has_it() {
    let (_folder, mut configuration) = configuration(true);
    configuration.cpus = CpuCount::new(3).unwrap();
    let kernel = Kernel::cca();
    let machine = kernel.create(Flavour::KvmCca, &configuration).unwrap();
    machine
        .create_interrupt_controller(&layout(&configuration))
        .unwrap();
    let event = EventFd::new(EFD_NONBLOCK).unwrap();
    machine.connect_interrupt(&event, Spi(16)).unwrap();
    machine.connect_notifier(&event, 0x0a00_0050, 1).unwrap();
    assert_eq!(
        kernel.log()[1..],
        [
            Call::CreateGic,
            Call::SetGic(3, 0, Some(96)),
            Call::SetGic(0, 2, Some(0x0800_0000)),
            Call::SetGic(0, 3, Some(0x1000_0000)),
            Call::SetGic(4, 0, None),
            Call::Irqfd(16),
            Call::Ioeventfd(0x0a00_0050, 1),
        ]
    );
}

#[test]
fn signals_are_no_errors_of_a_vcpu() {
    for (number, interrupted) in [
        (libc::EINTR, true),
        (libc::EAGAIN, true),
        (libc::EFAULT, false),
        (libc::ENOEXEC, false),
    ] {
        let mut vcpu = MachineVcpu(FakeVcpu {
            log: Log::default(),
            error: Some(number),
        });
        match vcpu.run() {
            Ok(exit) => assert!(interrupted && exit == Exit::Interrupted),
            Err(error) => assert!(!interrupted, "{error}"),
        }
    }
}
