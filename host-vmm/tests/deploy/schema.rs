//! Values held against the schemas of the Kubernetes API, strictly: what a schema does not name must not be there.

use std::fmt::Display;

use serde_json::{Map, Value};

/// All that the schemas here are made of; another word would go unheard.
const KEYWORDS: [&str; 8] = [
    "$ref",
    "additionalProperties",
    "enum",
    "items",
    "oneOf",
    "properties",
    "required",
    "type",
];

/// Definitions by name.
pub(crate) struct Schemas(Map<String, Value>);

impl Schemas {
    pub(crate) fn new(text: &str) -> Self {
        let mut definitions: Map<String, Value> = serde_json::from_str(text).unwrap();
        definitions.remove("$comment").expect("where they are from");
        Self(definitions)
    }

    /// Holds an object of the API against the schema of its kind; `Err` has all that is wrong.
    pub(crate) fn check(&self, object: &Value) -> Result<(), Vec<String>> {
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        let version = text("apiVersion");
        let group = if version.contains('/') {
            version.replace('/', ".")
        } else {
            format!("core.{version}")
        };
        let name = format!("io.k8s.api.{group}.{}", text("kind"));
        let Some(schema) = self.0.get(&name) else {
            return Err(vec![format!("{name}: no such kind")]);
        };
        let mut wrong = Vec::new();
        self.value(schema, object, "", &mut wrong);
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn value(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        let schema = schema.as_object().unwrap();
        for word in schema.keys() {
            assert!(KEYWORDS.contains(&word.as_str()), "{word}: not understood");
        }
        let mut complain = |what: &dyn Display| wrong.push(format!("{at}: {what}"));
        if let Some(kind) = schema.get("type") {
            let kind = kind.as_str().unwrap();
            if !is(value, kind) {
                return complain(&format_args!("{value} is no {kind}"));
            }
        }
        if let Some(allowed) = schema.get("enum")
            && !allowed.as_array().unwrap().contains(value)
        {
            complain(&format_args!("{value} is none of {allowed}"));
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten() {
            if value.get(name.as_str().unwrap()).is_none() {
                complain(&format_args!("{name} is missing"));
            }
        }
        if let Some(all) = schema.get("oneOf") {
            let fits = all.as_array().unwrap().iter().filter(|one| {
                let mut wrong = Vec::new();
                self.value(one, value, at, &mut wrong);
                wrong.is_empty()
            });
            if fits.count() != 1 {
                complain(&format_args!("{value} fits none or several of {all}"));
            }
        }
        if let Some(name) = schema.get("$ref") {
            self.value(&self.0[name.as_str().unwrap()], value, at, wrong);
        }
        self.parts(schema, value, at, wrong);
    }

    /// Entries of lists and objects.
    fn parts(&self, schema: &Map<String, Value>, value: &Value, at: &str, wrong: &mut Vec<String>) {
        if let (Some(schema), Some(entries)) = (schema.get("items"), value.as_array()) {
            for (index, entry) in entries.iter().enumerate() {
                self.value(schema, entry, &format!("{at}[{index}]"), wrong);
            }
        }
        // A reference leads to the one that says what may be there.
        let Some(entries) = value.as_object().filter(|_| !schema.contains_key("$ref")) else {
            return;
        };
        let named = schema.get("properties").and_then(Value::as_object);
        for (name, entry) in entries {
            let at = format!("{at}.{name}");
            let known = named.and_then(|named| named.get(name));
            match known.or_else(|| schema.get("additionalProperties")) {
                Some(schema) => self.value(schema, entry, &at, wrong),
                None => wrong.push(format!("{at}: unknown")),
            }
        }
    }
}

/// Whether a value is of a type, by the schema's name for it.
fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        _ => panic!("{kind}: no type that is understood"),
    }
}
