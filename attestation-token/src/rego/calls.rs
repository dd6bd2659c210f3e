//! What is refused of a policy after it is parsed: functions that do not end, and sums without
//! bound.

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value;

use super::RegoError;

/// Additions and subtractions of one evaluation, those in functions counted for each call. Each
/// can double a number: of 10^119, the largest that can be written, they make less than 10^180,
/// and the engine can print numbers up to 10^308.
pub(super) const MAX_ADDITIONS: usize = 200;

/// Refuses functions that call themselves, directly or by others (Rego does not have them, and
/// the evaluation would find that out by running out of stack), and more additions than
/// [`MAX_ADDITIONS`]. `ast` is the parsed policy.
pub(super) fn check(ast: &Value) -> Result<(), RegoError> {
    let module = ast.get(0).and_then(|policy| policy.get("ast"));
    let module = module.unwrap_or(&Value::Null);
    let list = |name| {
        module
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    // Under another name a function of the policy would not be recognised.
    for import in list("imports") {
        let mut contents = Contents::default();
        contents.collect(&import["refr"]);
        let is_data = contents.variables.contains_key("data");
        if contents.paths.contains_key("cca") || (is_data && contents.paths.is_empty()) {
            return Err(RegoError::OwnImport);
        }
    }
    let mut functions: BTreeMap<String, Contents> = BTreeMap::new();
    let mut rules = Contents::default();
    for rule in list("rules") {
        let function = &rule["Spec"]["head"]["Func"];
        if let Some(name) = root(function) {
            let contents = functions.entry(name.to_owned()).or_default();
            contents.collect(&function["args"]);
            contents.collect(&function["assign"]);
            contents.collect(&rule["Spec"]["bodies"]);
        } else {
            rules.collect(rule);
        }
    }
    // Which function a call is of would not be known.
    for contents in functions.values().chain([&rules]) {
        if contents
            .replacements
            .keys()
            .any(|name| functions.contains_key(name))
        {
            return Err(RegoError::Replacement);
        }
    }
    let additions = additions(&functions)?;
    if rules.additions(&additions) > MAX_ADDITIONS {
        return Err(RegoError::Additions);
    }
    Ok(())
}

/// How many additions a call of each function is.
fn additions(functions: &BTreeMap<String, Contents>) -> Result<BTreeMap<&str, usize>, RegoError> {
    let mut callers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    for (caller, contents) in functions {
        let names = contents.variables.keys().chain(contents.paths.keys());
        let mut called: Vec<&str> = names
            .filter(|name| functions.contains_key(*name))
            .map(String::as_str)
            .collect();
        called.sort_unstable();
        called.dedup();
        waiting.insert(caller, called.len());
        for name in called {
            callers.entry(name).or_default().push(caller);
        }
    }
    // What calls only functions that end, ends.
    let mut ending: Vec<_> = waiting
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(name, _)| *name)
        .collect();
    let mut additions = BTreeMap::new();
    while let Some(name) = ending.pop() {
        waiting.remove(name);
        if let Some(contents) = functions.get(name) {
            let count = contents.additions(&additions);
            additions.insert(name, count);
        }
        for caller in callers.get(name).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(caller) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ending.push(caller);
                }
            }
        }
    }
    match waiting.into_keys().next() {
        None => Ok(additions),
        Some(name) => Err(RegoError::Recursion(name.to_owned())),
    }
}

/// Names, and how often they are there.
type Names = BTreeMap<String, usize>;

/// What is in a part of the parsed policy.
#[derive(Default)]
struct Contents {
    /// Names that stand alone.
    variables: Names,
    /// Parts of paths below `data`, where the policy's own rules are too.
    paths: Names,
    /// Names that are put in the place of others (`with … as …`).
    replacements: Names,
    /// Additions and subtractions.
    additions: usize,
}

impl Contents {
    /// Additions, with those of the functions that are called.
    fn additions(&self, of_functions: &BTreeMap<&str, usize>) -> usize {
        let called = self.variables.iter().chain(&self.paths);
        called
            .filter_map(|(name, count)| {
                Some(of_functions.get(name.as_str())?.saturating_mul(*count))
            })
            .fold(self.additions, usize::saturating_add)
    }

    /// Its depth is that of the parsed policy, which is bounded.
    fn collect(&mut self, node: &Value) {
        match node {
            Value::Array(list) => list.iter().for_each(|node| self.collect(node)),
            Value::Object(map) => map.iter().for_each(|(kind, node)| self.enter(kind, node)),
            _ => {}
        }
    }

    fn enter(&mut self, kind: &str, node: &Value) {
        match kind {
            "Var" => {
                let name = node["value"].as_str().unwrap_or_default();
                *self.variables.entry(name.to_owned()).or_default() += 1;
            }
            "RefDot" | "RefBrack" if root(node) == Some("data") => texts(node, &mut self.paths),
            "ArithExpr" if node["op"] != "Mod" => self.additions += 1,
            "with_mods" => {
                for replacement in node.as_array().into_iter().flatten() {
                    texts(&replacement["as"], &mut self.replacements);
                }
            }
            _ => {}
        }
        self.collect(node);
    }
}

/// All texts in a part of the parsed policy.
fn texts(node: &Value, into: &mut Names) {
    match node {
        Value::String(text) => *into.entry(text.clone()).or_default() += 1,
        Value::Array(list) => list.iter().for_each(|node| texts(node, into)),
        Value::Object(map) => map.values().for_each(|node| texts(node, into)),
        _ => {}
    }
}

/// The variable at which a path begins.
fn root(path: &Value) -> Option<&str> {
    let mut node = path;
    loop {
        node = node.get("refr")?;
        if let Some(variable) = node.get("Var") {
            return variable["value"].as_str();
        }
        node = node.get("RefDot").or_else(|| node.get("RefBrack"))?;
    }
}
