//! At cold boot, from EL3: the realm attestation key and the platform token that vouches for it.

use rmm_abi::el3::{P384_SCALAR_SIZE, ServiceCode};
use rmm_attest::attester::LARGEST_PLATFORM_TOKEN;
use rmm_attest::{Attester, KeyError, TokenError};
use rmm_hw::console;
use rmm_hw::el3::attestation::SharedPage;
use spin::Once;

/// Who signs tokens.
pub(crate) static ATTESTER: Once<Attester> = Once::new();

/// Why there will be no tokens.
enum NoAttester {
    NoKey(ServiceCode),
    NotAKey(KeyError),
    NoPlatformToken(ServiceCode),
    PlatformToken(TokenError),
}

/// Gets ready to make tokens. Without key or platform token the RMM serves all the same, and Realms
/// get none.
pub(crate) fn prepare(page: &mut SharedPage) {
    match attester(page) {
        Ok(attester) => {
            ATTESTER.call_once(|| attester);
        }
        Err(NoAttester::NoKey(code)) => {
            console::line(format_args!(
                "no tokens: EL3 gives no attestation key: {code:?}"
            ));
        }
        Err(NoAttester::NotAKey(error)) => {
            console::line(format_args!("no tokens: EL3's attestation key: {error}"));
        }
        Err(NoAttester::NoPlatformToken(code)) => {
            console::line(format_args!(
                "no tokens: EL3 gives no platform token: {code:?}"
            ));
        }
        Err(NoAttester::PlatformToken(error)) => {
            console::line(format_args!("no tokens: EL3's platform token: {error}"));
        }
    }
}

fn attester(page: &mut SharedPage) -> Result<Attester, NoAttester> {
    // On the boot stack, which is wiped.
    let mut key = [0; P384_SCALAR_SIZE];
    page.realm_attestation_key(&mut key)
        .map_err(NoAttester::NoKey)?;
    let mut attester = Attester::new(&key).map_err(NoAttester::NotAKey)?;
    let mut token = [0; LARGEST_PLATFORM_TOKEN];
    let size = page
        .platform_token(&attester.binding(), &mut token)
        .map_err(NoAttester::NoPlatformToken)?;
    attester
        .set_platform_token(&token[..size])
        .map_err(NoAttester::PlatformToken)?;
    console::line(format_args!("platform token: {size} bytes"));
    Ok(attester)
}
