//! How a test ends.

use core::fmt::{self, Write};

use arrayvec::ArrayString;

/// A test that did not pass.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// What was expected and what was seen.
    Fail(Text),
    /// Why it cannot run here.
    Skip(Text),
}

/// Result of a test and of each of its checks.
pub(crate) type Outcome<T = ()> = Result<T, Stop>;

/// A line of text; what does not fit is cut off.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text(ArrayString<240>);

impl Text {
    /// Text from a format.
    pub(crate) fn new(text: fmt::Arguments) -> Self {
        let mut line = Self::default();
        // Never fails.
        let _ = line.write_fmt(text);
        line
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.try_push(character).is_err() {
                break;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error that ends the test as failed.
macro_rules! fail {
    ($($text:tt)*) => {
        Err($crate::outcome::Stop::Fail($crate::outcome::Text::new(format_args!($($text)*))))
    };
}

/// An error that ends the test as not possible here.
macro_rules! skip {
    ($($text:tt)*) => {
        Err($crate::outcome::Stop::Skip($crate::outcome::Text::new(format_args!($($text)*))))
    };
}

/// Goes on when the condition holds, else ends the test as failed.
macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return $crate::outcome::fail!($($text)*);
        }
    };
}

/// Goes on when the words are equal, else ends the test as failed.
macro_rules! ensure_word {
    ($seen:expr, $expected:expr, $($text:tt)*) => {{
        let (seen, expected): (u64, u64) = ($seen, $expected);
        if seen != expected {
            return $crate::outcome::fail!(
                "{}: expected {expected:#x}, got {seen:#x}",
                format_args!($($text)*)
            );
        }
    }};
}

pub(crate) use {ensure, ensure_word, fail, skip};
