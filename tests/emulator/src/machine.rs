//! The emulated machine: its parts, and the emulator's command line for it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Room for the command line of the normal world (`docs/development.md`).
pub(crate) const LONGEST_COMMAND_LINE: usize = 2048;

/// How time passes in the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    /// As on the wall.
    Wall,
    /// One nanosecond per instruction, so that counter ticks are instructions.
    Instructions,
}

/// What goes wrong on purpose at EL3 (`docs/development.md`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Fault {
    /// No granule goes back to the normal world.
    RefuseUndelegate,
    /// Platform tokens do not say that the machine is secured.
    DebugLifecycle,
    /// EL3 speaks the oldest interface that the RMM accepts.
    #[value(name = "interface-0.2")]
    OldInterface,
    /// EL3 hands over an attestation key without writing it.
    SilentKey,
    /// EL3 answers `RMI_VERSION` itself, as an RMM of another version would.
    #[value(name = "rmi-2.0")]
    OtherRmi,
}

impl Fault {
    /// Its name, for the monitor and for the test host.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RefuseUndelegate => "refuse-undelegate",
            Self::DebugLifecycle => "debug-lifecycle",
            Self::OldInterface => "interface-0.2",
            Self::SilentKey => "silent-key",
            Self::OtherRmi => "rmi-2.0",
        }
    }

    /// Whether the RMM gives up over it; the test host has tests of its own for that.
    pub(crate) const fn stops_the_rmm(self) -> bool {
        matches!(self, Self::RefuseUndelegate)
    }
}

/// Who sits at the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Console {
    /// This program.
    Program,
    /// A person; the emulator's own keys (Ctrl-A X ends it) work.
    Person,
}

/// A machine and what it boots.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) qemu: PathBuf,
    pub(crate) monitor: PathBuf,
    pub(crate) rmm: Option<PathBuf>,
    pub(crate) normal_world: PathBuf,
    pub(crate) initrd: Option<PathBuf>,
    /// The key that platform tokens are signed with.
    pub(crate) attestation_key: Option<PathBuf>,
    pub(crate) cpus: u32,
    pub(crate) memory: String,
    pub(crate) clock: Clock,
    pub(crate) fault: Option<Fault>,
    /// What the RMM is told at boot instead of what is so (`docs/development.md`).
    pub(crate) hand_over: Option<String>,
    /// Memory beyond the first bank, base and MiB of each, which the device tree does not list.
    pub(crate) far_memory: Vec<(u64, u64)>,
}

/// A machine that cannot be started as asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MachineError {
    #[error("no file {}: {hint}", path.display())]
    Missing { path: PathBuf, hint: &'static str },
    #[error(
        "the command line of the normal world would have {0} bytes, {LONGEST_COMMAND_LINE} is the limit: ask for fewer tests at once"
    )]
    CommandLineTooLong(usize),
}

impl Machine {
    /// Checks that every file is there before anything is started.
    pub(crate) fn check(&self) -> Result<(), MachineError> {
        let files = [
            (Some(&self.monitor), "`make payloads` builds it"),
            (
                self.rmm.as_ref(),
                "`make image` builds rmm.img, `make payloads` the others",
            ),
            (
                Some(&self.normal_world),
                "`make payloads` builds ns-host, `make setup` fetches the Debian kernel, `make host-image` makes a host of it",
            ),
            (
                self.initrd.as_ref(),
                "`make payloads` builds realm-payload.img, `make host-image` the initrd of the Debian host",
            ),
            (
                self.attestation_key.as_ref(),
                "the next run makes it if the folder is not there",
            ),
        ];
        for (path, hint) in files {
            if let Some(path) = path.filter(|path| !path.is_file()) {
                return Err(MachineError::Missing {
                    path: path.clone(),
                    hint,
                });
            }
        }
        Ok(())
    }

    /// The emulator's arguments for this machine with this command line for the normal world.
    pub(crate) fn arguments(
        &self,
        command_line: &str,
        console: Console,
    ) -> Result<Vec<OsString>, MachineError> {
        if command_line.len() > LONGEST_COMMAND_LINE {
            return Err(MachineError::CommandLineTooLong(command_line.len()));
        }
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        let board = "virt,secure=on,virtualization=on,gic-version=3,memory-backend=ram";
        add(&["-M", board]);
        // Unreserved: only what is touched is taken from this machine, so 64 GiB fit into less.
        let ram = format!("memory-backend-ram,id=ram,size={},reserve=off", self.memory);
        add(&["-object", &ram]);
        add(&["-cpu", "max,x-rme=on"]);
        add(&["-smp", &self.cpus.to_string(), "-m", &self.memory_size()]);
        for (number, (base, mebibytes)) in self.far_memory.iter().enumerate() {
            let backend =
                format!("memory-backend-ram,id=far{number},size={mebibytes}M,reserve=off");
            let module = format!("pc-dimm,memdev=far{number},addr={base:#x}");
            add(&["-object", &backend, "-device", &module]);
        }
        match self.clock {
            Clock::Instructions => add(&["-icount", "shift=0,sleep=off"]),
            // CPUs that wait do so in busy loops. On two cores, eight of them can hold each other up
            // for minutes; four get along, and much faster than one after the other.
            Clock::Wall if self.cpus > 4 => add(&["-accel", "tcg,thread=single"]),
            Clock::Wall => add(&["-accel", "tcg,thread=multi"]),
        }
        add(&["-display", "none", "-nic", "none", "-no-reboot"]);
        add(&["-semihosting-config", "enable=on,target=native"]);
        match console {
            Console::Program => add(&["-serial", "stdio", "-monitor", "none"]),
            Console::Person => add(&["-serial", "mon:stdio"]),
        }
        arguments.extend(["-bios".into(), self.monitor.clone().into_os_string()]);
        let files = [
            ("rmm", self.rmm.as_deref()),
            ("normal-world", Some(self.normal_world.as_path())),
            ("initrd", self.initrd.as_deref()),
            ("cpak", self.attestation_key.as_deref()),
        ];
        for (name, file) in files {
            if let Some(file) = file {
                arguments.extend(["-fw_cfg".into(), firmware_file(name, file)]);
            }
        }
        if let Some(fault) = self.fault {
            let name = fault.name();
            arguments.push("-fw_cfg".into());
            arguments.push(format!("name=opt/cloister/fault,string={name}").into());
        }
        if let Some(text) = &self.hand_over {
            let text = text.replace(',', ",,");
            arguments.push("-fw_cfg".into());
            arguments.push(format!("name=opt/cloister/hand-over,string={text}").into());
        }
        if !command_line.is_empty() {
            let text = command_line.replace(',', ",,");
            arguments.push("-fw_cfg".into());
            arguments.push(format!("name=opt/cloister/bootargs,string={text}").into());
        }
        Ok(arguments)
    }

    /// The value of `-m`. Memory modules can be anywhere between the first bank, of 1 GiB then, and
    /// the 1 TiB line.
    fn memory_size(&self) -> String {
        let slots = self.far_memory.len();
        if slots == 0 {
            self.memory.clone()
        } else {
            // The first GiB of the address space has no memory; each slot takes one for alignment.
            format!("{},slots={slots},maxmem={}G", self.memory, 1023 - slots)
        }
    }
}

/// A comma separates options, so one inside a path is doubled.
fn firmware_file(name: &str, file: &Path) -> OsString {
    let path = file.to_string_lossy().replace(',', ",,");
    format!("name=opt/cloister/{name},file={path}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            qemu: "qemu".into(),
            monitor: "monitor.bin".into(),
            rmm: Some("rmm,v1.img".into()),
            normal_world: "ns-host.img".into(),
            initrd: None,
            attestation_key: None,
            cpus: 2,
            memory: "1G".to_owned(),
            clock: Clock::Wall,
            fault: None,
            hand_over: None,
            far_memory: Vec::new(),
        }
    }

    fn words(machine: &Machine, command_line: &str) -> String {
        machine
            .arguments(command_line, Console::Program)
            .unwrap()
            .join(&OsString::from(" "))
            .into_string()
            .unwrap()
    }

    #[test]
    fn commas_inside_values_are_doubled() {
        let words = words(&machine(), "only=a,b");
        assert!(words.contains("name=opt/cloister/bootargs,string=only=a,,b"));
        assert!(words.contains("name=opt/cloister/rmm,file=rmm,,v1.img"));
        assert!(!words.contains("initrd"));
    }

    #[test]
    fn a_fault_is_a_file_for_the_monitor() {
        let mut machine = machine();
        assert!(!words(&machine, "").contains("opt/cloister/fault"));
        machine.fault = Some(Fault::RefuseUndelegate);
        let file = "-fw_cfg name=opt/cloister/fault,string=refuse-undelegate";
        assert!(words(&machine, "").contains(file));
    }

    #[test]
    fn what_the_rmm_is_told_is_a_file_for_the_monitor() {
        let mut machine = machine();
        assert!(!words(&machine, "").contains("hand-over"));
        machine.hand_over = Some("version=0.3 x3=+8".to_owned());
        let file = "-fw_cfg name=opt/cloister/hand-over,string=version=0.3 x3=+8";
        assert!(words(&machine, "").contains(file));
    }

    #[test]
    fn far_memory_comes_in_modules() {
        let mut machine = machine();
        assert!(!words(&machine, "").contains("pc-dimm"));
        machine.far_memory = vec![(0x4_0000_0000, 128), (0xff_f800_0000, 128)];
        let words = words(&machine, "");
        assert!(words.contains("-m 1G,slots=2,maxmem=1021G"));
        assert!(words.contains("id=far1,size=128M,reserve=off"));
        assert!(words.contains("pc-dimm,memdev=far1,addr=0xfff8000000"));
    }

    #[test]
    fn the_attestation_key_is_a_file_for_the_monitor() {
        let mut machine = machine();
        assert!(!words(&machine, "").contains("cpak"));
        machine.attestation_key = Some("keys/cpak.pem".into());
        let file = "-fw_cfg name=opt/cloister/cpak,file=keys/cpak.pem";
        assert!(words(&machine, "").contains(file));
    }

    #[test]
    fn a_fault_has_one_name_everywhere() {
        use clap::ValueEnum as _;
        for fault in Fault::value_variants() {
            let value = fault.to_possible_value().unwrap();
            assert_eq!(value.get_name(), fault.name());
        }
    }

    #[test]
    fn threads_follow_the_number_of_cpus_and_the_clock() {
        let mut machine = machine();
        assert!(words(&machine, "").contains("-accel tcg,thread=multi"));
        machine.cpus = 4;
        assert!(words(&machine, "").contains("-accel tcg,thread=multi"));
        machine.cpus = 5;
        assert!(words(&machine, "").contains("-accel tcg,thread=single"));
        machine.clock = Clock::Instructions;
        let words = words(&machine, "");
        assert!(words.contains("-icount shift=0,sleep=off") && !words.contains("-accel"));
    }

    #[test]
    fn a_command_line_that_does_not_fit_is_refused() {
        let machine = machine();
        let fits = "x".repeat(LONGEST_COMMAND_LINE);
        assert!(machine.arguments(&fits, Console::Program).is_ok());
        assert_eq!(
            machine.arguments(&format!("{fits}x"), Console::Program),
            Err(MachineError::CommandLineTooLong(LONGEST_COMMAND_LINE + 1))
        );
    }

    #[test]
    fn a_missing_file_is_named_before_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        std::fs::write(&there, b"x").unwrap();
        let mut machine = Machine {
            monitor: there.clone(),
            rmm: None,
            normal_world: there,
            ..machine()
        };
        machine.check().unwrap();
        machine.rmm = Some(folder.path().join("absent"));
        let message = machine.check().unwrap_err().to_string();
        assert!(
            message.contains("absent") && message.contains("make image"),
            "{message}"
        );
    }
}
