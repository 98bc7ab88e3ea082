//! `guardian trip`, `recover` and `close`.

use std::fs;

use serde_json::{Value, json};

use crate::place::{Place, code, said, status, told};

fn asked(questions: &std::sync::Mutex<Vec<Value>>) -> Vec<String> {
    questions.lock().unwrap().iter().map(|it| it["ask"].as_str().unwrap().to_owned()).collect()
}

fn review(passed: Option<bool>) -> Value {
    json!({ "review": { "items": [
        { "title": "No gateway lets anyone in", "passed": true, "detail": "" },
        { "title": "The gateway's configuration", "passed": passed, "detail": "gateway.bind is \"lan\"" },
    ]}})
}

#[test]
fn without_a_daemon_nothing_can_be_done_and_nothing_is_written() {
    for arguments in [&["trip", "a", "hunch"][..], &["recover", "--yes"], &["close", "--yes"]] {
        let place = Place::new();
        let output = place.guardian(arguments);
        assert_eq!(code(&output), 3, "{arguments:?}");
        assert!(told(&output).contains("guardian install"), "{}", told(&output));
        assert_eq!(fs::read_dir(place.state()).unwrap().count(), 0);
    }
}

#[test]
fn a_trip_hands_the_reason_on_and_is_open_afterwards() {
    let place = Place::new();
    let questions = place.daemon(|ask| if ask == "trip" { json!("done") } else { status("open") });
    let output = place.guardian(&["trip", "it", "looks", "odd"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).starts_with("OPEN"), "{}", said(&output));
    assert_eq!(questions.lock().unwrap()[0], json!({ "v": 1, "ask": "trip", "reason": "it looks odd" }));
}

#[test]
fn where_nobody_can_be_asked_the_way_back_takes_a_yes() {
    for command in ["recover", "close"] {
        let place = Place::new();
        let breaker = if command == "close" { "half-open" } else { "open" };
        let questions = place.daemon(move |_| status(breaker));
        let output = place.guardian(&[command]);
        assert_eq!(code(&output), 64);
        assert!(told(&output).contains("--yes"), "{}", told(&output));
        assert_eq!(asked(&questions), ["status"]);
    }
}

#[test]
fn what_would_be_refused_is_said_before_anybody_is_asked() {
    for (command, breaker, part) in [
        ("close", "open", "`guardian recover` comes first"),
        ("recover", "closed", "nothing to recover from"),
    ] {
        let place = Place::new();
        let questions = place.daemon(move |_| status(breaker));
        let output = place.guardian(&[command]);
        assert_eq!(code(&output), 2, "{}", told(&output));
        assert!(told(&output).contains(part) && !told(&output).contains("--yes"), "{}", told(&output));
        assert_eq!(asked(&questions), ["status"]);
    }
}

#[test]
fn a_recovery_shows_the_review_and_says_how_to_go_on() {
    let place = Place::new();
    let recovered = std::sync::atomic::AtomicBool::new(false);
    let questions = place.daemon(move |ask| match ask {
        "review" => review(None),
        "recover" => {
            recovered.store(true, std::sync::atomic::Ordering::SeqCst);
            json!("done")
        }
        _ if recovered.load(std::sync::atomic::Ordering::SeqCst) => status("half-open"),
        _ => status("open"),
    });
    let output = place.guardian(&["recover", "--yes"]);
    assert_eq!(code(&output), 1, "{}", told(&output));
    for part in
        ["✓ No gateway", "? The gateway's", "gateway.bind", "HALF-OPEN", "127.0.0.1:18789", "guardian close"]
    {
        assert!(said(&output).contains(part), "{part}\n{}", said(&output));
    }
    assert_eq!(asked(&questions), ["status", "review", "recover", "status"]);
}

#[test]
fn a_review_that_fails_is_shown_and_the_recovery_is_not_asked_for() {
    let place = Place::new();
    let questions = place.daemon(|ask| if ask == "review" { review(Some(false)) } else { status("open") });
    let output = place.guardian(&["recover", "--yes"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("✗ The gateway's configuration"), "{}", said(&output));
    assert!(told(&output).contains("still fails"), "{}", told(&output));
    assert_eq!(asked(&questions), ["status", "review"]);
}

#[test]
fn there_is_nothing_to_recover_from_while_it_is_closed() {
    let place = Place::new();
    place.daemon(|_| status("closed"));
    let output = place.guardian(&["recover", "--yes"]);
    assert_eq!(code(&output), 2);
    assert!(told(&output).contains("nothing to recover from"), "{}", told(&output));
}

#[test]
fn a_refusal_is_2_and_says_why() {
    for (refusal, part) in [
        (json!({ "refused": { "too-early": { "safe": 4, "wanted": 10 } } }), "4 of 10 safe rounds"),
        (json!({ "refused": "not-owner" }), "only the owner"),
        (json!({ "refused": "recover-first" }), "guardian recover"),
    ] {
        let place = Place::new();
        place.daemon(move |ask| if ask == "close" { refusal.clone() } else { status("half-open") });
        let output = place.guardian(&["close", "--yes"]);
        assert_eq!(code(&output), 2);
        assert!(told(&output).contains(part), "{}", told(&output));
    }
}

#[test]
fn a_closed_circuit_is_0() {
    let place = Place::new();
    let closed = std::sync::atomic::AtomicBool::new(false);
    place.daemon(move |ask| match ask {
        "close" => {
            closed.store(true, std::sync::atomic::Ordering::SeqCst);
            json!("done")
        }
        _ if closed.load(std::sync::atomic::Ordering::SeqCst) => status("closed"),
        _ => status("half-open"),
    });
    assert_eq!(code(&place.guardian(&["close", "--yes"])), 0);
    assert!(said(&place.guardian(&["close", "--yes"])).contains("closed already"));
}
