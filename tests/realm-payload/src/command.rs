//! What the host can ask for.

use crate::SystemRegister;
use crate::exit::Exit;
use crate::measure::Operation;
use crate::pattern::Kind;

/// Registers of [`Command::Smc`] and [`Command::Hvc`]: X0 to X17.
pub const CALL_REGISTERS: usize = 18;

/// Words of a challenge.
pub const CHALLENGE_WORDS: usize = rmm_abi::rsi::CHALLENGE_SIZE / size_of::<u64>();

/// Addresses of [`Command::LoadTranslated`] are below this.
pub const TRANSLATED_SPAN: u64 = 1 << 39;

/// Bytes of a load or store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Size {
    /// 1
    Byte = 1,
    /// 2
    Halfword = 2,
    /// 4
    Word = 4,
    /// 8
    Doubleword = 8,
}

impl Size {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Byte, Self::Halfword, Self::Word, Self::Doubleword];

    fn from_word(word: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|size| *size as u64 == word)
    }

    /// The bits of a register that an access of this size moves.
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * self as u32)
    }
}

/// A load by one instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// Virtual address.
    pub address: u64,
    /// Bytes of it.
    pub size: Size,
    /// Whether the value is sign-extended.
    pub sign_extend: bool,
    /// Whether the target is an X register. There are instructions for: no extension with a W
    /// register (doublewords with an X register), and sign extension to either where the value is
    /// smaller.
    pub wide: bool,
}

impl Load {
    /// Whether there is an instruction for it.
    pub const fn exists(&self) -> bool {
        match (self.sign_extend, self.size) {
            (false, Size::Doubleword) | (true, Size::Word) => self.wide,
            (false, _) => !self.wide,
            (true, Size::Byte | Size::Halfword) => true,
            (true, Size::Doubleword) => false,
        }
    }

    /// What the target register holds after a load of `value`.
    pub const fn extend(&self, value: u64) -> u64 {
        let unused = 64 - 8 * self.size as u32;
        if self.sign_extend {
            let extended = ((value << unused).cast_signed() >> unused).cast_unsigned();
            if self.wide {
                extended
            } else {
                extended & 0xffff_ffff
            }
        } else {
            value & self.size.mask()
        }
    }
}

/// A load without an instruction of its own is not decoded.
fn decode_load(address: u64, size: u64, flags: u64) -> Option<Load> {
    let load = Load {
        address,
        size: Size::from_word(size)?,
        sign_extend: flags & 1 != 0,
        wide: flags & 2 != 0,
    };
    (flags < 4 && load.exists()).then_some(load)
}

/// One of the two EL1 timers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TimerKind {
    /// `CNTV`.
    Virtual = 0,
    /// `CNTP`.
    Physical = 1,
}

/// How the program sees the unprotected half of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum UnprotectedMemory {
    /// Device-nGnRE, as after boot.
    Device = 0,
    /// Normal non-cacheable.
    NonCacheable = 1,
}

/// Something for a REC to do. What it answers with is said behind the arrow; words count from the
/// first behind the outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// SMC with X0 to X17 → X0 to X17. The check is that X18 to X30 are kept; the index is the
    /// number of the register.
    Smc([u64; CALL_REGISTERS]),
    /// HVC, otherwise the same.
    Hvc([u64; CALL_REGISTERS]),
    /// A load with a syndrome → all 64 bits of the target register.
    Load(Load),
    /// A store with a syndrome.
    Store {
        /// Virtual address.
        address: u64,
        /// Bytes of it.
        size: Size,
        /// What is stored; higher bits are in the register too.
        value: u64,
    },
    /// A load of a pair of doublewords, which has no syndrome → both.
    LoadPair {
        /// Virtual address.
        address: u64,
    },
    /// Calls the instructions at an address, which should return.
    Fetch {
        /// Virtual address.
        address: u64,
    },
    /// `LDADD` of a doubleword → the old value.
    AtomicAdd {
        /// Virtual address.
        address: u64,
        /// What is added.
        value: u64,
    },
    /// `DC CIVAC`.
    CleanInvalidate {
        /// Virtual address.
        address: u64,
    },
    /// A load of a doubleword through a stage 1 table of the host's choice → the value. For the
    /// time of the load the table is of level 1 and covers [`TRANSLATED_SPAN`] bytes.
    LoadTranslated {
        /// Offset in what the table covers.
        offset: u64,
        /// Intermediate physical address of the table.
        table: u64,
    },
    /// `MRS` → the value.
    ReadRegister(SystemRegister),
    /// `MSR`, or `SYS` where the register is a system instruction.
    WriteRegister {
        /// Which one.
        register: SystemRegister,
        /// What is written.
        value: u64,
    },
    /// `WFI`.
    Wfi,
    /// `WFE`, without an event that is there from before.
    Wfe,
    /// `WFIT`.
    Wfit {
        /// A value of `CNTVCT_EL0`.
        deadline: u64,
    },
    /// `WFET`, without an event that is there from before.
    Wfet {
        /// A value of `CNTVCT_EL0`.
        deadline: u64,
    },
    /// Counts to a number in a loop, so that interrupts have something to interrupt.
    Yield {
        /// The number.
        count: u64,
    },
    /// Sets D, A, I and F of the processor state, as in `DAIF` (bits 9 to 6) → the old ones. They
    /// stay so for commands to come.
    SetDaif(u64),
    /// Changes the attributes of the unprotected half for all RECs; none of them may be using it.
    MapUnprotected(UnprotectedMemory),
    /// Fills the registers of a family with patterns → how many take part, and for
    /// [`Kind::Sve`] the bytes of a vector. A register that does not take its pattern fails the
    /// check with its index in the family.
    Fill {
        /// A family of [`canary`](crate::canary).
        kind: Kind,
        /// Whose the patterns are.
        seed: u16,
    },
    /// Checks that the registers of a family hold the patterns of [`Self::Fill`] → how many took
    /// part. The index is the pattern's.
    Check {
        /// A family of [`canary`](crate::canary).
        kind: Kind,
        /// Whose the patterns are.
        seed: u16,
    },
    /// Fills X0 to X30, V0 to V31 and the condition flags, causes an exit, and checks that all is
    /// kept that should be → X0 to X3 after it. The index is the number of the X register; 32 plus
    /// twice the number of the V register, plus one for its upper half; 96 for the flags; 128 plus
    /// the number for registers of a host call.
    CanaryExit {
        /// The cause.
        exit: Exit,
        /// Whose the patterns are.
        seed: u16,
        /// Address for exits that need one: see [`Exit`].
        address: u64,
    },
    /// Takes interrupts of both groups at EL1, or masks them.
    Interrupts {
        /// Whether they are taken.
        enable: bool,
        /// `EOImode` 1: deactivation is a write of its own.
        split: bool,
    },
    /// Interrupts taken since the REC started → how many different ones, then one
    /// [`InterruptCount`] each, up to [`INTERRUPT_COUNTS`].
    InterruptCounts,
    /// Arms a timer, its interrupt not masked, or switches it off → the compare value.
    Timer {
        /// Which one.
        timer: TimerKind,
        /// Ticks from now.
        ticks: u64,
        /// Armed or off.
        enable: bool,
    },
    /// Writes `ICC_SGI1R_EL1`.
    SendSgi(u64),
    /// Random steps: see [`soak`](crate::soak) → how many of each
    /// [`Step`](crate::soak::Step) were done.
    Soak {
        /// How many.
        steps: u64,
        /// Which.
        seed: u64,
        /// A page of unprotected memory that the host emulates.
        device: u64,
    },
    /// → `CNTVCT_EL0` and `CNTFRQ_EL0`.
    Time,
    /// → the least ticks that one operation took: see [`Operation`].
    Measure {
        /// Which one.
        operation: Operation,
        /// How often.
        repetitions: u64,
        /// Address for operations that need one.
        address: u64,
    },
    /// Fetches the attestation token over a challenge and hands it to the host in calls with
    /// [`immediate::TOKEN`](crate::immediate::TOKEN) → its size in bytes.
    Attest {
        /// The challenge, as it travels in registers.
        challenge: [u64; CHALLENGE_WORDS],
    },
}

/// Most entries of [`Command::InterruptCounts`].
pub const INTERRUPT_COUNTS: usize = 24;

/// How often an interrupt was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterruptCount {
    /// Its number.
    pub intid: u32,
    /// 0 or 1.
    pub group: u8,
    /// How often, modulo 2³².
    pub count: u32,
}

impl InterruptCount {
    /// As it travels: count in the lower half, number from bit 32 on, group in bit 63.
    pub const fn word(self) -> u64 {
        (self.group as u64) << 63 | (self.intid as u64 & 0x7fff_ffff) << 32 | self.count as u64
    }

    /// The count in a word.
    pub const fn from_word(word: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "fields of the word")]
        Self {
            intid: (word >> 32) as u32 & 0x7fff_ffff,
            group: (word >> 63) as u8,
            count: word as u32,
        }
    }
}

mod encoding;

#[cfg(test)]
mod tests;
