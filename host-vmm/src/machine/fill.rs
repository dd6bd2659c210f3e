//! The content of memory at the start.

use std::io;

use vm_memory::{Bytes as _, GuestAddress};

use super::MachineError;
use super::control::Control;
use crate::backend::VirtualMachine;
use crate::layout::PAGE_BYTES;
use crate::life::Life;
use crate::load::{Piece, Prepared};
use crate::progress::Progress;
use crate::sys::memory::Ram;

/// Fills a Realm's memory, and says with how much; `None` if it is to end.
pub(super) fn populate(
    life: &Life,
    machine: &dyn VirtualMachine,
    prepared: &Prepared,
    control: &Control,
) -> Result<Option<u64>, MachineError> {
    let total = prepared
        .segments()
        .map(|segment| segment.range().size)
        .sum();
    let progress = Progress::new("filling memory", total);
    let mut filled = 0;
    life.set_filled(filled, total);
    for segment in prepared.segments() {
        let mut pieces = segment.pieces();
        while let Some(Piece {
            mut ipa, mut pages, ..
        }) = pieces.next()?
        {
            while !pages.is_empty() {
                if control.is_ending() {
                    return Ok(None);
                }
                let done = machine.populate(ipa, pages)?.min(pages.len());
                let bytes = done as u64 * PAGE_BYTES;
                pages = &pages[done..];
                ipa += bytes;
                filled += bytes;
                life.set_filled(filled, total);
                progress.advance(bytes);
            }
        }
    }
    Ok(Some(total))
}

/// Fills an ordinary machine's memory, and says with how much; `None` if it is to end.
pub(super) fn copy(
    ram: &Ram,
    prepared: &Prepared,
    control: &Control,
) -> Result<Option<u64>, MachineError> {
    let memory = ram.for_devices();
    let mut total = 0;
    for segment in prepared.segments() {
        let mut pieces = segment.pieces();
        while let Some(piece) = pieces.next()? {
            if control.is_ending() {
                return Ok(None);
            }
            memory
                .write_slice(piece.content(), GuestAddress(piece.ipa))
                .map_err(|error| MachineError::Memory(io::Error::other(error)))?;
        }
        total += segment.range().size;
    }
    Ok(Some(total))
}
