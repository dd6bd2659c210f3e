//! What the subcommands do.

use std::path::Path;

use crate::atomic::{self, FileError};
use crate::budget::{Budget, BudgetError};
use crate::cargo::{self, CargoError};
use crate::cli::{Command, SbomArgs, SizeArgs};
use crate::elf::{Elf, ElfError};
use crate::flat::{self, ConvertError};
use crate::inspect;
use crate::licences::{self, LicenceError};
use crate::measurement::{self, MeasurementError};
use crate::memory::{Need, NeedError};
use crate::sbom::{self, Sbom, SbomError};
use crate::size::{SizeError, Sizes};

/// How a command ended that could be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// Nothing to complain about.
    Good,
    /// Something is not as it has to be, and has been printed.
    Bad,
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Convert(#[from] ConvertError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path}: {source}")]
    Elf { path: String, source: ElfError },
    #[error("{path}: {source}")]
    Size { path: String, source: SizeError },
    #[error("{path}: {source}")]
    Budget { path: String, source: BudgetError },
    #[error("{path}: {source}")]
    Sbom { path: String, source: SbomError },
    #[error("{path}: {source}")]
    Memory { path: String, source: NeedError },
    #[error(transparent)]
    Cargo(#[from] CargoError),
    #[error(transparent)]
    Measurement(#[from] MeasurementError),
    #[error(transparent)]
    Licence(#[from] LicenceError),
}

/// Carries out one command.
pub(crate) fn execute(command: Command) -> Result<Status, CommandError> {
    match command {
        Command::Flat { elf, out } => {
            flat::convert(&elf, &out)?;
            Ok(Status::Good)
        }
        Command::Check { elf, sbom } => check(&elf, &sbom),
        Command::Size(args) => size(&args),
        Command::Sbom(args) => sbom(&args),
        Command::Measurement { image, out } => {
            let image = atomic::read(&image)?;
            atomic::write(&out, measurement::reference_values(&image)?.as_bytes())?;
            Ok(Status::Good)
        }
        Command::Memory {
            image,
            cpus,
            dram,
            bytes,
        } => memory(&image, cpus, dram, bytes),
        Command::Licences { package, out } => {
            let graph = cargo::graph(&package.package, &package.target)?;
            licences::collect(&graph, &out)?;
            Ok(Status::Good)
        }
    }
}

fn check(path: &Path, sbom: &Path) -> Result<Status, CommandError> {
    let content = atomic::read(path)?;
    let elf = parse(path, &content)?;
    let text = atomic::read(sbom)?;
    let sbom = Sbom::parse(&text).map_err(|source| CommandError::Sbom {
        path: sbom.display().to_string(),
        source,
    })?;
    let findings = inspect::findings(&elf, &sbom.crates());
    for finding in &findings {
        eprintln!("image-tool: {}: {finding}", path.display());
    }
    Ok(if findings.is_empty() {
        Status::Good
    } else {
        Status::Bad
    })
}

fn size(args: &SizeArgs) -> Result<Status, CommandError> {
    let content = atomic::read(&args.elf)?;
    let elf = parse(&args.elf, &content)?;
    let sizes = Sizes::of(&elf, &content).map_err(|source| CommandError::Size {
        path: args.elf.display().to_string(),
        source,
    })?;
    let budget = match &args.budget {
        Some(path) => {
            let text = atomic::read(path)?;
            let budget = Budget::parse(&text).map_err(|source| CommandError::Budget {
                path: path.display().to_string(),
                source,
            })?;
            Some(budget)
        }
        None => None,
    };
    if args.json {
        print!("{}", sizes.to_json());
    } else {
        print!("{}", sizes.tables(budget.as_ref()));
    }
    let excesses = budget.map_or_else(Vec::new, |budget| budget.excesses(&sizes));
    for excess in &excesses {
        eprintln!("image-tool: {excess}");
    }
    Ok(if excesses.is_empty() {
        Status::Good
    } else {
        Status::Bad
    })
}

fn memory(image: &Path, cpus: u64, dram: u64, bytes: bool) -> Result<Status, CommandError> {
    let content = atomic::read(image)?;
    let need = Need::of(&content, cpus, dram).map_err(|source| CommandError::Memory {
        path: image.display().to_string(),
        source,
    })?;
    if bytes {
        println!("{}", need.whole);
    } else {
        print!("{need}");
    }
    Ok(Status::Good)
}

fn sbom(args: &SbomArgs) -> Result<Status, CommandError> {
    let image = atomic::read(&args.image)?;
    let graph = cargo::graph(&args.package.package, &args.package.target)?;
    let compiler = cargo::compiler()?;
    let sbom = sbom::describe(&graph, &compiler, &image, &args.revision);
    atomic::write(&args.out, sbom.to_json().as_bytes())?;
    Ok(Status::Good)
}

fn parse(path: &Path, content: &[u8]) -> Result<Elf, CommandError> {
    Elf::parse(content).map_err(|source| CommandError::Elf {
        path: path.display().to_string(),
        source,
    })
}
