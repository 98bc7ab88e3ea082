//! `guardian token`: what a program gets, and what a person is told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::place::{Place, code, said, told};

#[test]
fn standard_output_is_the_token_alone_and_a_person_is_told_how_it_is_sent() {
    for policy in ["", "moed = 1\n"] {
        let place = Place::new().with_config(policy);
        let output = place.guardian(&["token", "new", "phone"]);
        assert_eq!(code(&output), 0, "{}", told(&output));
        let token = said(&output);
        assert!(token.starts_with("gdn_") && token.lines().count() == 1 && token.ends_with('\n'), "{token}");
        assert!(told(&output).contains("`Guardian-Token: gdn_…`"), "{}", told(&output));
        let line = told(&output).lines().find_map(|line| line.split_once(" | curl -i ")).is_some();
        assert_eq!(line, policy.is_empty(), "{}", told(&output));
        assert!(!told(&output).contains(token.trim()), "shown once");
    }
    let json = Place::new().with_config("").guardian(&["token", "new", "phone", "--json"]);
    assert_eq!(told(&json), "");
}

/// Every user of this machine can read what a program was called with.
#[test]
fn the_line_to_try_a_token_hands_it_to_curl_and_not_in_its_arguments() {
    let place = Place::new().with_config("");
    let output = place.guardian(&["token", "new", "phone"]);
    let token = said(&output).trim().to_owned();
    let hint = told(&output);
    let line = hint.lines().find(|line| line.contains("| curl ")).unwrap();
    let curl = place.path().join("curl");
    fs::write(&curl, "#!/bin/sh\necho \"arguments: $*\"\necho \"input: $(cat)\"\n").unwrap();
    fs::set_permissions(&curl, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", place.path().display(), std::env::var("PATH").unwrap());
    let ran = Command::new("sh").args(["-c", line]).env("PATH", path).env("TOKEN", &token).output().unwrap();
    let ran = said(&ran);
    assert!(ran.contains("arguments: -i -H @- http://localhost:18700/"), "{ran}");
    assert!(ran.contains(&format!("input: Guardian-Token: {token}")), "{ran}");
}
