//! The system registers of EL1 and EL0: the host's, or a Realm's. EL3 does not switch them.

use core::arch::global_asm;
use core::cell::Cell;
use core::sync::atomic::AtomicU64;

use aarch64_cpu::registers::{ID_AA64ISAR1_EL1, ID_AA64PFR0_EL1, Readable};
use rmm_core::rec::layout::{SYSTEM_WORDS, SystemRegister};

global_asm!(include_str!("system_state/exchange.S"));

unsafe extern "C" {
    fn rmm_exchange_system(save: *const AtomicU64, load: *const AtomicU64, features: u64);
}

/// The routine knows these positions.
const _: () = {
    assert!(SystemRegister::CNTP_CTL_EL0 as usize == 27);
    assert!(SystemRegister::APGAKeyHi_EL1 as usize == 37);
    assert!(SystemRegister::VDISR_EL2 as usize == 38);
};

/// The registers in memory.
pub type SystemWords = [AtomicU64; SYSTEM_WORDS];

const POINTER_AUTHENTICATION: u64 = 1 << 0;
const RELIABILITY: u64 = 1 << 1;

/// The host's system registers while a Realm's are in this CPU.
#[derive(Debug)]
pub struct SystemState {
    host: SystemWords,
    features: u64,
    is_realms: Cell<bool>,
}

impl SystemState {
    /// Asks the CPU what it has.
    pub fn of_this_cpu() -> Self {
        let mut features = 0;
        // APA and API, or else APA3 in ISAR2.
        let authentication = ID_AA64ISAR1_EL1.get() >> 4 & 0xff | second_authentication_field();
        if authentication != 0 {
            features |= POINTER_AUTHENTICATION;
        }
        if ID_AA64PFR0_EL1.get() >> 28 & 0xf != 0 {
            features |= RELIABILITY;
        }
        Self {
            host: [const { AtomicU64::new(0) }; SYSTEM_WORDS],
            features,
            is_realms: Cell::new(false),
        }
    }

    /// Whether a Realm's registers are in the CPU.
    pub fn is_realms(&self) -> bool {
        self.is_realms.get()
    }

    /// Takes the host's registers out of the CPU and puts a Realm's in.
    pub fn exchange_to_realm(&self, realm: &SystemWords) {
        self.exchange(&self.host, realm);
        self.is_realms.set(true);
    }

    /// Takes the Realm's registers out of the CPU and puts the host's back.
    pub fn exchange_to_host(&self, realm: &SystemWords) {
        self.exchange(realm, &self.host);
        self.is_realms.set(false);
    }

    fn exchange(&self, save: &SystemWords, load: &SystemWords) {
        // SAFETY: the CPU has the registers that `features` says, none of which concerns code at
        // EL2, and both places have words for all. The words are atomics.
        unsafe { rmm_exchange_system(save.as_ptr(), load.as_ptr(), self.features) };
    }
}

fn second_authentication_field() -> u64 {
    let isar2: u64;
    // SAFETY: reading an identification register has no effect; without the register it is zero.
    unsafe {
        core::arch::asm!("mrs {0}, s3_0_c0_c6_2", out(reg) isar2, options(nomem, nostack));
    }
    isar2 >> 12 & 0xf
}
