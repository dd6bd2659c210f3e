//! Breakpoints, watchpoints and what else of self-hosted debug belongs to EL1: the host's, or a
//! Realm's.
//!
//! EL3 does not switch these registers. The host's stay in the CPU, and do no harm there, while a
//! Realm runs whose `MDSCR_EL1.MDE` is clear and whose accesses trap. For other Realms they are
//! exchanged.
//!
//! None of them can take effect while the RMM runs, however far an exchange has come: a debug
//! exception of the level that it is taken to needs `PSTATE.D` clear, and the RMM runs with it set
//! from its first instruction on, as EL3 and every exception set it. Levels above the one that
//! debug exceptions are taken to do not generate any, whatever the registers say.
//!
//! Of a CPU with more than 16 breakpoints or watchpoints only the first 16 can be reached, and
//! fire, as long as `MDCR_EL2.EBWE` is clear, which is how the RMM has it.

use core::arch::{asm, global_asm};
use core::cell::Cell;
use core::marker::PhantomData;
use core::sync::atomic::AtomicU64;

use aarch64_cpu::registers::{ID_AA64DFR0_EL1, Readable};

/// Which word is which.
pub mod layout {
    /// Words of the state. The last two are not used.
    pub const WORDS: usize = 68;
    /// Breakpoints, and watchpoints, that there is room for.
    pub const COMPARATORS: usize = 16;
    /// `DBGBVR<n>_EL1`, of which there are [`COMPARATORS`].
    pub const BREAKPOINT_VALUE: usize = 0;
    /// `DBGBCR<n>_EL1`.
    pub const BREAKPOINT_CONTROL: usize = BREAKPOINT_VALUE + COMPARATORS;
    /// `DBGWVR<n>_EL1`.
    pub const WATCHPOINT_VALUE: usize = BREAKPOINT_CONTROL + COMPARATORS;
    /// `DBGWCR<n>_EL1`.
    pub const WATCHPOINT_CONTROL: usize = WATCHPOINT_VALUE + COMPARATORS;
    /// `MDCCINT_EL1`.
    pub const CHANNEL_INTERRUPTS: usize = WATCHPOINT_CONTROL + COMPARATORS;
    /// The claim tags that are set.
    pub const CLAIM_TAGS: usize = CHANNEL_INTERRUPTS + 1;
}

/// The state of a Realm, laid out as [`layout`] says. All zero: everything is off.
pub type DebugWords = [AtomicU64; layout::WORDS];

global_asm!(
    include_str!("debug_state/exchange.S"),
    BREAKPOINT_VALUE = const 8 * layout::BREAKPOINT_VALUE,
    BREAKPOINT_CONTROL = const 8 * layout::BREAKPOINT_CONTROL,
    WATCHPOINT_VALUE = const 8 * layout::WATCHPOINT_VALUE,
    WATCHPOINT_CONTROL = const 8 * layout::WATCHPOINT_CONTROL,
    CHANNEL_INTERRUPTS = const 8 * layout::CHANNEL_INTERRUPTS,
    CLAIM_TAGS = const 8 * layout::CLAIM_TAGS,
);

unsafe extern "C" {
    fn rmm_exchange_debug(
        save: *const AtomicU64,
        load: *const AtomicU64,
        breakpoints: u64,
        watchpoints: u64,
    ) -> u64;
}

/// `E` of `DBGBCR<n>_EL1` and `DBGWCR<n>_EL1`.
const ENABLED: u64 = 1;

/// The host's debug registers while a Realm's are in this CPU.
#[derive(Debug)]
pub struct DebugState {
    host: DebugWords,
    host_os_lock: Cell<bool>,
    /// Breakpoints and watchpoints that are exchanged; at most [`layout::COMPARATORS`].
    breakpoints: u64,
    watchpoints: u64,
    /// The registers are this CPU's.
    not_send: PhantomData<*mut ()>,
}

impl DebugState {
    /// Asks the CPU what it has.
    pub fn of_this_cpu() -> Self {
        let dfr0 = ID_AA64DFR0_EL1.get();
        // Where there are more than 16 the field is all ones, and another register has the number.
        Self {
            host: [const { AtomicU64::new(0) }; layout::WORDS],
            host_os_lock: Cell::new(false),
            breakpoints: (dfr0 >> 12 & 0xf) + 1,
            watchpoints: (dfr0 >> 20 & 0xf) + 1,
            not_send: PhantomData,
        }
    }

    /// Takes the host's registers out of the CPU and puts a Realm's in, with the OS lock clear. A Realm
    /// never has the lock of the CPU: while it is set, `MDSCR_EL1` gives access to `EDSCR`.
    ///
    /// Takes effect with the `ERET` to the Realm.
    pub fn exchange_to_realm(&self, realm: &DebugWords) {
        self.host_os_lock.set(os_lock_is_set());
        self.exchange(&self.host, realm);
        set_os_lock(false);
    }

    /// Takes the Realm's registers out of the CPU and puts the host's back. Whether a breakpoint
    /// or watchpoint of the Realm is enabled.
    pub fn exchange_to_host(&self, realm: &DebugWords) -> bool {
        let controls = self.exchange(realm, &self.host);
        set_os_lock(self.host_os_lock.get());
        controls & ENABLED != 0
    }

    /// Saves what the CPU has and loads other values. Bits that are set in any of the saved
    /// control registers.
    fn exchange(&self, save: &DebugWords, load: &DebugWords) -> u64 {
        // SAFETY: the CPU has that many breakpoints and watchpoints, and none of them takes effect
        // at EL2 (see above). Both places have words for all.
        unsafe {
            rmm_exchange_debug(
                save.as_ptr(),
                load.as_ptr(),
                self.breakpoints,
                self.watchpoints,
            )
        }
    }
}

fn os_lock_is_set() -> bool {
    let status: u64;
    // SAFETY: reading OSLSR_EL1 has no effect.
    unsafe { asm!("mrs {0}, oslsr_el1", out(reg) status, options(nostack, preserves_flags)) };
    status & 1 << 1 != 0
}

fn set_os_lock(locked: bool) {
    // SAFETY: the lock suppresses debug exceptions, which there are none of at EL2, and locks out
    // an external debugger.
    unsafe {
        asm!("msr oslar_el1, {0}", in(reg) u64::from(locked), options(nostack, preserves_flags));
    }
}
