//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const AFTER_HELP: &str = "\
Exit codes:
  0  done, and nothing to complain about
  1  the image is not as it has to be: a check failed, or a budget is exceeded
  2  wrong use: an unknown option, a missing or unusable file, cargo failed

Examples:
  image-tool flat target/…/rmm target/image/rmm.img
  image-tool check target/image/rmm.elf --sbom target/image/rmm.cdx.json
  image-tool size target/image/rmm.elf --budget rmm/image/size-budget.toml
  image-tool size target/image/rmm.elf --json
  image-tool sbom --image target/image/rmm.img --revision 0123abcd -o target/image/rmm.cdx.json
  image-tool measurement target/image/rmm.img -o target/image/rmm.measurement.toml
  image-tool memory target/image/rmm.img --cpus 32 --dram 64G
  image-tool licences -o target/image/licences";

/// Makes, checks and describes the flat images of bare-metal programs.
#[derive(Debug, Parser)]
#[command(name = "image-tool", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the flat form of an ELF file: its loadable bytes by physical address.
    Flat {
        /// The ELF file.
        elf: PathBuf,
        /// Where the flat file goes.
        out: PathBuf,
    },
    /// Check an ELF file: nothing writable and executable, no relocation, nothing from tests, no
    /// crate that the bill of materials does not name.
    Check {
        /// The ELF file.
        elf: PathBuf,
        /// The bill of materials.
        #[arg(long)]
        sbom: PathBuf,
    },
    /// Print the size of each section and of each crate's code, and compare with a budget.
    Size(SizeArgs),
    /// Write the bill of materials of an image (`CycloneDX` 1.5, JSON).
    Sbom(SbomArgs),
    /// Write what a platform token says of the image, as reference values for `cca-token verify`.
    Measurement {
        /// The flat image.
        image: PathBuf,
        /// Where the reference values go.
        #[arg(long, short)]
        out: PathBuf,
    },
    /// Say how much memory firmware has to set aside for an RMM, from its load address on.
    Memory {
        /// The flat image of the RMM.
        image: PathBuf,
        /// CPUs of the machine.
        #[arg(long)]
        cpus: u64,
        /// Sum of the DRAM banks in the boot manifest, like 4G.
        #[arg(long, value_parser = bytes)]
        dram: u64,
        /// Print nothing but the number of bytes.
        #[arg(long)]
        bytes: bool,
    },
    /// Collect the licence texts of all crates in an image.
    Licences {
        #[command(flatten)]
        package: PackageArgs,
        /// The folder that they go to; it must not be there yet.
        #[arg(long, short)]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SizeArgs {
    /// The ELF file, with line tables.
    pub(crate) elf: PathBuf,
    /// What the image may take; more is a failure.
    #[arg(long)]
    pub(crate) budget: Option<PathBuf>,
    /// Print the sizes as JSON on standard output instead of the tables.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The package that an image is made of.
#[derive(Debug, Args)]
pub(crate) struct PackageArgs {
    /// The package of the program.
    #[arg(long, default_value = "rmm-image")]
    pub(crate) package: String,
    /// The target that it is built for.
    #[arg(long, default_value = "aarch64-unknown-none-softfloat")]
    pub(crate) target: String,
}

#[derive(Debug, Args)]
pub(crate) struct SbomArgs {
    #[command(flatten)]
    pub(crate) package: PackageArgs,
    /// The flat image that is described.
    #[arg(long)]
    pub(crate) image: PathBuf,
    /// The revision of the sources, as it is in the image.
    #[arg(long)]
    pub(crate) revision: String,
    /// Where the bill goes.
    #[arg(long, short)]
    pub(crate) out: PathBuf,
}

/// A number of bytes, with K, M, G or T behind it for multiples of 1024.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "a number of bytes, like 4096, 512M or 64G".to_owned();
    let units = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let with_unit = units
        .into_iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
    let (digits, shift) = with_unit.unwrap_or((text, 0));
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1_u64 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("2K"), Ok(2048));
        assert_eq!(bytes("3T"), Ok(3 << 40));
        for bad in ["", "G", "1X", "1g", "-1G", "99999999T", "1.5G"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
