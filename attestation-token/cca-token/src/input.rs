//! What commands read.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use attestation_token::encoding;
use attestation_token::reference::corim;
use attestation_token::trust::file;
use attestation_token::{DecodeError, MAX_TOKEN_BYTES, PlatformToken, Token, TrustAnchor};

use crate::failure::Failure;

/// Most bytes that are read of anything.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Heads of a token: both wrappers, a token alone, and what lacks its tag.
const HEADS: [&[u8]; 5] = [
    &[0xd9, 0x01, 0x8f],
    &[0xd9, 0x03, 0x8b],
    &[0xd2],
    &[0xa2, 0x19, 0xac],
    &[0x84, 0x44],
];
/// Head of a token that stands alone.
const ALONE: u8 = 0xd2;

/// The content of a file; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unusable = |error| Failure::unusable(path.display(), error);
    let mut bytes = Vec::new();
    let count = if path == Path::new("-") {
        stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    count.map_err(|error| unusable(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unusable("too long".to_string()));
    }
    Ok(bytes)
}

/// A token, or a part of one.
#[derive(Debug)]
pub(crate) enum Evidence {
    /// Both parts.
    Whole(Box<Token>),
    /// The machine's part alone.
    Platform(Box<PlatformToken>),
}

/// Bytes that look like a token, from binary, hexadecimal or base64.
fn recognise(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read(path)?;
    let is_token = |bytes: &[u8]| HEADS.iter().any(|head| bytes.starts_with(head));
    if is_token(&bytes) {
        return Ok(bytes);
    }
    // Hexadecimal is twice as long, and both may have white space.
    let text = std::str::from_utf8(&bytes)
        .ok()
        .filter(|text| text.len() <= 4 * MAX_TOKEN_BYTES);
    text.and_then(encoding::from_text)
        .filter(|bytes| is_token(bytes))
        .ok_or_else(|| {
            let why = "no attestation token (binary, hexadecimal or base64)";
            Failure::unusable(path.display(), why)
        })
}

/// The token in a file.
pub(crate) fn evidence(path: &Path) -> Result<Evidence, Failure> {
    let bytes = recognise(path)?;
    let rejected = |error: DecodeError| Failure::Rejected(error.to_string());
    if bytes.first() == Some(&ALONE) {
        let token = PlatformToken::decode(&bytes).map_err(rejected)?;
        return Ok(Evidence::Platform(Box::new(token)));
    }
    let token = Token::decode(&bytes).map_err(rejected)?;
    Ok(Evidence::Whole(Box::new(token)))
}

/// The trust anchors in files.
pub(crate) fn trust_anchors(
    paths: impl IntoIterator<Item = impl AsRef<Path>>,
) -> Result<Vec<TrustAnchor>, Failure> {
    let mut anchors = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let bytes = read(path)?;
        if corim::is_corim(&bytes) {
            let found = corim::parse(&bytes, now().cast_signed())
                .map_err(|error| Failure::unusable(path.display(), error))?;
            if found.anchors.is_empty() {
                return Err(Failure::unusable(path.display(), "no key in it"));
            }
            anchors.extend(found.anchors);
        } else {
            let found = file::parse(&bytes);
            anchors.extend(found.map_err(|error| Failure::unusable(path.display(), error))?);
        }
    }
    Ok(anchors)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The only public key in a file.
pub(crate) fn public_key(path: &Path) -> Result<attestation_token::PublicKey, Failure> {
    let mut anchors = trust_anchors([path])?;
    match anchors.pop() {
        Some(anchor) if anchors.is_empty() => Ok(anchor.key),
        _ => Err(Failure::unusable(path.display(), "more than one key")),
    }
}

/// The bytes of an argument in hexadecimal.
pub(crate) fn hex(name: &str, text: &str) -> Result<Vec<u8>, Failure> {
    encoding::from_hex(text).ok_or_else(|| Failure::unusable(name, "not hexadecimal"))
}

/// A number, decimal or hexadecimal with 0x.
pub(crate) fn number(name: &str, text: &str) -> Result<u64, Failure> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(&digits.replace('_', ""), 16),
        None => text.replace('_', "").parse(),
    };
    number.map_err(|_| Failure::unusable(name, format!("{text:?} is not a number")))
}
