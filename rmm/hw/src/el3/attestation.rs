//! What EL3 gives the RMM to attest with: the realm attestation key and the platform token.
//!
//! Both come through the page that RMM and EL3 share, during cold boot, before any other CPU could use
//! the page.

use core::ptr;

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTPCT_EL0, Readable};
use rmm_abi::el3::{CURVE_P384, P384_SCALAR_SIZE, ServiceCode, fid};
use rmm_abi::{GRANULE_SIZE, Version};
use rmm_core::granule::GranuleAddress;

use super::smc;
use crate::layout::{self, PAGE};

/// The page shared with EL3, mapped at [`layout::SHARED_PAGE`].
#[derive(Debug)]
pub struct SharedPage {
    address: GranuleAddress,
    mapped_at: *mut u8,
    interface: Version,
}

/// How long EL3 may put a call off: a security controller may have to sign.
const LONGEST_WAIT_SECONDS: u64 = 10;

/// Interface from which on a platform token may come in pieces.
const PIECES_SINCE: Version = Version::new(0, 3);

fn counter() -> u64 {
    CNTPCT_EL0.get()
}

fn counter_frequency() -> u64 {
    CNTFRQ_EL0.get()
}

impl SharedPage {
    /// The shared page, of an EL3 that offers an interface.
    ///
    /// # Safety
    ///
    /// The page must be mapped at [`layout::SHARED_PAGE`], and nobody else use it while this
    /// lives.
    pub unsafe fn new(address: GranuleAddress, interface: Version) -> Self {
        Self {
            address,
            mapped_at: layout::SHARED_PAGE as *mut u8,
            interface,
        }
    }

    /// Asks for the private part of the realm attestation key: a scalar of P-384, most significant
    /// byte first. No copy stays in the shared page.
    ///
    /// # Errors
    ///
    /// The code of EL3; [`ServiceCode::Invalid`] when its answer is no key of that size.
    pub fn realm_attestation_key(
        &mut self,
        key: &mut [u8; P384_SCALAR_SIZE],
    ) -> Result<(), ServiceCode> {
        // What EL3 does not write is no key.
        self.clear();
        let [size, _] = self.call(fid::ATTEST_GET_REALM_KEY, PAGE, CURVE_P384)?;
        let result = if size == key.len() as u64 {
            self.read(key);
            Ok(())
        } else {
            Err(ServiceCode::Invalid)
        };
        self.clear();
        result
    }

    /// Asks for a platform token over a challenge of 32, 48 or 64 bytes. Its size in bytes.
    ///
    /// # Errors
    ///
    /// The code of EL3; [`ServiceCode::NoMemory`] when the token does not fit,
    /// [`ServiceCode::Invalid`] when EL3's sizes make no sense, or what it hands out is not over the
    /// challenge.
    pub fn platform_token(
        &mut self,
        challenge: &[u8],
        token: &mut [u8],
    ) -> Result<usize, ServiceCode> {
        self.clear();
        for (offset, &byte) in challenge.iter().enumerate() {
            // SAFETY: the page is mapped and ours (`new`), and a challenge is shorter than it.
            unsafe { ptr::write_volatile(self.mapped_at.add(offset), byte) };
        }
        let mut challenge_size = challenge.len() as u64;
        let mut filled = 0;
        loop {
            let [size, remaining] =
                self.call(fid::ATTEST_GET_PLATFORM_TOKEN, PAGE, challenge_size)?;
            challenge_size = 0;
            let size = usize::try_from(size)
                .ok()
                .filter(|size| (1..=GRANULE_SIZE).contains(size))
                .ok_or(ServiceCode::Invalid)?;
            let piece = token
                .get_mut(filled..)
                .and_then(|rest| rest.get_mut(..size))
                .ok_or(ServiceCode::NoMemory)?;
            self.read(piece);
            filled += size;
            if remaining == 0 || self.interface < PIECES_SINCE {
                break;
            }
        }
        self.clear();
        // A page that EL3 has not written to begins with the challenge.
        let token = &token[..filled];
        let is_over_challenge = token
            .windows(challenge.len())
            .position(|window| window == challenge)
            .is_some_and(|offset| offset != 0);
        if is_over_challenge {
            Ok(filled)
        } else {
            Err(ServiceCode::Invalid)
        }
    }

    /// Makes a call over the whole page, again while EL3 is busy. X1 and X2 of the answer.
    fn call(&mut self, function: u64, size: u64, argument: u64) -> Result<[u64; 2], ServiceCode> {
        let deadline = counter().saturating_add(LONGEST_WAIT_SECONDS * counter_frequency());
        loop {
            let registers = [function, self.address.get(), size, argument, 0, 0, 0, 0];
            let [x0, x1, x2, ..] = smc(registers);
            match ServiceCode::from_word(x0) {
                ServiceCode::Ok => return Ok([x1, x2]),
                ServiceCode::Again if counter() < deadline => {}
                code => return Err(code),
            }
        }
    }

    fn read(&self, into: &mut [u8]) {
        for (offset, byte) in into.iter_mut().enumerate() {
            // SAFETY: the page is mapped and ours (`new`); callers read no more than a page.
            *byte = unsafe { ptr::read_volatile(self.mapped_at.add(offset)) };
        }
    }

    fn clear(&mut self) {
        for offset in 0..GRANULE_SIZE {
            // SAFETY: the page is mapped and ours (`new`).
            unsafe { ptr::write_volatile(self.mapped_at.add(offset), 0) };
        }
    }
}
