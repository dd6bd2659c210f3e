//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Show, verify and make attestation tokens of Arm CCA.
///
/// TOKEN is a file, or `-` for standard input: binary, hexadecimal or base64.
#[derive(Parser)]
#[command(
    name = "cca-token",
    version,
    max_term_width = 100,
    after_help = "\
Exit code: 0 accepted (or done), 1 rejected, 2 something that was given cannot be used."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Show(Show),
    Verify(Verify),
    Keygen(Keygen),
    Sign(Sign),
    RefValues(RefValues),
    Rim(Rim),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  cca-token completions bash > ~/.local/share/bash-completion/completions/cca-token"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Show what a token says, without believing it
#[derive(Args)]
#[command(
    after_help = "Example:\n  cca-token show token.cbor\n  base64 token.cbor | cca-token show --json -"
)]
pub(crate) struct Show {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The token: both parts, or a platform token alone
    pub(crate) token: PathBuf,
}

/// Verify a token: signatures, binding, challenge, and what it was compared with
///
/// Without reference values the verdict covers structure, signatures, binding, challenge (if it is
/// given) and lifecycle; that nothing was compared is said.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cca-token verify --trust-anchor cpak.jwk token.cbor
  cca-token verify --trust-anchor cpak.pem --challenge $(cat nonce.hex) \\
      --ref-values good.toml --policy policy.toml token.cbor

Exit code: 0 accepted, 1 rejected (also when the token cannot be taken apart),
2 something that was given cannot be used (also when the input is no token at all).")]
pub(crate) struct Verify {
    /// Keys of machines: JSON Web Key (or set, or list with identities), PEM, COSE key, or CoRIM
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) trust_anchor: Vec<PathBuf>,
    /// What the Realm was asked to put into the token: 32 to 64 bytes in hexadecimal; fewer than
    /// 64 have zeroes behind them
    #[arg(long, value_name = "HEX")]
    pub(crate) challenge: Option<String>,
    /// Reference values: TOML, JSON or CoRIM
    #[arg(long, value_name = "FILE")]
    pub(crate) ref_values: Vec<PathBuf>,
    /// Whose key the CoRIM files must be signed with
    #[arg(long, value_name = "FILE", requires = "ref_values")]
    pub(crate) ref_values_signer: Option<PathBuf>,
    /// What is demanded and allowed: a plain policy (TOML or JSON), or Rego (*.rego)
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Vec<PathBuf>,
    /// The token is a platform token alone, which says nothing of any Realm
    #[arg(long, conflicts_with_all = ["challenge", "ear"])]
    pub(crate) platform_only: bool,
    /// Write the result as a signed JSON Web Token (EAR) to this file (`-` for standard output)
    #[arg(long, value_name = "FILE", requires = "ear_key")]
    pub(crate) ear: Option<PathBuf>,
    /// Private key that signs the result
    #[arg(long, value_name = "FILE", requires = "ear")]
    pub(crate) ear_key: Option<PathBuf>,
    /// Names of members in the result
    #[arg(long, value_enum, default_value_t = EarForm::Draft04, requires = "ear")]
    pub(crate) ear_format: EarForm,
    /// What the relying party sent, to be found again in the result: 8 to 64 bytes in hexadecimal
    #[arg(long, value_name = "HEX", requires = "ear")]
    pub(crate) ear_nonce: Option<String>,
    /// Seconds after which the result is no longer valid
    #[arg(long, value_name = "SECONDS", requires = "ear")]
    pub(crate) ear_lifetime: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The token
    pub(crate) token: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EarForm {
    /// tag:ietf.org,2026:rats/ear#04
    #[value(name = "draft-04")]
    Draft04,
    /// tag:github.com,2023:veraison/ear
    #[value(name = "veraison-2023")]
    Veraison2023,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CurveName {
    #[value(name = "P-256")]
    P256,
    #[value(name = "P-384")]
    P384,
    #[value(name = "P-521")]
    P521,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyForm {
    Jwk,
    Pem,
    Cose,
}

/// Make a key pair for development
#[derive(Args)]
#[command(after_help = "Example:\n  cca-token keygen --private cpak.pem --public cpak.jwk")]
pub(crate) struct Keygen {
    /// The curve
    #[arg(long, value_enum, default_value_t = CurveName::P384, ignore_case = true)]
    pub(crate) curve: CurveName,
    /// Where the private half goes (PKCS #8 in PEM, readable by the owner only); it must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) private: PathBuf,
    /// Where the public half goes
    #[arg(long, value_name = "FILE")]
    pub(crate) public: PathBuf,
    /// The form of the public half
    #[arg(long, value_enum, default_value_t = KeyForm::Jwk)]
    pub(crate) form: KeyForm,
}

/// Make a platform token for development
#[derive(Args)]
#[command(after_help = "\
Example:
  cca-token sign --key cpak.pem --claims platform.toml --realm-key rak.jwk --output platform.cbor

Claims have the names that `show --json` prints. What a file can leave out: the profile
(tag:arm.com,2023:cca_platform#1.0.0), the challenge (from --realm-key), hash algorithm (sha-256),
lifecycle (0x3000), config (empty) and the instance id (hash of the public key). Example of a file:

  cca-platform-implementation-id = \"7f45…\"
  [[cca-platform-sw-components]]
  component-type = \"RMM\"
  measurement-value = \"a1fb…\"
  signer-id = \"5378…\"")]
pub(crate) struct Sign {
    /// Private key that signs: PKCS #8 in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The claims: TOML or JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) claims: PathBuf,
    /// Public key of the realm tokens that the platform token is to vouch for
    #[arg(long, value_name = "FILE")]
    pub(crate) realm_key: Option<PathBuf>,
    /// How the realm key is hashed
    #[arg(long, value_name = "ALGORITHM", default_value = "sha-256")]
    pub(crate) realm_key_hash: String,
    /// Where the token goes
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RefForm {
    Toml,
    Json,
    CorimPlatform,
    CorimRealm,
}

/// Take reference values from a token that one trusts
#[derive(Args)]
#[command(
    after_help = "Example:\n  cca-token ref-values --trust-anchor cpak.jwk token.cbor > good.toml"
)]
pub(crate) struct RefValues {
    /// Keys of machines, to verify the token with before it is believed
    #[arg(long, value_name = "FILE", required_unless_present = "unverified")]
    pub(crate) trust_anchor: Vec<PathBuf>,
    /// Believe the token without verifying it
    #[arg(long, conflicts_with = "trust_anchor")]
    pub(crate) unverified: bool,
    /// The form
    #[arg(long, value_enum, default_value_t = RefForm::Toml)]
    pub(crate) format: RefForm,
    /// Name of a CoRIM
    #[arg(long, value_name = "TEXT", default_value = "cca-token")]
    pub(crate) id: String,
    /// Where they go
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The token
    pub(crate) token: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RimForm {
    Hex,
    Toml,
    Json,
}

/// Predict the initial measurement (RIM) of a Realm from what will be loaded
///
/// The steps `--ram`, `--load`, `--unmeasured` and `--rec` are measured in the order in which they
/// are given, which has to be the order in which the host takes them.
#[derive(Args)]
#[command(after_help = "\
Example:
  cca-token rim --hash sha-512 --ipa-width 40 --ram 0x80000000+0x10000000 \\
      --load 0x80200000=Image --load 0x88000000=guest.dtb --rec pc=0x80200000,x0=0x88000000

Numbers are decimal, or hexadecimal with 0x.")]
pub(crate) struct Rim {
    /// What is measured with: sha-256 or sha-512
    #[arg(long, value_name = "ALGORITHM", default_value = "sha-256")]
    pub(crate) hash: String,
    /// Bits of the Realm's addresses
    #[arg(long, value_name = "BITS", default_value_t = 40)]
    pub(crate) ipa_width: u8,
    /// Addresses of 52 bits
    #[arg(long)]
    pub(crate) lpa2: bool,
    /// SVE with vectors of (N + 1) × 128 bits
    #[arg(long, value_name = "N")]
    pub(crate) sve_vl: Option<u8>,
    /// A PMU with N event counters
    #[arg(long, value_name = "N")]
    pub(crate) pmu_counters: Option<u8>,
    /// Breakpoints, less one
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) breakpoints: u8,
    /// Watchpoints, less one
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) watchpoints: u8,
    /// RAM from BASE on, SIZE bytes, in table entries of LEVEL (default 2; 3 for pages of 4 KiB)
    #[arg(long, value_name = "BASE+SIZE[:LEVEL]")]
    pub(crate) ram: Vec<String>,
    /// A file that is loaded at IPA, page by page, with zeroes behind its end
    #[arg(long, value_name = "IPA=FILE")]
    pub(crate) load: Vec<String>,
    /// SIZE bytes from IPA on that are loaded without being measured
    #[arg(long, value_name = "IPA+SIZE")]
    pub(crate) unmeasured: Vec<String>,
    /// A vCPU that runs at once; registers that are not given are zero
    #[arg(long, value_name = "pc=N[,x0=N…]")]
    pub(crate) rec: Vec<String>,
    /// The form
    #[arg(long, value_enum, default_value_t = RimForm::Hex)]
    pub(crate) format: RimForm,
}
