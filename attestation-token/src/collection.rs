//! The pair of tokens as one (reference, section 10.1).

use alloc::string::String;
use alloc::vec::Vec;

use ciborium::Value;

use crate::cbor;
use crate::claims::{self, Claim, ClaimMap};
use crate::error::{ClaimProblem, DecodeError, Part, Problem};

const PLATFORM: Claim = Claim {
    label: 44234,
    name: "cca-platform-token",
};
const REALM: Claim = Claim {
    label: 44241,
    name: "cca-realm-delegated-token",
};

/// CoAP content format of an EAT in a CWT (RFC 9782).
const EAT_CWT: u64 = 263;

/// How the two tokens are held together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Wrapper {
    /// Tag 399: the collection of RMM 1.0.
    #[default]
    Cca,
    /// Tag 907: a collection of conceptual messages (CMW), as newer RMMs have it.
    Cmw,
}

impl Wrapper {
    /// The CBOR tag.
    pub const fn tag(self) -> u64 {
        match self {
            Self::Cca => 399,
            Self::Cmw => 907,
        }
    }

    /// Holds a platform token and a realm token together.
    pub fn encode(self, platform: &[u8], realm: &[u8]) -> Vec<u8> {
        let member = |claim: Claim, token: &[u8]| {
            let token = claims::bytes(token);
            let member = match self {
                Self::Cca => token,
                Self::Cmw => Value::Array(alloc::vec![Value::from(EAT_CWT), token]),
            };
            (Value::from(claim.label), member)
        };
        let map = Value::Map(alloc::vec![
            member(PLATFORM, platform),
            member(REALM, realm)
        ]);
        claims::encode_value(&Value::Tag(self.tag(), map.into()))
    }
}

/// The members of a collection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Collection {
    pub(crate) wrapper: Wrapper,
    pub(crate) platform: Vec<u8>,
    pub(crate) realm: Vec<u8>,
}

impl Collection {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fail = |problem| DecodeError {
            part: Part::Collection,
            problem,
        };
        let value = cbor::decode(bytes).map_err(|error| fail(Problem::Cbor(error)))?;
        let (wrapper, map) = match value {
            Value::Tag(tag, map) if tag == Wrapper::Cca.tag() => (Wrapper::Cca, *map),
            Value::Tag(tag, map) if tag == Wrapper::Cmw.tag() => (Wrapper::Cmw, *map),
            Value::Tag(other, _) => return Err(fail(Problem::NotACollection(Some(other)))),
            _ => return Err(fail(Problem::NotACollection(None))),
        };
        let mut map = ClaimMap::from_value(Part::Collection, String::new(), map)
            .ok_or_else(|| fail(Problem::NotClaims))?;
        let platform = member(&mut map, wrapper, PLATFORM)?;
        let realm = member(&mut map, wrapper, REALM)?;
        map.finish()?;
        Ok(Self {
            wrapper,
            platform,
            realm,
        })
    }
}

fn member(map: &mut ClaimMap, wrapper: Wrapper, claim: Claim) -> Result<Vec<u8>, DecodeError> {
    match wrapper {
        Wrapper::Cca => {
            let token = map.bytes(claim)?;
            map.required(claim, token)
        }
        Wrapper::Cmw => {
            let record = map.array(claim)?;
            let record = map.required(claim, record)?;
            let [content_format, token] = <[Value; 2]>::try_from(record).map_err(|record| {
                map.error(
                    claim,
                    ClaimProblem::Length {
                        expected: "2 entries: content format and token",
                        found: record.len(),
                    },
                )
            })?;
            if content_format != Value::from(EAT_CWT) {
                let expected = "of content format 263 (EAT in a CWT)";
                return Err(map.error(claim, ClaimProblem::Value(expected)));
            }
            token
                .into_bytes()
                .map_err(|_| map.error(claim, ClaimProblem::Type("a byte string")))
        }
    }
}
