//! `guardian install` and `uninstall` without changing anything: the lab does the rest.

use crate::place::{Place, code, said, told};

/// A command that is told nothing of this test's folders.
fn plain(place: &Place, arguments: &[&str]) -> std::process::Output {
    let mut command = place.command(arguments);
    for name in ["GUARDIAN_CONFIG", "GUARDIAN_STATE_DIR", "GUARDIAN_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

#[test]
fn services_would_not_know_of_other_places() {
    let place = Place::new();
    let output = place.guardian(&["install", "--dry-run"]);
    assert_eq!(code(&output), 64, "{}", told(&output));
    assert!(told(&output).contains("GUARDIAN_STATE_DIR"), "{}", told(&output));
    let output = plain(&place, &["uninstall", "--dry-run", "--state-dir", "/tmp"]);
    assert_eq!(code(&output), 64, "{}", told(&output));
}

#[test]
fn whoever_asks_in_the_wrong_way_is_told_the_right_one() {
    let place = Place::new();
    let root = nix::unistd::Uid::effective().is_root();
    let (wrong, hint) = if root {
        (&["install", "--dry-run", "--user"][..], "leave --user out")
    } else {
        (&["install", "--dry-run"][..], "guardian install --user")
    };
    let output = plain(&place, wrong);
    assert_eq!(code(&output), 64, "{}", told(&output));
    assert!(told(&output).contains(hint), "{}", told(&output));
}

#[test]
fn what_would_be_done_is_said_or_why_it_cannot_be() {
    let place = Place::new();
    let root = nix::unistd::Uid::effective().is_root();
    for command in ["install", "uninstall"] {
        let mut arguments = vec![command, "--dry-run"];
        arguments.extend((!root).then_some("--user"));
        let output = plain(&place, &arguments);
        let manager = cfg!(target_os = "macos") || std::path::Path::new("/run/systemd/system").exists();
        match code(&output) {
            0 => assert!(said(&output).contains("would do:"), "{}", said(&output)),
            70 => assert!(!manager || told(&output).contains("this user"), "{}", told(&output)),
            other => panic!("{other}: {}", told(&output)),
        }
    }
    assert!(!place.path().join("state/installed.json").exists());
}
