//! Trapped accesses of Realms to system registers: what is answered.

use super::{Features, IdRegister};

/// The places of an encoding's parts in the syndrome of a trapped access (`ESR_EL2`, exception
/// class 0x18).
const OP0: u32 = 20;
const OP2: u32 = 17;
const OP1: u32 = 14;
const CRN: u32 = 10;
const CRM: u32 = 1;

const fn encoding(op0: u32, op1: u32, crn: u32, crm: u32, op2: u32) -> u32 {
    op0 << OP0 | op2 << OP2 | op1 << OP1 | crn << CRN | crm << CRM
}

/// op0, op1 and `CRn`, which identification registers have in common.
const ID_SPACE: u32 = encoding(3, 0, 0, 0, 0);
const ID_SPACE_MASK: u32 = encoding(3, 7, 15, 0, 0);

const OSDTRRX_EL1: u32 = encoding(2, 0, 0, 0, 2);
const MDCCINT_EL1: u32 = encoding(2, 0, 0, 2, 0);
const MDSCR_EL1: u32 = encoding(2, 0, 0, 2, 2);
const OSDTRTX_EL1: u32 = encoding(2, 0, 0, 3, 2);
const OSECCR_EL1: u32 = encoding(2, 0, 0, 6, 2);
const MDRAR_EL1: u32 = encoding(2, 0, 1, 0, 0);
const OSLAR_EL1: u32 = encoding(2, 0, 1, 0, 4);
const OSLSR_EL1: u32 = encoding(2, 0, 1, 1, 4);
const OSDLR_EL1: u32 = encoding(2, 0, 1, 3, 4);
const DBGPRCR_EL1: u32 = encoding(2, 0, 1, 4, 4);
const DBGCLAIMSET_EL1: u32 = encoding(2, 0, 7, 8, 6);
const DBGCLAIMCLR_EL1: u32 = encoding(2, 0, 7, 9, 6);
const DBGAUTHSTATUS_EL1: u32 = encoding(2, 0, 7, 14, 6);
const MDCCSR_EL0: u32 = encoding(2, 3, 0, 1, 0);
const DBGDTR_EL0: u32 = encoding(2, 3, 0, 4, 0);
/// `DBGDTRRX_EL0` when read, `DBGDTRTX_EL0` when written.
const DBGDTRRX_EL0: u32 = encoding(2, 3, 0, 5, 0);

const ERRIDR_EL1: u32 = encoding(3, 0, 5, 3, 0);
const ERRSELR_EL1: u32 = encoding(3, 0, 5, 3, 1);
const ERXFR_EL1: u32 = encoding(3, 0, 5, 4, 0);
const ERXCTLR_EL1: u32 = encoding(3, 0, 5, 4, 1);
const ERXSTATUS_EL1: u32 = encoding(3, 0, 5, 4, 2);
const ERXADDR_EL1: u32 = encoding(3, 0, 5, 4, 3);
const ERXPFGF_EL1: u32 = encoding(3, 0, 5, 4, 4);
const ERXPFGCTL_EL1: u32 = encoding(3, 0, 5, 4, 5);
const ERXPFGCDN_EL1: u32 = encoding(3, 0, 5, 4, 6);
const ERXMISC0_EL1: u32 = encoding(3, 0, 5, 5, 0);
const ERXMISC1_EL1: u32 = encoding(3, 0, 5, 5, 1);
const ERXMISC2_EL1: u32 = encoding(3, 0, 5, 5, 2);
const ERXMISC3_EL1: u32 = encoding(3, 0, 5, 5, 3);

const ICC_DIR_EL1: u32 = encoding(3, 0, 12, 11, 1);
const ICC_SGI1R_EL1: u32 = encoding(3, 0, 12, 11, 5);
const ICC_ASGI1R_EL1: u32 = encoding(3, 0, 12, 11, 6);
const ICC_SGI0R_EL1: u32 = encoding(3, 0, 12, 11, 7);
const ACTLR_EL1: u32 = encoding(3, 0, 1, 0, 1);
const ICC_SRE_EL1: u32 = encoding(3, 0, 12, 12, 5);

/// `ICC_SRE_EL1`: system registers, no bypass of IRQ and FIQ.
const SYSTEM_REGISTER_INTERFACE: u64 = 0b111;

/// An access to a system register, or a system instruction, that trapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemAccess(u32);

impl SystemAccess {
    const REGISTER: u32 = 0x1f << 5;
    const READ: u32 = 1;

    /// From `ESR_EL2` of an exception of class 0x18.
    pub const fn from_syndrome(esr: u64) -> Self {
        Self((esr & 0x3f_ffff) as u32)
    }

    /// Whether the Realm reads.
    pub const fn is_read(self) -> bool {
        self.0 & Self::READ != 0
    }

    /// Number of the general-purpose register that takes part; 31 is the zero register.
    pub const fn register(self) -> u8 {
        self.bits(5, 5)
    }

    /// op0 of the encoding.
    pub const fn op0(self) -> u8 {
        self.bits(OP0, 2)
    }

    /// op1 of the encoding.
    pub const fn op1(self) -> u8 {
        self.bits(OP1, 3)
    }

    /// `CRn` of the encoding.
    pub const fn crn(self) -> u8 {
        self.bits(CRN, 4)
    }

    /// `CRm` of the encoding.
    pub const fn crm(self) -> u8 {
        self.bits(CRM, 4)
    }

    /// op2 of the encoding.
    pub const fn op2(self) -> u8 {
        self.bits(OP2, 3)
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most five bits")]
    const fn bits(self, shift: u32, width: u32) -> u8 {
        (self.0 >> shift & ((1 << width) - 1)) as u8
    }

    /// What is answered to a Realm with these features.
    #[inline]
    pub const fn action(self, features: Features) -> Action {
        if self.0 & ID_SPACE_MASK == ID_SPACE {
            // Nothing in this space can be written, and what traps begins at CRm 1.
            return match self.crm() {
                crm @ 1..=7 if self.is_read() => {
                    Action::Identification(IdRegister::new(crm, self.op2()))
                }
                _ => Action::Undefined,
            };
        }
        self.other_action(features)
    }

    const fn other_action(self, features: Features) -> Action {
        let read = self.is_read();
        match self.0 & !(Self::REGISTER | Self::READ) {
            ICC_SGI1R_EL1 | ICC_SGI0R_EL1 | ICC_DIR_EL1 if !read => Action::ExitToHost,
            ICC_SRE_EL1 => Action::ReadAs(SYSTEM_REGISTER_INTERFACE),
            OSLAR_EL1 if !read => Action::OsLock,
            OSLSR_EL1 if read => Action::OsLockStatus,
            MDSCR_EL1 | DBGCLAIMSET_EL1 | DBGCLAIMCLR_EL1 => Action::DebugRegisters,

            // The interrupts of another Security state: a Realm has none.
            ICC_ASGI1R_EL1 if !read => Action::ReadAs(0),
            // Registers that can only be read. There are no error records (ERRIDR_EL1.NUM).
            ERRIDR_EL1 | ERXFR_EL1 | ERXPFGF_EL1 | MDRAR_EL1 | DBGAUTHSTATUS_EL1 | MDCCSR_EL0
                if read =>
            {
                Action::ReadAs(0)
            }
            // No error record can be selected; no external debugger, no power control, no OS double
            // lock.
            ERRSELR_EL1 | ERXCTLR_EL1 | ERXSTATUS_EL1 | ERXADDR_EL1 | ERXPFGCTL_EL1
            | ERXPFGCDN_EL1 | ERXMISC0_EL1 | ERXMISC1_EL1 | ERXMISC2_EL1 | ERXMISC3_EL1
            | OSDLR_EL1 | DBGPRCR_EL1 | OSECCR_EL1 | OSDTRRX_EL1 | OSDTRTX_EL1 | MDCCINT_EL1
            | DBGDTR_EL0 | DBGDTRRX_EL0
            // What it does is not defined by the architecture.
            | ACTLR_EL1 => Action::ReadAs(0),

            _ => self.comparator_action(features),
        }
    }

    /// Breakpoints and watchpoints: their number is in `CRm`, op2 has the kind.
    const fn comparator_action(self, features: Features) -> Action {
        let last = match (self.op0(), self.op1(), self.crn(), self.op2()) {
            // DBGBVR<n>_EL1, DBGBCR<n>_EL1
            (2, 0, 0, 4 | 5) => features.breakpoints,
            // DBGWVR<n>_EL1, DBGWCR<n>_EL1
            (2, 0, 0, 6 | 7) => features.watchpoints,
            _ => return Action::Undefined,
        };
        if self.crm() <= last {
            Action::DebugRegisters
        } else {
            Action::Undefined
        }
    }
}

/// What is done about a trapped access. Unless it says otherwise, the Realm goes on behind the
/// instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The Realm reads this register, as
    /// [`RealmIdRegisters::read`](super::RealmIdRegisters::read) says.
    Identification(IdRegister),
    /// A read gives this, a write has no effect.
    ReadAs(u64),
    /// The Realm takes an exception with unknown reason (class 0), at the instruction: there is no
    /// such register.
    Undefined,
    /// The host emulates the access.
    ExitToHost,
    /// A write of `OSLAR_EL1`: bit 0 of the value is the new state of the Realm's OS lock.
    OsLock,
    /// A read of `OSLSR_EL1`: see [`os_lock_status`].
    OsLockStatus,
    /// The RMM gives the Realm its debug registers and the Realm repeats the instruction.
    DebugRegisters,
}

/// `OSLSR_EL1`: there is an OS lock (OSLM = 0b10), and its state.
pub const fn os_lock_status(locked: bool) -> u64 {
    const OS_LOCK_IMPLEMENTED: u64 = 1 << 3;
    const OS_LOCKED: u64 = 1 << 1;
    if locked {
        OS_LOCK_IMPLEMENTED | OS_LOCKED
    } else {
        OS_LOCK_IMPLEMENTED
    }
}

#[cfg(test)]
mod tests;
