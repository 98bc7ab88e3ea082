//! `guardian allow`: what is written, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::place::{Place, code, said, status, told};

const KIOSK: [&str; 7] = [
    "allow",
    "--network",
    "192.168.1.0/24",
    "--reason",
    "kiosk in the hall",
    "--until",
    "2999-12-31T00:00:00Z",
];

const COMMENTED: &str = "# Ours.\nmode = \"observe\"   # for now\n\n[gateway]\nports = [18789]\n# The end";

#[test]
fn everything_that_is_there_stays_comments_included() {
    let place = Place::new().with_config(COMMENTED);
    let output = place.guardian(&KIOSK);
    assert_eq!(code(&output), 0, "{}", told(&output));
    let text = fs::read_to_string(place.config()).unwrap();
    assert_eq!(
        text,
        format!(
            "{COMMENTED}\n\n[[allowance]]\nnetwork = \"192.168.1.0/24\"\nreason = \"kiosk in the hall\"\n\
             until = 2999-12-31T00:00:00Z\n"
        )
    );
    assert_eq!(code(&place.guardian(&["allow", "--path", "ngrok", "--reason", "r", "--until", "2h"])), 0);
    let listed = place.guardian(&["allow", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(
        listed[0],
        json!({ "network": "192.168.1.0/24", "reason": "kiosk in the hall", "until": "2999-12-31T00:00:00Z" })
    );
    assert_eq!(listed[1]["path"], "ngrok");
    let page = said(&place.guardian(&["allow"]));
    assert!(page.contains("192.168.1.0/24 until 2999-12-31T00:00:00Z: kiosk"), "{page}");
}

#[test]
fn a_file_that_is_not_there_is_made_with_its_folder() {
    let place = Place::new();
    let path = place.path().join("new/folder/guardian.toml");
    let output = place.command(&KIOSK).env("GUARDIAN_CONFIG", &path).output().unwrap();
    assert_eq!(code(&output), 0, "{}", told(&output));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    assert!(said(&output).contains("No daemon is running"), "{}", said(&output));
}

#[test]
fn what_cannot_be_allowed_is_refused_and_the_file_stays() {
    for (arguments, part) in [
        (&["--network", "10.0.0.0/8", "--until", "2h"][..], "--reason"),
        (&["--network", "10.0.0.0/8", "--reason", "r"], "--until"),
        (&["--reason", "r", "--until", "2h"], "--network"),
        (&["--network", "10.0.0.0/8", "--path", "ngrok", "--reason", "r", "--until", "2h"], "--path"),
        (&["--network", "10.0.0.0/8", "--reason", " ", "--until", "2h"], "reason"),
        (
            &["--network", "home", "--reason", "r", "--until", "2h"],
            "guardian: this cannot be allowed: \"home\" is no network",
        ),
        (
            &["--network", "10.0.0.5/8", "--reason", "r", "--until", "2h"],
            "10.0.0.0/8, that machine alone is 10.0.0.5/32",
        ),
        (&["--network", "10.0.0.0/8", "--reason", "r", "--until", "2020-01-01T00:00:00Z"], "over"),
        (&["--network", "10.0.0.0/8", "--reason", "r", "--until=-2h"], "over"),
        (&["--network", "10.0.0.0/8", "--reason", "r", "--until", "soon"], "soon"),
    ] {
        let place = Place::new().with_config(COMMENTED);
        let output = place.guardian(&[&["allow"], arguments].concat());
        assert_eq!(code(&output), 64, "{arguments:?} {}", told(&output));
        assert!(told(&output).contains(part), "{arguments:?} {}", told(&output));
        assert_eq!(fs::read_to_string(place.config()).unwrap(), COMMENTED);
    }
}

#[test]
fn a_program_that_nothing_here_has_is_allowed_and_pointed_out() {
    for (name, minds) in [("ngixn-of-nobody", true), ("sh", false), ("container", false)] {
        let place = Place::new().with_config(COMMENTED);
        let output = place.guardian(&["allow", "--path", name, "--reason", "r", "--until", "2h"]);
        assert_eq!(code(&output), 0, "{}", told(&output));
        assert_eq!(said(&output).contains("Mind: no program"), minds, "{}", said(&output));
        assert!(fs::read_to_string(place.config()).unwrap().contains(name));
    }
}

#[test]
fn what_is_allowed_already_is_not_written_down_again() {
    let place = Place::new().with_config(COMMENTED);
    assert_eq!(code(&place.guardian(&KIOSK)), 0);
    let text = fs::read_to_string(place.config()).unwrap();
    let output = place.guardian(&KIOSK);
    assert_eq!(code(&output), 64, "{}", told(&output));
    assert!(told(&output).contains("written down already: 192.168.1.0/24"), "{}", told(&output));
    assert_eq!(fs::read_to_string(place.config()).unwrap(), text);
}

#[test]
fn a_file_that_a_reload_would_refuse_is_not_written() {
    for (text, part) in [
        ("mode = \"enforce\"\npateince = \"10s\"\n", "pateince"),
        ("[[allowance]]\nnetwork = \"10.0.0.0/8\"\n", "reason"),
        ("allowance = []\n", "allowance"),
    ] {
        let place = Place::new().with_config(text);
        let output = place.guardian(&KIOSK);
        assert_eq!(code(&output), 78, "{}", told(&output));
        assert!(told(&output).contains(part), "{}", told(&output));
        assert_eq!(fs::read_to_string(place.config()).unwrap(), text);
    }
    let place = Place::new().with_config(COMMENTED);
    fs::set_permissions(place.config(), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(code(&place.guardian(&KIOSK)), 78);
}

#[test]
fn a_running_daemon_reads_the_policy_again_and_it_is_seen_whether_it_did() {
    let allowed = json!({ "network": "192.168.1.0/24", "reason": "kiosk in the hall", "until": "2999-12-31T00:00:00Z" });
    for (knows, reload, expected, part) in [
        (true, json!("done"), 0, "knows it now"),
        (false, json!("done"), 70, "another policy file"),
        (false, json!({ "refused": "not-owner" }), 2, "only the owner"),
        (false, json!({ "failed": "line 3" }), 70, "line 3"),
    ] {
        let place = Place::new().with_config("");
        let allowed = allowed.clone();
        place.daemon(move |ask| {
            if ask == "reload" {
                return reload.clone();
            }
            let mut status = status("closed");
            if knows {
                status["allowances"] = json!([allowed]);
            }
            status
        });
        let output = place.guardian(&KIOSK);
        assert_eq!(code(&output), expected, "{}", told(&output));
        assert!(
            (said(&output) + &told(&output)).contains(part),
            "{part}: {}{}",
            said(&output),
            told(&output)
        );
    }
}

#[test]
fn everybody_can_be_allowed_but_not_unnoticed() {
    let place = Place::new();
    let mut arguments = KIOSK;
    arguments[2] = "0.0.0.0/0";
    let output = place.command(&arguments).env("GUARDIAN_CONFIG", place.config()).output().unwrap();
    assert_eq!(code(&output), 0, "{}", told(&output));
    assert!(said(&output).contains("Mind: "), "{}", said(&output));
}

#[test]
fn an_allowance_is_taken_away_again_and_everything_else_stays_as_it_was() {
    let place = Place::new().with_config(&format!("{COMMENTED}\n"));
    for _ in 0..2 {
        assert_eq!(code(&place.guardian(&KIOSK)), 0);
        let output = place.guardian(&["allow", "--remove", "--network", "192.168.1.0/24"]);
        assert_eq!(code(&output), 0, "{}", told(&output));
        let page = said(&output);
        for part in ["192.168.1.0/24 is allowed no more", "kiosk in the hall", "No daemon is running"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(fs::read_to_string(place.config()).unwrap(), format!("{COMMENTED}\n"));
    }
    assert_eq!(code(&place.guardian(&KIOSK)), 0);
    let output = place.guardian(&["allow", "--remove", "--network", "192.168.1.0/24", "--json"]);
    let gone: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(gone["reason"], "kiosk in the hall");
}

#[test]
fn what_is_not_allowed_cannot_be_taken_away_and_of_several_none_is_guessed() {
    let caddy =
        |until: &str| format!("[[allowance]]\npath = \"caddy\"\nreason = \"wiki\"\nuntil = {until}\n");
    let text = caddy("2998-01-01T00:00:00Z") + &caddy("2999-01-01T00:00:00Z");
    let place = Place::new().with_config(&text);
    for (arguments, part) in [
        (&["--path", "nginx"][..], "no such allowance of nginx: `guardian allow` lists"),
        (&["--path", "caddy"], "say which by --reason TEXT or --until TIME"),
        (&["--path", "caddy", "--reason", "wiki"], "2998-01-01T00:00:00Z"),
        (&["--path", "caddy", "--reason", "another"], "no such allowance"),
        (&["--path", "caddy", "--until", "2h"], "as `guardian allow` shows it"),
        (&["--network", "home"], "home"),
        (&[], "--path"),
    ] {
        let output = place.guardian(&[&["allow", "--remove"], arguments].concat());
        assert_eq!(code(&output), 64, "{arguments:?} {}", told(&output));
        assert!(told(&output).contains(part), "{arguments:?} {}", told(&output));
        assert_eq!(fs::read_to_string(place.config()).unwrap(), text);
    }
    let output = place.guardian(&["allow", "--remove", "--path", "caddy", "--until", "2999-01-01T00:00:00Z"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    assert_eq!(fs::read_to_string(place.config()).unwrap(), caddy("2998-01-01T00:00:00Z"));
    let page = said(&output);
    assert!(page.contains("Still allowed, by another:\n  caddy until 2998-01-01"), "{page}");
    assert!(!page.contains("allowed no more"), "{page}");
    let inline = "allowance = [{ path = \"ngrok\", reason = \"r\", until = 2999-01-01T00:00:00Z }]\n";
    let place = Place::new().with_config(inline);
    let output = place.guardian(&["allow", "--remove", "--path", "ngrok"]);
    assert_eq!((code(&output), told(&output).contains("by hand")), (78, true), "{}", told(&output));
    assert_eq!(fs::read_to_string(place.config()).unwrap(), inline);
}

#[test]
fn an_allowance_that_ends_before_a_time_the_clock_has_shown_once_is_said_to_have_ended_by_that() {
    for (was, part) in
        [("2999-12-31T00:00:01Z", "--accept-clock"), ("2999-12-30T00:00:00Z", "another policy file")]
    {
        let place = Place::new().with_config("");
        place.daemon(move |ask| {
            let mut status = status("closed");
            status["clock_was"] = json!(was);
            if ask == "reload" { json!("done") } else { status }
        });
        let output = place.guardian(&KIOSK);
        assert_eq!(code(&output), 70, "{}", told(&output));
        assert!(told(&output).contains(part), "{part}: {}", told(&output));
        assert_eq!(told(&output).contains("another policy file"), part == "another policy file");
    }
}

#[test]
fn a_running_daemon_is_seen_to_know_that_an_allowance_is_gone() {
    let allowed = json!({ "network": "192.168.1.0/24", "reason": "kiosk in the hall", "until": "2999-12-31T00:00:00Z" });
    for (knows, expected, part) in [(true, 0, "knows it now"), (false, 70, "another policy file")] {
        let place = Place::new().with_config("");
        assert_eq!(code(&place.guardian(&KIOSK)), 0);
        let allowed = allowed.clone();
        place.daemon(move |ask| {
            let mut status = status("closed");
            if !knows {
                status["allowances"] = json!([allowed]);
            }
            if ask == "reload" { json!("done") } else { status }
        });
        let output = place.guardian(&["allow", "--remove", "--network", "192.168.1.0/24"]);
        assert_eq!(code(&output), expected, "{}", told(&output));
        assert!((said(&output) + &told(&output)).contains(part), "{part}: {}", told(&output));
    }
}
