//! The C interface, as `include/cca_token.h` describes it.
//!
//! This crate has the unsafe code that pointers from C need, and nothing else.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int};
use std::ptr;

use attestation_token::appraise::appraise;
use attestation_token::crypto::RustCrypto;
use attestation_token::json;
use attestation_token::policy::Policy;
use attestation_token::reference::{ReferenceValues, corim, file};
use attestation_token::trust;
use attestation_token::{Challenge, Token, TrustAnchors, Verifier};
use serde_json::json;

/// Accepted, or simply done.
pub const CCA_TOKEN_ACCEPTED: c_int = 0;
/// The token is not accepted, or cannot be taken apart.
pub const CCA_TOKEN_REJECTED: c_int = 1;
/// Something that was given cannot be used.
pub const CCA_TOKEN_UNUSABLE: c_int = 2;

/// Trust anchors, reference values and a policy, prepared once for any number of tokens.
#[derive(Debug)]
pub struct CcaTokenVerifier {
    verifier: Verifier<RustCrypto>,
    references: ReferenceValues,
    policy: Policy,
}

/// The bytes that a caller gives. None if there is no pointer, or a length that none can have.
///
/// # Safety
///
/// `bytes` is null or points to `length` bytes that nobody changes while the slice is in use.
unsafe fn slice<'a>(bytes: *const u8, length: usize) -> Option<&'a [u8]> {
    if bytes.is_null() || isize::try_from(length).is_err() {
        return None;
    }
    // SAFETY: not null, not longer than an object can be; the rest is promised by the caller.
    Some(unsafe { std::slice::from_raw_parts(bytes, length) })
}

/// Hands text to the caller, if there is a place for it.
///
/// # Safety
///
/// `place` is null or points to a pointer that may be written.
unsafe fn hand_out(place: *mut *mut c_char, text: &str) {
    if place.is_null() {
        return;
    }
    // JSON and messages escape zeroes; if one were left, the text would be empty, not cut.
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: promised by the caller.
    unsafe { place.write(text.into_raw()) };
}

/// What a token says, as JSON, without believing it.
///
/// # Safety
///
/// `token` is null or points to `length` bytes; `text` is null or points to a pointer that may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cca_token_decode(
    token: *const u8,
    length: usize,
    text: *mut *mut c_char,
) -> c_int {
    // SAFETY: promised by the caller.
    let Some(token) = (unsafe { slice(token, length) }) else {
        // SAFETY: promised by the caller.
        unsafe { hand_out(text, "no token") };
        return CCA_TOKEN_UNUSABLE;
    };
    let (status, result) = match Token::decode(token) {
        Ok(token) => (CCA_TOKEN_ACCEPTED, json::token(&token).to_string()),
        Err(error) => (CCA_TOKEN_REJECTED, error.to_string()),
    };
    // SAFETY: promised by the caller.
    unsafe { hand_out(text, &result) };
    status
}

/// A verifier that believes the machines whose keys are given.
///
/// # Safety
///
/// `trust_anchors` is null or points to `length` bytes; `error` is null or points to a pointer
/// that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cca_token_verifier_new(
    trust_anchors: *const u8,
    length: usize,
    error: *mut *mut c_char,
) -> *mut CcaTokenVerifier {
    // SAFETY: promised by the caller.
    let bytes = unsafe { slice(trust_anchors, length) };
    let verifier = bytes
        .ok_or_else(|| "no trust anchors".to_string())
        .and_then(|bytes| trust::file::parse(bytes).map_err(|error| error.to_string()))
        .and_then(|anchors| {
            TrustAnchors::new(&RustCrypto, anchors).map_err(|error| error.to_string())
        });
    match verifier {
        Ok(anchors) => Box::into_raw(Box::new(CcaTokenVerifier {
            verifier: Verifier::new(RustCrypto, anchors),
            references: ReferenceValues::default(),
            policy: Policy::default(),
        })),
        Err(why) => {
            // SAFETY: promised by the caller.
            unsafe { hand_out(error, &why) };
            ptr::null_mut()
        }
    }
}

/// Changes a verifier by what a caller gives.
///
/// # Safety
///
/// `verifier` is null or from [`cca_token_verifier_new`], and nobody else uses it; `bytes` is null
/// or points to `length` bytes; `error` is null or points to a pointer that may be written.
unsafe fn change(
    verifier: *mut CcaTokenVerifier,
    bytes: *const u8,
    length: usize,
    error: *mut *mut c_char,
    change: impl FnOnce(&mut CcaTokenVerifier, &[u8]) -> Result<(), String>,
) -> c_int {
    // SAFETY: promised by the caller.
    let given = unsafe { (verifier.as_mut(), slice(bytes, length)) };
    let result = match given {
        (Some(verifier), Some(bytes)) => change(verifier, bytes),
        _ => Err("nothing given".to_string()),
    };
    match result {
        Ok(()) => CCA_TOKEN_ACCEPTED,
        Err(why) => {
            // SAFETY: promised by the caller.
            unsafe { hand_out(error, &why) };
            CCA_TOKEN_UNUSABLE
        }
    }
}

/// Adds reference values: TOML, JSON, or CoRIM that is not signed.
///
/// # Safety
///
/// `verifier` is null or from [`cca_token_verifier_new`], and nobody else uses it; `values` is
/// null or points to `length` bytes; `error` is null or points to a pointer that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cca_token_verifier_add_reference_values(
    verifier: *mut CcaTokenVerifier,
    values: *const u8,
    length: usize,
    now: i64,
    error: *mut *mut c_char,
) -> c_int {
    let add = |verifier: &mut CcaTokenVerifier, bytes: &[u8]| {
        let values = if corim::is_corim(bytes) {
            corim::parse(bytes, now)
                .map_err(|error| error.to_string())?
                .references
        } else {
            file::parse(bytes).map_err(|error| error.to_string())?
        };
        verifier.references.extend(values);
        Ok(())
    };
    // SAFETY: promised by the caller.
    unsafe { change(verifier, values, length, error, add) }
}

/// Sets the policy: TOML or JSON.
///
/// # Safety
///
/// `verifier` is null or from [`cca_token_verifier_new`], and nobody else uses it; `policy` is
/// null or points to `length` bytes; `error` is null or points to a pointer that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cca_token_verifier_set_policy(
    verifier: *mut CcaTokenVerifier,
    policy: *const u8,
    length: usize,
    error: *mut *mut c_char,
) -> c_int {
    let set = |verifier: &mut CcaTokenVerifier, bytes: &[u8]| {
        verifier.policy = Policy::parse(bytes).map_err(|error| error.to_string())?;
        Ok(())
    };
    // SAFETY: promised by the caller.
    unsafe { change(verifier, policy, length, error, set) }
}

/// Verifies and appraises a token.
///
/// # Safety
///
/// `verifier` is null or from [`cca_token_verifier_new`], and nobody changes it meanwhile; `token`
/// is null or points to `length` bytes; `challenge` is null or points to 64 bytes; `json` is null
/// or points to a pointer that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cca_token_verify(
    verifier: *const CcaTokenVerifier,
    token: *const u8,
    length: usize,
    challenge: *const u8,
    json: *mut *mut c_char,
) -> c_int {
    const CHALLENGE_BYTES: usize = 64;
    // SAFETY: promised by the caller.
    let given = unsafe {
        (
            verifier.as_ref(),
            slice(token, length),
            slice(challenge, CHALLENGE_BYTES),
        )
    };
    let (status, result) = if let (Some(verifier), Some(token), challenge) = given {
        let challenge = challenge
            .and_then(|bytes| bytes.try_into().ok())
            .map(Challenge);
        verify(verifier, token, challenge.as_ref())
    } else {
        let result = json!({ "accepted": false, "error": "no verifier, or no token" });
        (CCA_TOKEN_UNUSABLE, result)
    };
    // SAFETY: promised by the caller.
    unsafe { hand_out(json, &result.to_string()) };
    status
}

fn verify(
    verifier: &CcaTokenVerifier,
    token: &[u8],
    challenge: Option<&Challenge>,
) -> (c_int, serde_json::Value) {
    let token = match Token::decode(token) {
        Ok(token) => token,
        Err(error) => {
            let result = json!({ "accepted": false, "error": error.to_string() });
            return (CCA_TOKEN_REJECTED, result);
        }
    };
    let verification = verifier.verifier.verify(&token, challenge);
    let appraisal = appraise(
        &token,
        &verification,
        &verifier.references,
        &verifier.policy,
    );
    let mut result = json::appraisal(&appraisal);
    if appraisal.is_trusted() {
        result["token"] = json::token(&token);
    }
    let status = if appraisal.is_accepted() {
        CCA_TOKEN_ACCEPTED
    } else {
        CCA_TOKEN_REJECTED
    };
    (status, result)
}

/// Gives a verifier back.
///
/// # Safety
///
/// `verifier` is null or from [`cca_token_verifier_new`], and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cca_token_verifier_free(verifier: *mut CcaTokenVerifier) {
    if !verifier.is_null() {
        // SAFETY: it came from `Box::into_raw`, and the caller promises that this is the last use.
        drop(unsafe { Box::from_raw(verifier) });
    }
}

/// Gives text back.
///
/// # Safety
///
/// `text` is null or was handed out by a function of this library, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cca_token_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: it came from `CString::into_raw`, and the caller promises that this is the last
        // use.
        drop(unsafe { CString::from_raw(text) });
    }
}
