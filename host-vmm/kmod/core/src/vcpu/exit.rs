//! What an exit of a REC is about.

use rmm_abi::rmi::Ripas;
use rmm_abi::rmi::run::{ExitReason, RecExit};
use rmm_abi::smc::psci;

use super::{Action, Failure, NEVER, Pending, Vcpu};
use crate::PAGE_SIZE;
use crate::interrupts::{Consequences, Interrupts, SystemEvent};
use crate::vgic::SgiRegister;

/// Exception classes, `ESR_EL2` bits 31:26.
mod class {
    pub(super) const WAIT: u64 = 0x01;
    pub(super) const SYSTEM_REGISTER: u64 = 0x18;
    pub(super) const INSTRUCTION_ABORT: u64 = 0x20;
    pub(super) const DATA_ABORT: u64 = 0x24;
}

/// The instruction that made a vCPU wait, `ESR_EL2` bits 1:0.
mod wait {
    pub(super) const INTERRUPT: u64 = 0;
    pub(super) const INTERRUPT_WITH_TIMEOUT: u64 = 2;
}

/// System registers as `ESR_EL2` names them, with direction and general-purpose register zero.
mod register {
    const fn encoding(op0: u64, op1: u64, crn: u64, crm: u64, op2: u64) -> u64 {
        op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1
    }
    pub(super) const MASK: u64 = encoding(3, 7, 15, 15, 7);
    pub(super) const ICC_SGI1R: u64 = encoding(3, 0, 12, 11, 5);
    pub(super) const ICC_ASGI1R: u64 = encoding(3, 0, 12, 11, 6);
    pub(super) const ICC_SGI0R: u64 = encoding(3, 0, 12, 11, 7);
    pub(super) const ICC_DIR: u64 = encoding(3, 0, 12, 11, 1);
}

/// What a syndrome says of an abort.
#[derive(Clone, Copy)]
struct Abort(u64);

impl Abort {
    /// Not a fault of translation: something is wrong with the memory itself.
    const fn is_external(self) -> bool {
        matches!(self.0 & 0x3f, 0x10 | 0x13..=0x17)
    }

    const fn is_permission(self) -> bool {
        self.0 & 0x3c == 0x0c
    }

    /// The instruction is described.
    const fn can_be_emulated(self) -> bool {
        self.0 >> 24 & 1 != 0
    }

    const fn size(self) -> u8 {
        1 << (self.0 >> 22 & 3)
    }

    const fn is_write(self) -> bool {
        self.0 >> 6 & 1 != 0
    }
}

impl Vcpu {
    pub(super) fn classify(
        &mut self,
        interrupts: &mut Interrupts,
        exit: &RecExit,
        consequences: &mut Consequences,
    ) -> Action {
        match ExitReason::from_encoding(exit.exit_reason) {
            // What a host call is answered with is there at each entry.
            Some(ExitReason::Irq | ExitReason::Fiq | ExitReason::HostCall) => Action::Run,
            Some(ExitReason::Sync) => self.synchronous(interrupts, exit, consequences),
            Some(ExitReason::Psci) => self.psci(interrupts, exit, consequences),
            Some(ExitReason::RipasChange) => {
                self.pending = Pending::Ripas {
                    base: exit.ripas_base,
                    top: exit.ripas_top,
                    ram: exit.ripas_value == Ripas::Ram as u8,
                };
                Action::Handle
            }
            Some(ExitReason::SError) => Action::Fail(Failure::Exception(exit.esr)),
            None => Action::Fail(Failure::Unknown(u64::from(exit.exit_reason))),
        }
    }

    fn synchronous(
        &mut self,
        interrupts: &mut Interrupts,
        exit: &RecExit,
        consequences: &mut Consequences,
    ) -> Action {
        match exit.esr >> 26 & 0x3f {
            class::WAIT => match exit.esr & 3 {
                wait::INTERRUPT => Action::Wait,
                wait::INTERRUPT_WITH_TIMEOUT => {
                    // An RMM that does not say when it ends says zero, and the Realm looks itself.
                    self.wait_until = exit.gprs[0];
                    Action::Wait
                }
                _ => Action::Run,
            },
            class::SYSTEM_REGISTER => self.system_register(interrupts, exit, consequences),
            class::INSTRUCTION_ABORT | class::DATA_ABORT => {
                self.abort(interrupts, exit, consequences)
            }
            _ => Action::Fail(Failure::Exception(exit.esr)),
        }
    }

    fn system_register(
        &mut self,
        interrupts: &mut Interrupts,
        exit: &RecExit,
        consequences: &mut Consequences,
    ) -> Action {
        const READ: u64 = 1;
        let fail = Action::Fail(Failure::Exception(exit.esr));
        let Some(gic) = interrupts.gic() else {
            return fail;
        };
        if exit.esr & READ != 0 {
            return fail;
        }
        let (value, effects) = (exit.gprs[0], &mut consequences.effects);
        let sgi = match exit.esr & register::MASK {
            register::ICC_SGI0R => SgiRegister::Group0,
            register::ICC_SGI1R => SgiRegister::Group1,
            register::ICC_ASGI1R => SgiRegister::OtherGroup1,
            register::ICC_DIR => {
                gic.deactivate(self.index, value, effects);
                return Action::Run;
            }
            _ => return fail,
        };
        gic.send_sgi(self.index, sgi, value, effects);
        Action::Run
    }

    fn abort(
        &mut self,
        interrupts: &mut Interrupts,
        exit: &RecExit,
        consequences: &mut Consequences,
    ) -> Action {
        /// `HPFAR_EL2.FIPA` is bits 43:4, and bits 51:12 of the address.
        const FAULT_ADDRESS: u64 = 0x0fff_ffff_fff0;
        let abort = Abort(exit.esr);
        if abort.is_external() {
            return Action::Fail(Failure::Exception(exit.esr));
        }
        let ipa = (exit.hpfar & FAULT_ADDRESS) << 8 | exit.far & (PAGE_SIZE - 1);
        if ipa & self.shared_bit == 0 {
            if !self.layout.contains(ipa) {
                return Action::Fail(Failure::Exception(exit.esr));
            }
            self.pending = Pending::PrivateFault(ipa);
            return Action::Handle;
        }
        let address = ipa ^ self.shared_bit;
        if let Some(gic) = interrupts.gic()
            && let Some(register) = gic.register_at(address)
        {
            if !abort.can_be_emulated() {
                return self.inject_abort();
            }
            let (size, effects) = (usize::from(abort.size()), &mut consequences.effects);
            let value = if abort.is_write() {
                gic.write(register, size, exit.gprs[0], effects);
                0
            } else {
                gic.read(register, size, effects)
            };
            self.pending = Pending::Mmio(value);
            return Action::Run;
        }
        if self.layout.contains(address) {
            if abort.is_permission() {
                // What is mapped there can be read and written.
                return Action::Fail(Failure::Exception(exit.esr));
            }
            self.pending = Pending::SharedFault(address);
            return Action::Handle;
        }
        if !abort.can_be_emulated() {
            return self.inject_abort();
        }
        self.pending = Pending::Mmio(0);
        Action::Mmio {
            address,
            size: abort.size(),
            write: abort.is_write().then_some(exit.gprs[0]),
        }
    }

    /// Nothing answers at an address.
    fn inject_abort(&mut self) -> Action {
        self.pending = Pending::Abort;
        Action::Run
    }

    fn psci(
        &mut self,
        interrupts: &mut Interrupts,
        exit: &RecExit,
        consequences: &mut Consequences,
    ) -> Action {
        let [function, arguments @ ..] = exit.gprs;
        match function {
            psci::CPU_ON | psci::CPU_ON_32 | psci::AFFINITY_INFO | psci::AFFINITY_INFO_32 => {
                let arguments = [arguments[0], arguments[1], arguments[2]];
                self.pending = Pending::Psci {
                    function,
                    arguments,
                };
                Action::Hypercall {
                    function,
                    arguments,
                }
            }
            psci::CPU_OFF => {
                interrupts.switch_off(self.index);
                Action::Wait
            }
            psci::CPU_SUSPEND | psci::CPU_SUSPEND_32 => {
                self.wait_until = NEVER;
                Action::Wait
            }
            psci::SYSTEM_OFF => Self::stop(interrupts, SystemEvent::Shutdown, consequences),
            psci::SYSTEM_RESET => Self::stop(interrupts, SystemEvent::Reset, consequences),
            _ => Action::Fail(Failure::Unknown(function)),
        }
    }

    fn stop(
        interrupts: &mut Interrupts,
        event: SystemEvent,
        consequences: &mut Consequences,
    ) -> Action {
        interrupts.stop(event, consequences);
        Action::SystemEvent(interrupts.stopped().unwrap_or(event))
    }
}
