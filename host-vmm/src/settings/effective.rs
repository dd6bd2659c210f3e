//! What comes of settings: a machine, and how this process runs it.

use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use super::error::{OptionError, SettingsError};
use super::report::{Report, Show};
use super::{
    BlockSettings, ConsoleSettings, DeviceSettings, LogFormat, NetSettings, Origin,
    ProcessSettings, RealmSettings, Setting, Settings, VsockSettings,
};
use crate::configuration::{
    Backend, Balloon, Configuration, ConsoleEnd, CpuCount, DEFAULT_COMMAND_LINE, DeviceNodes, Disk,
    HashAlgorithm, MachineName, MemorySize, Net, OnReset, Program, RealmOptions, Rng, TapSource,
    VIRTIO_CONSOLE_COMMAND_LINE, Vsock,
};
use crate::confinement::{self, Sandbox, Seccomp};

/// How a process runs a machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessOptions {
    /// What is said about the machine: a filter of `tracing`.
    pub log: String,
    /// How it is said.
    pub log_format: LogFormat,
    /// Where events of the machine's life are written to.
    pub audit_log: Option<PathBuf>,
    /// The folder of the control socket; `None` is no control socket.
    pub run_directory: Option<PathBuf>,
    /// What it does without.
    pub confinement: confinement::Options,
}

/// What settings come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
    /// The machine.
    pub configuration: Configuration,
    /// How it is run.
    pub process: ProcessOptions,
    /// Each value with its origin.
    pub report: Report,
}

impl Settings {
    /// What they come to. `realm` says that it is a Realm, whatever else was said.
    ///
    /// # Errors
    ///
    /// For a value that cannot be used, and for values that do not go together.
    pub fn effective(self, realm: bool) -> Result<Effective, SettingsError> {
        let mut report = Report::default();
        let Self {
            machine,
            realm: realm_settings,
            devices,
            process,
        } = self;
        let is_realm = realm || machine.realm.as_ref().is_some_and(|given| given.value);
        let name = report.or("name", machine.name, MachineName::default);
        let (program, kernel) = program(machine.kernel, machine.firmware)?;
        let kernel = match program {
            Program::Kernel => report.add("kernel", kernel),
            Program::Firmware => report.add("firmware", kernel),
        };
        let initrd = report.option("initrd", machine.initrd);
        let has_terminal = |end: &ConsoleSettings| end.to.value == ConsoleEnd::Terminal;
        let virtio_has_terminal = devices.consoles.iter().any(has_terminal);
        let command_line = report.or("cmdline", machine.cmdline, || {
            let default = if virtio_has_terminal {
                VIRTIO_CONSOLE_COMMAND_LINE
            } else {
                DEFAULT_COMMAND_LINE
            };
            default.to_owned()
        });
        let memory = report.or("memory", machine.memory, || MemorySize::DEFAULT);
        let cpus = report.or("cpus", machine.cpus, || CpuCount::ONE);
        let serial = report.or("serial", machine.serial, || {
            if virtio_has_terminal {
                ConsoleEnd::Nowhere
            } else {
                ConsoleEnd::Terminal
            }
        });
        check_backend(machine.backend.as_ref(), is_realm)?;
        let nodes = DeviceNodes::default();
        let mut configuration = Configuration {
            name,
            program,
            initrd,
            command_line,
            memory,
            cpus,
            serial,
            backend: report.or("backend", machine.backend, Backend::default),
            device_nodes: DeviceNodes {
                realm: report.or("realm-device", machine.realm_device, || nodes.realm),
                kvm: report.or("kvm-device", machine.kvm_device, || nodes.kvm),
            },
            on_reset: report.or("on-reset", machine.on_reset, OnReset::default),
            ..Configuration::new(kernel)
        };
        let mut process = process.effective(&mut report)?;
        if is_realm {
            report.table("realm");
            configuration.realm = Some(realm_settings.effective(&mut report)?);
        } else {
            realm_settings.refuse()?;
        }
        devices.effective(&mut report, &mut configuration);
        process.confinement.network = !configuration.nets.is_empty();
        if process.confinement.sandbox == Sandbox::Namespaces && !configuration.vsocks.is_empty() {
            return Err(SettingsError::Option {
                option: "--sandbox namespaces".to_owned(),
                error: OptionError::NotWithVsock,
            });
        }
        configuration.check()?;
        Ok(Effective {
            configuration,
            process,
            report,
        })
    }
}

/// What is started: the command line counts before the file.
fn program(
    kernel: Option<Setting<PathBuf>>,
    firmware: Option<Setting<PathBuf>>,
) -> Result<(Program, Setting<PathBuf>), SettingsError> {
    let is_flag = |setting: &Setting<PathBuf>| matches!(setting.origin, Origin::Flag(_));
    match (kernel, firmware) {
        (None, None) => Err(SettingsError::NoKernel),
        (Some(kernel), None) => Ok((Program::Kernel, kernel)),
        (None, Some(firmware)) => Ok((Program::Firmware, firmware)),
        (Some(kernel), Some(firmware)) => match (is_flag(&kernel), is_flag(&firmware)) {
            (true, false) => Ok((Program::Kernel, kernel)),
            (false, true) => Ok((Program::Firmware, firmware)),
            (true, true) | (false, false) => Err(SettingsError::Option {
                option: firmware.origin.place("firmware"),
                error: OptionError::KernelOrFirmware,
            }),
        },
    }
}

fn check_backend(backend: Option<&Setting<Backend>>, realm: bool) -> Result<(), SettingsError> {
    let Some(backend) = backend else {
        return Ok(());
    };
    let error = match (backend.value, realm) {
        (Backend::Kvm, true) => OptionError::OnlyForOrdinaryMachines,
        (Backend::Module | Backend::KvmCca, false) => OptionError::BackendForRealms,
        (Backend::Auto, _) | (Backend::Kvm, false) | (Backend::Module | Backend::KvmCca, true) => {
            return Ok(());
        }
    };
    let place = backend.origin.place("backend");
    let option = format!("{place} {}", backend.value.shown());
    Err(SettingsError::Option { option, error })
}

impl ProcessSettings {
    fn effective(self, report: &mut Report) -> Result<ProcessOptions, SettingsError> {
        if let Some(log) = &self.log
            && let Err(error) = EnvFilter::try_new(&log.value)
        {
            return Err(SettingsError::Option {
                option: log.origin.place("log"),
                error: OptionError::Filter(error.to_string()),
            });
        }
        let log = report.or("log", self.log, || "info".to_owned());
        let log_format = report.or("log-format", self.log_format, LogFormat::default);
        let json = log_format == LogFormat::Json;
        Ok(ProcessOptions {
            log,
            log_format,
            audit_log: report.option("audit-log", self.audit_log),
            run_directory: report.option("run-dir", self.run_dir),
            confinement: confinement::Options {
                seccomp: report.or("seccomp", self.seccomp, Seccomp::default),
                sandbox: report.or("sandbox", self.sandbox, Sandbox::default),
                json,
                network: false,
            },
        })
    }
}

impl RealmSettings {
    /// Nothing of it may have been asked for on the command line, because this is no Realm. What a
    /// file says is for when it is one.
    fn refuse(&self) -> Result<(), SettingsError> {
        fn origin<T>(setting: Option<&Setting<T>>) -> Option<&Origin> {
            setting.map(|setting| &setting.origin)
        }
        let origins = [
            origin(self.hash.as_ref()),
            origin(self.personalization_value.as_ref()),
            origin(self.sve_vl.as_ref()),
            origin(self.pmu_counters.as_ref()),
            origin(self.breakpoints.as_ref()),
            origin(self.watchpoints.as_ref()),
        ];
        let flags = origins
            .into_iter()
            .flatten()
            .filter_map(|origin| match origin {
                Origin::Flag(name) => Some(*name),
                Origin::Default | Origin::Environment(_) | Origin::File { .. } => None,
            });
        match flags.into_iter().next() {
            Some(option) => Err(SettingsError::Option {
                option: option.to_owned(),
                error: OptionError::OnlyForRealms,
            }),
            None => Ok(()),
        }
    }

    fn effective(self, report: &mut Report) -> Result<RealmOptions, SettingsError> {
        let least = RealmOptions::default();
        let hash_algorithm = report.or("hash", self.hash, HashAlgorithm::default);
        let value = self.personalization_value.as_ref();
        let value = value.map(|setting| {
            let place = || setting.origin.place("realm.personalization-value");
            setting
                .value
                .value()
                .map_err(|error| SettingsError::Option {
                    option: place(),
                    error,
                })
        });
        let personalization_value = value.transpose()?.unwrap_or_default();
        report.option("personalization-value", self.personalization_value);
        let sve_vl = report.option("sve-vl", self.sve_vl);
        let pmu_counters = report.option("pmu-counters", self.pmu_counters);
        // The least that there can be is what there is.
        let mut number = |key, given: Option<Setting<_>>, least: u8| {
            let shown = given.map(|setting: Setting<super::Count<2, 64>>| Setting {
                value: u32::from(setting.value.get()),
                origin: setting.origin,
            });
            let number = report.or(key, shown, || u32::from(least) + 1);
            u8::try_from(number.saturating_sub(1)).unwrap_or(u8::MAX)
        };
        Ok(RealmOptions {
            hash_algorithm,
            personalization_value,
            sve_vl: sve_vl.map(super::VectorBits::encoded),
            pmu_counters: pmu_counters.map(super::Count::get),
            breakpoints: number("breakpoints", self.breakpoints, least.breakpoints),
            watchpoints: number("watchpoints", self.watchpoints, least.watchpoints),
        })
    }
}

impl DeviceSettings {
    fn effective(self, report: &mut Report, configuration: &mut Configuration) {
        for ConsoleSettings { to } in self.consoles {
            report.list("console");
            configuration.consoles.push(report.add("to", to));
        }
        for block in self.blocks {
            let BlockSettings {
                path,
                read_only,
                direct,
            } = block;
            report.list("block");
            configuration.disks.push(Disk {
                path: report.add("path", path),
                read_only: report.or("read-only", read_only, || false),
                direct: report.or("direct", direct, || false),
            });
        }
        for NetSettings { tap, mac } in self.nets {
            report.list("net");
            configuration.nets.push(Net {
                tap: match &tap.value {
                    TapSource::Name(_) => report.add("tap", tap),
                    TapSource::Descriptor(_) => report.add("fd", tap),
                },
                mac: report.option("mac", mac),
            });
        }
        for VsockSettings { cid, socket } in self.vsocks {
            report.list("vsock");
            configuration.vsocks.push(Vsock {
                cid: report.add("cid", cid),
                socket: report.add("socket", socket),
            });
        }
        if let Some(rng) = self.rng.filter(|setting| setting.value) {
            report.present("rng", rng.origin);
            configuration.rng = Some(Rng);
        }
        if let Some(balloon) = self.balloon.filter(|setting| setting.value) {
            report.present("balloon", balloon.origin);
            configuration.balloon = Some(Balloon);
        }
    }
}
