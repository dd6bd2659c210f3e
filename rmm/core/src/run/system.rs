//! What a Realm does to the CPU that is trapped (reference, section 8.10).

use super::{Next, Session, inject};
use crate::Machine;
use crate::cpu_view::{Action, SystemAccess, os_lock_status};
use crate::error::Fatal;
use crate::exit::Exit;
use crate::granule::GranuleAddress;
use crate::rec::Flag;
use crate::syndrome as bits;

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
            Action::Undefined => inject::undefined(self.machine()),
            Action::ExitToHost => {
                self.advance();
                return Some(Exit::SystemAccess {
                    syndrome,
                    value: self.rec.general(register),
                });
            }
            Action::OsLock => {
                let locked = self.rec.general(register) & 1 != 0;
                self.rec.set_flag(Flag::OsLock, locked);
                if self.has_debug.get() {
                    self.machine().set_os_lock(locked);
                }
                self.advance();
            }
            Action::OsLockStatus => {
                self.emulate(access, os_lock_status(self.rec.flag(Flag::OsLock)));
            }
            Action::DebugRegisters => {
                if self.has_debug.replace(true) {
                    self.emulate(access, 0);
                } else {
                    self.machine()
                        .load_debug(self.rec.words(), self.rec.flag(Flag::OsLock));
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

    /// `WFI`, `WFE`, `WFIT` or `WFET`.
    pub(super) fn wait(&self, syndrome: u64) -> Exit {
        let register = (syndrome >> 5 & 0x1f) as usize;
        let timeout = if syndrome & bits::WITH_TIMEOUT != 0 {
            self.rec.general(register)
        } else {
            0
        };
        self.advance();
        Exit::Wait { syndrome, timeout }
    }

    /// The first use of vector registers since the entry.
    pub(super) fn vectors(&self) -> Result<Next, Fatal> {
        if self.has_vectors.replace(true) {
            // They do not trap any more for what the Realm may use.
            inject::undefined(self.machine());
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
        let [first, second, third, _] = self.rec.aux();
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
