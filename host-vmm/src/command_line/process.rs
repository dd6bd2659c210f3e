//! How a machine is run.

use std::path::PathBuf;

use clap::Args;

use crate::confinement::{Sandbox, Seccomp};
use crate::messages;
use crate::settings::{LogFormat, Origin, ProcessSettings, Setting};

/// What describes how a machine is run.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options for this process")]
pub struct ProcessArguments {
    /// What is said about the machine: error, warn, info, debug, trace or off, or a filter with
    /// levels for parts of this program [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// How it is said [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Append events of the machine's life to a file, as JSON, one object per line
    #[arg(long, value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
    /// Make a control socket in a folder, by the machine's name: for `host-vmm ps` and `stop`,
    /// which look into /run/host-vmm unless told otherwise
    #[arg(long, value_name = "FOLDER")]
    pub run_dir: Option<PathBuf>,
    /// What becomes of a system call that this process does not need [default: kill]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub seccomp: Option<Seccomp>,
    /// What else it does without, once the machine is made [default: on]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub sandbox: Option<Sandbox>,
}

impl ProcessArguments {
    /// What was said on the command line and in the environment, with the format of messages and
    /// the option that it comes from.
    pub(super) fn settings(self, format: Option<LogFormat>, flag: &'static str) -> ProcessSettings {
        let variable = std::env::var_os(messages::VARIABLE).map(|text| Setting {
            value: text.to_string_lossy().into_owned(),
            origin: Origin::Environment(messages::VARIABLE),
        });
        ProcessSettings {
            log: self.log.map(|log| Setting::flag("--log", log)).or(variable),
            log_format: format.map(|format| Setting::flag(flag, format)),
            audit_log: self
                .audit_log
                .map(|path| Setting::flag("--audit-log", path)),
            run_dir: self.run_dir.map(|path| Setting::flag("--run-dir", path)),
            seccomp: self.seccomp.map(|what| Setting::flag("--seccomp", what)),
            sandbox: self.sandbox.map(|what| Setting::flag("--sandbox", what)),
        }
    }
}
