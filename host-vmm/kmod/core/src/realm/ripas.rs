//! Changes of RIPAS that a Realm asks for.

use core::ops::Range;

use super::region::Mapping;
use super::slots::pieces;
use super::{Realm, RealmError};
use crate::BLOCK_SIZE;
use crate::host::Host;
use crate::pool::Page;
use crate::rmi::{self, RmiError};

/// What a REC has asked for, and how far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RipasRequest {
    /// First address, as asked.
    start: u64,
    /// First address that has not been changed.
    base: u64,
    top: u64,
    ram: bool,
    /// Whether the owner of the VM knows.
    asked: bool,
}

/// What to do about a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RipasOutcome {
    /// Tell the Realm; whether it is refused.
    Answer {
        /// None of it was done.
        rejected: bool,
    },
    /// Ask the owner of the VM about a range that is not all of the kind the Realm wants.
    Ask {
        /// First address.
        address: u64,
        /// Bytes.
        size: u64,
    },
}

impl Realm {
    /// A REC asks for a change of RIPAS of `range`. When the answer is [`RipasOutcome::Ask`], this is
    /// called again once the owner of the VM has had a chance to change the kind of the pages.
    ///
    /// # Errors
    ///
    /// When memory for tables is missing; it can be called again.
    pub fn change_ripas(
        &mut self,
        host: &impl Host,
        vcpu: usize,
        range: Range<u64>,
        ram: bool,
    ) -> Result<RipasOutcome, RealmError> {
        let rd = self.rd()?;
        let rec = self.recs.get_mut(vcpu).ok_or(RealmError::Busy)?;
        let page = rec.page;
        let mut request = *rec.ripas.get_or_insert(RipasRequest {
            start: range.start,
            base: range.start,
            top: range.end,
            ram,
            asked: false,
        });
        let end = match self.slot(request.base) {
            Some(slot) => slot.end.min(request.top),
            None => request.base,
        };
        let agreed = self.uniform_prefix(host, request.base..end, ram)?;
        if agreed < end && !request.asked {
            request.asked = true;
            self.note(vcpu, Some(request));
            return Ok(RipasOutcome::Ask {
                address: request.base,
                size: end - request.base,
            });
        }
        let begin = request.base;
        let result = self.set_ripas(host, rd, page, &mut request.base, agreed);
        self.note(vcpu, Some(request));
        result?;
        self.note(vcpu, None);
        // Where the last part of a block has followed the others, it can be one again.
        for piece in pieces(begin..request.base) {
            host.rest();
            if let Some(region) = self.region_mut(piece.base) {
                region.fold(host, rd, piece.base);
            }
        }
        Ok(RipasOutcome::Answer {
            rejected: request.base == request.start,
        })
    }

    fn note(&mut self, vcpu: usize, request: Option<RipasRequest>) {
        if let Some(rec) = self.recs.get_mut(vcpu) {
            rec.ripas = request;
        }
    }

    /// Before pages become shared and lose their memory: they become empty, where a REC waits for
    /// that. Otherwise the RMM takes them for memory that the host has destroyed, which a Realm may
    /// not want to give up.
    pub(super) fn empty_before_sharing(
        &mut self,
        host: &impl Host,
        range: &Range<u64>,
    ) -> Result<(), RealmError> {
        for vcpu in 0..self.recs.len() {
            let Some(rec) = self.recs.get(vcpu) else {
                break;
            };
            let page = rec.page;
            let Some(mut request) = rec.ripas else {
                continue;
            };
            if request.ram || !range.contains(&request.base) {
                continue;
            }
            let rd = self.rd()?;
            let top = request.top.min(range.end);
            let result = self.set_ripas(host, rd, page, &mut request.base, top);
            self.note(vcpu, Some(request));
            result?;
        }
        Ok(())
    }

    /// Changes RIPAS from `base` on, as far as the RMM and the Realm let it, but not beyond `top`.
    fn set_ripas(
        &mut self,
        host: &impl Host,
        rd: Page,
        rec: Page,
        base: &mut u64,
        top: u64,
    ) -> Result<(), RealmError> {
        while *base < top {
            host.rest();
            if host.interrupted() {
                return Err(RealmError::Interrupted);
            }
            match rmi::rtt_set_ripas(host, rd, rec, *base, top) {
                Ok(reached) if reached > *base && reached <= top => *base = reached,
                // An entry that cannot be changed: the Realm keeps what is destroyed.
                Ok(_) | Err(RmiError::Table(3)) => return Ok(()),
                // A part of a block: its pages need entries of their own.
                Err(RmiError::Table(2)) => {
                    let region_base = *base - *base % BLOCK_SIZE;
                    let region = self.region_mut(*base).ok_or(RealmError::Invalid)?;
                    if region.mapping == Mapping::Table {
                        return Err(RealmError::Rmm(RmiError::Table(2)));
                    }
                    region.ensure_table(host, rd, region_base)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
