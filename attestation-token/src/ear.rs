//! Attestation results (EAR, draft-ietf-rats-ear) as signed JSON Web Tokens: what a relying party
//! gets that does not verify itself.

use alloc::format;
use alloc::string::{String, ToString as _};

use serde_json::{Map, Value, json};

use crate::appraise::Appraisal;
use crate::build::Signer;
use crate::encoding::{base64url, hex};
use crate::json;
use crate::token::Token;
use crate::trustworthiness::{Tier, Vector, Vectors};

/// Names of the members, which changed with the drafts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum EarFormat {
    /// `tag:ietf.org,2026:rats/ear#04`: the draft of 2026.
    #[default]
    Draft04,
    /// `tag:github.com,2023:veraison/ear`: what services made until then, and many still read.
    Veraison2023,
}

impl EarFormat {
    /// The value of the profile claim.
    pub const fn profile(self) -> &'static str {
        match self {
            Self::Draft04 => "tag:ietf.org,2026:rats/ear#04",
            Self::Veraison2023 => "tag:github.com,2023:veraison/ear",
        }
    }

    /// The name of a member that is called `name` behind its prefix.
    fn member(self, name: &str) -> String {
        match self {
            Self::Draft04 => format!("ear_{}", name.replace('-', "_")),
            Self::Veraison2023 => format!("ear.{name}"),
        }
    }
}

/// Name of the machine's part, as other verifiers for CCA have it.
const PLATFORM: &str = "CCA_SSD_PLATFORM";
/// Name of the Realm's part, as other verifiers for CCA have it.
const REALM: &str = "CCA_REALM";

/// Who makes results, and for whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EarContext<'a> {
    /// The form.
    pub format: EarFormat,
    /// Who made the verifier.
    pub developer: &'a str,
    /// Which build of it.
    pub build: &'a str,
    /// Now: seconds since 1970.
    pub issued_at: u64,
    /// When the result ends to be valid: seconds since 1970.
    pub expires: Option<u64>,
    /// What the relying party sent, 8 to 64 bytes, to be found again in the result.
    pub nonce: Option<&'a [u8]>,
    /// Identifier of the policy that was applied.
    pub policy_id: Option<&'a str>,
}

/// The claims of a result.
pub fn claims(token: &Token, appraisal: &Appraisal, context: &EarContext<'_>) -> Value {
    let format = context.format;
    let vectors = Vectors::from_appraisal(appraisal);
    let accepted = appraisal.is_accepted();
    let part = |vector: Vector, claims: Value| {
        let mut part = Map::new();
        part.insert(
            format.member("status"),
            status(vector, accepted).name().into(),
        );
        let vector: Map<_, _> = vector
            .claims()
            .into_iter()
            .map(|(name, value)| (name.to_string(), value.into()))
            .collect();
        part.insert(format.member("trustworthiness-vector"), vector.into());
        if let Some(id) = context.policy_id {
            match format {
                EarFormat::Draft04 => {
                    part.insert(format.member("appraisal-policy-ids"), json!([id]))
                }
                EarFormat::Veraison2023 => {
                    part.insert(format.member("appraisal-policy-id"), id.into())
                }
            };
        }
        // What nobody vouches for is nothing to pass on.
        if appraisal.is_trusted() {
            let name = match format {
                EarFormat::Draft04 => format.member("attester-claims"),
                EarFormat::Veraison2023 => format.member("veraison.annotated-evidence"),
            };
            part.insert(name, claims);
        }
        Value::Object(part)
    };
    let mut submods = Map::new();
    let platform = json::platform(token.platform.claims());
    submods.insert(PLATFORM.to_string(), part(vectors.platform, platform));
    let realm = json::realm(token.realm.claims());
    submods.insert(REALM.to_string(), part(vectors.realm, realm));

    let mut ear = Map::new();
    ear.insert("eat_profile".to_string(), format.profile().into());
    ear.insert("iat".to_string(), context.issued_at.into());
    if let Some(expires) = context.expires {
        ear.insert("exp".to_string(), expires.into());
    }
    let verifier = json!({ "developer": context.developer, "build": context.build });
    ear.insert(format.member("verifier-id"), verifier);
    if format == EarFormat::Draft04 {
        let parts = [vectors.platform, vectors.realm].map(|part| status(part, accepted));
        ear.insert(format.member("status"), overall(parts).name().into());
    }
    if let Some(nonce) = context.nonce {
        ear.insert("eat_nonce".to_string(), base64url(nonce).into());
    }
    ear.insert("submods".to_string(), submods.into());
    Value::Object(ear)
}

/// The tier of a part: that of its vector; the worst if the token is not accepted; no statement if
/// nobody knows what runs there.
fn status(vector: Vector, accepted: bool) -> Tier {
    if !accepted {
        return Tier::Contraindicated;
    }
    match vector.tier() {
        Tier::Affirming if Tier::of(vector.executables) == Tier::None => Tier::None,
        tier => tier,
    }
}

/// The tier of both parts together: a warning counts more than no statement, and that more than
/// an affirmation.
fn overall(parts: [Tier; 2]) -> Tier {
    match parts[0].max(parts[1]) {
        Tier::Affirming if parts.contains(&Tier::None) => Tier::None,
        tier => tier,
    }
}

/// The result as a signed JSON Web Token.
///
/// # Errors
///
/// Those of the signer.
pub fn sign<S: Signer>(
    token: &Token,
    appraisal: &Appraisal,
    context: &EarContext<'_>,
    signer: &mut S,
) -> Result<String, S::Error> {
    sign_claims(&claims(token, appraisal, context), signer)
}

/// Claims as a signed JSON Web Token.
///
/// # Errors
///
/// Those of the signer.
pub fn sign_claims<S: Signer>(claims: &Value, signer: &mut S) -> Result<String, S::Error> {
    let header = json!({ "alg": signer.algorithm().name(), "typ": "JWT" });
    let mut jwt = format!(
        "{}.{}",
        base64url(header.to_string().as_bytes()),
        base64url(claims.to_string().as_bytes())
    );
    let signature = signer.sign(jwt.as_bytes())?;
    jwt.push('.');
    jwt.push_str(&base64url(&signature));
    Ok(jwt)
}

/// An identifier for a policy: its beginning is for people, the rest is the policy's hash.
pub fn policy_id(policy: &[u8]) -> String {
    let hash = crate::crypto::hash(crate::HashAlgorithm::Sha256, policy);
    format!("policy:sha-256:{}", hex(hash.as_bytes()))
}
