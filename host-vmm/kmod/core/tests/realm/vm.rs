//! A VM as the C half keeps it: a Realm and its vCPUs behind locks, and the loop around `REC_ENTER`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fake_machine::Guest;
use realm_kmod_core::host::Host;
use realm_kmod_core::interrupts::{Consequences, Interrupts};
use realm_kmod_core::pool::Page;
use realm_kmod_core::realm::{GicAttribute, Realm, RealmError};
use realm_kmod_core::vcpu::{Action, NEVER, Vcpu};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::RecRun;
use zerocopy::{FromBytes, IntoBytes};

use crate::machine::{Cpu, Kernel, USER};

/// Where the slot is.
pub(crate) const RAM: u64 = 0x4000_0000;
/// Its size: three blocks.
pub(crate) const RAM_SIZE: u64 = 3 * BLOCK;
/// Bytes of a block.
pub(crate) const BLOCK: u64 = realm_kmod_core::BLOCK_SIZE;
/// Bytes of a page.
pub(crate) const PAGE: u64 = realm_kmod_core::PAGE_SIZE;
/// Width of the address space.
pub(crate) const IPA_BITS: u8 = 40;
/// The bit that makes an address shared.
pub(crate) const SHARED: u64 = 1 << (IPA_BITS - 1);
/// The distributor.
pub(crate) const DISTRIBUTOR: u64 = 0x0800_0000;
/// The redistributors.
pub(crate) const REDISTRIBUTORS: u64 = 0x080a_0000;
/// `KVM_REG_ARM_CORE_REG(regs.pc)`.
pub(crate) const PC: u64 = 0x6030_0000_0010_0040;

/// A VM.
pub(crate) struct Vm<'k, 'm> {
    pub(crate) kernel: &'k Kernel<'m>,
    pub(crate) realm: Mutex<Realm>,
    pub(crate) interrupts: Mutex<Interrupts>,
    kicked: Condvar,
    /// Whether a vCPU's thread has panicked: then the others have nobody to wait for.
    deserted: AtomicBool,
    run_pages: Mutex<Vec<Page>>,
}

/// A vCPU and its thread.
pub(crate) struct Thread<'v, 'k, 'm> {
    pub(crate) vm: &'v Vm<'k, 'm>,
    pub(crate) cpu: Cpu<'k, 'm>,
    pub(crate) vcpu: Vcpu,
    pub(crate) run: Page,
    /// What the counter says.
    pub(crate) now: u64,
    /// Entries so far.
    pub(crate) entries: u64,
}

/// Lives as long as a thread among others works.
pub(crate) struct Presence<'v>(&'v AtomicBool);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'k, 'm> Vm<'k, 'm> {
    /// A VM with a slot and vCPUs, of which the first is on.
    pub(crate) fn new(kernel: &'k Kernel<'m>, vcpus: usize) -> Self {
        let mut realm = Realm::new(kernel.features(), IPA_BITS).expect("possible");
        realm
            .add_slot(&kernel.onlooker(), 0, RAM, RAM_SIZE, USER)
            .expect("a slot");
        let vm = Self::bare(kernel, realm);
        vm.add_vcpus(vcpus);
        vm
    }

    /// A VM with a Realm that is not complete.
    pub(crate) fn bare(kernel: &'k Kernel<'m>, realm: Realm) -> Self {
        Self {
            kernel,
            realm: Mutex::new(realm),
            interrupts: Mutex::default(),
            kicked: Condvar::new(),
            deserted: AtomicBool::new(false),
            run_pages: Mutex::default(),
        }
    }

    /// Adds vCPUs, and the interrupt controller.
    pub(crate) fn add_vcpus(&self, vcpus: usize) {
        const PSCI: u32 = 1 << 2;
        let mut realm = self.realm();
        for index in 0..vcpus {
            realm.add_vcpu(index).expect("a vCPU");
            let off = u32::from(index != 0);
            realm
                .initialise_vcpu(index, 5, &[PSCI | off, 0, 0, 0, 0, 0, 0])
                .expect("initialised");
            realm
                .set_register(index, PC, RAM + 0x1000)
                .expect("a register");
        }
        realm.create_gic().expect("a GIC");
        for (attribute, value) in [
            (GicAttribute::Distributor, DISTRIBUTOR),
            (GicAttribute::Redistributors, REDISTRIBUTORS),
            (GicAttribute::Interrupts, 96),
        ] {
            assert!(
                realm
                    .set_gic_attribute(attribute, value)
                    .expect("set")
                    .is_none()
            );
        }
        let gic = realm.set_gic_attribute(GicAttribute::Initialise, 0);
        let gic = gic.expect("ready").expect("a GIC");
        drop(realm);
        assert!(self.interrupts().set_gic(gic, vcpus).is_none());
    }

    pub(crate) fn realm(&self) -> MutexGuard<'_, Realm> {
        lock(&self.realm)
    }

    /// For a thread on which others may wait.
    pub(crate) fn presence(&self) -> Presence<'_> {
        Presence(&self.deserted)
    }

    pub(crate) fn interrupts(&self) -> MutexGuard<'_, Interrupts> {
        lock(&self.interrupts)
    }

    /// Does something under the interrupt lock, and kicks whom it concerns.
    pub(crate) fn with_interrupts<R>(
        &self,
        mut consequences: Consequences,
        action: impl FnOnce(&mut Interrupts, &mut Consequences) -> R,
    ) -> R {
        let result = action(&mut self.interrupts(), &mut consequences);
        if consequences.kicked().next().is_some() {
            self.kicked.notify_all();
        }
        result
    }

    /// Populates pages of the slot, from the beginning of user memory on.
    pub(crate) fn populate(&self, pages: u64) -> Result<(), RealmError> {
        let cpu = self.kernel.cpu();
        self.realm().populate(&cpu, RAM, pages * PAGE, USER, true).1
    }

    /// A vCPU.
    pub(crate) fn thread(&self, index: usize) -> Thread<'_, 'k, 'm> {
        let cpu = self.kernel.cpu();
        let run = cpu.take_pages(0).expect("a page");
        cpu.write(run, &[0; 4096]);
        lock(&self.run_pages).push(run);
        Thread {
            vm: self,
            cpu,
            vcpu: Vcpu::new(index, run),
            run,
            now: 0,
            entries: 0,
        }
    }

    /// Starts the Realm.
    pub(crate) fn start(&self, cpu: &Cpu<'_, '_>) -> Result<(), RealmError> {
        let mut realm = self.realm();
        if !realm.is_active() {
            realm.start(cpu)?;
            self.interrupts().begin(&realm);
        }
        Ok(())
    }

    /// The end.
    pub(crate) fn destroy(self) {
        let cpu = self.kernel.cpu();
        for page in lock(&self.run_pages).drain(..) {
            cpu.give_pages(page, 0);
        }
        let realm = self
            .realm
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        realm.teardown(&cpu);
    }
}

impl Thread<'_, '_, '_> {
    /// The first part of `KVM_RUN`.
    pub(crate) fn start(&mut self) -> Result<(), RealmError> {
        self.vm.start(&self.cpu)?;
        self.vcpu.start(&self.vm.realm())
    }

    /// What the REC does from now on. The Realm must be active.
    pub(crate) fn program<R>(&self, program: impl FnOnce(Guest) -> R)
    where
        R: Future<Output = ()> + Send + 'static,
    {
        let rec = self.vm.realm().rec(self.vcpu.index()).expect("a REC");
        self.cpu.kernel.memory.program(rec.address(), program);
    }

    pub(crate) fn consequences(&self) -> Consequences {
        Consequences::on_vcpu(self.vcpu.index())
    }

    /// One round of the loop of `KVM_RUN`.
    pub(crate) fn step(&mut self) -> Action {
        self.step_with(|| {}, || {})
    }

    /// [`Self::step`], and what happens right before the entry, and between the exit and the look at
    /// it.
    pub(crate) fn step_with(&mut self, before: impl FnOnce(), after: impl FnOnce()) -> Action {
        let mut page = RecRun::read_from_bytes(&self.cpu.read(self.run)).expect("a page");
        let consequences = self.consequences();
        let (vm, now) = (self.vm, self.now);
        let next = vm.with_interrupts(consequences, |interrupts, after| {
            self.vcpu.prepare(interrupts, now, &mut page.enter, after)
        });
        let Action::Enter { rec, run } = next else {
            return next;
        };
        assert_eq!(run, self.run);
        self.entries += 1;
        self.cpu.write(self.run, page.as_bytes());
        before();
        let [x0, ..] = self
            .cpu
            .rmi([fid::REC_ENTER, rec.address(), run.address(), 0, 0, 0, 0, 0]);
        after();
        let page = RecRun::read_from_bytes(&self.cpu.read(self.run)).expect("a page");
        let consequences = self.consequences();
        vm.with_interrupts(consequences, |interrupts, after| {
            self.vcpu.exited(interrupts, x0, &page.exit, now, after)
        })
    }

    /// Runs until there is something that leaves `KVM_RUN`, or has to wait for ever.
    pub(crate) fn run(&mut self) -> Result<Action, RealmError> {
        let mut next = Action::Run;
        for _ in 0..10_000 {
            next = match next {
                Action::Run => self.step(),
                Action::Handle => self.vcpu.handle(&self.cpu, &mut self.vm.realm())?,
                Action::Wait => match self.poll() {
                    Ok(()) => Action::Run,
                    Err(NEVER) => return Ok(Action::Wait),
                    Err(deadline) => {
                        self.now = deadline;
                        self.cpu.kernel.memory.set_counter(deadline);
                        Action::Wait
                    }
                },
                other => return Ok(other),
            };
        }
        panic!("{next:?} without end");
    }

    /// [`Self::run`] on a thread among others: waits for kicks.
    pub(crate) fn run_with_others(&mut self) -> Result<Action, RealmError> {
        loop {
            match self.run()? {
                Action::Wait => {
                    let deserted = self.vm.deserted.load(Ordering::Relaxed);
                    assert!(!deserted, "the thread of another vCPU has panicked");
                    let guard = self.vm.interrupts();
                    drop(self.vm.kicked.wait_timeout(guard, Duration::from_millis(1)));
                }
                other => return Ok(other),
            }
        }
    }

    /// Whether there is a reason to run.
    pub(crate) fn poll(&self) -> Result<(), u64> {
        self.vm
            .with_interrupts(self.consequences(), |interrupts, after| {
                self.vcpu.poll(interrupts, self.now, after)
            })
    }
}
