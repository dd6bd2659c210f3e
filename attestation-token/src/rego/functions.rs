//! The built-in functions of Rego that can make something huge of something small, or depend on
//! anything but their arguments: bounded, or taken away.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use regorus::{Engine, Value};

/// Longest text that a function makes, in bytes.
const MAX_TEXT: usize = 64 * 1024;
/// Most entries of an array that a function makes.
const MAX_ENTRIES: usize = 10_000;

/// Those that a policy cannot have. Their results grow with a number or with a product of their
/// arguments' sizes, they take exponential time, they make numbers without bound, or they are about
/// the machine.
const NOT_AVAILABLE: [&str; 21] = [
    "bits.lsh",
    "graph.reachable_paths",
    "http.send",
    "json.marshal",
    "json.marshal_with_options",
    "json.patch",
    "json.unmarshal",
    "numbers.range_step",
    "opa.runtime",
    "print",
    "product",
    "rand.intn",
    "regex.globs_match",
    "regex.replace",
    "regex.template_match",
    "strings.replace_n",
    "sum",
    "trace",
    "units.parse",
    "units.parse_bytes",
    "yaml.unmarshal",
];

/// Why a function has no result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FunctionError {
    /// It is one of [`NOT_AVAILABLE`].
    NotAvailable(&'static str),
    /// The result would be larger than it may be.
    TooLong,
    /// The arguments are not what it takes. What it takes.
    Arguments(&'static str),
}

impl fmt::Display for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAvailable(name) => write!(f, "{name} is not available in policies for tokens"),
            Self::TooLong => f.write_str("the result is too long"),
            Self::Arguments(expected) => write!(f, "the arguments have to be {expected}"),
        }
    }
}

impl core::error::Error for FunctionError {}

/// What takes the place of a built-in function.
type Function = fn(&[Value]) -> Result<Value, FunctionError>;

/// Puts them in the place of the engine's own.
pub(super) fn add(engine: &mut Engine) -> Result<(), anyhow::Error> {
    let bounded: [(&str, u8, Function); 6] = [
        ("array.concat", 2, array_concat),
        ("concat", 2, concat),
        ("numbers.range", 2, range),
        ("replace", 3, replace),
        ("sprintf", 2, sprintf),
        ("to_number", 1, to_number),
    ];
    for (name, arguments, function) in bounded {
        let function = move |values: Vec<Value>| function(&values).map_err(anyhow::Error::new);
        engine.add_extension(name.to_string(), arguments, Box::new(function))?;
    }
    for name in NOT_AVAILABLE {
        let function =
            move |_: Vec<Value>| Err(anyhow::Error::new(FunctionError::NotAvailable(name)));
        engine.add_extension(name.to_string(), 1, Box::new(function))?;
    }
    Ok(())
}

/// Text of at most [`MAX_TEXT`] bytes.
#[derive(Default)]
struct Text(String);

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() > MAX_TEXT.saturating_sub(self.0.len()) {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

impl Text {
    fn push(&mut self, text: &str) -> Result<(), FunctionError> {
        self.write_str(text).map_err(|_| FunctionError::TooLong)
    }

    /// A value as Rego writes it.
    fn push_value(&mut self, value: &Value) -> Result<(), FunctionError> {
        match value {
            Value::Array(array) => self.push_list("[", array.iter(), "]"),
            Value::Set(set) => self.push_list("{", set.iter(), "}"),
            Value::Object(object) => {
                self.push("{")?;
                for (index, (key, value)) in object.iter().enumerate() {
                    self.push(if index == 0 { "" } else { ", " })?;
                    self.push_value(key)?;
                    self.push(": ")?;
                    self.push_value(value)?;
                }
                self.push("}")
            }
            Value::String(text) => {
                write!(self, "{:?}", text.as_ref()).map_err(|_| FunctionError::TooLong)
            }
            // Writing takes a time that grows with the square of the length.
            Value::Number(number) if number.is_integer() && number.as_i128().is_none() => {
                Err(FunctionError::TooLong)
            }
            Value::Number(number) => self.push(&number.format_decimal()),
            Value::Bool(value) => self.push(if *value { "true" } else { "false" }),
            Value::Null | Value::Undefined => self.push("null"),
        }
    }

    fn push_list<'a>(
        &mut self,
        begin: &str,
        values: impl Iterator<Item = &'a Value>,
        end: &str,
    ) -> Result<(), FunctionError> {
        self.push(begin)?;
        for (index, value) in values.enumerate() {
            self.push(if index == 0 { "" } else { ", " })?;
            self.push_value(value)?;
        }
        self.push(end)
    }

    fn into_value(self) -> Value {
        Value::from(self.0)
    }
}

fn text(value: &Value) -> Option<&str> {
    value.as_string().ok().map(AsRef::as_ref)
}

/// `concat(separator, texts)`.
fn concat(values: &[Value]) -> Result<Value, FunctionError> {
    const EXPECTED: FunctionError =
        FunctionError::Arguments("a text and an array or a set of texts");
    let [separator, list] = values else {
        return Err(EXPECTED);
    };
    let separator = text(separator).ok_or(EXPECTED)?;
    let list: Vec<_> = match list {
        Value::Array(array) => array.iter().collect(),
        Value::Set(set) => set.iter().collect(),
        _ => return Err(EXPECTED),
    };
    let mut joined = Text::default();
    for (index, value) in list.into_iter().enumerate() {
        joined.push(if index == 0 { "" } else { separator })?;
        joined.push(text(value).ok_or(EXPECTED)?)?;
    }
    Ok(joined.into_value())
}

/// `array.concat(first, second)`.
fn array_concat(values: &[Value]) -> Result<Value, FunctionError> {
    let [Value::Array(first), Value::Array(second)] = values else {
        return Err(FunctionError::Arguments("two arrays"));
    };
    if first.len().saturating_add(second.len()) > MAX_ENTRIES {
        return Err(FunctionError::TooLong);
    }
    let both: Vec<Value> = first.iter().chain(second.iter()).cloned().collect();
    Ok(Value::from(both))
}

/// `numbers.range(first, last)`, in either direction.
fn range(values: &[Value]) -> Result<Value, FunctionError> {
    const EXPECTED: FunctionError = FunctionError::Arguments("two integers");
    let [first, last] = values else {
        return Err(EXPECTED);
    };
    let first = first.as_i64().map_err(|_| EXPECTED)?;
    let last = last.as_i64().map_err(|_| EXPECTED)?;
    if first.abs_diff(last) >= MAX_ENTRIES as u64 {
        return Err(FunctionError::TooLong);
    }
    let numbers: Vec<Value> = if first <= last {
        (first..=last).map(Value::from).collect()
    } else {
        (last..=first).rev().map(Value::from).collect()
    };
    Ok(Value::from(numbers))
}

/// `replace(text, old, new)`.
fn replace(values: &[Value]) -> Result<Value, FunctionError> {
    const EXPECTED: FunctionError = FunctionError::Arguments("three texts");
    let [value, old, new] = values else {
        return Err(EXPECTED);
    };
    let value = text(value).ok_or(EXPECTED)?;
    let old = text(old).ok_or(EXPECTED)?;
    let new = text(new).ok_or(EXPECTED)?;
    let mut replaced = Text::default();
    for (index, part) in value.split(old).enumerate() {
        replaced.push(if index == 0 { "" } else { new })?;
        replaced.push(part)?;
    }
    Ok(replaced.into_value())
}

/// `to_number(value)`, of a text that is an integer, too.
fn to_number(values: &[Value]) -> Result<Value, FunctionError> {
    const EXPECTED: FunctionError =
        FunctionError::Arguments("a number, an integer in a text, true, false or null");
    match values {
        [value @ Value::Number(_)] => Ok(value.clone()),
        [Value::Bool(value)] => Ok(Value::from(i64::from(*value))),
        [Value::Null] => Ok(Value::from(0_i64)),
        [Value::String(text)] => {
            let number: i64 = text.parse().map_err(|_| EXPECTED)?;
            Ok(Value::from(number))
        }
        _ => Err(EXPECTED),
    }
}

/// `sprintf(format, values)` with the verbs `%s`, `%v`, `%d`, `%x`, `%t` and `%%`, without widths.
fn sprintf(values: &[Value]) -> Result<Value, FunctionError> {
    const EXPECTED: FunctionError =
        FunctionError::Arguments("a text with %s, %v, %d, %x or %t for each value of an array");
    let [format, list] = values else {
        return Err(EXPECTED);
    };
    let format = text(format).ok_or(EXPECTED)?;
    let mut list = list.as_array().map_err(|_| EXPECTED)?.iter();
    let mut formatted = Text::default();
    let mut parts = format.split('%');
    formatted.push(parts.next().unwrap_or_default())?;
    while let Some(part) = parts.next() {
        let Some(verb) = part.chars().next() else {
            // Two signs stand for one, and what is behind them is text.
            formatted.push("%")?;
            formatted.push(parts.next().ok_or(EXPECTED)?)?;
            continue;
        };
        let value = list.next().ok_or(EXPECTED)?;
        match (verb, value) {
            ('s' | 'v', Value::String(text)) => formatted.push(text)?,
            ('s' | 'v', value)
            | ('d', value @ Value::Number(_))
            | ('t', value @ Value::Bool(_)) => formatted.push_value(value)?,
            ('x', Value::Number(number)) if number.as_i128().is_some() => {
                formatted.push(&number.format_hex())?;
            }
            _ => return Err(EXPECTED),
        }
        formatted.push(&part[verb.len_utf8()..])?;
    }
    if list.next().is_some() {
        return Err(EXPECTED);
    }
    Ok(formatted.into_value())
}
