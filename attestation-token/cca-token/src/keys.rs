//! Making and reading private keys.

use std::path::Path;

use attestation_token::crypto::SigningKey;
use attestation_token::trust::file::to_jwk;
use attestation_token::{Curve, PublicKey};
use getrandom::SysRng;
use p384::elliptic_curve::Generate as _;
use p384::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use zeroize::Zeroizing;

use crate::arguments::{CurveName, KeyForm, Keygen};
use crate::failure::{Failure, Outcome};
use crate::{input, output};

/// `cca-token keygen`.
pub(crate) fn generate(arguments: &Keygen) -> Outcome {
    let no_key = |why: String| Failure::unusable("no key", why);
    let random = |error: getrandom::Error| no_key(error.to_string());
    let pkcs8 = |error: p384::pkcs8::Error| no_key(error.to_string());
    let private = match arguments.curve {
        CurveName::P256 => p256::SecretKey::try_generate_from_rng(&mut SysRng)
            .map_err(random)?
            .to_pkcs8_pem(LineEnding::LF),
        CurveName::P384 => p384::SecretKey::try_generate_from_rng(&mut SysRng)
            .map_err(random)?
            .to_pkcs8_pem(LineEnding::LF),
        CurveName::P521 => p521::SecretKey::try_generate_from_rng(&mut SysRng)
            .map_err(random)?
            .to_pkcs8_pem(LineEnding::LF),
    }
    .map_err(pkcs8)?;
    let key = signing_key(&private)
        .ok_or_else(|| no_key("what was made cannot be read again".to_string()))?
        .public_key();
    let public = match arguments.form {
        KeyForm::Jwk => to_jwk(&key).into_bytes(),
        KeyForm::Pem => to_pem(&key)
            .ok_or_else(|| no_key("PEM of the public half".to_string()))?
            .into_bytes(),
        KeyForm::Cose => key.to_cose_key(),
    };
    output::write_secret(&arguments.private, private.as_bytes())?;
    output::write(Some(&arguments.public), &public)?;
    Ok(true)
}

/// The private key in a file: PKCS #8 in PEM.
pub(crate) fn read(path: &Path) -> Result<SigningKey, Failure> {
    let bytes = Zeroizing::new(input::read(path)?);
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(signing_key)
        .ok_or_else(|| {
            let why = "no private key on P-256, P-384 or P-521 (PKCS #8 in PEM)";
            Failure::unusable(path.display(), why)
        })
}

fn signing_key(pem: &str) -> Option<SigningKey> {
    let scalar = |curve, scalar: &[u8]| SigningKey::from_scalar(curve, scalar).ok();
    if let Ok(key) = p256::SecretKey::from_pkcs8_pem(pem) {
        return scalar(Curve::P256, &Zeroizing::new(key.to_bytes()));
    }
    if let Ok(key) = p384::SecretKey::from_pkcs8_pem(pem) {
        return scalar(Curve::P384, &Zeroizing::new(key.to_bytes()));
    }
    let key = p521::SecretKey::from_pkcs8_pem(pem).ok()?;
    scalar(Curve::P521, &Zeroizing::new(key.to_bytes()))
}

fn to_pem(key: &PublicKey) -> Option<String> {
    let pem = match key.curve() {
        Curve::P256 => p256::PublicKey::from_sec1_bytes(key.sec1())
            .ok()?
            .to_public_key_pem(LineEnding::LF),
        Curve::P384 => p384::PublicKey::from_sec1_bytes(key.sec1())
            .ok()?
            .to_public_key_pem(LineEnding::LF),
        Curve::P521 => p521::PublicKey::from_sec1_bytes(key.sec1())
            .ok()?
            .to_public_key_pem(LineEnding::LF),
    };
    pem.ok()
}
