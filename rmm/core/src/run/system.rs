//! What a Realm does to the CPU that is trapped (reference, section 8.10).

use crate::Machine;
use crate::cpu_view::{Action, SystemAccess, os_lock_status};
use crate::error::Fatal;
use crate::exit::Exit;
use crate::granule::GranuleAddress;
use crate::machine::Register;
use crate::rec::layout::SystemRegister;
use crate::rec::{Flag, layout};
use crate::session::{Next, Session};
use crate::syndrome as bits;

/// What a Realm may set in `MDSCR_EL1`: SS, TDCC, KDE, MDE.
const DEBUG_CONTROL: u64 = 1 << 0 | 1 << 12 | 1 << 13 | 1 << 15;

impl<M: Machine> Session<'_, M> {
    /// `MRS`, `MSR` or `SYS`.
    pub(super) fn system_access(&self, syndrome: u64) -> Next {
        let access = SystemAccess::from_syndrome(syndrome);
        let register = usize::from(access.register());
        let features = self.configuration.features;
        match access.action(features) {
            Action::Identification(id) => {
                let value = self.machine().identification().read(features, id);
                self.rec.set_general(register, value);
                self.advance();
            }
            Action::ReadAs(value) => self.emulate(access, value),
            Action::Undefined => self.inject_undefined(),
            Action::ExitToHost => {
                self.advance();
                return Some(Exit::SystemAccess {
                    syndrome,
                    value: self.rec.general(register),
                });
            }
            Action::OsLock => {
                self.set_os_lock(self.rec.general(register) & 1 != 0);
                self.advance();
            }
            Action::OsLockStatus => {
                self.emulate(access, os_lock_status(self.rec.flag(Flag::OsLock)));
            }
            Action::DebugRegisters => {
                if self.rec.flag(Flag::OsLock) {
                    self.locked_debug_access(access);
                } else if self.has_debug.replace(true) {
                    self.emulate(access, 0);
                } else {
                    self.machine().load_debug(self.rec.words());
                }
            }
        }
        None
    }

    /// A register that reads as a value and ignores what is written.
    fn emulate(&self, access: SystemAccess, value: u64) {
        if access.is_read() {
            self.rec.set_general(access.register().into(), value);
        }
        self.advance();
    }

    /// The Realm sets or clears its OS lock. While it is set no debug exception comes but by `BRK`: the
    /// CPU has none of the Realm's debug registers, and a control that allows none.
    fn set_os_lock(&self, locked: bool) {
        if locked == self.rec.flag(Flag::OsLock) {
            return;
        }
        let machine = self.machine();
        self.rec.set_flag(Flag::OsLock, locked);
        if locked {
            if self.has_debug.take() {
                let enabled = machine.unload_debug(self.rec.words());
                self.rec.set_flag(Flag::DebugEnabled, enabled);
            }
            let control = machine.read(Register::DebugControl);
            self.rec
                .set(layout::LOCKED_DEBUG_CONTROL, control & DEBUG_CONTROL);
            machine.write(Register::DebugControl, 0);
        } else {
            let control = self.rec.get(layout::LOCKED_DEBUG_CONTROL);
            machine.write(Register::DebugControl, control);
            self.rec.set(SystemRegister::MDSCR_EL1.word(), control);
            if self.rec.uses_debug() {
                self.has_debug.set(true);
                machine.load_debug(self.rec.words());
            }
        }
    }

    /// An access to a debug register while the OS lock is set: what the Realm finds is what it has left.
    fn locked_debug_access(&self, access: SystemAccess) {
        const COMPARATORS: usize = 16;
        const ENABLED: u64 = 1;
        let (word, mask, is_control) = match (access.crn(), access.op2()) {
            // DBGBVR, DBGBCR, DBGWVR, DBGWCR, as many of each.
            (0, kind @ 4..=7) => {
                let kind = usize::from(kind - 4);
                let number = usize::from(access.crm());
                (
                    layout::DEBUG + kind * COMPARATORS + number,
                    u64::MAX,
                    kind % 2 == 1,
                )
            }
            // MDSCR_EL1
            (0, _) => (layout::LOCKED_DEBUG_CONTROL, DEBUG_CONTROL, false),
            // Claim tags are a debugger's, and there is none while the lock is set.
            _ => return self.emulate(access, 0),
        };
        let register = access.register().into();
        if access.is_read() {
            self.rec.set_general(register, self.rec.get(word));
        } else {
            let value = self.rec.general(register) & mask;
            self.rec.set(word, value);
            if is_control && value & ENABLED != 0 {
                self.rec.set_flag(Flag::DebugEnabled, true);
            }
        }
        self.advance();
    }

    /// `WFI`, `WFE`, `WFIT` or `WFET`.
    pub(super) fn wait(&self, syndrome: u64) -> Next {
        // A Realm is not shown AArch32. What it runs of it nevertheless is not emulated: instructions
        // have other sizes there.
        const AARCH32: u64 = 1 << 4;
        if self.machine().read(Register::ProcessorState) & AARCH32 != 0 {
            self.inject_undefined();
            return None;
        }
        let register = (syndrome >> 5 & 0x1f) as usize;
        let timeout = if syndrome & bits::WITH_TIMEOUT != 0 {
            self.rec.general(register)
        } else {
            0
        };
        self.advance();
        Some(Exit::Wait { syndrome, timeout })
    }

    /// The first use of vector registers since the entry.
    pub(super) fn vectors(&self) -> Result<Next, Fatal> {
        if self.has_vectors.replace(true) {
            // They do not trap any more for what the Realm may use.
            self.inject_undefined();
            return Ok(None);
        }
        self.with_vector_areas(|machine, areas, configuration| {
            machine.load_vectors(areas, configuration);
        })?;
        Ok(None)
    }

    /// Gives the CPU back the host's vector registers, if it has the REC's.
    pub(crate) fn put_vectors_away(&self) -> Result<(), Fatal> {
        if self.has_vectors.take() {
            self.with_vector_areas(|machine, areas, configuration| {
                machine.unload_vectors(areas, configuration);
            })?;
        }
        Ok(())
    }

    fn with_vector_areas(
        &self,
        act: impl FnOnce(&M, [&crate::GranuleWords; 3], &crate::machine::Configuration),
    ) -> Result<(), Fatal> {
        let broken = Fatal::BrokenRec {
            granule: self.running.address(),
        };
        let [first, second, third, ..] = self.rec.aux();
        let map = |address| {
            let address = GranuleAddress::new(address).ok_or(broken)?;
            Ok::<_, Fatal>(self.machine().map_aux(self.running, address))
        };
        let (first, second, third) = (map(first)?, map(second)?, map(third)?);
        act(
            self.machine(),
            [&first, &second, &third],
            self.configuration,
        );
        Ok(())
    }
}
