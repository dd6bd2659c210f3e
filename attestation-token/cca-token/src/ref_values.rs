//! `cca-token ref-values`: reference values from a token that one trusts.

use attestation_token::check::Verdict;
use attestation_token::reference::extract::{from_platform, from_token};
use attestation_token::reference::{ReferenceValues, corim, file};

use crate::arguments::{RefForm, RefValues};
use crate::failure::{Failure, Outcome};
use crate::input::{self, Evidence};
use crate::output;
use crate::verify::verifier;

pub(crate) fn run(arguments: &RefValues) -> Outcome {
    let verifier = verifier(input::trust_anchors(&arguments.trust_anchor)?)?;
    let evidence = input::evidence(&arguments.token)?;
    if arguments.unverified {
        eprintln!("cca-token: the token is not verified: anybody can have made it");
    } else {
        let verification = match &evidence {
            Evidence::Whole(token) => verifier.verify(token, None),
            Evidence::Platform(token) => verifier.verify_platform(token),
        };
        if !verification.is_trusted() {
            let failed = |verdict| verdict == Verdict::Failed;
            let check = verification
                .checks()
                .iter()
                .find(|check| failed(check.verdict));
            let why = check.map_or_else(|| "not trusted".to_string(), ToString::to_string);
            return Err(Failure::Rejected(why));
        }
    }
    let values = match &evidence {
        Evidence::Whole(token) => from_token(token),
        Evidence::Platform(token) => ReferenceValues {
            platforms: vec![from_platform(token.claims())],
            realms: Vec::new(),
        },
    };
    let unusable = |why: String| Failure::unusable("ref-values", why);
    let bytes = match arguments.format {
        RefForm::Toml => file::to_toml(&values)
            .map_err(|error| unusable(error.to_string()))?
            .into_bytes(),
        RefForm::Json => {
            let mut text = file::to_json(&values).map_err(|error| unusable(error.to_string()))?;
            text.push('\n');
            text.into_bytes()
        }
        RefForm::CorimPlatform | RefForm::CorimRealm => {
            let documents = corim::write(&values, &arguments.id)
                .map_err(|error| unusable(error.to_string()))?;
            let document = if arguments.format == RefForm::CorimPlatform {
                documents.platform
            } else {
                documents.realm
            };
            document.ok_or_else(|| unusable("there is no Realm in a platform token".to_string()))?
        }
    };
    output::write(arguments.output.as_deref(), &bytes)?;
    Ok(true)
}
