//! Exceptions that a Realm takes to its EL1 (Arm ARM, "Exception entry"; reference, section 7.7).

use rmm_abi::statistics::Fault;

use crate::Machine;
use crate::machine::Register;
use crate::session::Session;
use crate::syndrome as bits;

/// Where an exception of a Realm comes from, by PSTATE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    El0,
    El0AArch32,
    El1WithStackOfEl0,
    El1,
}

impl Origin {
    const fn of(state: u64) -> Self {
        const AARCH32: u64 = 1 << 4;
        if state & AARCH32 != 0 {
            return Self::El0AArch32;
        }
        match state & 0xf {
            0 => Self::El0,
            4 => Self::El1WithStackOfEl0,
            _ => Self::El1,
        }
    }

    /// Offset of the vector for synchronous exceptions.
    const fn vector(self) -> u64 {
        match self {
            Self::El1WithStackOfEl0 => 0,
            Self::El1 => 0x200,
            Self::El0 => 0x400,
            Self::El0AArch32 => 0x600,
        }
    }

    const fn is_lower_level(self) -> bool {
        matches!(self, Self::El0 | Self::El0AArch32)
    }
}

impl<M: Machine> Session<'_, M> {
    /// The instruction does not exist.
    pub(crate) fn inject_undefined(&self) {
        self.note_fault(Fault::UndefinedInstruction);
        take(self.machine(), |_| bits::INSTRUCTION_LENGTH);
    }

    /// What an abort that was taken to EL2 is for the Realm: an external abort on the access.
    pub(crate) fn inject_external_abort(&self, syndrome: u64, fault_address: u64) {
        self.note_fault(Fault::ExternalAbort);
        abort(
            self.machine(),
            syndrome,
            fault_address,
            bits::EXTERNAL | bits::SYNCHRONOUS_EXTERNAL_ABORT,
        );
    }

    /// What an abort beyond the Realm's address space is for the Realm.
    pub(crate) fn inject_address_size_fault(&self, syndrome: u64, fault_address: u64) {
        const LEVEL_0: u64 = 0;
        self.note_fault(Fault::AddressSize);
        abort(self.machine(), syndrome, fault_address, LEVEL_0);
    }
}

fn abort<M: Machine>(machine: &M, syndrome: u64, fault_address: u64, status: u64) {
    // An abort of the memory system may come without an address.
    let has_address =
        !bits::is_external_abort(syndrome) || syndrome & bits::FAULT_ADDRESS_NOT_VALID == 0;
    let (fault_address, status) = if has_address {
        (fault_address, status)
    } else {
        (0, status | bits::FAULT_ADDRESS_NOT_VALID)
    };
    machine.write(Register::ExceptionFaultAddress, fault_address);
    take(machine, |origin| {
        // The class for the same level follows the one for a lower level.
        let class = bits::class_of(syndrome) & !1 | u64::from(!origin.is_lower_level());
        let kind = syndrome & (bits::WRITE | bits::CACHE_MAINTENANCE);
        let kind = if bits::class_of(syndrome) == bits::DATA_ABORT_LOWER {
            kind
        } else {
            0
        };
        bits::class(class) | bits::INSTRUCTION_LENGTH | kind | status
    });
}

fn take<M: Machine>(machine: &M, syndrome: impl FnOnce(Origin) -> u64) {
    let state = machine.read(Register::ProcessorState);
    let origin = Origin::of(state);
    let control = machine.read(Register::SystemControl);
    machine.write(
        Register::ExceptionLink,
        machine.read(Register::ProgramCounter),
    );
    machine.write(Register::SavedProcessorState, state);
    machine.write(Register::ExceptionSyndrome, syndrome(origin));
    let vectors = machine.read(Register::VectorBase);
    machine.write(
        Register::ProgramCounter,
        vectors.wrapping_add(origin.vector()),
    );
    machine.write(Register::ProcessorState, state_after(state, control));
}

/// PSTATE after an exception to EL1.
const fn state_after(before: u64, control: u64) -> u64 {
    const EL1H_MASKED: u64 = 0x3c5;
    /// PAN and DIT stay; PAN is also set by an exception unless SCTLR says otherwise.
    const PAN: u64 = 1 << 22;
    const DIT: u64 = 1 << 24;
    const SSBS: u64 = 1 << 12;
    const SPAN: u64 = 1 << 23;
    const DSSBS: u64 = 1 << 44;

    let mut after = EL1H_MASKED | before & (PAN | DIT);
    if control & SPAN == 0 {
        after |= PAN;
    }
    if control & DSSBS != 0 {
        after |= SSBS;
    }
    after
}
