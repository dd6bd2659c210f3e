//! The pair of tokens as one (reference, section 10.1).

use alloc::string::String;
use alloc::vec::Vec;

use ciborium::Value;

use crate::cbor;
use crate::claims::{Claim, ClaimMap};
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
        let [first, second] = self.heads(platform.len(), realm.len());
        [&first, platform, &second, realm].concat()
    }

    /// What stands before the platform token and before the realm token, given their lengths.
    /// With it a token can be handed out piece by piece that is nowhere in memory as a whole.
    pub fn heads(self, platform: usize, realm: usize) -> [Vec<u8>; 2] {
        let mut first = Vec::new();
        cbor::push_head(cbor::TAG, self.tag(), &mut first);
        cbor::push_head(cbor::MAP, 2, &mut first);
        self.push_member_head(PLATFORM, platform, &mut first);
        let mut second = Vec::new();
        self.push_member_head(REALM, realm, &mut second);
        [first, second]
    }

    fn push_member_head(self, claim: Claim, bytes: usize, head: &mut Vec<u8>) {
        cbor::push_head(cbor::UNSIGNED, claim.label.unsigned_abs(), head);
        if self == Self::Cmw {
            cbor::push_head(cbor::ARRAY, 2, head);
            cbor::push_head(cbor::UNSIGNED, EAT_CWT, head);
        }
        cbor::push_head(cbor::BYTES, bytes as u64, head);
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
