//! The kernel as the core sees it.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt::{self, Write};

use realm_kmod_core::host::{Host, HostError, Severity, Shared};
use realm_kmod_core::pool::Page;

/// What C offers; `shim/core.h` says what each is for.
pub(crate) mod c {
    use core::ffi::{c_char, c_int, c_ulong, c_void};

    unsafe extern "C" {
        pub(crate) fn realm_host_rmi(registers: *mut u64);
        pub(crate) fn realm_host_take_pages(order: u32, physical: *mut u64) -> c_int;
        pub(crate) fn realm_host_give_pages(physical: u64, order: u32);
        pub(crate) fn realm_host_split_pages(physical: u64, order: u32);
        pub(crate) fn realm_host_give_single_pages(physical: u64, count: u64);
        pub(crate) fn realm_host_write_page(
            physical: u64,
            offset: u64,
            bytes: *const c_void,
            length: u64,
        );
        pub(crate) fn realm_host_copy_from_user(physical: u64, source: u64) -> c_int;
        pub(crate) fn realm_host_pin(
            context: *mut c_void,
            address: u64,
            physical: *mut u64,
        ) -> c_int;
        pub(crate) fn realm_host_unpin(context: *mut c_void, physical: u64);
        pub(crate) safe fn realm_host_lock_pool();
        pub(crate) fn realm_host_unlock_pool();
        pub(crate) fn realm_host_lock_interrupts(context: *mut c_void) -> c_ulong;
        pub(crate) fn realm_host_unlock_interrupts(context: *mut c_void, flags: c_ulong);
        pub(crate) fn realm_host_kick(context: *mut c_void, index: u32);
        pub(crate) fn realm_host_resample(context: *mut c_void, gsi: u32);
        pub(crate) fn realm_host_allocate(size: u64, align: u64) -> *mut c_void;
        pub(crate) fn realm_host_free(pointer: *mut c_void);
        pub(crate) safe fn realm_host_rest();
        pub(crate) safe fn realm_host_interrupted() -> bool;
        pub(crate) safe fn realm_host_nanoseconds() -> u64;
        pub(crate) fn realm_host_log(level: u32, text: *const c_char, length: u64);
        pub(crate) fn realm_host_panic(text: *const c_char, length: u64) -> !;
    }
}

/// What all VMs share.
struct SharedCell(UnsafeCell<Shared>);

// SAFETY: `with_shared` is the only access, under the pool mutex.
unsafe impl Sync for SharedCell {}

static SHARED: SharedCell = SharedCell(UnsafeCell::new(Shared::new()));

/// The kernel, for one VM; or for none, then nothing can be pinned.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    context: *mut c_void,
}

impl Kernel {
    /// For what is about no VM.
    pub(crate) const WITHOUT_VM: Self = Self {
        context: core::ptr::null_mut(),
    };

    /// For a VM.
    ///
    /// # Safety
    ///
    /// `context` is what C gave with the VM, which outlives this.
    pub(crate) const unsafe fn for_vm(context: *mut c_void) -> Self {
        Self { context }
    }
}

/// What C answers instead of memory.
const fn host_error(code: i32) -> HostError {
    const NO_MEMORY: i32 = -12;
    if code == NO_MEMORY {
        HostError::OutOfMemory
    } else {
        HostError::BadAddress
    }
}

impl Host for Kernel {
    fn rmi(&self, mut registers: [u64; 8]) -> [u64; 5] {
        // SAFETY: there is room for eight registers, and what the RMM may do to memory by a command is
        // the core's responsibility: it names only granules of the pool and pages of its own.
        unsafe { c::realm_host_rmi(registers.as_mut_ptr()) };
        let [x0, x1, x2, x3, x4, ..] = registers;
        [x0, x1, x2, x3, x4]
    }

    fn take_pages(&self, order: u32) -> Option<Page> {
        let mut physical = 0;
        // SAFETY: `physical` can be written to.
        let code = unsafe { c::realm_host_take_pages(order, &raw mut physical) };
        if code == 0 { Page::new(physical) } else { None }
    }

    fn give_pages(&self, first: Page, order: u32) {
        // SAFETY: the core gives back what it took, once, and none of it is delegated then.
        unsafe { c::realm_host_give_pages(first.address(), order) };
    }

    fn split_pages(&self, first: Page, order: u32) {
        // SAFETY: the core splits what it took in one piece, once, and has not given any of it back.
        unsafe { c::realm_host_split_pages(first.address(), order) };
    }

    fn give_single_pages(&self, first: Page, count: usize) {
        // SAFETY: the core gives back what it has split, once, and none of it is delegated then.
        unsafe { c::realm_host_give_single_pages(first.address(), count as u64) };
    }

    fn write_page(&self, page: Page, bytes: &[u8]) {
        let length = bytes.len().min(rmm_abi::GRANULE_SIZE) as u64;
        // SAFETY: the core writes to pages only that it took and has not delegated; the length is not
        // beyond the page, nor beyond `bytes`.
        unsafe { c::realm_host_write_page(page.address(), 0, bytes.as_ptr().cast(), length) };
    }

    fn copy_from_user(&self, page: Page, address: u64) -> Result<(), HostError> {
        // SAFETY: as with `write_page`; the kernel checks `address`.
        let code = unsafe { c::realm_host_copy_from_user(page.address(), address) };
        if code == 0 {
            Ok(())
        } else {
            Err(host_error(code))
        }
    }

    fn pin(&self, address: u64) -> Result<Page, HostError> {
        if self.context.is_null() {
            return Err(HostError::BadAddress);
        }
        let mut physical = 0;
        // SAFETY: `context` is the VM's by `for_vm`, `physical` can be written to.
        let code = unsafe { c::realm_host_pin(self.context, address, &raw mut physical) };
        if code != 0 {
            return Err(host_error(code));
        }
        Page::new(physical).ok_or(HostError::BadAddress)
    }

    fn unpin(&self, page: Page) {
        if !self.context.is_null() {
            // SAFETY: `context` is the VM's by `for_vm`, and the core unpins what it has pinned, once.
            unsafe { c::realm_host_unpin(self.context, page.address()) };
        }
    }

    fn with_shared<R>(&self, action: impl FnOnce(&mut Shared) -> R) -> R {
        c::realm_host_lock_pool();
        // SAFETY: whoever gets here holds the pool mutex until the end of `action`, which cannot get
        // here again: the core has no host in there.
        let result = action(unsafe { &mut *SHARED.0.get() });
        // SAFETY: it was locked above.
        unsafe { c::realm_host_unlock_pool() };
        result
    }

    fn rest(&self) {
        c::realm_host_rest();
    }

    fn interrupted(&self) -> bool {
        c::realm_host_interrupted()
    }

    fn nanoseconds(&self) -> u64 {
        c::realm_host_nanoseconds()
    }

    fn log(&self, severity: Severity, text: fmt::Arguments<'_>) {
        let level = match severity {
            Severity::Error => 3,
            Severity::Warning => 4,
        };
        let mut line = Line::new();
        // A line that is too long ends where it has no more room.
        let _ = line.write_fmt(text);
        let text = line.text();
        // SAFETY: `text` is so many bytes.
        unsafe { c::realm_host_log(level, text.as_ptr().cast(), text.len() as u64) };
    }
}

/// A line of text in the making.
pub(crate) struct Line {
    bytes: [u8; 200],
    length: usize,
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; 200],
            length: 0,
        }
    }

    pub(crate) fn text(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            *self.bytes.get_mut(self.length).ok_or(fmt::Error)? = byte;
            self.length += 1;
        }
        Ok(())
    }
}
