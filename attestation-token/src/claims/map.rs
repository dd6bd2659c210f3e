//! Taking claims out of a map, one by one, until none is left.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use ciborium::Value;

use super::{Claim, HashValue, InstanceId};
use crate::cbor;
use crate::error::{ClaimProblem, DecodeError, Part, Problem};

/// A key of a map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Integer(i128),
    Text(String),
}

/// What is left of a map of claims.
pub(crate) struct ClaimMap {
    part: Part,
    /// Prefix of labels, for maps inside claims.
    path: String,
    entries: Vec<(Key, Value)>,
}

impl ClaimMap {
    /// The claims in the payload of a token.
    pub(crate) fn from_payload(part: Part, payload: &[u8]) -> Result<Self, DecodeError> {
        let fail = |problem| DecodeError { part, problem };
        let value = cbor::decode(payload).map_err(|error| fail(Problem::Cbor(error)))?;
        Self::from_value(part, String::new(), value).ok_or(fail(Problem::NotClaims))
    }

    /// The entries of a map. `path` comes before the labels in errors.
    pub(crate) fn from_value(part: Part, path: String, value: Value) -> Option<Self> {
        let entries = value
            .into_map()
            .ok()?
            .into_iter()
            .map(|(key, value)| match key {
                Value::Integer(key) => Some((Key::Integer(key.into()), value)),
                Value::Text(key) => Some((Key::Text(key), value)),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            part,
            path,
            entries,
        })
    }

    pub(crate) fn error(&self, claim: Claim, problem: ClaimProblem) -> DecodeError {
        DecodeError {
            part: self.part,
            problem: Problem::Claim {
                label: format!("{}{}", self.path, claim.label),
                name: claim.name,
                problem,
            },
        }
    }

    pub(crate) fn part(&self) -> Part {
        self.part
    }

    /// The value of a claim that may be absent.
    pub(crate) fn take(&mut self, claim: Claim) -> Option<Value> {
        let key = Key::Integer(claim.label.into());
        let index = self.entries.iter().position(|(other, _)| *other == key)?;
        Some(self.entries.swap_remove(index).1)
    }

    /// Fails if a claim is left that nobody asked for.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        let Some((key, _)) = self.entries.first() else {
            return Ok(());
        };
        let label = match key {
            Key::Integer(label) => format!("{}{label}", self.path),
            Key::Text(label) => format!("{}{label:?}", self.path),
        };
        Err(DecodeError {
            part: self.part,
            problem: Problem::Claim {
                label,
                name: "unknown",
                problem: ClaimProblem::Unknown,
            },
        })
    }

    /// The value of a claim, converted; `what` says what it has to be.
    fn converted<T>(
        &mut self,
        claim: Claim,
        what: &'static str,
        convert: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>, DecodeError> {
        match self.take(claim) {
            None => Ok(None),
            Some(value) => match convert(value) {
                Some(value) => Ok(Some(value)),
                None => Err(self.error(claim, ClaimProblem::Type(what))),
            },
        }
    }

    pub(crate) fn required<T>(&self, claim: Claim, value: Option<T>) -> Result<T, DecodeError> {
        value.ok_or_else(|| self.error(claim, ClaimProblem::Missing))
    }

    pub(crate) fn bytes(&mut self, claim: Claim) -> Result<Option<Vec<u8>>, DecodeError> {
        self.converted(claim, "a byte string", |value| value.into_bytes().ok())
    }

    pub(crate) fn text(&mut self, claim: Claim) -> Result<Option<String>, DecodeError> {
        self.converted(claim, "text", |value| value.into_text().ok())
    }

    pub(crate) fn boolean(&mut self, claim: Claim) -> Result<Option<bool>, DecodeError> {
        self.converted(claim, "true or false", |value| value.into_bool().ok())
    }

    pub(crate) fn array(&mut self, claim: Claim) -> Result<Option<Vec<Value>>, DecodeError> {
        self.converted(claim, "an array", |value| value.into_array().ok())
    }

    pub(crate) fn unsigned(&mut self, claim: Claim) -> Result<Option<u64>, DecodeError> {
        self.converted(claim, "an unsigned integer", |value| {
            u64::try_from(value.into_integer().ok()?).ok()
        })
    }

    /// Bytes of one length.
    pub(crate) fn exact<const LENGTH: usize>(
        &mut self,
        claim: Claim,
        expected: &'static str,
    ) -> Result<Option<[u8; LENGTH]>, DecodeError> {
        let Some(bytes) = self.bytes(claim)? else {
            return Ok(None);
        };
        let found = bytes.len();
        let exact = <[u8; LENGTH]>::try_from(bytes)
            .map_err(|_| self.error(claim, ClaimProblem::Length { expected, found }))?;
        Ok(Some(exact))
    }

    pub(crate) fn hash(&mut self, claim: Claim) -> Result<Option<HashValue>, DecodeError> {
        match self.take(claim) {
            None => Ok(None),
            Some(value) => hash(value)
                .map(Some)
                .map_err(|problem| self.error(claim, problem)),
        }
    }

    pub(crate) fn instance_id(&mut self, claim: Claim) -> Result<Option<InstanceId>, DecodeError> {
        let Some(bytes) = self.exact::<33>(claim, "33 bytes")? else {
            return Ok(None);
        };
        InstanceId::from_slice(&bytes)
            .map(Some)
            .ok_or_else(|| self.error(claim, ClaimProblem::Value("a UEID that begins with 0x01")))
    }

    /// The map at position `index` of the array of a claim.
    pub(crate) fn entry(
        &self,
        claim: Claim,
        index: usize,
        value: Value,
    ) -> Result<Self, DecodeError> {
        let path = format!("{}{}[{index}].", self.path, claim.label);
        Self::from_value(self.part, path, value)
            .ok_or_else(|| self.error(claim, ClaimProblem::Type("an array of maps")))
    }
}

/// A hash value, of any of the lengths.
pub(crate) fn hash(value: Value) -> Result<HashValue, ClaimProblem> {
    let bytes = value
        .into_bytes()
        .map_err(|_| ClaimProblem::Type("a byte string"))?;
    HashValue::from_slice(&bytes).ok_or(ClaimProblem::Length {
        expected: "32, 48 or 64 bytes",
        found: bytes.len(),
    })
}
