//! What `--json` really says, beside the page that lists it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::place::{Place, told};

const HANDBOOK: &str = include_str!("../../docs/json.md");

/// The fields that a table of the page lists: the first one after `heading`.
fn listed(heading: &str) -> BTreeSet<&str> {
    let (_, section) = HANDBOOK.split_once(heading).unwrap();
    let (_, table) = section.split_once("| field | type | meaning |\n|---|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0)).collect()
}

/// The path of every field within a value; what is in `about` has a table of its own.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if path != "about" => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                fields(member, &path, found);
                found.insert(path);
            }
        }
        Value::Array(items) => {
            for item in items {
                fields(item, &format!("{path}[]"), found);
            }
        }
        _ => {}
    }
}

fn written(place: &Place, arguments: &[&str]) -> BTreeSet<String> {
    let output = place.guardian(arguments);
    let mut found = BTreeSet::new();
    for value in serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>() {
        fields(&value.unwrap(), "", &mut found);
    }
    assert!(!found.is_empty(), "{arguments:?} {}", told(&output));
    found
}

#[test]
fn every_field_of_a_real_answer_is_on_the_page_and_what_is_always_there_is_there() {
    let place = Place::new().with_config(
        "[[allowance]]\nnetwork = \"10.0.0.0/8\"\nreason = \"r\"\nuntil = 2999-01-01T00:00:00Z\n\
         [[allowance]]\npath = \"ngrok\"\nreason = \"r\"\nuntil = 2999-01-01T00:00:00Z\n",
    );
    let journal = place.state().join("journal.jsonl");
    let entry = |n: u32| {
        format!(
            "{{\"n\":{n},\"at\":\"2026-11-25T08:00:00Z\",\"what\":\"started\",\"circuit\":\"closed\",\"about\":{{\"why\":null}},\"prev\":\"00\"}}\n"
        )
    };
    fs::write(&journal, entry(1) + &entry(3)).unwrap();
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o600)).unwrap();
    for (heading, arguments) in [
        ("## `guardian check --json`", &["check", "--json"][..]),
        ("## `guardian status --json`", &["status", "--json"]),
        ("## `guardian history --json`", &["history", "--json"]),
        ("With `--verify`", &["history", "--verify", "--json"]),
    ] {
        let (listed, written) = (listed(heading), written(&place, arguments));
        for field in &written {
            assert!(listed.contains(field.as_str()), "{heading} does not list {field}");
        }
        // What is within something that is not there, or is none of a list, may be missing.
        let always = listed.iter().filter(|field| !field.contains(['.', '[']));
        for field in always {
            assert!(written.contains(*field), "{arguments:?} does not say {field}");
        }
        if heading.contains("verify") {
            assert!(written.contains("breaks[].why") && written.len() == listed.len(), "{written:?}");
        }
    }
}
