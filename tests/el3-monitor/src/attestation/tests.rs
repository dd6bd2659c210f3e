//! Tests of platform tokens: built, signed, delivered, and verified as a guest owner would.

use std::cell::Cell;

use attestation_token::claims::LifecycleState;
use attestation_token::crypto::RustCrypto;
use attestation_token::{Curve, PlatformToken, PublicKey, TrustAnchor, TrustAnchors, Verifier};
use p384::SecretKey;
use p384::elliptic_curve::Generate as _;
use p384::elliptic_curve::sec1::ToSec1Point as _;
use p384::pkcs8::{EncodePrivateKey as _, LineEnding};

use super::*;
use crate::services::Alias;

/// Counts how often somebody asked for random bits.
struct Cpu {
    has_random_bits: bool,
    asked: Cell<u64>,
}

impl Cpu {
    fn new(has_random_bits: bool) -> Self {
        Self {
            has_random_bits,
            asked: Cell::new(0),
        }
    }
}

impl Hardware for Cpu {
    fn flush_granule(&self, _: u64, _: Alias) {}
    fn forget_protection(&self, _: u64) {}
    fn write_shared(&self, _: u64, _: &[u8]) {}
    fn read_shared(&self, _: u64, _: &mut [u8]) {}
    fn let_time_pass(&self) {}
    fn random(&self) -> Option<u64> {
        self.asked.set(self.asked.get() + 1);
        self.has_random_bits.then(|| 0x5151_0000 | self.asked.get())
    }
    fn with_independent_timing<R>(&self, work: impl FnOnce() -> R) -> R {
        work()
    }
}

const MEASUREMENTS: Measurements = Measurements {
    monitor: [0x31; 32],
    rmm: [0x32; 32],
};

fn secret(number: u8) -> SecretKey {
    let mut scalar = [0; 48];
    scalar[47] = number;
    SecretKey::from_slice(&scalar).unwrap()
}

fn pem(secret: &SecretKey) -> String {
    secret.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
}

pub(crate) fn attester(fault: Option<Fault>) -> Attester {
    let key = AttestationKey::from_pem(pem(&secret(9)).as_bytes()).unwrap();
    Attester::new(key, MEASUREMENTS, fault)
}

fn challenge(byte: u8) -> HashValue {
    HashValue::from([byte; 32])
}

/// A token over a challenge, in pieces of so many bytes.
fn fetch(attester: &Attester, cpu: &Cpu, challenge: HashValue, room: usize) -> Vec<u8> {
    let mut token = Vec::new();
    let mut piece = attester
        .begin(cpu, challenge, room, |bytes| token.extend(bytes))
        .unwrap();
    while piece.remaining > 0 {
        assert_eq!(piece.size, room);
        let before = piece.remaining;
        piece = attester.proceed(room, |bytes| token.extend(bytes)).unwrap();
        assert_eq!(before, piece.size + piece.remaining);
    }
    token
}

fn is_signed_by(token: &[u8], secret: &SecretKey) -> bool {
    let point = secret.public_key().to_sec1_point(false);
    let key = PublicKey::from_sec1(point.as_bytes()).unwrap();
    assert_eq!(key.curve(), Curve::P384);
    let anchors = TrustAnchors::new(&RustCrypto, vec![TrustAnchor::from(key)]).unwrap();
    let token = PlatformToken::decode(token).unwrap();
    Verifier::new(RustCrypto, anchors)
        .verify_platform(&token)
        .is_trusted()
}

#[test]
fn a_token_says_what_was_measured_and_is_signed_by_the_key() {
    let token = fetch(&attester(None), &Cpu::new(true), challenge(7), 0x1000);
    assert!(is_signed_by(&token, &secret(9)));
    assert!(!is_signed_by(&token, &secret(8)));
    let token = PlatformToken::decode(&token).unwrap();
    let claims = token.claims();
    assert_eq!(claims.challenge, challenge(7));
    assert_eq!(claims.implementation_id, IMPLEMENTATION_ID);
    assert_eq!(claims.lifecycle.state(), Some(LifecycleState::Secured));
    assert_eq!(claims.config, [0]);
    assert_eq!(claims.hash_algorithm, "sha-256");
    let components: Vec<_> = claims
        .software_components
        .iter()
        .map(|component| (component.component_type.as_deref(), component.measurement))
        .collect();
    assert_eq!(
        components,
        [
            (Some("EL3-monitor"), HashValue::from([0x31; 32])),
            (Some("RMM"), HashValue::from([0x32; 32])),
        ]
    );
}

#[test]
fn the_instance_is_the_hash_of_the_public_key() {
    use sha2::Digest as _;
    let token = fetch(&attester(None), &Cpu::new(true), challenge(7), 0x1000);
    let token = PlatformToken::decode(&token).unwrap();
    let id = token.claims().instance_id;
    let point = secret(9).public_key().to_sec1_point(false);
    assert_eq!(id.as_bytes()[0], 1);
    assert_eq!(
        id.as_bytes()[1..],
        sha2::Sha256::digest(point.as_bytes())[..]
    );
}

#[test]
fn a_fault_is_visible_in_the_token() {
    for (fault, lifecycle) in [
        (Fault::RefuseUndelegate, LifecycleState::Secured),
        (Fault::DebugLifecycle, LifecycleState::NonPlatformRotDebug),
    ] {
        let attester = attester(Some(fault));
        let token = fetch(&attester, &Cpu::new(true), challenge(7), 0x1000);
        assert!(is_signed_by(&token, &secret(9)));
        let token = PlatformToken::decode(&token).unwrap();
        assert_eq!(token.claims().lifecycle.state(), Some(lifecycle));
        assert_eq!(token.claims().config, [1]);
    }
}

#[test]
fn pieces_of_any_size_make_the_same_token_with_one_signature() {
    let attester = attester(None);
    let cpu = Cpu::new(true);
    let whole = fetch(&attester, &cpu, challenge(7), 0x1000);
    let asked = cpu.asked.get();
    assert!(asked > 0, "the nonce is not hedged");
    for room in [32, 48, 100, whole.len() - 1, whole.len(), whole.len() + 1] {
        assert_eq!(fetch(&attester, &cpu, challenge(7), room), whole, "{room}");
    }
    assert_eq!(cpu.asked.get(), asked);
    // Another challenge: another token; and back again a third signature.
    let other = fetch(&attester, &cpu, challenge(8), 0x1000);
    assert!(other != whole && cpu.asked.get() > asked);
    assert_ne!(fetch(&attester, &cpu, challenge(7), 0x1000), whole);
}

#[test]
fn without_random_bits_the_nonce_is_that_of_rfc_6979() {
    let cpu = Cpu::new(false);
    let tokens = [(); 2].map(|()| fetch(&attester(None), &cpu, challenge(7), 0x1000));
    assert_eq!(tokens[0], tokens[1]);
    assert!(is_signed_by(&tokens[0], &secret(9)));
    let hedged = fetch(&attester(None), &Cpu::new(true), challenge(7), 0x1000);
    assert_ne!(hedged, tokens[0]);
}

#[test]
fn only_a_token_on_its_way_can_be_continued() {
    let attester = attester(None);
    let cpu = Cpu::new(true);
    let proceed = || attester.proceed(64, |_| ());
    assert_eq!(proceed(), Err(ServiceCode::Invalid));
    let whole = fetch(&attester, &cpu, challenge(7), 0x1000);
    assert_eq!(proceed(), Err(ServiceCode::Invalid));
    // What was begun for one challenge does not go on with another's token.
    let piece = attester.begin(&cpu, challenge(7), 64, |_| ()).unwrap();
    assert_eq!(piece.remaining, whole.len() - 64);
    let other = fetch(&attester, &cpu, challenge(8), 64);
    assert_eq!(proceed(), Err(ServiceCode::Invalid));
    let token = PlatformToken::decode(&other).unwrap();
    assert_eq!(token.claims().challenge, challenge(8));
}

#[test]
fn a_challenge_without_a_token_ends_what_was_on_its_way() {
    let mut delivery = Delivery::default();
    delivery.start(challenge(7), vec![1, 2, 3]);
    assert!(delivery.next(1, |_| ()).is_some());
    assert!(!delivery.restart(&challenge(8)));
    assert_eq!(delivery.next(1, |_| ()), None);
}

#[test]
fn while_another_cpu_is_here_the_answer_is_again() {
    let attester = attester(None);
    let cpu = Cpu::new(true);
    let mut inside = Vec::new();
    attester
        .begin(&cpu, challenge(7), 64, |_| {
            inside.push(attester.proceed(64, |_| ()));
            inside.push(attester.begin(&cpu, challenge(8), 64, |_| ()));
        })
        .unwrap();
    assert_eq!(inside, [Err(ServiceCode::Again); 2]);
    assert!(attester.proceed(64, |_| ()).is_ok());
}

#[test]
fn keys_are_read_from_pem_on_p_384_only() {
    let good = pem(&secret(9));
    for text in [
        good.clone(),
        good.replace('\n', "\r\n"),
        good.clone() + "\0\0",
    ] {
        assert!(AttestationKey::from_pem(text.as_bytes()).is_some());
    }
    let other_curve = p256::SecretKey::from_slice(&[1; 32]).unwrap();
    let other_curve = other_curve.to_pkcs8_pem(LineEnding::LF).unwrap();
    for text in [
        "",
        "\0",
        "-----BEGIN PRIVATE KEY-----\n",
        &other_curve,
        &good[..100],
    ] {
        assert!(
            AttestationKey::from_pem(text.as_bytes()).is_none(),
            "{text}"
        );
    }
    assert!(AttestationKey::from_pem(&[0xff; 64]).is_none());
    for length in 0..good.trim_end().len() {
        assert!(AttestationKey::from_pem(&good.as_bytes()[..length]).is_none());
    }
}

#[test]
fn random_bytes_are_all_of_the_generator() {
    use p384::elliptic_curve::rand_core::TryRng as _;
    let cpu = Cpu::new(true);
    let mut bytes = [0; 20];
    Random(&cpu).try_fill_bytes(&mut bytes).unwrap();
    assert_eq!(cpu.asked.get(), 3);
    assert_eq!(bytes[..8], 0x5151_0001_u64.to_le_bytes());
    assert_eq!(bytes[16..], 0x5151_0003_u64.to_le_bytes()[..4]);
    assert!(Random(&Cpu::new(false)).try_next_u64().is_err());
    assert!(SecretKey::try_generate_from_rng(&mut Random(&Cpu::new(false))).is_err());
}
