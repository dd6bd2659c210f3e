//! What is refused of a policy before it is parsed, so that no text makes the parser or the
//! evaluation run out of stack, or has numbers without bound.

use alloc::borrow::ToOwned as _;
use alloc::vec::Vec;

use serde_json::Value;

use super::RegoError;

/// Brackets inside brackets. The time that the parser takes doubles with each.
pub(super) const MAX_NESTING: usize = 12;
/// Words and operators of one expression, with what is in front of each bracket around it. Each
/// operator is a level of the parsed expression, and what walks over it recurses. (Written as
/// JSON, an expression that is nearly as deep is refused because that is nested too deep.)
pub(super) const MAX_WORDS: usize = 100;

/// Digits of a number, before its point and behind it: those of the largest claim.
pub(super) const MAX_DIGITS: usize = 20;
/// Digits of a number's exponent. Numbers that can be written stay so far from the largest that can be
/// computed with that no sum gets there: see [`super::calls::MAX_ADDITIONS`].
const MAX_EXPONENT_DIGITS: usize = 2;
/// Largest number in the data that goes with a policy, for the same reason.
const MAX_NUMBER: f64 = 1e99;

/// Refuses nesting and expressions that are deeper than the stack may be.
pub(super) fn check_text(text: &str) -> Result<(), RegoError> {
    let mut scan = Scan {
        rest: text,
        chains: alloc::vec![0],
        continues: false,
        new_line: false,
    };
    scan.run()
}

struct Scan<'a> {
    rest: &'a str,
    /// Length of the expression so far, for each open bracket.
    chains: Vec<usize>,
    /// Whether the last token asks for another one, wherever it is.
    continues: bool,
    /// Whether a line has ended since the last token.
    new_line: bool,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), RegoError> {
        while let Some(character) = self.rest.chars().next() {
            match character {
                '\n' => {
                    self.new_line = true;
                    self.skip(1);
                }
                '#' => self.skip(self.rest.find('\n').unwrap_or(self.rest.len())),
                '(' | '[' | '{' => {
                    self.token(true)?;
                    self.chains.push(0);
                    if self.chains.len() > MAX_NESTING + 1 {
                        return Err(RegoError::TooDeep);
                    }
                    self.skip(1);
                }
                ')' | ']' | '}' => {
                    self.token(false)?;
                    self.continues = false;
                    if self.chains.len() > 1 {
                        self.chains.pop();
                    }
                    self.skip(1);
                }
                ',' | ';' => {
                    self.restart();
                    self.skip(1);
                }
                '"' => {
                    self.token(false)?;
                    self.skip(string_length(self.rest));
                }
                '`' => {
                    self.token(false)?;
                    let end = self.rest[1..].find('`').map(|end| end + 2);
                    self.skip(end.unwrap_or(self.rest.len()));
                }
                // Their results can be larger than the engine can print, which it does in its messages.
                '*' | '/' => return Err(RegoError::Operator(character)),
                _ if character.is_ascii_alphanumeric() || character == '_' => self.word()?,
                _ if character.is_whitespace() => self.skip(character.len_utf8()),
                _ => {
                    self.token(true)?;
                    self.continues = true;
                    self.skip(character.len_utf8());
                }
            }
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Another expression begins.
    fn restart(&mut self) {
        if let Some(chain) = self.chains.last_mut() {
            *chain = 0;
        }
        self.continues = true;
        self.new_line = false;
    }

    /// Counts a token. `joins`: it can go on with the expression of the line before.
    fn token(&mut self, joins: bool) -> Result<(), RegoError> {
        if self.new_line && !self.continues && !joins {
            self.restart();
        }
        self.new_line = false;
        self.continues = false;
        if let Some(chain) = self.chains.last_mut() {
            *chain += 1;
        }
        // There are few brackets, so adding up is cheap.
        if self.chains.iter().sum::<usize>() > MAX_WORDS {
            return Err(RegoError::TooDeep);
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), RegoError> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = self.rest.find(|c| !is_part(c));
        let word = &self.rest[..length.unwrap_or(self.rest.len())];
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            check_number(self.rest)?;
        }
        let (length, word) = (word.len(), word.to_owned());
        match word.as_str() {
            // Branches stand in a row, not inside each other.
            "else" => self.restart(),
            "in" | "with" | "as" | "if" | "contains" => {
                self.token(true)?;
                self.continues = true;
            }
            "not" | "some" | "every" => {
                self.token(false)?;
                self.continues = true;
            }
            _ => self.token(false)?,
        }
        self.skip(length);
        Ok(())
    }
}

/// Refuses a number that is larger, or longer, than any that a policy needs: the parser may write it
/// out.
fn check_number(text: &str) -> Result<(), RegoError> {
    let is_digit = |c: char| c.is_ascii_digit() || c == '_';
    let behind = text.trim_start_matches(is_digit);
    if text.len() - behind.len() > MAX_DIGITS {
        return Err(RegoError::Number);
    }
    let Some(exponent) = behind.strip_prefix(['e', 'E']) else {
        return Ok(());
    };
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let digits = exponent.len() - exponent.trim_start_matches(is_digit).len();
    if digits > MAX_EXPONENT_DIGITS {
        return Err(RegoError::Number);
    }
    Ok(())
}

/// Refuses data with numbers that a policy could not have itself. Its depth is bounded by the reader of
/// JSON.
pub(super) fn check_data(data: &Value) -> Result<(), RegoError> {
    match data {
        Value::Number(number) if number.as_f64().is_none_or(|n| n.abs() > MAX_NUMBER) => {
            Err(RegoError::Number)
        }
        Value::Array(list) => list.iter().try_for_each(check_data),
        Value::Object(map) => map.values().try_for_each(check_data),
        _ => Ok(()),
    }
}

/// Bytes of the string in quotation marks at the beginning. It does not go on behind its line.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        match character {
            '\n' => return index,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}
