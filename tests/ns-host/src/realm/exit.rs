//! Why a REC has come back, read from its run page. A page that says more than its reason allows
//! fails the test.

use rmm_abi::rmi::run::gic_control;
use rmm_abi::rmi::run::{ExitReason, GENERAL_PURPOSE_REGISTERS, LIST_REGISTERS, RecExit};

use super::run_page::same;
use crate::outcome::{Outcome, ensure, fail};

/// Fields of `ESR_EL2` (Arm ARM D24.2.40) that may reach the host.
pub(crate) mod esr {
    /// Trapped `WFI`, `WFE` and their forms with a time limit.
    pub(crate) const WAIT: u64 = 0x01;
    /// Trapped access to a system register.
    pub(crate) const SYSTEM_REGISTER: u64 = 0x18;
    /// Instruction abort from a lower exception level.
    pub(crate) const FETCH: u64 = 0x20;
    /// Data abort from a lower exception level.
    pub(crate) const DATA: u64 = 0x24;
    /// Synchronous error type.
    pub(crate) const SET: u64 = 3 << 11;
    /// FAR is not valid.
    pub(crate) const FNV: u64 = 1 << 10;
    /// External abort type.
    pub(crate) const EA: u64 = 1 << 9;
    /// Fault status code.
    pub(crate) const STATUS: u64 = 0x3f;
    /// The syndrome describes the access.
    pub(crate) const ISV: u64 = 1 << 24;
    /// Size of the access as its logarithm.
    pub(crate) const SAS: u64 = 3 << 22;
    /// The register has 64 bits.
    pub(crate) const SF: u64 = 1 << 15;
    /// A write.
    pub(crate) const WNR: u64 = 1 << 6;
    /// Which wait it was.
    pub(crate) const TI: u64 = 3;
    /// Fields of an `SError`.
    pub(crate) const SERROR: u64 = 1 << 24 | 7 << 10 | EA | STATUS;

    /// The exception class.
    pub(crate) const fn class(syndrome: u64) -> u64 {
        syndrome >> 26 & 0x3f
    }

    /// A syndrome of this class.
    pub(crate) const fn of(class: u64, rest: u64) -> u64 {
        class << 26 | rest
    }

    /// Status of a translation fault at a level from 0 to 3.
    pub(crate) const fn translation(level: u64) -> u64 {
        0x04 | level
    }

    /// Status of a permission fault at a level from 0 to 3.
    pub(crate) const fn permission(level: u64) -> u64 {
        0x0c | level
    }
}

/// `HPFAR_EL2` for a fault at an address.
pub(crate) const fn hpfar(ipa: u64) -> u64 {
    ipa >> 12 << 4
}

/// What the exit is about.
#[expect(
    clippy::large_enum_variant,
    reason = "it is short-lived, and one at a time"
)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// The Realm waits.
    Wait { esr: u64, timeout: u64 },
    /// An instruction fetch needs the host.
    Fetch { esr: u64, hpfar: u64 },
    /// An access to memory needs the host. `value` is that of an emulated write.
    Data {
        esr: u64,
        far: u64,
        hpfar: u64,
        value: u64,
    },
    /// A system register is written.
    SystemRegister { esr: u64, value: u64 },
    /// An interrupt of the host.
    Irq,
    /// A fast interrupt of the host.
    Fiq,
    /// The Realm called PSCI.
    Psci { function: u64, arguments: [u64; 3] },
    /// The Realm asks for a change of RIPAS.
    RipasChange { base: u64, top: u64, ripas: u8 },
    /// The Realm calls the host.
    HostCall {
        imm: u16,
        gprs: [u64; GENERAL_PURPOSE_REGISTERS],
    },
    /// An `SError` interrupt.
    SError { esr: u64 },
}

/// What every exit tells beside its reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Surroundings {
    pub(crate) gic_hcr: u64,
    pub(crate) lrs: [u64; LIST_REGISTERS],
    pub(crate) misr: u64,
    pub(crate) vmcr: u64,
    pub(crate) cntp_ctl: u64,
    pub(crate) cntp_cval: u64,
    pub(crate) cntv_ctl: u64,
    pub(crate) cntv_cval: u64,
    pub(crate) pmu_overflow: u8,
}

/// Fields of `ICH_VMCR_EL2`.
const VMCR: u64 = 0xff << 24 | 7 << 21 | 7 << 18 | 1 << 9 | 0x1f;
/// Fields of `ICH_MISR_EL2`.
const MISR: u64 = 0xff;
/// Fields of `CNTx_CTL_EL0`.
const TIMER_CONTROL: u64 = 7;

impl Surroundings {
    fn read(exit: &RecExit) -> Self {
        Self {
            gic_hcr: exit.gicv3_hcr,
            lrs: exit.gicv3_lrs,
            misr: exit.gicv3_misr,
            vmcr: exit.gicv3_vmcr,
            cntp_ctl: exit.cntp_ctl,
            cntp_cval: exit.cntp_cval,
            cntv_ctl: exit.cntv_ctl,
            cntv_cval: exit.cntv_cval,
            pmu_overflow: exit.pmu_ovf_status,
        }
    }

    fn write(&self, exit: &mut RecExit) {
        exit.gicv3_hcr = self.gic_hcr;
        exit.gicv3_lrs = self.lrs;
        exit.gicv3_misr = self.misr;
        exit.gicv3_vmcr = self.vmcr;
        exit.cntp_ctl = self.cntp_ctl;
        exit.cntp_cval = self.cntp_cval;
        exit.cntv_ctl = self.cntv_ctl;
        exit.cntv_cval = self.cntv_cval;
        exit.pmu_ovf_status = self.pmu_overflow;
    }

    /// Only bits that the fields have.
    fn check(&self, list_registers: usize) -> Outcome {
        let allowed = gic_control::ALL | gic_control::END_OF_INTERRUPT_COUNT;
        for (what, value, mask) in [
            ("gicv3_hcr", self.gic_hcr, allowed),
            ("gicv3_misr", self.misr, MISR),
            ("gicv3_vmcr", self.vmcr, VMCR),
            ("cntp_ctl", self.cntp_ctl, TIMER_CONTROL),
            ("cntv_ctl", self.cntv_ctl, TIMER_CONTROL),
            ("pmu_ovf_status", self.pmu_overflow.into(), 1),
        ] {
            ensure!(value & !mask == 0, "{what} of the exit is {value:#x}");
        }
        for (number, lr) in self.lrs.iter().enumerate().skip(list_registers) {
            ensure!(
                *lr == 0,
                "list register {number} of the exit is {lr:#x}, there are {list_registers}"
            );
        }
        Ok(())
    }
}

/// What the RMM says when a REC comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    pub(crate) exit: Exit,
    pub(crate) surroundings: Surroundings,
}

impl Report {
    /// Reads the exit half and checks that it says nothing that its reason does not need, bit by
    /// bit where the specification goes that far.
    pub(crate) fn read(page: &RecExit, list_registers: usize) -> Outcome<Self> {
        let surroundings = Surroundings::read(page);
        surroundings.check(list_registers)?;
        let exit = Exit::read(page)?;
        let mut expected = RecExit::default();
        exit.write(&mut expected);
        surroundings.write(&mut expected);
        same("more than the exit is about", page, &expected)?;
        Ok(Self { exit, surroundings })
    }
}

impl Exit {
    /// A call of PSCI with its arguments.
    pub(crate) const fn psci(function: u64, arguments: [u64; 3]) -> Self {
        Self::Psci {
            function,
            arguments,
        }
    }

    fn read(page: &RecExit) -> Outcome<Self> {
        let [first, one, two, three, ..] = page.gprs;
        let (esr, far, hpfar) = (page.esr, page.far, page.hpfar);
        Ok(match ExitReason::from_encoding(page.exit_reason) {
            Some(ExitReason::Sync) => return Self::synchronous(page),
            Some(ExitReason::Irq) => Self::Irq,
            Some(ExitReason::Fiq) => Self::Fiq,
            Some(ExitReason::Psci) => Self::Psci {
                function: first,
                arguments: [one, two, three],
            },
            Some(ExitReason::RipasChange) => Self::RipasChange {
                base: page.ripas_base,
                top: page.ripas_top,
                ripas: page.ripas_value,
            },
            Some(ExitReason::HostCall) => Self::HostCall {
                imm: page.imm,
                gprs: page.gprs,
            },
            Some(ExitReason::SError) => {
                ensure!(
                    esr & !esr::SERROR == esr::of(0x2f, 0),
                    "ESR {esr:#x} of an SError"
                );
                Self::SError { esr }
            }
            None => {
                return fail!(
                    "exit reason {:#x}, ESR {esr:#x}, FAR {far:#x}, HPFAR {hpfar:#x}",
                    page.exit_reason
                );
            }
        })
    }

    fn synchronous(page: &RecExit) -> Outcome<Self> {
        let (esr, far, hpfar, value) = (page.esr, page.far, page.hpfar, page.gprs[0]);
        let abort = esr::SET | esr::EA | esr::STATUS;
        let (exit, allowed) = match esr::class(esr) {
            esr::WAIT => (
                Self::Wait {
                    esr,
                    timeout: value,
                },
                esr::TI,
            ),
            esr::FETCH => (Self::Fetch { esr, hpfar }, abort),
            esr::DATA => {
                let emulated = esr & esr::ISV != 0;
                let mut allowed = abort | esr::FNV;
                if emulated {
                    allowed |= esr::ISV | esr::SAS | esr::SF | esr::WNR;
                }
                ensure!(
                    emulated && far < 1 << 12 || far == 0,
                    "FAR {far:#x} of a data abort with ESR {esr:#x}"
                );
                ensure!(
                    value == 0 || emulated && esr & esr::WNR != 0,
                    "value {value:#x} of a data abort with ESR {esr:#x}"
                );
                let exit = Self::Data {
                    esr,
                    far,
                    hpfar,
                    value,
                };
                (exit, allowed)
            }
            esr::SYSTEM_REGISTER => (Self::SystemRegister { esr, value }, (1 << 26) - 1),
            _ => return fail!("synchronous exit with ESR {esr:#x}"),
        };
        let rest = esr & 0x3ff_ffff & !allowed;
        ensure!(
            rest == 0 && esr >> 32 == 0,
            "ESR {esr:#x} of the exit has bits {rest:#x} that it must not have"
        );
        ensure!(
            hpfar & !(((1 << 40) - 1) << 4) == 0,
            "HPFAR {hpfar:#x} of the exit"
        );
        Ok(exit)
    }

    fn write(&self, page: &mut RecExit) {
        let mut reason = ExitReason::Sync;
        match *self {
            Self::Wait { esr, timeout } => {
                page.esr = esr;
                page.gprs[0] = timeout;
            }
            Self::Fetch { esr, hpfar } => {
                page.esr = esr;
                page.hpfar = hpfar;
            }
            Self::Data {
                esr,
                far,
                hpfar,
                value,
            } => {
                (page.esr, page.far, page.hpfar) = (esr, far, hpfar);
                page.gprs[0] = value;
            }
            Self::SystemRegister { esr, value } => {
                page.esr = esr;
                page.gprs[0] = value;
            }
            Self::Irq => reason = ExitReason::Irq,
            Self::Fiq => reason = ExitReason::Fiq,
            Self::Psci {
                function,
                arguments,
            } => {
                reason = ExitReason::Psci;
                page.gprs[0] = function;
                page.gprs[1..4].copy_from_slice(&arguments);
            }
            Self::RipasChange { base, top, ripas } => {
                reason = ExitReason::RipasChange;
                (page.ripas_base, page.ripas_top, page.ripas_value) = (base, top, ripas);
            }
            Self::HostCall { imm, gprs } => {
                reason = ExitReason::HostCall;
                page.imm = imm;
                page.gprs = gprs;
            }
            Self::SError { esr } => {
                reason = ExitReason::SError;
                page.esr = esr;
            }
        }
        page.exit_reason = reason as u8;
    }

    /// A word for messages that have no room for all registers.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Wait { .. } => "wait",
            Self::Fetch { .. } => "instruction abort",
            Self::Data { .. } => "data abort",
            Self::SystemRegister { .. } => "system register",
            Self::Irq => "IRQ",
            Self::Fiq => "FIQ",
            Self::Psci { .. } => "PSCI",
            Self::RipasChange { .. } => "RIPAS change",
            Self::HostCall { .. } => "host call",
            Self::SError { .. } => "SError",
        }
    }
}
