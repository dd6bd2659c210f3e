//! Bytes as text: hexadecimal, and base64 in its dialects.

use alloc::string::String;
use alloc::vec::Vec;

use base64ct::{Base64, Base64Unpadded, Base64Url, Base64UrlUnpadded, Encoding as _};

/// Bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Bytes as URL-safe base64 without padding, as JOSE has it.
pub fn base64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// The bytes of URL-safe base64 without padding.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).ok()
}

/// The bytes of hexadecimal in either case, with or without `0x`.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    base16ct::mixed::decode_vec(digits).ok()
}

/// The bytes of hexadecimal, or else of base64 (URL-safe or not, padded or not). White space in
/// it is skipped.
pub fn from_text(text: &str) -> Option<Vec<u8>> {
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    if text.is_empty() {
        return None;
    }
    from_hex(&text)
        .or_else(|| Base64::decode_vec(&text).ok())
        .or_else(|| Base64Unpadded::decode_vec(&text).ok())
        .or_else(|| Base64Url::decode_vec(&text).ok())
        .or_else(|| Base64UrlUnpadded::decode_vec(&text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_is_recognised() {
        let bytes = [0xfb, 0xff, 0xfe, 0x00];
        for text in [
            "fbfffe00",
            "FBFFFE00",
            "0xfbfffe00",
            "fb ff\nfe 00",
            "+//+AA==",
            "+//+AA",
            "-__-AA==",
            "-__-AA",
        ] {
            assert_eq!(from_text(text).as_deref(), Some(&bytes[..]), "{text}");
        }
        for text in ["", " ", "0x1", "+_", "no bytes!"] {
            assert_eq!(from_text(text), None, "{text}");
        }
        assert_eq!(
            from_base64url(&base64url(&bytes)).as_deref(),
            Some(&bytes[..])
        );
        assert_eq!(hex(&bytes), "fbfffe00");
    }
}
