//! The `GICv3` CPU interface, as the Realm sees it.

#![allow(unsafe_code)]

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use realm_payload::command::{INTERRUPT_COUNTS, InterruptCount};

use crate::registers::read_register;
use crate::timers;

/// Interrupt numbers from here to 1023 mean that there is none.
const SPECIAL: u64 = 1020;
const VIRTUAL_TIMER: u64 = 27;
const PHYSICAL_TIMER: u64 = 30;

/// I and F in `DAIF`.
pub(crate) const MASKS: u64 = 3 << 6;

/// What a REC knows of its interrupts. Only the REC itself uses it, between any two instructions.
pub(crate) struct Counts {
    /// Words of [`InterruptCount`]; zero is free.
    words: [AtomicU64; INTERRUPT_COUNTS],
    /// `EOImode` 1.
    split: AtomicBool,
}

impl Counts {
    pub(crate) const fn new() -> Self {
        Self {
            words: [const { AtomicU64::new(0) }; INTERRUPT_COUNTS],
            split: AtomicBool::new(false),
        }
    }

    pub(crate) fn forget(&self) {
        for word in &self.words {
            word.store(0, Relaxed);
        }
        self.split.store(false, Relaxed);
    }

    /// The words in use.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        self.words
            .iter()
            .map(|word| word.load(Relaxed))
            .filter(|word| *word != 0)
    }

    /// Counts one interrupt. When there is no room for another number, the last place counts for
    /// all the others.
    fn count(&self, intid: u64, group: u8) {
        #[expect(clippy::cast_possible_truncation, reason = "numbers have 24 bits")]
        let new = InterruptCount {
            intid: intid as u32,
            group,
            count: 1,
        };
        for (place, word) in self.words.iter().enumerate() {
            let old = InterruptCount::from_word(word.load(Relaxed));
            let free = word.load(Relaxed) == 0;
            let same = old.intid == new.intid && old.group == new.group;
            if free {
                word.store(new.word(), Relaxed);
                return;
            }
            if same || place == INTERRUPT_COUNTS - 1 {
                let count = old.count.wrapping_add(1);
                word.store(InterruptCount { count, ..old }.word(), Relaxed);
                return;
            }
        }
    }
}

macro_rules! write_register {
    ($name:literal, $value:expr) => {
        // SAFETY: registers of the CPU interface; the vectors are prepared for what comes.
        unsafe {
            asm!(
                concat!("msr ", $name, ", {}"),
                in(reg) $value,
                options(nostack, preserves_flags)
            );
        }
    };
}

fn synchronise() {
    // SAFETY: a barrier changes nothing that Rust knows of.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// Opens or closes the CPU interface for both groups. The masks of the processor state are the
/// caller's.
pub(crate) fn set_up(counts: &Counts, enable: bool, split: bool) {
    counts.split.store(split, Relaxed);
    // ICC_SRE_EL1.SRE
    let enabled = read_register!("S3_0_C12_C12_5") | 1;
    write_register!("S3_0_C12_C12_5", enabled);
    synchronise();
    // ICC_PMR_EL1: all priorities. ICC_CTLR_EL1: EOImode. Then both groups.
    write_register!("S3_0_C4_C6_0", 0xff_u64);
    write_register!("S3_0_C12_C12_4", u64::from(split) << 1);
    write_register!("S3_0_C12_C12_6", u64::from(enable));
    write_register!("S3_0_C12_C12_7", u64::from(enable));
    synchronise();
}

/// Takes one interrupt: acknowledges, counts, ends it.
pub(crate) fn take(counts: &Counts, group: u8) {
    let intid = if group == 0 {
        read_register!("S3_0_C12_C8_0")
    } else {
        read_register!("S3_0_C12_C12_0")
    };
    counts.count(intid, group);
    if (SPECIAL..1024).contains(&intid) {
        return;
    }
    // A timer asserts its interrupt until somebody stops it.
    match intid {
        VIRTUAL_TIMER => timers::mask_virtual(),
        PHYSICAL_TIMER => timers::mask_physical(),
        _ => {}
    }
    if group == 0 {
        write_register!("S3_0_C12_C8_1", intid);
    } else {
        write_register!("S3_0_C12_C12_1", intid);
    }
    if counts.split.load(Relaxed) {
        write_register!("S3_0_C12_C11_1", intid);
    }
    synchronise();
}

/// `ICC_SGI1R_EL1`.
pub(crate) fn send(value: u64) {
    write_register!("S3_0_C12_C11_5", value);
    synchronise();
}
