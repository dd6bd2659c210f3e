//! What leaves a Realm. This is the only place where anything of a REC becomes visible to the host,
//! and every bit that does is named here (DEN0137 section A4.3, "REC exit"; reference, section
//! 7.3).

use core::sync::atomic::Ordering;

use rmm_abi::rmi::run::{ExitReason, GENERAL_PURPOSE_REGISTERS, RecExit, RecRun, gic_control};

use crate::granule::GranuleAddress;
use crate::machine::{Departure, GranuleWords};
use crate::rec::RipasRequest;
use crate::rec::layout::SystemRegister;
use crate::rtt::PAGE_LEVEL;
use crate::syndrome as bits;
use crate::{HostFault, Machine};

/// Why a REC exits, with what the host may need. The syndromes are those of the CPU: what of them
/// the host sees is decided by [`Exit::record`]. Kept small, for one may come out of every trap.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exit {
    /// A physical interrupt is pending, or the state of a timer has changed.
    Irq,
    /// A physical fast interrupt is pending.
    Fiq,
    /// An `SError` was taken.
    SError { syndrome: u64 },
    /// `WFI`, `WFE` and their variants with a timeout, which is zero without.
    Wait { syndrome: u64, timeout: u64 },
    /// A fetch from a page of the Realm that the host is to provide.
    InstructionAbort { syndrome: u64, ipa: u64 },
    /// An access that the host cannot complete.
    DataAbort { syndrome: u64, ipa: u64 },
    /// An access to unprotected memory that the host may complete; `value` is what was to be stored.
    EmulatableAccess {
        syndrome: u64,
        fault_address: u64,
        ipa: u64,
        value: u64,
    },
    /// The memory system refused an access of the Realm.
    ExternalAbort { syndrome: u64 },
    /// A write to a register of the GIC that the host emulates.
    SystemAccess { syndrome: u64, value: u64 },
    /// The RMM needs a page of the Realm that the host is to provide. The walk ended at `level`.
    MissingPage { ipa: u64, level: i8 },
    /// A call of PSCI.
    Psci { function: u64, arguments: [u64; 3] },
    /// A change of RIPAS.
    RipasChange(RipasRequest),
    /// A call of the host. What it says is a [`HostCallValues`].
    HostCall { imm: u16 },
}

/// X0 to X30 of a call of the host.
pub(crate) type HostCallValues = [u64; GENERAL_PURPOSE_REGISTERS];

const EXCEPTION_CLASS: u64 = bits::EXCEPTION_CLASS;
/// Bits of the syndrome that the host sees of `WFI` and the like.
const WAIT: u64 = EXCEPTION_CLASS | bits::TRAPPED_INSTRUCTION;
/// Of an instruction abort.
const INSTRUCTION_ABORT: u64 =
    EXCEPTION_CLASS | bits::ERROR_TYPE | bits::EXTERNAL | bits::FAULT_STATUS;
/// Of a data abort that the host cannot complete.
const DATA_ABORT: u64 = INSTRUCTION_ABORT | bits::FAULT_ADDRESS_NOT_VALID;
/// Of a data abort that it may complete.
const EMULATABLE_ABORT: u64 =
    DATA_ABORT | bits::SYNDROME_VALID | bits::ACCESS_SIZE | bits::SIXTY_FOUR_BIT | bits::WRITE;
/// Of an `SError`.
const SERROR: u64 = EXCEPTION_CLASS
    | bits::IMPLEMENTATION_DEFINED_SYNDROME
    | bits::ASYNCHRONOUS_ERROR_TYPE
    | bits::EXTERNAL
    | bits::FAULT_STATUS;
/// Of a trapped access to a system register.
const SYSTEM_ACCESS: u64 = 0xffff_ffff;
/// Bits of a faulting address: the place in its page.
const FAULT_ADDRESS: u64 = 0xfff;

/// What of an exit the host finds in the run page, beside the state of GIC, timers and PMU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Record {
    reason: ExitReason,
    syndrome: u64,
    fault_address: u64,
    fault_ipa: u64,
    /// The first registers. A call of the host has more to say.
    general: [u64; 4],
    ripas: [u64; 3],
    imm: u16,
}

impl Record {
    const fn new(reason: ExitReason) -> Self {
        Self {
            reason,
            syndrome: 0,
            fault_address: 0,
            fault_ipa: 0,
            general: [0; 4],
            ripas: [0; 3],
            imm: 0,
        }
    }

    const fn synchronous(syndrome: u64) -> Self {
        Self {
            syndrome,
            ..Self::new(ExitReason::Sync)
        }
    }
}

/// `HPFAR_EL2` of an address.
const fn fault_ipa(ipa: u64) -> u64 {
    ipa >> 12 << 4
}

/// Syndrome of a data abort by a translation fault at a level.
const fn translation_fault(level: i8) -> u64 {
    const LEVEL_MINUS_1: u64 = 0b10_1011;
    const LEVEL_0: u64 = 0b00_0100;
    let status = if level < 0 {
        LEVEL_MINUS_1
    } else {
        LEVEL_0 + level.unsigned_abs() as u64
    };
    bits::class(bits::DATA_ABORT_LOWER) | status
}

const _: () = assert!(translation_fault(PAGE_LEVEL) & 0x3f == 7);

impl Exit {
    fn record(self) -> Record {
        match self {
            Self::Irq => Record::new(ExitReason::Irq),
            Self::Fiq => Record::new(ExitReason::Fiq),
            Self::SError { syndrome } => Record {
                syndrome: syndrome & SERROR,
                ..Record::new(ExitReason::SError)
            },
            Self::Wait { syndrome, timeout } => {
                let mut record = Record::synchronous(syndrome & WAIT);
                record.general[0] = timeout;
                record
            }
            Self::InstructionAbort { syndrome, ipa } => Record {
                fault_ipa: fault_ipa(ipa),
                ..Record::synchronous(syndrome & INSTRUCTION_ABORT)
            },
            Self::DataAbort { syndrome, ipa } => Record {
                fault_ipa: fault_ipa(ipa),
                ..Record::synchronous(syndrome & DATA_ABORT)
            },
            Self::EmulatableAccess {
                syndrome,
                fault_address,
                ipa,
                value,
            } => {
                let mut record = Record {
                    fault_address: fault_address & FAULT_ADDRESS,
                    fault_ipa: fault_ipa(ipa),
                    ..Record::synchronous(syndrome & EMULATABLE_ABORT)
                };
                record.general[0] = value;
                record
            }
            Self::ExternalAbort { syndrome } => {
                let mask = if bits::class_of(syndrome) == bits::INSTRUCTION_ABORT_LOWER {
                    INSTRUCTION_ABORT
                } else {
                    DATA_ABORT
                };
                Record::synchronous(syndrome & mask)
            }
            Self::SystemAccess { syndrome, value } => {
                let mut record = Record::synchronous(syndrome & SYSTEM_ACCESS);
                record.general[0] = value;
                record
            }
            Self::MissingPage { ipa, level } => Record {
                fault_ipa: fault_ipa(ipa),
                ..Record::synchronous(translation_fault(level))
            },
            Self::Psci {
                function,
                arguments,
            } => {
                let mut record = Record::new(ExitReason::Psci);
                record.general[0] = function;
                record.general[1..=arguments.len()].copy_from_slice(&arguments);
                record
            }
            Self::RipasChange(request) => Record {
                ripas: [request.base, request.top, request.value],
                ..Record::new(ExitReason::RipasChange)
            },
            Self::HostCall { imm } => Record {
                imm,
                ..Record::new(ExitReason::HostCall)
            },
        }
    }
}

/// Position in the run page, in words.
const fn word(offset: usize) -> usize {
    use core::mem::offset_of;
    (offset_of!(RecRun, exit) + offset) / size_of::<u64>()
}

/// Tells the host of an exit: the upper half of the run page is overwritten, with zeroes where
/// there is nothing to tell. Why the REC has exited.
pub(crate) fn publish<M: Machine>(
    machine: &M,
    run: GranuleAddress,
    exit: Exit,
    values: &HostCallValues,
    rec: &GranuleWords,
    departure: &Departure,
) -> Result<ExitReason, HostFault> {
    use core::mem::offset_of;

    let record = exit.record();
    let general = match exit {
        Exit::HostCall { .. } => &values[..],
        _ => &record.general[..],
    };
    let mut gic = [0; 19];
    gic[0] = departure.gic_control & (gic_control::ALL | gic_control::END_OF_INTERRUPT_COUNT);
    gic[1..17].copy_from_slice(&departure.list_registers);
    gic[17] = departure.gic_maintenance;
    gic[18] = departure.gic_machine_control;
    let timers = [
        SystemRegister::CNTP_CTL_EL0,
        SystemRegister::CNTP_CVAL_EL0,
        SystemRegister::CNTV_CTL_EL0,
        SystemRegister::CNTV_CVAL_EL0,
    ]
    .map(|register| rec[register.word()].load(Ordering::Relaxed));

    machine.write_host_upper_half(
        run,
        [
            (
                const { word(offset_of!(RecExit, exit_reason)) },
                &[record.reason as u64],
            ),
            (
                const { word(offset_of!(RecExit, esr)) },
                &[record.syndrome, record.fault_address, record.fault_ipa],
            ),
            (const { word(offset_of!(RecExit, gprs)) }, general),
            (const { word(offset_of!(RecExit, gicv3_hcr)) }, &gic),
            (const { word(offset_of!(RecExit, cntp_ctl)) }, &timers),
            (
                const { word(offset_of!(RecExit, ripas_base)) },
                &record.ripas,
            ),
            (
                const { word(offset_of!(RecExit, imm)) },
                &[record.imm.into()],
            ),
            (
                const { word(offset_of!(RecExit, pmu_ovf_status)) },
                &[departure.pmu_overflow.into()],
            ),
        ],
    )?;
    Ok(record.reason)
}
