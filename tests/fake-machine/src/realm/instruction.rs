//! Instructions that may come to the RMM, and other things that interrupt a Realm.

use rmm_core::machine::{Exception, ExceptionKind};

/// A system register as instructions name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemEncoding {
    /// `op0`.
    pub op0: u8,
    /// `op1`.
    pub op1: u8,
    /// `CRn`.
    pub crn: u8,
    /// `CRm`.
    pub crm: u8,
    /// `op2`.
    pub op2: u8,
}

impl SystemEncoding {
    /// `MPIDR_EL1`.
    pub const MPIDR: Self = Self::new(3, 0, 0, 0, 5);

    /// A register by its five numbers.
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Self {
        Self {
            op0,
            op1,
            crn,
            crm,
            op2,
        }
    }

    /// `ESR_EL2.ISS` of a trapped access.
    pub const fn syndrome(self, general: u8, is_read: bool) -> u64 {
        (self.op0 as u64) << 20
            | (self.op2 as u64) << 17
            | (self.op1 as u64) << 14
            | (self.crn as u64) << 10
            | (general as u64) << 5
            | (self.crm as u64) << 1
            | is_read as u64
    }
}

/// A load or store of one general-purpose register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the fields of an instruction"
)]
pub struct MemoryAccess {
    /// Virtual address.
    pub address: u64,
    /// Bytes: 1, 2, 4 or 8.
    pub size: u64,
    /// It stores.
    pub is_write: bool,
    /// It extends the sign of what it loads.
    pub is_signed: bool,
    /// The register has 64 bits, or 32.
    pub is_64_bit: bool,
    /// Number of the register; 31 is the zero register.
    pub register: u8,
    /// The CPU describes it in the syndrome (`ISV`). It does not for pairs, exclusives and
    /// write-back.
    pub is_described: bool,
}

impl MemoryAccess {
    /// A load of some bytes into X0, as a 64-bit value.
    pub const fn load(address: u64, size: u64) -> Self {
        Self {
            address,
            size,
            is_write: false,
            is_signed: false,
            is_64_bit: true,
            register: 0,
            is_described: true,
        }
    }

    /// A store of some bytes of X0.
    pub const fn store(address: u64, size: u64) -> Self {
        Self {
            is_write: true,
            ..Self::load(address, size)
        }
    }

    /// Everything of `ESR_EL2.ISS` but the fault status.
    pub(crate) const fn syndrome(self) -> u64 {
        let direction = (self.is_write as u64) << 6;
        if !self.is_described {
            return direction;
        }
        1 << 24
            | (self.size.trailing_zeros() as u64) << 22
            | (self.is_signed as u64) << 21
            | (self.register as u64) << 16
            | (self.is_64_bit as u64) << 15
            | direction
    }
}

/// What a CPU waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitFor {
    /// `WFI`.
    Interrupt,
    /// `WFE`.
    Event,
    /// `WFIT` with the number of the register that holds the end of the time.
    InterruptUntil(u8),
    /// `WFET`.
    EventUntil(u8),
}

/// Which registers an instruction needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VectorUse {
    /// Floating point and SIMD.
    Simd,
    /// SVE.
    Sve,
    /// SME.
    Sme,
}

/// Something that may bring the CPU to the RMM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instruction {
    /// `SMC` with an immediate.
    Smc(u16),
    /// `HVC` with an immediate.
    Hvc(u16),
    /// `WFI` and the like.
    Wait(WaitFor),
    /// A load or store.
    Access(MemoryAccess),
    /// A jump to an address: the instruction there is fetched, and does nothing.
    Fetch(u64),
    /// `MRS` into a general-purpose register.
    ReadSystem(SystemEncoding, u8),
    /// `MSR` from a general-purpose register.
    WriteSystem(SystemEncoding, u8),
    /// A read of a word of the vector registers: the RMM's granule it belongs to, and the word.
    ReadVector(VectorUse, usize, usize),
    /// A write of one.
    WriteVector(VectorUse, usize, usize, u64),
    /// An exception comes in between instructions, with this syndrome.
    Interruption(ExceptionKind, u64),
    /// A synchronous exception with values of the test's own in `FAR_EL2` and `HPFAR_EL2`. It is not
    /// done again.
    Synchronous(u64, u64, u64),
}

impl Instruction {
    /// Where the instruction is, that came to the RMM when the program counter was here.
    pub(crate) const fn address(&self, here: u64) -> u64 {
        match *self {
            Self::Fetch(address) => address,
            _ => here,
        }
    }

    /// Whether the Realm goes on behind it when it comes back to where it was.
    pub(crate) const fn is_over_when_taken(&self) -> bool {
        matches!(self, Self::Interruption(..) | Self::Synchronous(..))
    }
}

/// An exception that the Realm takes to its EL1 instead of the end of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Where it goes on, from `VBAR_EL1`.
    pub vector: u64,
    /// `ESR_EL1`.
    pub syndrome: u64,
    /// `FAR_EL1`.
    pub fault_address: u64,
    /// `ELR_EL1`.
    pub link: u64,
    /// `SPSR_EL1`.
    pub saved_state: u64,
    /// PSTATE from then on.
    pub state: u64,
}

/// What an instruction comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    /// It is done, and has this result.
    Done(u64),
    /// It is done, and went to another address.
    Jumped,
    /// It took an exception to EL1 without the RMM.
    Taken(Taken),
    /// It came to the RMM.
    Trap(Exception),
}
