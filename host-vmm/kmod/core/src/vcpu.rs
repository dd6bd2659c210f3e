//! What happens between two entries of a REC.
//!
//! [`Vcpu::prepare`] says what to enter a REC with, [`Vcpu::exited`] what its exit means. What takes
//! the Realm's lock is left to [`Vcpu::handle`]. What the next entry owes the Realm is kept until an
//! entry has succeeded: the RMM changes nothing when it refuses one.

mod exit;
mod timers;

use rmm_abi::rmi::run::{RecEnter, RecExit, enter_flags};
use rmm_abi::smc;

use crate::host::Host;
use crate::interrupts::{Consequences, Interrupts, SystemEvent};
use crate::pool::Page;
use crate::realm::{Fault, Layout, Realm, RealmError, RipasOutcome};
use crate::rmi::RmiError;
use crate::{PAGE_SIZE, vgic};

use timers::Timers;

/// A deadline that never comes.
pub const NEVER: u64 = u64::MAX;

/// What the thread of a vCPU does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Go on with [`Vcpu::prepare`].
    Run,
    /// Enter the REC.
    Enter {
        /// Its granule.
        rec: Page,
        /// The page through which it runs.
        run: Page,
    },
    /// Call [`Vcpu::handle`] with the Realm's lock.
    Handle,
    /// Sleep until [`Vcpu::poll`] says otherwise.
    Wait,
    /// The owner of the VM emulates an access to a device.
    Mmio {
        /// Address, without the bit that makes it shared.
        address: u64,
        /// 1, 2, 4 or 8 bytes.
        size: u8,
        /// What is written; `None` for a read, which [`Vcpu::complete_mmio`] answers.
        write: Option<u64>,
    },
    /// The owner of the VM may change what kind some pages are of.
    MemoryFault {
        /// First address.
        address: u64,
        /// Bytes.
        size: u64,
        /// Whether they are to be private.
        private: bool,
    },
    /// The owner of the VM decides on a PSCI call.
    Hypercall {
        /// The function.
        function: u64,
        /// Its arguments.
        arguments: [u64; 3],
    },
    /// The Realm has stopped.
    SystemEvent(SystemEvent),
    /// It cannot go on.
    Fail(Failure),
}

/// Why a vCPU cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The RMM does not run the REC: X0.
    Refused(u64),
    /// The Realm did something from which it cannot go on: the syndrome.
    Exception(u64),
    /// The RMM reports something unknown: the reason.
    Unknown(u64),
}

/// What the next entry owes the Realm, or what has to happen before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pending {
    Nothing,
    /// An access was emulated; with what was read.
    Mmio(u64),
    /// An access ends in an abort.
    Abort,
    /// A change of RIPAS that the host looks at.
    Ripas {
        base: u64,
        top: u64,
        ram: bool,
    },
    /// The answer to one.
    RipasAnswer {
        rejected: bool,
    },
    /// A PSCI call that the owner of the VM decides on.
    Psci {
        function: u64,
        arguments: [u64; 3],
    },
    PrivateFault(u64),
    SharedFault(u64),
}

/// A vCPU; behind its own lock.
#[derive(Debug)]
pub struct Vcpu {
    index: usize,
    shared_bit: u64,
    layout: Layout,
    rec: Option<Page>,
    run: Page,
    pending: Pending,
    timers: Timers,
    /// Counter value at which a `WFIT` ends.
    wait_until: u64,
    /// Whether the entry that is under way, or was the last, may be of a REC that is off.
    may_be_off: bool,
}

impl Vcpu {
    /// The vCPU of a number, whose REC will run through a page.
    pub const fn new(index: usize, run: Page) -> Self {
        Self {
            index,
            shared_bit: 0,
            layout: Layout::EMPTY,
            rec: None,
            run,
            pending: Pending::Nothing,
            timers: Timers::new(),
            wait_until: NEVER,
            may_be_off: false,
        }
    }

    /// Its number.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Whether [`Self::start`] has been done.
    pub const fn has_started(&self) -> bool {
        self.rec.is_some()
    }

    /// Learns of its REC, in a Realm that is active.
    ///
    /// # Errors
    ///
    /// [`RealmError::Busy`] when it has none.
    pub fn start(&mut self, realm: &Realm) -> Result<(), RealmError> {
        self.shared_bit = realm.shared_bit();
        self.layout = realm.layout();
        self.rec = Some(realm.rec(self.index).ok_or(RealmError::Busy)?);
        Ok(())
    }

    /// What to do before the REC is entered, or [`Action::Enter`] with `enter` filled in.
    pub fn prepare(
        &mut self,
        interrupts: &mut Interrupts,
        now: u64,
        enter: &mut RecEnter,
        consequences: &mut Consequences,
    ) -> Action {
        if let Some(event) = interrupts.stopped() {
            return Action::SystemEvent(event);
        }
        let Some(rec) = self.rec else {
            return Action::Fail(Failure::Refused(0));
        };
        match self.pending {
            Pending::Ripas { .. } | Pending::PrivateFault(_) | Pending::SharedFault(_) => {
                return Action::Handle;
            }
            Pending::Psci {
                function,
                arguments,
            } => {
                return Action::Hypercall {
                    function,
                    arguments,
                };
            }
            _ => {}
        }
        if !interrupts.is_on(self.index) {
            return Action::Wait;
        }
        self.timers.raise(self.index, interrupts, now, consequences);
        let Some(gic) = interrupts.gic() else {
            return Action::Fail(Failure::Refused(0));
        };
        let lists = gic.fill(self.index);
        enter.flags = enter_flags::TRAP_WFI;
        enter.gicv3_hcr = lists.control;
        enter.gicv3_lrs = lists.list_registers;
        enter.gprs = [0; _];
        // What a Realm hears that calls the host. Nothing else looks there unasked.
        enter.gprs[0] = smc::NOT_SUPPORTED;
        match self.pending {
            Pending::Mmio(value) => {
                enter.flags |= enter_flags::EMULATED_MMIO;
                enter.gprs[0] = value;
            }
            Pending::Abort => enter.flags |= enter_flags::INJECT_SEA,
            Pending::RipasAnswer { rejected: true } => {
                enter.flags |= enter_flags::RIPAS_REJECTED;
            }
            _ => {}
        }
        self.wait_until = NEVER;
        self.may_be_off = interrupts.entering(self.index);
        Action::Enter { rec, run: self.run }
    }

    /// What the end of an entry means. `x0` is that of `RMI_REC_ENTER`; `exit` counts if that is a
    /// success.
    pub fn exited(
        &mut self,
        interrupts: &mut Interrupts,
        x0: u64,
        exit: &RecExit,
        now: u64,
        consequences: &mut Consequences,
    ) -> Action {
        if let Err(error) = RmiError::check(x0) {
            if let Some(gic) = interrupts.gic() {
                gic.abandon(self.index, &mut consequences.effects);
            }
            return self.refused(interrupts, error, x0, consequences);
        }
        self.pending = Pending::Nothing;
        if let Some(gic) = interrupts.gic() {
            let lists = vgic::Exit {
                control: exit.gicv3_hcr,
                list_registers: exit.gicv3_lrs,
                machine_control: exit.gicv3_vmcr,
            };
            gic.sync(self.index, &lists, &mut consequences.effects);
        }
        self.timers = Timers::at_exit(exit);
        self.timers.raise(self.index, interrupts, now, consequences);
        self.classify(interrupts, exit, consequences)
    }

    /// The RMM does not run the REC.
    fn refused(
        &mut self,
        interrupts: &mut Interrupts,
        error: RmiError,
        x0: u64,
        consequences: &mut Consequences,
    ) -> Action {
        /// Index of a Realm that has stopped.
        const STOPPED: u8 = 1;
        match error {
            RmiError::Realm(STOPPED) => {
                interrupts.stop(SystemEvent::Shutdown, consequences);
                let event = interrupts.stopped().unwrap_or(SystemEvent::Shutdown);
                Action::SystemEvent(event)
            }
            RmiError::Rec if self.may_be_off => {
                // It was on when it was told to switch on, and has switched off since.
                interrupts.switch_off(self.index);
                Action::Run
            }
            _ => Action::Fail(Failure::Refused(x0)),
        }
    }

    /// Does what takes the Realm's lock.
    ///
    /// # Errors
    ///
    /// What keeps it from being done; it is tried again before the next entry.
    pub fn handle(&mut self, host: &impl Host, realm: &mut Realm) -> Result<Action, RealmError> {
        match self.pending {
            Pending::PrivateFault(ipa) => {
                let fault = realm.private_fault(host, ipa)?;
                Ok(self.resolved(fault, ipa, true))
            }
            Pending::SharedFault(address) => {
                let fault = realm.shared_fault(host, address)?;
                Ok(self.resolved(fault, address, false))
            }
            Pending::Ripas { base, top, ram } => {
                match realm.change_ripas(host, self.index, base..top, ram)? {
                    RipasOutcome::Answer { rejected } => {
                        self.pending = Pending::RipasAnswer { rejected };
                        Ok(Action::Run)
                    }
                    RipasOutcome::Ask { address, size } => Ok(Action::MemoryFault {
                        address,
                        size,
                        private: ram,
                    }),
                }
            }
            _ => Ok(Action::Run),
        }
    }

    fn resolved(&mut self, fault: Fault, address: u64, private: bool) -> Action {
        match fault {
            Fault::Resolved => {
                self.pending = Pending::Nothing;
                Action::Run
            }
            Fault::OtherKind => {
                // The access faults again if nothing has changed.
                self.pending = Pending::Nothing;
                Action::MemoryFault {
                    address: address - address % PAGE_SIZE,
                    size: PAGE_SIZE,
                    private,
                }
            }
            // It stays pending: the Realm is not run again.
            Fault::Hopeless => Action::Fail(Failure::Exception(address)),
        }
    }

    /// The value that an emulated read has given.
    pub fn complete_mmio(&mut self, value: u64) {
        if let Pending::Mmio(read) = &mut self.pending {
            *read = value;
        }
    }

    /// Answers the PSCI call that this vCPU has made. Gives the number of a vCPU that is to be
    /// switched on.
    ///
    /// # Errors
    ///
    /// [`RealmError::Busy`] when it has made none; those of [`Realm::complete_psci`].
    pub fn complete_psci(
        &mut self,
        host: &impl Host,
        realm: &Realm,
        target: u64,
        status: i32,
    ) -> Result<Option<usize>, RealmError> {
        let Pending::Psci { function, .. } = self.pending else {
            return Err(RealmError::Busy);
        };
        let index = realm.complete_psci(host, self.index, target, status)?;
        self.pending = Pending::Nothing;
        let on = [smc::psci::CPU_ON, smc::psci::CPU_ON_32].contains(&function);
        Ok((on && i64::from(status) == smc::psci::SUCCESS).then_some(index))
    }

    /// Whether the vCPU has a reason to run; if not, when to ask again.
    ///
    /// # Errors
    ///
    /// The counter value at which to ask again, or [`NEVER`].
    pub fn poll(
        &self,
        interrupts: &mut Interrupts,
        now: u64,
        consequences: &mut Consequences,
    ) -> Result<(), u64> {
        if interrupts.stopped().is_some() {
            return Ok(());
        }
        if !interrupts.is_on(self.index) {
            return Err(NEVER);
        }
        if interrupts.is_told_on(self.index) {
            return Ok(());
        }
        self.timers.raise(self.index, interrupts, now, consequences);
        let pending = (interrupts.gic_ref()).is_none_or(|gic| gic.has_pending(self.index));
        if pending || self.wait_until <= now {
            return Ok(());
        }
        Err(self.timers.next(now).min(self.wait_until))
    }
}
