//! Calls on VMs.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};

use realm_kmod_core::interrupts::{Consequences, Interrupts};
use realm_kmod_core::realm::{GicAttribute, Realm, RealmError};
use realm_kmod_core::vgic;

use crate::allocator;
use crate::device;
use crate::error::{Errno, code};
use crate::host::{Kernel, c};
use crate::structures::{ConfigurationArgument, Populate, Statistics};

/// `struct realm_vm`.
pub(crate) struct Vm {
    context: *mut c_void,
    /// Behind the VM mutex.
    realm: UnsafeCell<Realm>,
    /// Behind the interrupt lock.
    interrupts: UnsafeCell<Interrupts>,
}

impl Vm {
    /// The kernel, for this VM.
    pub(crate) fn kernel(&self) -> Kernel {
        // SAFETY: C gave the context with the VM; it stays until the VM is destroyed.
        unsafe { Kernel::for_vm(self.context) }
    }

    /// The Realm.
    ///
    /// # Safety
    ///
    /// The caller holds the VM mutex, and has no other reference from here.
    #[expect(clippy::mut_from_ref, reason = "the VM mutex makes it exclusive")]
    pub(crate) unsafe fn realm(&self) -> &mut Realm {
        // SAFETY: the VM mutex keeps everybody else out, by the contract of this function.
        unsafe { &mut *self.realm.get() }
    }

    /// Does something under the interrupt lock, and then what follows from it.
    pub(crate) fn with_interrupts<R>(
        &self,
        mut consequences: Consequences,
        action: impl FnOnce(&mut Interrupts, &mut Consequences) -> R,
    ) -> R {
        // SAFETY: the context is the VM's.
        let flags = unsafe { c::realm_host_lock_interrupts(self.context) };
        // SAFETY: the interrupt lock keeps everybody else out until it is released below, and `action`
        // cannot get here again: the core knows no VM in there.
        let interrupts = unsafe { &mut *self.interrupts.get() };
        let result = action(interrupts, &mut consequences);
        let done = interrupts.done(&consequences);
        // SAFETY: it was locked above, with these flags.
        unsafe { c::realm_host_unlock_interrupts(self.context, flags) };
        for vcpu in consequences.kicked() {
            // SAFETY: the context is the VM's, and any number will do.
            unsafe { c::realm_host_kick(self.context, number(vcpu)) };
        }
        for gsi in done.iter() {
            // SAFETY: the context is the VM's, and any number will do.
            unsafe { c::realm_host_resample(self.context, number(gsi)) };
        }
        result
    }
}

/// A number of a vCPU or an SPI, for C. They are small.
fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The VM behind C's pointer.
///
/// # Safety
///
/// `vm` is from [`realm_vm_create`], and not destroyed while the reference is used.
pub(crate) unsafe fn vm<'v>(vm: *const Vm) -> &'v Vm {
    // SAFETY: by the contract of this function; only shared references to a `Vm` are ever made.
    unsafe { &*vm }
}

/// `realm_vm_create`.
///
/// # Safety
///
/// `result` can be written to; `context` outlives the VM.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_create(
    kind: u64,
    context: *mut c_void,
    result: *mut *mut Vm,
) -> c_int {
    /// `REALM_VM_TYPE`, above the bits of the IPA space.
    const REALM: u64 = 0x100;
    let features = match device::features() {
        Ok(features) => features,
        Err(code) => return code,
    };
    let [ipa_bits, ..] = kind.to_le_bytes();
    if kind & !0xff != REALM {
        return Errno::Invalid.code();
    }
    let realm = match Realm::new(features, ipa_bits) {
        Ok(realm) => realm,
        Err(error) => return Errno::from(error).code(),
    };
    let new = allocator::put(Vm {
        context,
        realm: UnsafeCell::new(realm),
        interrupts: UnsafeCell::new(Interrupts::new()),
    });
    match new {
        Some(new) => {
            // SAFETY: by the contract of this function.
            unsafe { result.write(new) };
            0
        }
        None => Errno::NoMemory.code(),
    }
}

/// `realm_vm_destroy`.
///
/// # Safety
///
/// `vm` is from [`realm_vm_create`]; nobody uses it any more.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_destroy(vm: *mut Vm) {
    // SAFETY: by the contract of this function.
    let vm = unsafe { allocator::take(vm) };
    let kernel = vm.kernel();
    vm.realm.into_inner().teardown(&kernel);
}

/// `realm_vm_configure`.
///
/// # Safety
///
/// `pointer` is a VM whose mutex the caller holds; `configuration` can be read.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_configure(
    pointer: *const Vm,
    configuration: *const ConfigurationArgument,
) -> c_int {
    // SAFETY: by the contract of this function.
    let (realm, argument) = unsafe { (vm(pointer).realm(), configuration.read()) };
    code(argument.parse().and_then(|it| realm.configure(&it)))
}

/// `realm_vm_add_slot`.
///
/// # Safety
///
/// `pointer` is a VM whose mutex the caller holds.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_add_slot(
    pointer: *const Vm,
    slot: u32,
    address: u64,
    size: u64,
    userspace_address: u64,
) -> c_int {
    // SAFETY: by the contract of this function.
    let vm = unsafe { vm(pointer) };
    // SAFETY: as above.
    let realm = unsafe { vm.realm() };
    if size == 0 {
        return Errno::Busy.code();
    }
    code(realm.add_slot(&vm.kernel(), slot, address, size, userspace_address))
}

/// `realm_vm_set_attributes`.
///
/// # Safety
///
/// `pointer` is a VM whose mutex the caller holds.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_set_attributes(
    pointer: *const Vm,
    address: u64,
    size: u64,
    attributes: u64,
) -> c_int {
    /// `KVM_MEMORY_ATTRIBUTE_PRIVATE`.
    const PRIVATE: u64 = 1 << 3;
    // SAFETY: by the contract of this function.
    let vm = unsafe { vm(pointer) };
    // SAFETY: as above.
    let realm = unsafe { vm.realm() };
    if attributes & !PRIVATE != 0 {
        return Errno::Invalid.code();
    }
    code(realm.set_private(&vm.kernel(), address, size, attributes == PRIVATE))
}

/// `realm_vm_populate`.
///
/// # Safety
///
/// `pointer` is a VM whose mutex the caller holds; `populate` can be read and written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_populate(
    pointer: *const Vm,
    populate: *mut Populate,
) -> c_int {
    const MEASURE: u32 = 1 << 0;
    // SAFETY: by the contract of this function.
    let (vm, mut argument) = unsafe { (vm(pointer), populate.read()) };
    // SAFETY: as above.
    let realm = unsafe { vm.realm() };
    if argument.flags & !MEASURE != 0 || argument.reserved != 0 {
        return Errno::Invalid.code();
    }
    let (done, result) = realm.populate(
        &vm.kernel(),
        argument.base,
        argument.size,
        argument.source_uaddr,
        argument.flags & MEASURE != 0,
    );
    argument.base = argument.base.wrapping_add(done);
    argument.size = argument.size.wrapping_sub(done);
    argument.source_uaddr = argument.source_uaddr.wrapping_add(done);
    // SAFETY: by the contract of this function.
    unsafe { populate.write(argument) };
    code(result)
}

/// `realm_vm_statistics`.
///
/// # Safety
///
/// `pointer` is a VM whose mutex the caller holds; `result` can be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_statistics(pointer: *const Vm, result: *mut Statistics) {
    // SAFETY: by the contract of this function.
    let vm = unsafe { vm(pointer) };
    // SAFETY: as above.
    let statistics = unsafe { vm.realm() }.statistics(&vm.kernel());
    let filled = Statistics {
        pages_private: statistics.pages_private,
        blocks_private: statistics.blocks_private,
        pages_shared: statistics.pages_shared,
        tables: statistics.tables,
        populate_nanoseconds: statistics.populate_nanoseconds,
        faults: statistics.faults,
        reserved: [0; 2],
    };
    // SAFETY: by the contract of this function.
    unsafe { result.write(filled) };
}

/// `realm_vm_create_gic`.
///
/// # Safety
///
/// `pointer` is a VM whose mutex the caller holds.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_create_gic(pointer: *const Vm) -> c_int {
    // SAFETY: by the contract of this function.
    code(unsafe { vm(pointer).realm() }.create_gic())
}

/// The attribute that C names.
fn attribute(group: u32, name: u64) -> Result<GicAttribute, RealmError> {
    GicAttribute::of(group, name).ok_or(RealmError::NoSuchThing)
}

/// `realm_vm_set_gic_attribute`.
///
/// # Safety
///
/// `pointer` is a VM whose mutex the caller holds.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_set_gic_attribute(
    pointer: *const Vm,
    group: u32,
    name: u64,
    value: u64,
) -> c_int {
    // SAFETY: by the contract of this function.
    let vm = unsafe { vm(pointer) };
    // SAFETY: as above.
    let realm = unsafe { vm.realm() };
    let set = attribute(group, name).and_then(|it| realm.set_gic_attribute(it, value));
    code(set.map(|gic| {
        if let Some(gic) = gic {
            let vcpus = realm.vcpus();
            // Whatever was there is dropped here, where memory may be freed.
            drop(
                vm.with_interrupts(Consequences::elsewhere(), |interrupts, _| {
                    interrupts.set_gic(gic, vcpus)
                }),
            );
        }
    }))
}

/// `realm_vm_get_gic_attribute`.
///
/// # Safety
///
/// `pointer` is a VM whose mutex the caller holds; `value` can be read and written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_get_gic_attribute(
    pointer: *const Vm,
    group: u32,
    name: u64,
    value: *mut u64,
) -> c_int {
    // SAFETY: by the contract of this function.
    let (realm, asked) = unsafe { (vm(pointer).realm(), value.read()) };
    code(
        attribute(group, name)
            .and_then(|it| realm.gic_attribute(it, asked))
            // SAFETY: by the contract of this function.
            .map(|found| unsafe { value.write(found) }),
    )
}

/// `realm_vm_has_gic_attribute`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn realm_vm_has_gic_attribute(
    _vm: *const Vm,
    group: u32,
    name: u64,
) -> c_int {
    code(attribute(group, name).map(|_| ()))
}

/// Changes an interrupt's line from outside.
///
/// # Safety
///
/// `pointer` is a VM.
unsafe fn change_line(
    pointer: *const Vm,
    change: impl FnOnce(&mut Interrupts, &mut Consequences) -> Result<(), vgic::Error>,
) -> c_int {
    // SAFETY: by the contract of this function.
    let vm = unsafe { vm(pointer) };
    code(vm.with_interrupts(Consequences::elsewhere(), change))
}

/// `realm_vm_irq_line`.
///
/// # Safety
///
/// `pointer` is a VM.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_irq_line(
    pointer: *const Vm,
    irq: u32,
    level: bool,
) -> c_int {
    // SAFETY: by the contract of this function.
    unsafe { change_line(pointer, |gic, after| gic.set_line(irq, level, after)) }
}

/// `realm_vm_set_spi`.
///
/// # Safety
///
/// `pointer` is a VM.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_set_spi(
    pointer: *const Vm,
    gsi: u32,
    level: bool,
) -> c_int {
    // SAFETY: by the contract of this function.
    unsafe { change_line(pointer, |gic, after| gic.set_spi(gsi, level, after)) }
}

/// `realm_vm_signal_spi`.
///
/// # Safety
///
/// `pointer` is a VM.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_signal_spi(pointer: *const Vm, gsi: u32) -> c_int {
    let pulse = |gic: &mut Interrupts, after: &mut Consequences| {
        gic.set_spi(gsi, true, after)?;
        gic.set_spi(gsi, false, after)
    };
    // SAFETY: by the contract of this function.
    unsafe { change_line(pointer, pulse) }
}

/// `realm_vm_watch_spi`.
///
/// # Safety
///
/// `pointer` is a VM.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realm_vm_watch_spi(
    pointer: *const Vm,
    gsi: u32,
    watch: bool,
) -> c_int {
    // SAFETY: by the contract of this function.
    unsafe { change_line(pointer, |gic, _| gic.watch(gsi, watch)) }
}
