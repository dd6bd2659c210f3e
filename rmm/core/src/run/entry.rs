//! Entering a REC: what the host says, and what the last exit left open (reference, sections 7.1
//! and 7.2).

use rmm_abi::rmi::Ripas;
use rmm_abi::rmi::run::{GENERAL_PURPOSE_REGISTERS, LIST_REGISTERS, RecEnter, enter_flags};
use rmm_abi::rsi::Response;

use super::abort::access;
use crate::error::Fatal;
use crate::granule::GranuleAddress;
use crate::rec::{Flag, RipasRequest, layout};
use crate::session::{Next, Session};
use crate::syndrome as bits;
use crate::{HostFault, Machine, rsi};

/// The lower half of the run page, as far as it means something. Each word is read once.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    flags: [u64; 1],
    /// X0 to X30, a word that means nothing, `ICH_HCR_EL2`, list registers.
    rest: [u64; REST],
}

const fn word(offset: usize) -> usize {
    offset / size_of::<u64>()
}

const GENERAL: usize = word(core::mem::offset_of!(RecEnter, gprs));
const GIC_CONTROL: usize = word(core::mem::offset_of!(RecEnter, gicv3_hcr));
const LIST: usize = word(core::mem::offset_of!(RecEnter, gicv3_lrs));
const REST: usize = LIST + LIST_REGISTERS - GENERAL;

impl Entry {
    /// A host that says nothing.
    pub(crate) const EMPTY: Self = Self {
        flags: [0],
        rest: [0; REST],
    };

    /// Reads what the host says.
    pub(crate) fn read<M: Machine>(
        &mut self,
        machine: &M,
        run: GranuleAddress,
    ) -> Result<(), HostFault> {
        machine.read_host_parts(run, [(0, &mut self.flags), (GENERAL, &mut self.rest)])
    }

    pub(crate) const fn has(&self, flag: u64) -> bool {
        self.flags[0] & flag != 0
    }

    fn general(&self) -> &[u64; GENERAL_PURPOSE_REGISTERS] {
        self.rest.first_chunk().unwrap_or(&[0; _])
    }

    /// `ICH_HCR_EL2` that the host wants.
    pub(crate) const fn gic_control(&self) -> u64 {
        self.rest[GIC_CONTROL - GENERAL]
    }

    /// `ICH_LR<n>_EL2` that the host wants.
    pub(crate) fn list_registers(&self) -> &[u64; LIST_REGISTERS] {
        self.rest.last_chunk().unwrap_or(&[0; _])
    }
}

impl<M: Machine> Session<'_, M> {
    /// Does what the last exit left open. The REC's registers are in the CPU.
    pub(crate) fn complete(&self, entry: &Entry) -> Result<Next, Fatal> {
        let rec = self.rec;
        let syndrome = rec.get(layout::LAST_SYNDROME);
        if syndrome != 0 {
            let fault_address = rec.get(layout::LAST_FAULT_ADDRESS);
            rec.set(layout::LAST_SYNDROME, 0);
            rec.set(layout::LAST_FAULT_ADDRESS, 0);
            if entry.has(enter_flags::INJECT_SEA) {
                self.inject_external_abort(syndrome, fault_address);
            } else if entry.has(enter_flags::EMULATED_MMIO) {
                self.complete_access(syndrome, entry.general()[0]);
            }
            return Ok(None);
        }
        let request = rec.ripas_request();
        if request.top != 0 {
            self.complete_ripas_change(request, entry.has(enter_flags::RIPAS_REJECTED));
        }
        if rec.flag(Flag::HostCallPending) {
            return rsi::host_call::complete(self, entry.general());
        }
        Ok(None)
    }

    /// The host has emulated an access; a load gets its value.
    fn complete_access(&self, syndrome: u64, value: u64) {
        if syndrome & bits::WRITE == 0 {
            self.rec
                .set_general(access::register(syndrome), loaded(syndrome, value));
        }
        self.advance();
    }

    fn complete_ripas_change(&self, request: RipasRequest, rejected: bool) {
        let is_rejected =
            rejected && request.value == Ripas::Ram as u64 && request.base != request.top;
        let response = if is_rejected {
            Response::Reject
        } else {
            Response::Accept
        };
        self.rec.set_general(0, 0);
        self.rec.set_general(1, request.base);
        self.rec.set_general(2, response as u64);
        self.rec.set_general(3, 0);
        self.rec.set_ripas_request(RipasRequest::NONE);
    }
}

/// The register after a load of a value.
const fn loaded(syndrome: u64, value: u64) -> u64 {
    let unused = 64 - access::width(syndrome);
    let value = value & access::mask(syndrome);
    if syndrome & bits::SIGN_EXTEND == 0 {
        return value;
    }
    let extended = ((value << unused).cast_signed() >> unused).cast_unsigned();
    if syndrome & bits::SIXTY_FOUR_BIT == 0 {
        extended & 0xffff_ffff
    } else {
        extended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads() {
        let size = |log: u64| log << 22;
        let (sign, long) = (bits::SIGN_EXTEND, bits::SIXTY_FOUR_BIT);
        let all = 0xffff_ffff_ffff_ff80;
        for (syndrome, value, register) in [
            (size(0), all, 0x80),
            (size(0) | long, all, 0x80),
            (size(0) | sign, all, 0xffff_ff80),
            (size(0) | sign | long, all, all),
            (size(0) | sign | long, 0x7f, 0x7f),
            (size(1) | sign, 0x1_8000, 0xffff_8000),
            (size(1) | sign | long, 0x8000, 0xffff_ffff_ffff_8000),
            (size(2), all, 0xffff_ff80),
            (size(2) | sign | long, 0x8000_0000, 0xffff_ffff_8000_0000),
            (size(3) | long, all, all),
            (size(3) | sign | long, 1 << 63, 1 << 63),
        ] {
            assert_eq!(
                loaded(syndrome, value),
                register,
                "{syndrome:#x} {value:#x}"
            );
        }
    }
}
