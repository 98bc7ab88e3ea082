//! `guardian status`, with a daemon and without.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::place::{Place, code, said, status};

fn json(place: &Place) -> Value {
    let output = place.guardian(&["status", "--json"]);
    assert_eq!(code(&output), 3);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn without_a_daemon_and_without_a_lock_nothing_is_blocked_and_nothing_is_watched() {
    let place = Place::new();
    let told = json(&place);
    assert_eq!(
        (&told["schema"], &told["daemon"], &told["armed"]),
        (&1.into(), &"absent".into(), &false.into())
    );
    assert_eq!(told["breaker"], "closed");
    assert!(!told["degraded"].as_array().unwrap().is_empty());
    for key in ["since", "round_age_ms", "lease", "trip"] {
        assert!(told[key].is_null(), "{key}");
    }
    let page = said(&place.guardian(&["status"]));
    assert!(page.starts_with("NO DAEMON  ") && page.contains("guardian install"), "{page}");
}

#[test]
fn without_a_daemon_the_numbers_say_that_it_is_down_and_the_exit_code_is_the_same() {
    let place = Place::new();
    let output = place.guardian(&["status", "--prometheus"]);
    assert_eq!(code(&output), 3);
    let text = said(&output);
    for line in ["guardian_up 0", "guardian_armed 0", "guardian_breaker_state{state=\"closed\"} 1"] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    fs::write(place.lock(), "{ half a").unwrap();
    let text = said(&place.guardian(&["status", "--prometheus"]));
    assert!(text.contains("guardian_breaker_state{state=\"open\"} 1"), "{text}");
    for other in ["--json", "--watch", "--swiftbar"] {
        assert_eq!(code(&place.guardian(&["status", "--prometheus", other])), 64, "{other}");
    }
}

#[test]
fn a_lock_in_any_form_is_open() {
    let place = Place::new();
    fs::write(place.lock(), "{ half a").unwrap();
    let told = json(&place);
    assert_eq!((&told["breaker"], &told["daemon"]), (&"open".into(), &"absent".into()));
    assert!(told["since"].is_string());
    fs::remove_file(place.lock()).unwrap();
    symlink("/nonexistent", place.lock()).unwrap();
    assert_eq!(json(&place)["breaker"], "open");
}

#[test]
fn the_policy_is_shown_without_a_daemon_and_a_broken_one_is_no_obstacle() {
    let place = Place::new().with_config(
        "mode = \"observe\"\n[[allowance]]\npath = \"ngrok\"\nreason = \"demo\"\nuntil = 2999-01-01T00:00:00Z\n",
    );
    let told = json(&place);
    assert_eq!((&told["mode"], &told["allowances"][0]["path"]), (&"observe".into(), &"ngrok".into()));
    let told = json(&Place::new().with_config("mdoe = 1"));
    let missing = told["degraded"].to_string();
    assert!(missing.contains("mdoe") && !missing.contains("\\n"), "in one line: {missing}");
}

#[test]
fn check_shows_what_is_allowed_as_status_does_and_says_when_it_is_everybody() {
    let place = Place::new().with_config(
        "[[allowance]]\nnetwork = \"0.0.0.0/0\"\nreason = \"open day\"\nuntil = 2999-01-01T00:00:00Z\n\
         [[allowance]]\npath = \"ngrok\"\nreason = \"over\"\nuntil = 2020-01-01T00:00:00Z\n",
    );
    let allowed =
        "\nAllowed beside loopback and VPN\n  everybody (0.0.0.0/0) until 2999-01-01T00:00:00Z: open day\n";
    for command in ["check", "status"] {
        let page = said(&place.guardian(&[command]));
        assert!(page.contains(allowed), "{command}: {page}");
        let told = place.guardian(&[command, "--json"]);
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        let expected =
            json!([{ "network": "0.0.0.0/0", "reason": "open day", "until": "2999-01-01T00:00:00Z" }]);
        assert_eq!(told["allowances"], expected, "{command}");
    }
    let page = said(&Place::new().guardian(&["check"]));
    assert!(!page.contains("Allowed beside"), "{page}");
}

#[test]
fn the_daemons_word_gives_the_exit_code() {
    for (breaker, expected, word) in
        [("closed", 0, "CLOSED"), ("half-open", 1, "HALF-OPEN"), ("open", 2, "OPEN")]
    {
        let place = Place::new();
        place.daemon(move |_| status(breaker));
        let output = place.guardian(&["status"]);
        assert_eq!(code(&output), expected);
        assert!(said(&output).starts_with(word), "{}", said(&output));
        assert_eq!(code(&place.guardian(&["status", "--json"])), expected);
    }
}

#[test]
fn a_daemon_that_does_not_look_any_more_is_stale() {
    let place = Place::new();
    place.daemon(|_| {
        let mut old = status("closed");
        old["round_age_ms"] = 5001.into();
        old
    });
    let told = json(&place);
    assert_eq!((&told["daemon"], &told["armed"]), (&"stale".into(), &false.into()));
}

#[test]
fn a_daemon_that_talks_nonsense_is_stale_and_the_lock_still_counts() {
    let place = Place::new();
    fs::write(place.lock(), "").unwrap();
    let listener = UnixListener::bind(place.runtime().join("control.sock")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let told = json(&place);
    assert_eq!((&told["daemon"], &told["breaker"]), (&"stale".into(), &"open".into()));
}

#[test]
fn the_flags_name_the_folders_too() {
    let place = Place::new();
    place.daemon(|_| status("closed"));
    let elsewhere = Place::new();
    let (state, run) = (place.state(), place.runtime());
    let (state, run) = (state.to_str().unwrap(), run.to_str().unwrap());
    let output = elsewhere.guardian(&["status", "--state-dir", state, "--runtime-dir", run]);
    assert_eq!(code(&output), 0);
}

#[test]
fn watching_shows_a_daemon_that_comes_and_one_that_goes_a_line_each() {
    let place = Place::new();
    let mut child = place.command(&["status", "--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["daemon"], "absent");
    // This one answers once to each connection and hangs up.
    place.daemon(|_| status("closed"));
    assert_eq!(next()["daemon"], "running");
    assert_eq!(next()["daemon"], "stale");
    assert_eq!(next()["daemon"], "running");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn watching_ends_when_nobody_reads() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(place.command(&["status", "--watch"]).stdout(writer).status().unwrap().success());
}
