//! Switches that weaken the panel.

use serde_json::{Map, Value};

use crate::line::line;

/// Besides everything that calls itself dangerous.
const KNOWN: [&str; 3] = ["allowInsecureAuth", "allowRealIpFallback", "allowLoopback"];

/// As many are told by their paths; the others are counted.
pub(super) const MAX_TOLD: usize = 64;

/// Those that are on, by their paths, each a short line.
pub(super) fn weakening(path: &str, values: &Map<String, Value>) -> Vec<String> {
    let mut found = Found::default();
    visit(&mut vec![path], values, &mut found);
    let Found { mut told, untold } = found;
    match untold {
        0 => {}
        1 => told.push(format!("one more switch of {path}")),
        more => told.push(format!("each of {more} more switches of {path}")),
    }
    told
}

#[derive(Default)]
struct Found {
    told: Vec<String>,
    untold: usize,
}

/// A path is put together where it is told: a long key may stand above very many.
fn visit<'a>(path: &mut Vec<&'a str>, values: &'a Map<String, Value>, found: &mut Found) {
    for (key, value) in values {
        path.push(key);
        match value {
            Value::Bool(true) if !(key.starts_with("dangerously") || KNOWN.contains(&key.as_str())) => {}
            Value::Bool(true) if found.told.len() >= MAX_TOLD => found.untold += 1,
            Value::Bool(true) => found.told.push(line(&path.join("."))),
            Value::Object(values) => visit(path, values, found),
            _ => {}
        }
        path.pop();
    }
}
