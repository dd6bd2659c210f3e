//! A guest of the host, and the command lines for it: one that runs it on the host, and one that
//! predicts its measurement on the owner's machine.

use std::path::Path;

use crate::command_line::CommandLine;
use crate::systems::{HOST_DISK, HOST_INITRD, HOST_KERNEL, System};

/// What a guest is.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) is_realm: bool,
    pub(crate) cpus: u32,
    /// Memory, as `host-vmm` takes it.
    pub(crate) memory: String,
    /// A disk on the host, as `host-vmm` takes it.
    pub(crate) disk: String,
    /// What its first program does (`tests/linux/guest-init`).
    pub(crate) words: Vec<String>,
    /// Where its console goes on the host, as `host-vmm` takes it.
    pub(crate) console: String,
}

impl Guest {
    /// A Realm with the host's disk and its console on the terminal, which does this.
    pub(crate) fn realm(cpus: u32, words: &[&str]) -> Self {
        Self {
            is_realm: true,
            cpus,
            memory: "256M".to_owned(),
            disk: format!("{HOST_DISK},readonly"),
            words: words.iter().map(ToString::to_string).collect(),
            console: "terminal".to_owned(),
        }
    }

    /// The command that runs it on the host.
    pub(crate) fn run(&self) -> CommandLine {
        let mut command = CommandLine::new("host-vmm");
        command.add(&["run"]);
        if self.is_realm {
            command.add(&["--realm"]);
        }
        self.describe(&mut command, Path::new(HOST_KERNEL), Path::new(HOST_INITRD));
        command
    }

    /// The command by which its owner predicts its measurement, from the same files.
    pub(crate) fn measure(&self, host_vmm: &Path, system: &System) -> CommandLine {
        let mut command = CommandLine::new(host_vmm);
        command.add(&["measure", "--realm"]);
        self.describe(&mut command, &system.kernel, &system.initrd);
        command.add(&["--format", "toml"]);
        command
    }

    fn describe(&self, command: &mut CommandLine, kernel: &Path, initrd: &Path) {
        command
            .path("--kernel", kernel)
            .path("--initrd", initrd)
            .add(&["--disk", &self.disk, "--memory", &self.memory])
            .add(&["--cpus", &self.cpus.to_string()])
            .add(&["--virtio-console", &self.console])
            .add(&["--cmdline", &self.kernel_command_line()]);
        if self.console != "terminal" {
            command.add(&["--serial", "none"]);
        }
    }

    /// The command line of its kernel.
    pub(super) fn kernel_command_line(&self) -> String {
        let common = [
            // Messages of the kernel wait for the virtio console, whose driver is a module.
            "console=hvc0",
            "cloister.console=hvc0",
            "quiet",
            "panic=1",
            // Seconds of computation that say nothing about Realms.
            "cryptomgr.notests",
            // Devices reach a Realm's memory through buffers of the kernel, which by default are too
            // few for one large request to a disk; these are 4 MiB.
            "swiotlb=2048",
        ];
        let words = self.words.iter().map(String::as_str);
        common
            .into_iter()
            .chain(words)
            .collect::<Vec<_>>()
            .join(" ")
    }
}
