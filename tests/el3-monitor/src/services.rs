//! The calls of the RMM: the services of the RMM-EL3 interface.

use core::sync::atomic::{AtomicBool, Ordering};

use attestation_token::HashValue;
use rmm_abi::el3::{CURVE_P384, P384_SCALAR_SIZE, ServiceCode, fid};
use spin::Mutex;

use crate::attestation::{Attester, Piece};
use crate::fault::Fault;
use crate::granule_protection::{Protection, Tables};
use crate::region::{GRANULE, align_up};
use crate::{Region, index};

/// What the services do to the hardware.
pub trait Hardware {
    /// Writes a granule back to memory and drops it from the caches, as both Realm and
    /// non-secure memory sees it only where `alias` says so.
    fn flush_granule(&self, address: u64, alias: Alias);
    /// Makes every CPU forget what it knows of the protection of a granule.
    fn forget_protection(&self, address: u64);
    /// Copies bytes to a place inside the shared page.
    fn write_shared(&self, address: u64, bytes: &[u8]);
    /// Copies bytes from a place inside the shared page.
    fn read_shared(&self, address: u64, bytes: &mut [u8]);
    /// Random bits; `None` when the CPU gives none.
    fn random(&self) -> Option<u64>;
    /// Works on secrets with instructions whose timing does not depend on them.
    fn with_independent_timing<R>(&self, work: impl FnOnce() -> R) -> R;
    /// Returns after a while that is long for a CPU and short for a person.
    fn let_time_pass(&self);
}

/// The physical address space through which a granule is flushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alias {
    /// Non-secure.
    NonSecure,
    /// Realm.
    Realm,
}

/// The answer to a call: X0, and the result registers that the call has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// X0.
    pub code: ServiceCode,
    /// X1. Without it the register keeps its value.
    pub value: Option<u64>,
    /// X2, for platform tokens only.
    pub remaining: Option<u64>,
}

impl From<ServiceCode> for Reply {
    fn from(code: ServiceCode) -> Self {
        Self {
            code,
            value: None,
            remaining: None,
        }
    }
}

impl From<Piece> for Reply {
    fn from(piece: Piece) -> Self {
        Self {
            remaining: Some(piece.remaining as u64),
            ..Self::value(piece.size as u64)
        }
    }
}

impl Reply {
    fn value(value: u64) -> Self {
        Self {
            code: ServiceCode::Ok,
            value: Some(value),
            remaining: None,
        }
    }
}

/// Operations of `EL3_TOKEN_SIGN`: push a request, pull a response, get the public key.
const TOKEN_SIGN_OPERATIONS: core::ops::RangeInclusive<u64> = 1..=3;
/// `RESERVE_MEMORY`: the low flag, "near this CPU", and the alignment in bits.
const RESERVE_NEAR: u64 = 1;
const RESERVE_ALIGNMENT_SHIFT: u32 = 56;

/// What the services work on.
pub struct Services<'a> {
    tables: Tables<'a>,
    shared: Region,
    /// What is left for `RESERVE_MEMORY`.
    pool: Mutex<Region>,
    booting: AtomicBool,
    realm_key: Option<[u8; P384_SCALAR_SIZE]>,
    attester: Option<Attester>,
    fault: Option<Fault>,
}

impl<'a> Services<'a> {
    /// Services for an RMM that is about to boot.
    pub fn new(
        tables: Tables<'a>,
        shared: Region,
        pool: Region,
        realm_key: Option<[u8; P384_SCALAR_SIZE]>,
        attester: Option<Attester>,
        fault: Option<Fault>,
    ) -> Self {
        Self {
            tables,
            shared,
            pool: Mutex::new(pool),
            booting: AtomicBool::new(true),
            realm_key,
            attester,
            fault,
        }
    }

    /// The granule protection tables.
    pub fn tables(&self) -> &Tables<'a> {
        &self.tables
    }

    /// What goes wrong on purpose.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Ends the cold boot: from now on no memory is given away.
    pub fn boot_is_complete(&self) {
        self.booting.store(false, Ordering::Relaxed);
    }

    /// Answers a call. `arguments` are X1 to X4.
    #[inline]
    pub fn call(&self, hardware: &impl Hardware, function: u64, arguments: [u64; 4]) -> Reply {
        let [first, second, third, _] = arguments;
        match function {
            fid::GTSI_DELEGATE => self.delegate(hardware, first).into(),
            fid::GTSI_UNDELEGATE => self.undelegate(hardware, first).into(),
            fid::ATTEST_GET_REALM_KEY => self.realm_key(hardware, first, second, third),
            fid::ATTEST_GET_PLATFORM_TOKEN => {
                let piece = self.platform_token(hardware, first, second, third);
                let mut reply = piece.map_or_else(Reply::from, Reply::from);
                if self.fault == Some(Fault::OldInterface) {
                    reply.remaining = None;
                }
                reply
            }
            fid::FEATURES => match first {
                // No feature is there: EL3 does not sign tokens.
                0 => Reply::value(0),
                _ => ServiceCode::Invalid.into(),
            },
            fid::TOKEN_SIGN if !TOKEN_SIGN_OPERATIONS.contains(&first) => {
                ServiceCode::Invalid.into()
            }
            fid::RESERVE_MEMORY => self.reserve(first, second),
            // Token signing, memory encryption contexts and link encryption are not there.
            _ => ServiceCode::Unknown.into(),
        }
    }

    fn delegate(&self, hardware: &impl Hardware, address: u64) -> ServiceCode {
        if let Err(code) = self.expect(address, Protection::NonSecure) {
            return code;
        }
        // Nothing stale may come out of a cache under the new owner's address.
        hardware.flush_granule(address, Alias::Realm);
        let change = self
            .tables
            .change(address, Protection::NonSecure, Protection::Realm);
        if change.is_err() {
            return ServiceCode::BadPas;
        }
        hardware.forget_protection(address);
        // What the old owner wrote is in memory now, and cannot arrive there later.
        hardware.flush_granule(address, Alias::NonSecure);
        ServiceCode::Ok
    }

    fn undelegate(&self, hardware: &impl Hardware, address: u64) -> ServiceCode {
        if self.fault == Some(Fault::RefuseUndelegate) {
            return refuse_late(hardware);
        }
        if let Err(code) = self.expect(address, Protection::Realm) {
            return code;
        }
        let change = self
            .tables
            .change(address, Protection::Realm, Protection::NoAccess);
        if change.is_err() {
            return ServiceCode::BadPas;
        }
        // While nobody can reach it, what the caches hold of it under either address goes.
        hardware.forget_protection(address);
        hardware.flush_granule(address, Alias::Realm);
        hardware.flush_granule(address, Alias::NonSecure);
        let change = self
            .tables
            .change(address, Protection::NoAccess, Protection::NonSecure);
        if change.is_err() {
            return ServiceCode::BadPas;
        }
        hardware.forget_protection(address);
        ServiceCode::Ok
    }

    fn expect(&self, address: u64, expected: Protection) -> Result<(), ServiceCode> {
        if !address.is_multiple_of(GRANULE) {
            return Err(ServiceCode::BadAddress);
        }
        match self.tables.get(address) {
            // Devices, and addresses where nothing is, are not memory that can be delegated.
            None | Some(Protection::Any) => Err(ServiceCode::BadAddress),
            Some(protection) if protection != expected => Err(ServiceCode::BadPas),
            Some(_) => Ok(()),
        }
    }

    /// Whether a buffer is inside the shared page.
    fn shared_buffer(&self, address: u64, size: u64) -> Result<(), ServiceCode> {
        match Region::new(address, size) {
            Some(buffer) if self.shared.covers(&buffer) => Ok(()),
            _ => Err(ServiceCode::BadAddress),
        }
    }

    fn realm_key(&self, hardware: &impl Hardware, address: u64, size: u64, curve: u64) -> Reply {
        if let Err(code) = self.shared_buffer(address, size) {
            return code.into();
        }
        if curve != CURVE_P384 || size < P384_SCALAR_SIZE as u64 {
            return ServiceCode::Invalid.into();
        }
        let Some(key) = &self.realm_key else {
            return ServiceCode::Unknown.into();
        };
        if self.fault != Some(Fault::SilentKey) {
            hardware.write_shared(address, key);
        }
        Reply::value(P384_SCALAR_SIZE as u64)
    }

    #[cold]
    fn platform_token(
        &self,
        hardware: &impl Hardware,
        address: u64,
        size: u64,
        challenge_size: u64,
    ) -> Result<Piece, ServiceCode> {
        self.shared_buffer(address, size)?;
        let room = index(size);
        let take = |piece: &[u8]| hardware.write_shared(address, piece);
        if challenge_size == 0 {
            // A piece without a byte would have the RMM ask for ever.
            return match &self.attester {
                Some(attester) if room > 0 => attester.proceed(room, take),
                _ => Err(ServiceCode::Invalid),
            };
        }
        let mut challenge = [0; 64];
        let challenge = match challenge_size {
            32 | 48 | 64 if challenge_size <= size => &mut challenge[..index(challenge_size)],
            _ => return Err(ServiceCode::Invalid),
        };
        hardware.read_shared(address, challenge);
        let challenge = HashValue::from_slice(challenge).ok_or(ServiceCode::Invalid)?;
        let attester = self.attester.as_ref().ok_or(ServiceCode::Unknown)?;
        attester.begin(hardware, challenge, room, take)
    }

    fn reserve(&self, size: u64, how: u64) -> Reply {
        let alignment_bits = how >> RESERVE_ALIGNMENT_SHIFT;
        let reserved = how & !(0xff << RESERVE_ALIGNMENT_SHIFT) & !RESERVE_NEAR;
        if size == 0 || !size.is_multiple_of(GRANULE) || reserved != 0 || alignment_bits >= 64 {
            return ServiceCode::Invalid.into();
        }
        if !self.booting.load(Ordering::Relaxed) {
            return ServiceCode::Unknown.into();
        }
        let mut pool = self.pool.lock();
        let taken = align_up(pool.start, 1 << alignment_bits)
            .and_then(|start| Region::new(start, size))
            .filter(|taken| pool.covers(taken));
        match taken {
            Some(taken) => {
                pool.start = taken.end;
                Reply::value(taken.start)
            }
            None => ServiceCode::NoMemory.into(),
        }
    }
}

/// Refuses, but so late that other CPUs come to wait for what the caller has locked.
#[cold]
#[inline(never)]
fn refuse_late(hardware: &impl Hardware) -> ServiceCode {
    hardware.let_time_pass();
    ServiceCode::BadPas
}

#[cfg(test)]
mod tests;
