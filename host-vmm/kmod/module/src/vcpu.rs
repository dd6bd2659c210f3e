//! Calls on vCPUs.

use core::ffi::{c_int, c_void};

use realm_kmod_core::interrupts::Consequences;
use realm_kmod_core::pool::Page;
use realm_kmod_core::realm::{Realm, RealmError};
use realm_kmod_core::vcpu::{NEVER, Vcpu};
use rmm_abi::rmi::run::RecRun;

use crate::allocator;
use crate::error::{Errno, code};
use crate::structures::{ActionResult, PsciComplete};
use crate::vm::{Vm, vm};

/// `struct realm_vcpu`.
pub(crate) struct VcpuHandle {
    vm: *const Vm,
    /// The page through which the REC runs. The RMM writes to it during `RMI_REC_ENTER`, which is
    /// between [`realm_vcpu_prepare`] and [`realm_vcpu_exited`]; there is no reference to it then.
    run: *mut RecRun,
    vcpu: Vcpu,
}

impl VcpuHandle {
    /// The VM.
    fn vm(&self) -> &Vm {
        // SAFETY: the VM lives as long as its vCPUs.
        unsafe { vm(self.vm) }
    }

    fn consequences(&self) -> Consequences {
        Consequences::on_vcpu(self.vcpu.index())
    }
}

/// The vCPU behind C's pointer.
///
/// # Safety
///
/// `vcpu` is from [`realm_vcpu_create`], its mutex is held by the caller, who has no other reference from
/// here.
unsafe fn handle<'v>(vcpu: *mut VcpuHandle) -> &'v mut VcpuHandle {
    // SAFETY: the vCPU mutex keeps everybody else out, by the contract of this function.
    unsafe { &mut *vcpu }
}

/// `realm_vcpu_create`.
///
/// # Safety
///
/// `pointer` is a VM whose mutex the caller holds; `run` is a page that lives longer than the vCPU;
/// `result` can be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vcpu_create(
    pointer: *const Vm,
    index: u32,
    run: *mut c_void,
    run_physical: u64,
    result: *mut *mut VcpuHandle,
) -> c_int {
    // SAFETY: by the contract of this function.
    let realm = unsafe { vm(pointer).realm() };
    let Some(page) = Page::new(run_physical) else {
        return Errno::Invalid.code();
    };
    let new = allocator::put(VcpuHandle {
        vm: pointer,
        run: run.cast(),
        vcpu: Vcpu::new(index as usize, page),
    });
    let Some(new) = new else {
        return Errno::NoMemory.code();
    };
    match realm.add_vcpu(index as usize) {
        Ok(()) => {
            // SAFETY: by the contract of this function.
            unsafe { result.write(new) };
            0
        }
        Err(error) => {
            // SAFETY: it was put there above, and nobody has seen it.
            unsafe { allocator::take(new) };
            Errno::from(error).code()
        }
    }
}

/// `realm_vcpu_destroy`.
///
/// # Safety
///
/// `vcpu` is from [`realm_vcpu_create`]; nobody uses it any more.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vcpu_destroy(vcpu: *mut VcpuHandle) {
    // SAFETY: by the contract of this function.
    unsafe { allocator::take(vcpu) };
}

/// `realm_vcpu_initialize`.
///
/// # Safety
///
/// The caller holds the mutexes of both; `features` can be read.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vcpu_initialize(
    pointer: *const Vm,
    vcpu: *mut VcpuHandle,
    target: u32,
    features: *const [u32; 7],
) -> c_int {
    // SAFETY: by the contract of this function.
    let (realm, vcpu, features) = unsafe { (vm(pointer).realm(), handle(vcpu), features.read()) };
    code(realm.initialise_vcpu(vcpu.vcpu.index(), target, &features))
}

/// `realm_vcpu_set_register`.
///
/// # Safety
///
/// The caller holds the mutexes of both.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vcpu_set_register(
    pointer: *const Vm,
    vcpu: *mut VcpuHandle,
    id: u64,
    value: u64,
) -> c_int {
    // SAFETY: by the contract of this function.
    let (realm, vcpu) = unsafe { (vm(pointer).realm(), handle(vcpu)) };
    code(realm.set_register(vcpu.vcpu.index(), id, value))
}

/// `realm_vcpu_get_register`.
///
/// # Safety
///
/// The caller holds the mutexes of both; `value` can be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vcpu_get_register(
    pointer: *const Vm,
    vcpu: *mut VcpuHandle,
    id: u64,
    value: *mut u64,
) -> c_int {
    // SAFETY: by the contract of this function.
    let (realm, vcpu) = unsafe { (vm(pointer).realm(), handle(vcpu)) };
    let found = realm.get_register(vcpu.vcpu.index(), id);
    // SAFETY: by the contract of this function.
    code(found.map(|found| unsafe { value.write(found) }))
}

fn start(vm: &Vm, realm: &mut Realm, vcpu: &mut Vcpu) -> Result<(), RealmError> {
    if !realm.is_active() {
        realm.start(&vm.kernel())?;
        vm.with_interrupts(Consequences::elsewhere(), |interrupts, _| {
            interrupts.begin(realm);
        });
    }
    vcpu.start(realm)
}

/// `realm_vcpu_start`.
///
/// # Safety
///
/// The caller holds the mutexes of both.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vcpu_start(
    pointer: *const Vm,
    vcpu: *mut VcpuHandle,
) -> c_int {
    // SAFETY: by the contract of this function.
    let (vm, vcpu) = unsafe { (vm(pointer), handle(vcpu)) };
    // SAFETY: as above.
    code(start(vm, unsafe { vm.realm() }, &mut vcpu.vcpu))
}

/// `realm_vcpu_complete_psci`.
///
/// # Safety
///
/// The caller holds the mutexes of both; `complete` can be read.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vcpu_complete_psci(
    pointer: *const Vm,
    vcpu: *mut VcpuHandle,
    complete: *const PsciComplete,
) -> c_int {
    // SAFETY: by the contract of this function.
    let (vm, vcpu, complete) = unsafe { (vm(pointer), handle(vcpu), complete.read()) };
    // SAFETY: as above.
    let realm = unsafe { vm.realm() };
    if complete.padding != [0; 3] {
        return Errno::Invalid.code();
    }
    let status = complete.psci_status.cast_signed();
    let result = vcpu
        .vcpu
        .complete_psci(&vm.kernel(), realm, complete.target_mpidr, status);
    code(result.map(|woken| {
        if let Some(woken) = woken {
            vm.with_interrupts(Consequences::elsewhere(), |interrupts, after| {
                interrupts.switch_on(woken, after);
            });
        }
    }))
}

/// `realm_vcpu_prepare`.
///
/// # Safety
///
/// The caller holds the vCPU mutex; `action` can be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vcpu_prepare(
    vcpu: *mut VcpuHandle,
    now: u64,
    action: *mut ActionResult,
) {
    // SAFETY: by the contract of this function.
    let vcpu = unsafe { handle(vcpu) };
    let consequences = vcpu.consequences();
    // SAFETY: the page lives longer than the vCPU, is aligned, any content of it is a `RecEnter`, and
    // the RMM does not touch it now.
    let enter = unsafe { &mut (*vcpu.run).enter };
    // SAFETY: the VM lives as long as its vCPUs. (By way of the pointer, because `vcpu` is changed.)
    let vm = unsafe { vm(vcpu.vm) };
    let next = vm.with_interrupts(consequences, |interrupts, after| {
        vcpu.vcpu.prepare(interrupts, now, enter, after)
    });
    // SAFETY: by the contract of this function.
    unsafe { action.write(next.into()) };
}

/// `realm_vcpu_exited`.
///
/// # Safety
///
/// The caller holds the vCPU mutex; `action` can be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vcpu_exited(
    vcpu: *mut VcpuHandle,
    x0: u64,
    now: u64,
    action: *mut ActionResult,
) {
    // SAFETY: by the contract of this function.
    let vcpu = unsafe { handle(vcpu) };
    let consequences = vcpu.consequences();
    // SAFETY: the page lives longer than the vCPU, is aligned, any content of it is a `RecExit`, and
    // the RMM no longer touches it.
    let exit = unsafe { &(*vcpu.run).exit };
    // SAFETY: the VM lives as long as its vCPUs. (By way of the pointer, because `vcpu` is changed.)
    let vm = unsafe { vm(vcpu.vm) };
    let next = vm.with_interrupts(consequences, |interrupts, after| {
        vcpu.vcpu.exited(interrupts, x0, exit, now, after)
    });
    // SAFETY: by the contract of this function.
    unsafe { action.write(next.into()) };
}

/// `realm_vcpu_handle`.
///
/// # Safety
///
/// The caller holds the mutexes of both; `action` can be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vcpu_handle(
    pointer: *const Vm,
    vcpu: *mut VcpuHandle,
    action: *mut ActionResult,
) -> c_int {
    // SAFETY: by the contract of this function.
    let (vm, vcpu) = unsafe { (vm(pointer), handle(vcpu)) };
    // SAFETY: as above.
    let realm = unsafe { vm.realm() };
    let next = vcpu.vcpu.handle(&vm.kernel(), realm);
    // SAFETY: by the contract of this function.
    code(next.map(|next| unsafe { action.write(next.into()) }))
}

/// `realm_vcpu_complete_mmio`.
///
/// # Safety
///
/// The caller holds the vCPU mutex.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vcpu_complete_mmio(vcpu: *mut VcpuHandle, value: u64) {
    // SAFETY: by the contract of this function.
    unsafe { handle(vcpu) }.vcpu.complete_mmio(value);
}

/// `realm_vcpu_poll`.
///
/// # Safety
///
/// The caller holds the vCPU mutex; `deadline` can be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vcpu_poll(
    vcpu: *mut VcpuHandle,
    now: u64,
    deadline: *mut u64,
) -> bool {
    // SAFETY: by the contract of this function.
    let vcpu = unsafe { handle(vcpu) };
    let result = vcpu
        .vm()
        .with_interrupts(vcpu.consequences(), |interrupts, after| {
            vcpu.vcpu.poll(interrupts, now, after)
        });
    // SAFETY: by the contract of this function.
    unsafe { deadline.write(result.err().unwrap_or(NEVER)) };
    result.is_ok()
}
