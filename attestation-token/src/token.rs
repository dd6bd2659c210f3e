//! A token taken apart. Nothing in it is known to be true yet.

use crate::algorithm::Algorithm;
use crate::claims::{PlatformClaims, RealmClaims};
use crate::collection::{Collection, Wrapper};
use crate::error::{DecodeError, Part};
use crate::sign1::Sign1;

/// The token of a machine. Nothing in it is known to be true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlatformToken {
    claims: PlatformClaims,
    sign1: Sign1,
}

/// The token of a Realm. Nothing in it is known to be true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RealmToken {
    claims: RealmClaims,
    sign1: Sign1,
}

/// A whole CCA token: both parts. Nothing in it is known to be true, and the parts are not known
/// to belong together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// How the parts were held together.
    pub wrapper: Wrapper,
    /// The token of the machine.
    pub platform: PlatformToken,
    /// The token of the Realm.
    pub realm: RealmToken,
}

impl Token {
    /// Takes a token apart. Everything that is not exactly as a profile says is refused.
    ///
    /// # Errors
    ///
    /// Which part, which claim and what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let collection = Collection::decode(bytes)?;
        Ok(Self {
            wrapper: collection.wrapper,
            platform: PlatformToken::decode(&collection.platform)?,
            realm: RealmToken::decode(&collection.realm)?,
        })
    }
}

impl PlatformToken {
    /// Takes apart a platform token that is not in a collection.
    ///
    /// # Errors
    ///
    /// Which claim and what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let sign1 = Sign1::decode(Part::Platform, bytes)?;
        let claims = PlatformClaims::decode(&sign1.payload)?;
        Ok(Self { claims, sign1 })
    }

    /// What it says.
    pub const fn claims(&self) -> &PlatformClaims {
        &self.claims
    }

    /// What it is signed with, by its own word.
    pub const fn algorithm(&self) -> Algorithm {
        self.sign1.algorithm
    }

    /// What the signature has to be over.
    pub fn to_be_signed(&self) -> &[u8] {
        &self.sign1.to_be_signed
    }

    /// The signature: R and S.
    pub fn signature(&self) -> &[u8] {
        &self.sign1.signature
    }
}

impl RealmToken {
    /// Takes apart a realm token that is not in a collection.
    ///
    /// # Errors
    ///
    /// Which claim and what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let sign1 = Sign1::decode(Part::Realm, bytes)?;
        let claims = RealmClaims::decode(&sign1.payload)?;
        Ok(Self { claims, sign1 })
    }

    /// What it says.
    pub const fn claims(&self) -> &RealmClaims {
        &self.claims
    }

    /// What it is signed with, by its own word.
    pub const fn algorithm(&self) -> Algorithm {
        self.sign1.algorithm
    }

    /// What the signature has to be over.
    pub fn to_be_signed(&self) -> &[u8] {
        &self.sign1.to_be_signed
    }

    /// The signature: R and S.
    pub fn signature(&self) -> &[u8] {
        &self.sign1.signature
    }
}
