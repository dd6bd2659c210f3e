//! The content of memory at the start.

use std::io;

use vm_memory::{Bytes as _, GuestAddress};

use super::MachineError;
use super::control::Control;
use crate::backend::{BackendError, VirtualMachine};
use crate::life::Life;
use crate::load::Prepared;
use crate::progress::Progress;
use crate::sys::memory::Ram;

/// Fills a Realm's memory, and says with how much; `None` if it is to end.
pub(super) fn populate(
    life: &Life,
    machine: &dyn VirtualMachine,
    prepared: &Prepared,
    control: &Control,
) -> Result<Option<u64>, BackendError> {
    let total = prepared
        .segments()
        .map(|segment| segment.range().size)
        .sum();
    let progress = Progress::new("filling memory", total);
    let mut filled = 0;
    life.set_filled(filled, total);
    for segment in prepared.segments() {
        let mut ipa = segment.range().base;
        let mut pages = segment.pages();
        while !pages.is_empty() {
            if control.is_ending() {
                return Ok(None);
            }
            let done = machine.populate(ipa, pages)?.min(pages.len());
            pages = &pages[done..];
            ipa += done as u64;
            filled += done as u64;
            life.set_filled(filled, total);
            progress.advance(done as u64);
        }
    }
    Ok(Some(total))
}

/// Fills an ordinary machine's memory, and says with how much.
pub(super) fn copy(ram: &Ram, prepared: &Prepared) -> Result<u64, MachineError> {
    let memory = ram.for_devices();
    let mut total = 0;
    for segment in prepared.segments() {
        let address = GuestAddress(segment.range().base);
        memory
            .write_slice(segment.content(), address)
            .map_err(|error| MachineError::Memory(io::Error::other(error)))?;
        total += segment.range().size;
    }
    Ok(total)
}
