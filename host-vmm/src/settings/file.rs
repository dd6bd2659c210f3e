//! Settings in a TOML file.
//!
//! Keys have the names of the options, and lists of tables describe devices. A key that nobody
//! knows is an error. Paths are meant from the folder that the file is in.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::ValueEnum;
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    BlockSettings, ConsoleSettings, Count, DeviceSettings, LogFormat, MachineSettings, NetSettings,
    Origin, PersonalizationSource, ProcessSettings, RealmSettings, Setting, Settings, VectorBits,
    VsockSettings,
};
use crate::configuration::{
    Backend, ConfigurationError, ConsoleEnd, CpuCount, Descriptor, GuestCid, HashAlgorithm,
    InterfaceName, MacAddress, MachineName, MemorySize, OnReset, TapSource,
};
use crate::confinement::{Sandbox, Seccomp};

/// Most bytes that a file may have.
pub const MAX_BYTES: u64 = 1 << 20;

/// Why a file has no settings.
#[derive(Error, Debug)]
pub enum FileError {
    /// It cannot be read.
    #[error("{path}: {error}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// More than [`MAX_BYTES`].
    #[error("{path}: more than {} KiB", MAX_BYTES >> 10, path = .0.display())]
    TooLong(PathBuf),
    /// Not UTF-8.
    #[error("{path}: not text", path = .0.display())]
    NotText(PathBuf),
    /// Not TOML.
    #[error("{at}: {message}")]
    Syntax {
        /// File and line.
        at: Origin,
        /// What is wrong.
        message: String,
    },
    /// A key that nobody knows.
    #[error("{at}: no key '{key}' is known{}", suggestion(.instead, .table))]
    Unknown {
        /// File and line.
        at: Origin,
        /// The key.
        key: String,
        /// Where it is: empty, or the name of its table.
        table: String,
        /// Keys that may be meant, or all that there are.
        instead: Instead,
    },
    /// A value of another kind.
    #[error("{at}: {key}: {expected} is wanted")]
    Kind {
        /// File and line.
        at: Origin,
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A value that is not allowed.
    #[error("{at}: {key}: {message}")]
    Value {
        /// File and line.
        at: Origin,
        /// The key.
        key: String,
        /// Why.
        message: String,
    },
    /// A key that must be there is not.
    #[error("{at}: {table} has no key '{key}'")]
    Missing {
        /// File and line.
        at: Origin,
        /// The table.
        table: String,
        /// The key.
        key: &'static str,
    },
}

/// What could stand in the place of an unknown key.
#[derive(Debug)]
pub enum Instead {
    /// This one is like it.
    Similar(&'static str),
    /// Those exist.
    All(Vec<&'static str>),
}

fn suggestion(instead: &Instead, table: &str) -> String {
    let place = if table.is_empty() {
        String::new()
    } else {
        format!(" in {table}")
    };
    match instead {
        Instead::Similar(key) => format!("{place}; did you mean '{key}'?"),
        Instead::All(keys) if keys.is_empty() => format!("{place}: there are none"),
        Instead::All(keys) => format!("{place}; there are {}", keys.join(", ")),
    }
}

/// Reads a file.
///
/// # Errors
///
/// If it cannot be read, is not TOML, or has something in it that is not known or not allowed.
pub fn read(path: &Path) -> Result<Settings, FileError> {
    let failed = |error| FileError::Read {
        path: path.into(),
        error,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    let mut file = file.take(MAX_BYTES + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileError::TooLong(path.into()));
    }
    let text = String::from_utf8(bytes).map_err(|_| FileError::NotText(path.into()))?;
    parse(path, &text)
}

/// Reads the text of a file.
///
/// # Errors
///
/// As [`read`].
pub fn parse(path: &Path, text: &str) -> Result<Settings, FileError> {
    let document = Document {
        path: path.into(),
        folder: path.parent().unwrap_or(Path::new("")),
        text,
    };
    let root = DeTable::parse(text).map_err(|error| FileError::Syntax {
        at: document.at(&error.span().unwrap_or_default()),
        message: error.message().replace('\n', ", "),
    })?;
    let mut root = Table {
        document: &document,
        span: root.span(),
        content: root.get_ref(),
        name: String::new(),
        known: Vec::new(),
    };
    let settings = settings(&mut root)?;
    root.finish()?;
    Ok(settings)
}

fn settings(root: &mut Table<'_>) -> Result<Settings, FileError> {
    let mut machine = MachineSettings {
        name: root.get("name")?,
        realm: None,
        kernel: root.get("kernel")?,
        firmware: root.get("firmware")?,
        initrd: root.get("initrd")?,
        cmdline: root.get("cmdline")?,
        memory: root.get("memory")?,
        cpus: root.get("cpus")?,
        serial: root.get("serial")?,
        backend: root.get("backend")?,
        realm_device: root.get("realm-device")?,
        kvm_device: root.get("kvm-device")?,
        on_reset: root.get("on-reset")?,
    };
    let process = ProcessSettings {
        log: root.get("log")?,
        log_format: root.get("log-format")?,
        audit_log: root.get("audit-log")?,
        run_dir: root.get("run-dir")?,
        seccomp: root.get("seccomp")?,
        sandbox: root.get("sandbox")?,
    };
    let mut realm = RealmSettings::default();
    if let Some(mut table) = root.table("realm")? {
        // A machine with this table is a Realm.
        machine.realm = Some(table.setting(true));
        realm = RealmSettings {
            hash: table.get("hash")?,
            personalization_value: table.get("personalization-value")?,
            sve_vl: table.get("sve-vl")?,
            pmu_counters: table.get("pmu-counters")?,
            breakpoints: table.get("breakpoints")?,
            watchpoints: table.get("watchpoints")?,
        };
        table.finish()?;
    }
    Ok(Settings {
        machine,
        realm,
        devices: devices(root)?,
        process,
    })
}

fn devices(root: &mut Table<'_>) -> Result<DeviceSettings, FileError> {
    let mut devices = DeviceSettings::default();
    for mut table in root.tables("console")? {
        devices.consoles.push(ConsoleSettings {
            to: table.need("to")?,
        });
        table.finish()?;
    }
    for mut table in root.tables("block")? {
        devices.blocks.push(BlockSettings {
            path: table.need("path")?,
            read_only: table.get("read-only")?,
            direct: table.get("direct")?,
        });
        table.finish()?;
    }
    for mut table in root.tables("net")? {
        devices.nets.push(NetSettings {
            tap: tap(&mut table)?,
            mac: table.get("mac")?,
        });
        table.finish()?;
    }
    for mut table in root.tables("vsock")? {
        devices.vsocks.push(VsockSettings {
            cid: table.need("cid")?,
            socket: table.need("socket")?,
        });
        table.finish()?;
    }
    if let Some(table) = root.table("rng")? {
        devices.rng = Some(table.setting(true));
        table.finish()?;
    }
    if let Some(table) = root.table("balloon")? {
        devices.balloon = Some(table.setting(true));
        table.finish()?;
    }
    Ok(devices)
}

/// A tap interface, by its name or by a descriptor.
fn tap(table: &mut Table<'_>) -> Result<Setting<TapSource>, FileError> {
    let descriptor = table.get::<Descriptor>("fd")?;
    let Some(Setting { value, origin }) = descriptor else {
        let Setting { value, origin } = table.need("tap")?;
        let value = TapSource::Name(value);
        return Ok(Setting { value, origin });
    };
    if table.get::<InterfaceName>("tap")?.is_some() {
        return Err(FileError::Value {
            at: origin,
            key: table.key("fd"),
            message: ConfigurationError::TapOrDescriptor.to_string(),
        });
    }
    let value = TapSource::Descriptor(value);
    Ok(Setting { value, origin })
}

/// A file's text.
struct Document<'a> {
    path: Arc<Path>,
    folder: &'a Path,
    text: &'a str,
}

impl Document<'_> {
    /// The line that a range of bytes begins in.
    fn at(&self, span: &Range<usize>) -> Origin {
        let before = self.text.get(..span.start).unwrap_or_default();
        Origin::File {
            path: Arc::clone(&self.path),
            line: before.matches('\n').count() + 1,
        }
    }
}

/// A table whose keys are asked for one after the other; in the end no other may be there.
struct Table<'a> {
    document: &'a Document<'a>,
    span: Range<usize>,
    content: &'a DeTable<'a>,
    /// Empty for the whole file.
    name: String,
    /// What has been asked for.
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// Something that the table itself says.
    fn setting<T>(&self, value: T) -> Setting<T> {
        Setting {
            value,
            origin: self.document.at(&self.span),
        }
    }

    fn key(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    fn look_up(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.content.get(key)
    }

    fn kind(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &'static str) -> FileError {
        FileError::Kind {
            at: self.document.at(&value.span()),
            key: self.key(key),
            expected,
        }
    }

    /// A value that need not be there.
    fn get<T: FileValue>(&mut self, key: &'static str) -> Result<Option<Setting<T>>, FileError> {
        let Some(found) = self.look_up(key) else {
            return Ok(None);
        };
        let origin = self.document.at(&found.span());
        match T::from_value(found.get_ref(), self.document.folder) {
            Some(Ok(value)) => Ok(Some(Setting { value, origin })),
            Some(Err(message)) => Err(FileError::Value {
                at: origin,
                key: self.key(key),
                message,
            }),
            None => Err(self.kind(key, found, T::EXPECTED)),
        }
    }

    /// A value that must be there.
    fn need<T: FileValue>(&mut self, key: &'static str) -> Result<Setting<T>, FileError> {
        self.get(key)?.ok_or_else(|| FileError::Missing {
            at: self.document.at(&self.span),
            table: self.name.clone(),
            key,
        })
    }

    fn inner(&self, name: String, span: Range<usize>, content: &'a DeTable<'a>) -> Self {
        Self {
            document: self.document,
            span,
            content,
            name,
            known: Vec::new(),
        }
    }

    /// A table that need not be there.
    fn table(&mut self, key: &'static str) -> Result<Option<Self>, FileError> {
        let Some(found) = self.look_up(key) else {
            return Ok(None);
        };
        match found.get_ref() {
            DeValue::Table(table) => Ok(Some(self.inner(key.to_owned(), found.span(), table))),
            _ => Err(self.kind(key, found, "a table")),
        }
    }

    /// A list of tables.
    fn tables(&mut self, key: &'static str) -> Result<Vec<Self>, FileError> {
        const EXPECTED: &str = "a list of tables, each with its name in two brackets,";
        let Some(found) = self.look_up(key) else {
            return Ok(Vec::new());
        };
        let DeValue::Array(list) = found.get_ref() else {
            return Err(self.kind(key, found, EXPECTED));
        };
        let mut tables = Vec::new();
        for (number, item) in list.iter().enumerate() {
            let DeValue::Table(table) = item.get_ref() else {
                return Err(self.kind(key, item, EXPECTED));
            };
            tables.push(self.inner(format!("{key}[{number}]"), item.span(), table));
        }
        Ok(tables)
    }

    /// There must be no other key.
    fn finish(self) -> Result<(), FileError> {
        let unknown = |key: &&Spanned<_>| {
            let key: &Spanned<toml::de::DeString<'_>> = key;
            !self.known.contains(&key.get_ref().as_ref())
        };
        // The first one in the file.
        let first = self
            .content
            .keys()
            .filter(unknown)
            .min_by_key(|key| key.span().start);
        let Some(key) = first else {
            return Ok(());
        };
        let text = key.get_ref();
        let similar = self.known.iter().map(|known| {
            let likeness = strsim::jaro_winkler(known, text);
            (*known, likeness)
        });
        let best = similar.max_by(|one, other| one.1.total_cmp(&other.1));
        Err(FileError::Unknown {
            at: self.document.at(&key.span()),
            key: text.to_string(),
            instead: match best {
                Some((known, likeness)) if likeness > 0.8 => Instead::Similar(known),
                _ => Instead::All(self.known),
            },
            table: self.name,
        })
    }
}

/// What can be read from a file.
trait FileValue: Sized {
    /// What a value must be, for errors.
    const EXPECTED: &'static str;

    /// The value; `None` if it is of another kind. Paths are meant from `folder`.
    fn from_value(value: &DeValue<'_>, folder: &Path) -> Option<Result<Self, String>>;
}

impl FileValue for String {
    const EXPECTED: &'static str = "text in quotes";

    fn from_value(value: &DeValue<'_>, _: &Path) -> Option<Result<Self, String>> {
        value.as_str().map(|text| Ok(text.to_owned()))
    }
}

impl FileValue for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";

    fn from_value(value: &DeValue<'_>, folder: &Path) -> Option<Result<Self, String>> {
        value.as_str().map(|text| match text {
            "" => Err("a path cannot be empty".to_owned()),
            _ => Ok(folder.join(text)),
        })
    }
}

impl FileValue for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_value(value: &DeValue<'_>, _: &Path) -> Option<Result<Self, String>> {
        value.as_bool().map(Ok)
    }
}

impl FileValue for ConsoleEnd {
    const EXPECTED: &'static str = "text in quotes";

    fn from_value(value: &DeValue<'_>, folder: &Path) -> Option<Result<Self, String>> {
        value.as_str().map(|text| {
            let end = text.parse().map_err(|error| format!("{error}"))?;
            Ok(match end {
                Self::File(path) => Self::File(folder.join(path)),
                other => other,
            })
        })
    }
}

impl FileValue for PersonalizationSource {
    const EXPECTED: &'static str = "text in quotes";

    fn from_value(value: &DeValue<'_>, folder: &Path) -> Option<Result<Self, String>> {
        value
            .as_str()
            .map(|text| Ok(Self::new(text.as_ref(), folder)))
    }
}

/// Decimal digits of a number that need not be in quotes.
fn digits(value: &DeValue<'_>) -> Option<String> {
    let integer = value.as_integer()?;
    let number = i128::from_str_radix(integer.as_str(), integer.radix());
    Some(number.map_or_else(|_| integer.as_str().to_owned(), |number| number.to_string()))
}

fn from_text<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Values that are text.
macro_rules! text {
    ($($type:ty),*) => {$(
        impl FileValue for $type {
            const EXPECTED: &'static str = "text in quotes";

            fn from_value(value: &DeValue<'_>, _: &Path) -> Option<Result<Self, String>> {
                value.as_str().map(from_text)
            }
        }
    )*};
}

text!(InterfaceName, MacAddress, MachineName);

/// Values that are numbers, also in quotes.
macro_rules! number {
    ($($type:ty),*) => {$(
        impl FileValue for $type {
            const EXPECTED: &'static str = "a number";

            fn from_value(value: &DeValue<'_>, _: &Path) -> Option<Result<Self, String>> {
                let text = value.as_str().map(ToOwned::to_owned).or_else(|| digits(value));
                text.map(|text| from_text(&text))
            }
        }
    )*};
}

number!(MemorySize, CpuCount, GuestCid, Descriptor, VectorBits);

impl<const LEAST: u8, const MOST: u8> FileValue for Count<LEAST, MOST> {
    const EXPECTED: &'static str = "a number";

    fn from_value(value: &DeValue<'_>, _: &Path) -> Option<Result<Self, String>> {
        digits(value).map(|text| from_text(&text))
    }
}

/// Values that have names.
macro_rules! name {
    ($($type:ty),*) => {$(
        impl FileValue for $type {
            const EXPECTED: &'static str = "text in quotes";

            fn from_value(value: &DeValue<'_>, _: &Path) -> Option<Result<Self, String>> {
                value.as_str().map(from_name)
            }
        }
    )*};
}

name!(Backend, OnReset, HashAlgorithm, LogFormat, Seccomp, Sandbox);

fn from_name<T: ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text, false).map_err(|_| {
        let values = T::value_variants().iter();
        let values = values.filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
        format!("'{text}' is none of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests;
