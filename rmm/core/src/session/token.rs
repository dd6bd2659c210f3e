//! The token that a REC makes, in auxiliary granules of its own.

use core::sync::atomic::Ordering;

use rmm_abi::GRANULE_SIZE;

use super::Session;
use crate::Machine;
use crate::error::Fatal;
use crate::granule::{Data, GranuleAddress, Locked, Rd};
use crate::machine::{GranuleWords, TOKEN_GRANULES, TokenProgress, TokenRequest};
use crate::rec::{TokenState, VECTOR_GRANULES, layout};

impl<M: Machine> Session<'_, M> {
    /// Goes on with a token that was asked for, until it is ready, has failed or an interrupt is
    /// pending.
    pub(crate) fn make_token(&self) -> Result<TokenProgress, Fatal> {
        let granules = self.token_granules()?;
        let request = match self.rec.token_state() {
            TokenState::PutAside => None,
            _ => Some(self.token_request()?),
        };
        let machine = self.machine();
        let progress = machine.make_token(self.running, &granules, request.as_ref());
        match progress {
            TokenProgress::Interrupted => self.rec.set_token_state(TokenState::PutAside),
            TokenProgress::Ready(size) if (1..=GRANULE_SIZE).contains(&size) => {
                self.rec.set(layout::TOKEN_SIZE, size as u64);
                self.rec.set(layout::TOKEN_DELIVERED, 0);
                self.rec.set_token_state(TokenState::Ready);
            }
            TokenProgress::Ready(_) | TokenProgress::Failed => {
                self.rec.set_token_state(TokenState::None);
                return Ok(TokenProgress::Failed);
            }
        }
        Ok(progress)
    }

    /// Forgets the token that was asked for, whatever has become of it.
    pub(crate) fn abandon_token(&self) -> Result<(), Fatal> {
        if self.rec.token_state() == TokenState::PutAside {
            let granules = self.token_granules()?;
            self.machine().abandon_token(self.running, &granules);
        }
        self.rec.set_token_state(TokenState::None);
        Ok(())
    }

    /// Writes what is still to be delivered of a token that is ready, but no more than `size` bytes, into
    /// a page of the Realm from `offset` on. How many bytes it was, and whether they were the last.
    pub(crate) fn deliver_token(
        &self,
        page: &Locked<'_, Data>,
        offset: usize,
        size: usize,
    ) -> Result<(usize, bool), Fatal> {
        let [token, ..] = self.token_granules()?;
        let token = self.machine().map_aux(self.running, token);
        let word = |word| usize::try_from(self.rec.get(word)).unwrap_or(0);
        let (whole, delivered) = (word(layout::TOKEN_SIZE), word(layout::TOKEN_DELIVERED));
        let size = size.min(whole.saturating_sub(delivered));
        copy(&token, delivered, &self.machine().map(page), offset, size);
        let delivered = delivered + size;
        self.rec.set(layout::TOKEN_DELIVERED, delivered as u64);
        let is_last = delivered >= whole;
        if is_last {
            self.rec.set_token_state(TokenState::None);
        }
        Ok((size, is_last))
    }

    fn token_granules(&self) -> Result<[GranuleAddress; TOKEN_GRANULES], Fatal> {
        let aux = self.rec.aux();
        let mut granules = [GranuleAddress::ZERO; TOKEN_GRANULES];
        for (granule, address) in granules.iter_mut().zip(&aux[VECTOR_GRANULES..]) {
            *granule = GranuleAddress::new(*address).ok_or(Fatal::BrokenRec {
                granule: self.running.address(),
            })?;
        }
        Ok(granules)
    }

    fn token_request(&self) -> Result<TokenRequest, Fatal> {
        let measurements = {
            let _locked = self.context.lock_known::<Rd>(self.owner)?;
            core::array::from_fn(|register| self.realm.measurement(register).words())
        };
        Ok(TokenRequest {
            challenge: core::array::from_fn(|word| self.rec.get(layout::CHALLENGE + word)),
            personalization: self.realm.personalization(),
            algorithm: self.rec.hash_algorithm(),
            measurements,
        })
    }
}

/// Copies bytes between granules, in words where both ends allow it. Neither range ends beyond its
/// granule.
fn copy(
    from: &GranuleWords,
    from_offset: usize,
    into: &GranuleWords,
    into_offset: usize,
    size: usize,
) {
    const WORD: usize = size_of::<u64>();
    let mut done = 0;
    while done < size {
        let (source, target) = (from_offset + done, into_offset + done);
        let whole = source.is_multiple_of(WORD) && target.is_multiple_of(WORD);
        let word = from[source / WORD].load(Ordering::Relaxed);
        let place = &into[target / WORD];
        if whole && size - done >= WORD {
            place.store(word, Ordering::Relaxed);
            done += WORD;
        } else {
            let byte = word >> (source % WORD * 8) & 0xff;
            let shift = target % WORD * 8;
            // The Realm may be writing to the other bytes of the word.
            place.fetch_and(!(0xff << shift), Ordering::Relaxed);
            place.fetch_or(byte << shift, Ordering::Relaxed);
            done += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;

    fn granule(byte: impl Fn(usize) -> u8) -> GranuleWords {
        core::array::from_fn(|word| {
            AtomicU64::new(u64::from_le_bytes(core::array::from_fn(|at| {
                byte(word * 8 + at)
            })))
        })
    }

    fn byte(granule: &GranuleWords, at: usize) -> u8 {
        granule[at / 8].load(Ordering::Relaxed).to_le_bytes()[at % 8]
    }

    #[test]
    fn every_byte_goes_where_it_belongs_and_no_other_changes() {
        #[expect(clippy::cast_possible_truncation, reason = "a pattern")]
        let pattern = |at: usize| (at * 7 + at / 256) as u8;
        let from = granule(pattern);
        for (from_offset, into_offset, size) in [
            (0, 0, 4096),
            (0, 0, 0),
            (0, 4095, 1),
            (4095, 0, 1),
            (8, 16, 33),
            (3, 3, 100),
            (1, 6, 41),
            (2047, 1024, 2049),
        ] {
            let into = granule(|_| 0xee);
            copy(&from, from_offset, &into, into_offset, size);
            for at in 0..4096 {
                let expected = if (into_offset..into_offset + size).contains(&at) {
                    pattern(at - into_offset + from_offset)
                } else {
                    0xee
                };
                assert_eq!(
                    byte(&into, at),
                    expected,
                    "{from_offset} {into_offset} {size}: {at}"
                );
            }
        }
    }
}
