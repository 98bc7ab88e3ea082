//! `guardian check`, where a gateway is stopped that would be exposed.

use std::fs;

use serde_json::Value;

use crate::place::{Place, code, said};

#[test]
fn a_check_notes_what_a_stopped_gateway_would_expose_and_exits_as_before() {
    let place = Place::new();
    let before = code(&place.guardian(&["check"]));
    let config = place.path().join(".openclaw/openclaw.json");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    // Wherever this machine is: in no network, too.
    fs::write(&config, r#"{ "gateway": { "bind": "lan", "auth": { "mode": "none" } } }"#).unwrap();
    let page = place.guardian(&["check"]);
    let text = said(&page).split_whitespace().collect::<Vec<_>>().join(" ");
    let file = config.display().to_string();
    for part in [
        file.as_str(),
        "no gateway is seen to run by it",
        "gateway.auth.mode is \"none\"",
        "before you start",
    ] {
        assert!(text.contains(part), "{part}\n{}", said(&page));
    }
    assert_eq!(code(&page), before, "nothing is exposed: {}", said(&page));
    let told: Value = serde_json::from_slice(&place.guardian(&["check", "--json"]).stdout).unwrap();
    let notes: Vec<&Value> =
        told["findings"].as_array().unwrap().iter().filter(|it| it["subject"] == file.as_str()).collect();
    assert!(!notes.is_empty() && notes.iter().all(|it| it["severity"] == "info"), "{told}");
}
