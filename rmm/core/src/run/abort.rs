//! Aborts of a Realm (reference, sections 5.3 and 7.3).

use rmm_abi::rmi::Ripas;

use crate::Machine;
use crate::error::Fatal;
use crate::exit::Exit;
use crate::machine::Register;
use crate::rec::layout;
use crate::rtt::{Entry, PAGE_LEVEL, walk_for_rec};
use crate::session::{Next, Session};
use crate::syndrome as bits;

impl<M: Machine> Session<'_, M> {
    /// An access or a fetch of the Realm was refused by stage 2, or by the memory system.
    pub(super) fn abort(&self, syndrome: u64) -> Result<Next, Fatal> {
        let machine = self.machine();
        if bits::is_external_abort(syndrome) {
            return Ok(Some(self.refused_by_memory(syndrome)));
        }
        let fault_address = machine.read(Register::FaultAddress);
        let Some(ipa) = self.fault_ipa(syndrome, fault_address) else {
            // The Realm has changed its tables in the meantime: the access tells again.
            return Ok(None);
        };
        if !self.stage2.contains(ipa) {
            self.inject_address_size_fault(syndrome, fault_address);
            return Ok(None);
        }
        let is_fetch = bits::class_of(syndrome) == bits::INSTRUCTION_ABORT_LOWER;
        let entry = walk_for_rec(self.context, self.running, self.stage2, ipa, PAGE_LEVEL)?.entry;
        if entry.is_valid_leaf() && bits::is_translation_fault(syndrome) {
            // The host has provided it in the meantime.
            return Ok(None);
        }
        match entry {
            Entry::Unassigned(Ripas::Empty) | Entry::Assigned(_, Ripas::Empty) => {
                self.inject_external_abort(syndrome, fault_address);
                Ok(None)
            }
            Entry::UnassignedNonSecure | Entry::AssignedNonSecure(_) if is_fetch => {
                self.inject_external_abort(syndrome, fault_address);
                Ok(None)
            }
            Entry::UnassignedNonSecure | Entry::AssignedNonSecure(_) => {
                Ok(Some(self.unprotected_access(syndrome, fault_address, ipa)))
            }
            _ if is_fetch => Ok(Some(Exit::InstructionAbort { syndrome, ipa })),
            _ => Ok(Some(Exit::DataAbort { syndrome, ipa })),
        }
    }

    /// An access to memory that is the host's to provide or to emulate. It may be completed on the
    /// next entry.
    fn unprotected_access(&self, syndrome: u64, fault_address: u64, ipa: u64) -> Exit {
        const AARCH32: u64 = 1 << 4;
        let state = self.machine().read(Register::ProcessorState);
        let is_emulatable = syndrome & bits::SYNDROME_VALID != 0 && state & AARCH32 == 0;
        let syndrome = if is_emulatable {
            syndrome
        } else {
            syndrome & !bits::SYNDROME_VALID
        };
        self.rec.set(layout::LAST_SYNDROME, syndrome);
        self.rec.set(layout::LAST_FAULT_ADDRESS, fault_address);
        if !is_emulatable {
            return Exit::DataAbort { syndrome, ipa };
        }
        let value = if syndrome & bits::WRITE != 0 {
            self.rec.general(access::register(syndrome)) & access::mask(syndrome)
        } else {
            0
        };
        Exit::EmulatableAccess {
            syndrome,
            fault_address,
            ipa,
            value,
        }
    }

    /// The faulting intermediate physical address. The CPU tells it only after some faults.
    fn fault_ipa(&self, syndrome: u64, fault_address: u64) -> Option<u64> {
        const FAULT_IPA: u64 = 0xfff_ffff_fff0;
        const OFFSET: u64 = 0xfff;
        if !bits::has_fault_ipa(syndrome) {
            let page = self.machine().translate_stage_1(fault_address)?;
            return Some(page & !OFFSET);
        }
        Some((self.machine().read(Register::FaultIpa) & FAULT_IPA) << 8)
    }

    /// An external abort. The Realm learns of it too, unless the CPU could do without the access.
    fn refused_by_memory(&self, syndrome: u64) -> Exit {
        const RESTARTABLE: u64 = 0b11 << 11;
        if syndrome & bits::ERROR_TYPE != RESTARTABLE {
            let machine = self.machine();
            let fault_address = machine.read(Register::FaultAddress);
            self.inject_external_abort(syndrome, fault_address);
        }
        Exit::ExternalAbort { syndrome }
    }
}

/// Fields of the syndrome of an access that can be emulated.
pub(super) mod access {
    use crate::syndrome as bits;

    /// Number of the register that is loaded or stored.
    pub(crate) const fn register(syndrome: u64) -> usize {
        (syndrome >> 16 & 0x1f) as usize
    }

    /// The bits that are accessed.
    pub(crate) const fn mask(syndrome: u64) -> u64 {
        u64::MAX >> (64 - width(syndrome))
    }

    /// Bits of the access: 8, 16, 32 or 64.
    pub(crate) const fn width(syndrome: u64) -> u32 {
        8 << ((syndrome & bits::ACCESS_SIZE) >> 22)
    }
}
