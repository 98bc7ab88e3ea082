//! A rule for a sentence, much as `nft list ruleset` would have it.

use serde_json::Value;

use super::{Place, only};

/// Its place, then its statements, without what they have counted.
pub(super) fn text(place: &Place, expressions: &[Value]) -> String {
    let (family, table, chain) = place;
    let words: Vec<String> = expressions.iter().filter_map(only).filter_map(statement).collect();
    format!("{family} {table} {chain}: {}", words.join(" "))
}

fn statement((kind, of): (&str, &Value)) -> Option<String> {
    let part = |key: &str| of.get(key).map(plain).unwrap_or_default();
    Some(match kind {
        "counter" => return None,
        "match" => {
            let op = of.get("op").and_then(Value::as_str).filter(|op| !matches!(*op, "==" | "in"));
            let op = op.map(|op| format!("{op} ")).unwrap_or_default();
            format!("{} {op}{}", of.get("left").map(field).unwrap_or_default(), part("right"))
        }
        "dnat" | "redirect" => {
            let port = of.get("port").map(|port| format!(":{}", plain(port))).unwrap_or_default();
            match format!("{}{port}", part("addr")) {
                to if to.is_empty() => kind.to_owned(),
                to => format!("{kind} to {to}"),
            }
        }
        "mangle" => format!("{} set {}", of.get("key").map(field).unwrap_or_default(), part("value")),
        "xt" => part("name"),
        _ => format!("{kind} {}", plain(of)),
    })
}

fn field(field: &Value) -> String {
    let words =
        |of: &Value, keys: [&str; 2]| keys.map(|key| of.get(key).map(plain).unwrap_or_default()).join(" ");
    match only(field) {
        Some(("payload", of)) => words(of, ["protocol", "field"]),
        Some(("meta", of)) => of.get("key").map(plain).unwrap_or_default(),
        Some(("fib", of)) => format!("fib {}", words(of, ["flags", "result"])),
        _ => plain(field),
    }
}

/// A value in few characters. What is nested is left as it is: a rule is cut to a line anyway.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        _ => {
            if let Some([first, last]) = value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
                return format!("{first}-{last}").replace('"', "");
            }
            if let (Some(address), Some(length)) = (
                value.get("prefix").and_then(|it| it.get("addr")),
                value.get("prefix").and_then(|it| it.get("len")),
            ) {
                return format!("{address}/{length}").replace('"', "");
            }
            value.to_string().replace('"', "")
        }
    }
}
