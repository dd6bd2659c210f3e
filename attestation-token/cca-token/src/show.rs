//! `cca-token show`: what a token says.

use std::fmt::Write as _;

use attestation_token::json;
use serde_json::{Value, json};

use crate::arguments::Show;
use crate::failure::Outcome;
use crate::input::{self, Evidence};
use crate::output;

pub(crate) fn run(arguments: &Show) -> Outcome {
    let evidence = input::evidence(&arguments.token)?;
    let value = match &evidence {
        Evidence::Whole(token) => json::token(token),
        Evidence::Platform(token) => json!({
            "platform-algorithm": token.algorithm().name(),
            "platform": json::platform(token.claims()),
        }),
    };
    if arguments.json {
        output::json(&value)?;
        return Ok(true);
    }
    let mut text = String::from("Not verified: this is only what the token says.\n");
    if let Evidence::Whole(token) = &evidence {
        let _ = writeln!(text, "CCA token (tag {})", token.wrapper.tag());
    }
    for (part, title) in [("platform", "Platform token"), ("realm", "Realm token")] {
        if let Some(claims) = value.get(part).and_then(Value::as_object) {
            let algorithm = &value[format!("{part}-algorithm")];
            let _ = writeln!(text, "{title} ({})", algorithm.as_str().unwrap_or("?"));
            for (name, claim) in claims {
                tree(&mut text, 1, name, claim);
            }
        }
    }
    output::write(None, text.as_bytes())?;
    Ok(true)
}

/// One entry, and what is in it.
fn tree(text: &mut String, depth: usize, name: &str, value: &Value) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            let _ = writeln!(text, "{indent}{name}");
            for (name, value) in map {
                tree(text, depth + 1, name, value);
            }
        }
        Value::Array(list) => {
            let _ = writeln!(text, "{indent}{name} ({})", list.len());
            for (index, value) in list.iter().enumerate() {
                tree(text, depth + 1, &format!("[{index}]"), value);
            }
        }
        // Text comes from outside: nothing in it may steer the terminal.
        Value::String(string) => {
            let _ = writeln!(text, "{indent}{name}: {}", string.escape_debug());
        }
        Value::Number(number) if name == "cca-platform-lifecycle" => {
            let _ = writeln!(
                text,
                "{indent}{name}: {:#06x}",
                number.as_u64().unwrap_or(0)
            );
        }
        other => {
            let _ = writeln!(text, "{indent}{name}: {other}");
        }
    }
}
