//! The CBOR that a token may consist of.
//!
//! `ciborium` accepts more than a verifier should: indefinite lengths, duplicate keys, lengths in
//! more bytes than they need, anything after the item. So bytes become its values here, where all
//! that is refused, with bounds on length, depth and number of entries, and nothing is allocated
//! for what is not there. It is also several times faster.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use ciborium::Value;

/// Longest token that is looked at, in bytes. Tokens in the field are two to four KiB.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// Arrays, maps and tags around an item. A token needs six.
const MAX_DEPTH: usize = 12;

/// Entries of one array or map.
const MAX_ENTRIES: u64 = 256;

/// Why bytes are not the CBOR of a token, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CborError {
    /// Bytes before the item with the problem.
    pub offset: usize,
    /// Key of the outermost map under which the problem is, as text: a claim's label.
    pub claim: Option<String>,
    /// What is wrong.
    pub problem: CborProblem,
}

/// What is wrong with an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CborProblem {
    /// More than [`MAX_TOKEN_BYTES`].
    TooLong,
    /// The bytes end inside an item.
    Truncated,
    /// Something follows the item.
    TrailingBytes,
    /// A string, array or map without a length at its head.
    IndefiniteLength,
    /// A number or length in more bytes than it needs.
    NotShortest,
    /// A head that RFC 8949 reserves.
    Reserved,
    /// Nested deeper than a token needs.
    TooDeep,
    /// An array or a map with more entries than a token needs.
    TooManyEntries,
    /// A map with the same key twice.
    DuplicateKey,
    /// A map key that is neither an integer nor text.
    KeyType,
    /// A floating-point number, null, or another simple value but false and true.
    SimpleValue,
    /// Text that is not UTF-8.
    NotUtf8,
}

impl fmt::Display for CborProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "longer than a token may be",
            Self::Truncated => "truncated: the bytes end inside an item",
            Self::TrailingBytes => "trailing bytes after the item",
            Self::IndefiniteLength => "indefinite length",
            Self::NotShortest => "number or length not in its shortest form",
            Self::Reserved => "reserved encoding",
            Self::TooDeep => "nested too deep",
            Self::TooManyEntries => "too many entries",
            Self::DuplicateKey => "duplicate key",
            Self::KeyType => "map key that is neither an integer nor text",
            Self::SimpleValue => "simple value other than false and true",
            Self::NotUtf8 => "text that is not UTF-8",
        })
    }
}

impl fmt::Display for CborError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.problem, self.offset)?;
        match &self.claim {
            Some(claim) => write!(f, ", in claim {claim}"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for CborError {}

/// Major types (RFC 8949, section 3.1).
pub(crate) const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
pub(crate) const BYTES: u8 = 2;
const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;
pub(crate) const TAG: u8 = 6;

const FALSE: u64 = 20;
const TRUE: u64 = 21;

/// The one item of strict CBOR that `bytes` are.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, CborError> {
    let mut walk = Walk {
        bytes,
        position: 0,
        maps: 0,
        claim: None,
        keys: Vec::new(),
    };
    walk.whole().map_err(|problem| CborError {
        offset: walk.position,
        claim: walk.claim.and_then(|key| key_name(&bytes[key])),
        problem,
    })
}

/// The tag of an item, if it has one.
#[cfg(feature = "corim")]
pub(crate) fn tag(bytes: &[u8]) -> Option<u64> {
    let (major, tag, _) = head(bytes).ok()?;
    (major == TAG).then_some(tag)
}

struct Walk<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Maps around the current item.
    maps: usize,
    /// Where the key of the outermost map is, under which the walk is.
    claim: Option<Range<usize>>,
    /// Keys of the maps around the current item.
    keys: Vec<Range<usize>>,
}

impl Walk<'_> {
    fn whole(&mut self) -> Result<Value, CborProblem> {
        if self.bytes.len() > MAX_TOKEN_BYTES {
            return Err(CborProblem::TooLong);
        }
        let value = self.item(0)?;
        if self.position < self.bytes.len() {
            return Err(CborProblem::TrailingBytes);
        }
        Ok(value)
    }

    fn item(&mut self, depth: usize) -> Result<Value, CborProblem> {
        if depth > MAX_DEPTH {
            return Err(CborProblem::TooDeep);
        }
        let (major, argument, head) = head(&self.bytes[self.position..])?;
        Ok(match major {
            UNSIGNED => {
                self.position += head;
                Value::from(argument)
            }
            NEGATIVE => {
                self.position += head;
                let number = -1 - i128::from(argument);
                let integer = ciborium::value::Integer::try_from(number);
                Value::Integer(integer.map_err(|_| CborProblem::Reserved)?)
            }
            BYTES => {
                let content = self.string(head, argument)?;
                Value::Bytes(self.bytes[content].to_vec())
            }
            TEXT => {
                let content = self.string(head, argument)?;
                let text = core::str::from_utf8(&self.bytes[content]);
                Value::Text(String::from(text.map_err(|_| CborProblem::NotUtf8)?))
            }
            ARRAY => {
                let mut array = self.enter(head, argument)?;
                for _ in 0..argument {
                    array.push(self.item(depth + 1)?);
                }
                Value::Array(array)
            }
            MAP => {
                let map = self.enter(head, argument)?;
                Value::Map(self.map(depth, argument, map)?)
            }
            TAG => {
                self.position += head;
                Value::Tag(argument, Box::new(self.item(depth + 1)?))
            }
            _ if argument == FALSE || argument == TRUE => {
                self.position += head;
                Value::Bool(argument == TRUE)
            }
            _ => return Err(CborProblem::SimpleValue),
        })
    }

    /// Behind the head of an array or a map; room for its entries, as far as bytes are there for
    /// them.
    fn enter<T>(&mut self, head: usize, entries: u64) -> Result<Vec<T>, CborProblem> {
        if entries > MAX_ENTRIES {
            return Err(CborProblem::TooManyEntries);
        }
        self.position += head;
        let bytes = self.bytes.len().saturating_sub(self.position);
        let entries = usize::try_from(entries).unwrap_or(usize::MAX);
        Ok(Vec::with_capacity(entries.min(bytes)))
    }

    /// Behind a string; where its content is.
    fn string(&mut self, head: usize, length: u64) -> Result<Range<usize>, CborProblem> {
        let start = self.position + head;
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| start.checked_add(length))
            .filter(|end| *end <= self.bytes.len())
            .ok_or(CborProblem::Truncated)?;
        self.position = end;
        Ok(start..end)
    }

    fn map(
        &mut self,
        depth: usize,
        entries: u64,
        mut map: Vec<(Value, Value)>,
    ) -> Result<Vec<(Value, Value)>, CborProblem> {
        let first = self.keys.len();
        self.maps += 1;
        for _ in 0..entries {
            let start = self.position;
            let (major, _, _) = head(&self.bytes[start..])?;
            if !matches!(major, UNSIGNED | NEGATIVE | TEXT) {
                return Err(CborProblem::KeyType);
            }
            let key = self.item(depth + 1)?;
            let place = start..self.position;
            if self.maps == 1 {
                self.claim = Some(place.clone());
            }
            // Everything is in its shortest form, so equal keys have equal bytes.
            let same =
                |earlier: &Range<usize>| self.bytes[earlier.clone()] == self.bytes[place.clone()];
            if self.keys[first..].iter().any(same) {
                self.position = start;
                return Err(CborProblem::DuplicateKey);
            }
            self.keys.push(place);
            map.push((key, self.item(depth + 1)?));
        }
        self.maps -= 1;
        if self.maps == 0 {
            self.claim = None;
        }
        self.keys.truncate(first);
        Ok(map)
    }
}

/// Major type, argument, and bytes of the head of an item.
fn head(bytes: &[u8]) -> Result<(u8, u64, usize), CborProblem> {
    const IN_ONE_BYTE: u8 = 24;
    const INDEFINITE: u8 = 31;

    let (&first, rest) = bytes.split_first().ok_or(CborProblem::Truncated)?;
    let major = first >> 5;
    let information = first & 0x1f;
    if information < IN_ONE_BYTE {
        return Ok((major, u64::from(information), 1));
    }
    let width = match information {
        24..=27 => 1_usize << (information - IN_ONE_BYTE),
        INDEFINITE if matches!(major, BYTES | TEXT | ARRAY | MAP) => {
            return Err(CborProblem::IndefiniteLength);
        }
        _ => return Err(CborProblem::Reserved),
    };
    if major > TAG {
        return Err(CborProblem::SimpleValue);
    }
    let argument = rest.get(..width).ok_or(CborProblem::Truncated)?;
    let value = argument
        .iter()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let shortest_from = match width {
        1 => u64::from(IN_ONE_BYTE),
        2 => 1 << 8,
        4 => 1 << 16,
        _ => 1 << 32,
    };
    if value < shortest_from {
        return Err(CborProblem::NotShortest);
    }
    Ok((major, value, 1 + width))
}

/// Writes the head of an item, in its shortest form.
pub(crate) fn push_head(major: u8, argument: u64, into: &mut Vec<u8>) {
    let bytes = argument.to_be_bytes();
    let (information, width) = match argument {
        0..24 => (bytes[7], 0),
        24..0x100 => (24, 1),
        0x100..0x1_0000 => (25, 2),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _ => (27, 8),
    };
    into.push(major << 5 | information);
    into.extend_from_slice(&bytes[bytes.len() - width..]);
}

/// A key as a person writes it.
fn key_name(key: &[u8]) -> Option<String> {
    let (major, value, head) = head(key).ok()?;
    match major {
        UNSIGNED => Some(alloc::format!("{value}")),
        NEGATIVE => Some(alloc::format!("{}", -1 - i128::from(value))),
        _ => core::str::from_utf8(&key[head..])
            .ok()
            .map(|text| alloc::format!("{text:?}")),
    }
}
