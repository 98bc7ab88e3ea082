//! What a status says, and how it is said.

use guardian_rules::finding::Answer;
use serde_json::{Value, json};

use super::page::{line, page, steps};
use super::*;
use crate::breaker::effect::Reach;
use crate::install::site::{Manager, Scope};
use crate::install::typed::Watcher;
use crate::page::Style;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn running(breaker: Circuit) -> Status {
    Status::new(breaker, Some(at("2026-11-23T08:00:00Z")), Mode::Enforce, Daemon::Running)
}

fn tripped() -> Status {
    let finding = Evidence {
        rule: "bound-beyond-allowed".to_owned(),
        severity: Severity::Critical,
        answer: Answer::Yes,
        subject: "0.0.0.0:18789".to_owned(),
        evidence: vec!["a wildcard \u{1b}[2J".to_owned()],
        remedy: "set gateway.bind to \"loopback\"".to_owned(),
    };
    let trip = Trip::new(at("2026-11-23T08:00:00Z"), Cause::Exposed, "bound-beyond-allowed", &[finding]);
    let barrier = |barrier, held| BarrierStatus { barrier, held };
    let barriers = vec![
        barrier(Barrier::Firewall, Held::Yes),
        barrier(Barrier::Service, Held::No),
        barrier(Barrier::Port, Held::Unknown),
    ];
    let trip = TripStatus { barriers, detect_ms: Some(81), block_ms: Some(140), ..TripStatus::from(&trip) };
    Status { trip: Some(trip), armed: true, ..running(Circuit::Open) }
}

/// A proxy of which nobody can tell what is behind it.
fn doubtful() -> Evidence {
    Evidence {
        rule: "panel-republished".to_owned(),
        severity: Severity::Critical,
        answer: Answer::Unknown,
        subject: "0.0.0.0:8088".to_owned(),
        evidence: vec!["nginx answers with the error 502".to_owned()],
        remedy: "Type `guardian allow --path nginx`.".to_owned(),
    }
}

fn plain(status: &Status) -> String {
    page(status, at("2026-11-23T08:05:00Z"), Style::Plain)
}

#[test]
fn the_json_is_that_of_schema_1() {
    let mut status = tripped();
    status.round_age_ms = Some(120);
    let told = serde_json::to_value(&status).unwrap();
    for (key, expected) in [
        ("schema", json!(1)),
        ("breaker", json!("open")),
        ("since", json!("2026-11-23T08:00:00Z")),
        ("mode", json!("enforce")),
        ("daemon", json!("running")),
        ("armed", json!(true)),
        ("degraded", json!([])),
        ("round_age_ms", json!(120)),
        ("lease", Value::Null),
        ("allowances", json!([])),
    ] {
        assert_eq!(told[key], expected, "{key}");
    }
    let trip = &told["trip"];
    assert_eq!(trip["at"], "2026-11-23T08:00:00Z");
    assert_eq!(trip["barriers"][0], json!({ "barrier": "firewall", "held": "yes" }));
    assert_eq!((&trip["detect_ms"], &trip["block_ms"]), (&json!(81), &json!(140)));
    assert_eq!(trip["findings"][0]["rule"], "bound-beyond-allowed");
    assert!(trip["id"].is_string());
    assert_eq!(serde_json::from_value::<Status>(told).unwrap(), status);
    assert_eq!(serde_json::to_value(running(Circuit::HalfOpen)).unwrap()["breaker"], "half-open");
}

#[test]
fn an_allowance_says_what_why_and_until_when() {
    let allowance = Allowance {
        target: Target::Network("10.0.0.0/8".parse().unwrap()),
        reason: "kiosk".to_owned(),
        until: at("2026-12-31T00:00:00Z"),
    };
    assert_eq!(
        serde_json::to_value(AllowanceStatus::from(&allowance)).unwrap(),
        json!({ "network": "10.0.0.0/8", "reason": "kiosk", "until": "2026-12-31T00:00:00Z" })
    );
}

#[test]
fn the_exit_code_is_that_of_the_circuit_only_while_somebody_watches() {
    for (breaker, code) in [(Circuit::Closed, 0), (Circuit::HalfOpen, 1), (Circuit::Open, 2)] {
        let safe = |daemon| Status { daemon, verdict: Some(Verdict::Safe), ..running(breaker) };
        assert_eq!(safe(Daemon::Running).exit(), code);
        for daemon in [Daemon::Absent, Daemon::Stale] {
            assert_eq!(safe(daemon).exit(), 3);
        }
    }
}

#[test]
fn a_closed_circuit_is_no_good_news_of_what_was_not_seen_or_is_only_observed() {
    for (verdict, code) in
        [(None, 3), (Some(Verdict::Blind), 3), (Some(Verdict::Exposed), 2), (Some(Verdict::Safe), 0)]
    {
        assert_eq!(Status { verdict, ..running(Circuit::Closed) }.exit(), code, "{verdict:?}");
        assert_eq!(Status { verdict, ..running(Circuit::Open) }.exit(), 2, "{verdict:?}");
    }
}

#[test]
fn what_tripped_it_and_is_gone_is_not_to_be_done_any_more() {
    let shown = |still_found: Option<&[&str]>| {
        let mut status = tripped();
        let still = still_found.map(|rules| rules.iter().map(|it| (*it).to_owned()).collect());
        status.trip.as_mut().unwrap().still_found = still;
        plain(&status)
    };
    for there in [None, Some(&["bound-beyond-allowed"][..])] {
        let page = shown(there);
        assert!(page.contains("To do: set gateway.bind") && !page.contains("Not seen"), "{page}");
    }
    let mut ended = tripped();
    ended.trip.as_mut().unwrap().gone = vec!["0.0.0.0:18789".to_owned()];
    let said = plain(&ended);
    assert!(
        said.contains("\n      It is gone; that is yet to be confirmed.") && !said.contains("To do:"),
        "{said}"
    );
    let gone = shown(Some(&["nat-published"]));
    assert!(gone.contains("\n      Not seen now.\n") && !gone.contains("set gateway.bind"), "{gone}");
}

#[test]
fn a_barrier_that_was_not_looked_at_yet_is_on_its_way_and_later_it_is_unknown() {
    let soon = page(&tripped(), at("2026-11-23T08:00:01Z"), Style::Plain);
    assert!(soon.contains("? port is being put up"), "{soon}");
    assert!(plain(&tripped()).contains("? port cannot be told"));
}

#[test]
fn a_daemon_that_has_not_looked_for_more_than_five_seconds_is_stale_and_not_armed() {
    let after = |seconds| {
        let round = Some(Moment::default());
        let status = Status { armed: true, round, ..running(Circuit::Closed) };
        status.at(Moment::default() + Duration::from_millis(seconds)).judged()
    };
    assert_eq!((after(5000).daemon, after(5000).armed), (Daemon::Running, true));
    assert_eq!((after(5001).daemon, after(5001).armed), (Daemon::Stale, false));
    assert_eq!(after(5001).exit(), 3);
}

#[test]
fn time_and_a_renewed_lease_are_no_change_and_everything_else_is() {
    let lease = |serial| Some(Lease { reach: Reach::Allowed, serial, expires: serial * 600 });
    let status = Status { lease: lease(1), round_age_ms: Some(1), ..running(Circuit::Closed) };
    let later = Status { lease: lease(2), round_age_ms: Some(2), ..status.clone() };
    assert!(!later.differs(&status));
    assert!(Status { lease: None, ..status.clone() }.differs(&status));
    assert!(Status { breaker: Circuit::Open, ..status.clone() }.differs(&status));
    assert!(Status { degraded: vec!["x".to_owned()], ..status.clone() }.differs(&status));
}

#[test]
fn an_open_circuit_says_what_is_wrong_since_when_what_holds_and_what_to_type() {
    let page = plain(&tripped());
    assert!(page.starts_with("OPEN  the gateway is blocked"), "{page}");
    for part in [
        "Since 2026-11-23T08:00:00Z (5 minutes ago)",
        "0.0.0.0:18789 [bound-beyond-allowed]",
        "To do: set gateway.bind",
        "✓ firewall holds",
        "✗ service does not hold",
        "? port cannot be told",
        "seen within 81 ms and blocked within 140 ms",
        "guardian recover",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(!page.contains('\u{1b}'), "what was found does not steer the terminal");
}

#[test]
fn a_recovery_says_how_far_it_is_and_when_it_ends() {
    let mut status = running(Circuit::HalfOpen);
    status.half_open =
        Some(Recovery { safe: 3, wanted: 10, until: at("2026-11-23T08:15:00Z"), in_the_way: Vec::new() });
    let told = plain(&status);
    assert!(told.starts_with("HALF-OPEN  "), "{told}");
    assert!(told.contains("3 of 10 safe rounds") && told.contains("(10 minutes left)"), "{told}");
}

#[test]
fn a_recovery_that_does_not_get_on_says_what_is_in_the_way() {
    let mut status = running(Circuit::HalfOpen);
    status.half_open = Some(Recovery {
        safe: 0,
        wanted: 10,
        until: at("2026-11-23T08:15:00Z"),
        in_the_way: vec![doubtful()],
    });
    let told = plain(&status);
    let way = "\nWhat is in the way\n  0.0.0.0:8088 [panel-republished]\n    - nginx answers with the error 502\n    To do: Type `guardian";
    assert!(told.contains(way), "{told}");
}

#[test]
fn only_a_safe_watched_and_armed_host_is_told_to_be_so() {
    let mut status = running(Circuit::Closed);
    assert!(line(&status).contains("nothing has been seen yet"));
    status.verdict = Some(Verdict::Safe);
    assert!(line(&status).contains("would not be blocked"), "not armed");
    status.armed = true;
    assert_eq!(line(&status), "CLOSED  safe, and watched.");
    status.verdict = Some(Verdict::Blind);
    assert!(line(&status).contains("not everything can be seen"));
    (status.verdict, status.mode) = (Some(Verdict::Exposed), Mode::Observe);
    assert!(line(&status).contains("only observes"));
    status.daemon = Daemon::Stale;
    assert!(line(&status).starts_with("STALE  "));
    status.daemon = Daemon::Absent;
    assert!(line(&status).starts_with("NO DAEMON  "));
}

#[test]
fn what_cannot_be_told_is_said_while_there_is_time_and_with_what_to_type() {
    let mut status = Status { verdict: Some(Verdict::Blind), armed: true, ..running(Circuit::Closed) };
    let (since, opens) = (at("2026-11-23T08:04:57Z"), Some(at("2026-11-23T08:05:07Z")));
    status.doubt = Some(Doubt { since, opens, findings: vec![doubtful()] });
    let page = plain(&status);
    assert!(
        page.contains(
            "\nWhat cannot be told\n  0.0.0.0:8088 [panel-republished]\n    - nginx answers with the error 502\n    \
             To do: Type `guardian allow --path nginx`.\n  The circuit opens in about 7 seconds, unless it can be told \
             by then.\n"
        ),
        "{page}"
    );
    assert!(line(&status).contains("opens at 2026-11-23T08:05:07Z"), "{}", line(&status));
    let told = serde_json::to_value(&status).unwrap();
    assert_eq!(told["doubt"]["opens"], "2026-11-23T08:05:07Z");
    assert_eq!(told["doubt"]["findings"][0]["subject"], "0.0.0.0:8088");
    let watched = status.clone();
    status.doubt.as_mut().unwrap().opens = None;
    assert!(plain(&status).contains("Guardian only observes: nothing is blocked."), "{}", plain(&status));
    assert!(watched.differs(&status) && !line(&status).contains("opens at"));
    status.daemon = Daemon::Stale;
    assert!(!plain(&status).contains("cannot be told"), "nobody looks any more");
}

#[test]
fn colours_are_for_terminals() {
    assert!(page(&tripped(), at("2026-11-23T08:05:00Z"), Style::Terminal).contains("OPEN"));
    assert!(!plain(&tripped()).contains("\u{1b}["));
}

#[test]
fn a_closed_circuit_names_the_gateways_that_run_or_says_that_none_does() {
    let mut status = Status { verdict: Some(Verdict::Safe), armed: true, ..running(Circuit::Closed) };
    assert!(plain(&status).contains("\nGateways\n  none runs now"), "{}", plain(&status));
    status.gateways = vec![json!({ "product": "openclaw", "listeners": ["127.0.0.1:18789", "[::1]:18789"] })];
    assert!(plain(&status).contains("\n  openclaw at 127.0.0.1:18789, [::1]:18789\n"), "{}", plain(&status));
}

#[test]
fn a_recovery_in_which_no_gateway_runs_proves_nothing_and_says_so() {
    let mut status = running(Circuit::HalfOpen);
    status.half_open =
        Some(Recovery { safe: 10, wanted: 10, until: at("2026-11-23T08:15:00Z"), in_the_way: Vec::new() });
    assert!(plain(&status).contains("No gateway runs now"), "{}", plain(&status));
    status.gateways = vec![json!({ "product": "openclaw", "listeners": [] })];
    assert!(!plain(&status).contains("No gateway runs now"), "{}", plain(&status));
    assert!(line(&status).ends_with("10 of 10 safe rounds."), "{}", line(&status));
}

#[test]
fn what_a_gateway_that_does_not_run_would_expose_is_said_and_is_no_exposure() {
    let mut status = Status { verdict: Some(Verdict::Safe), armed: true, ..running(Circuit::Closed) };
    let before = (plain(&status).lines().next().map(str::to_owned), status.exit());
    status.at_rest = vec![Evidence {
        severity: Severity::Info,
        subject: "/home/ana/.openclaw/openclaw.json".to_owned(),
        evidence: vec!["gateway.bind is \"lan\"".to_owned()],
        ..doubtful()
    }];
    let page = plain(&status);
    let note = "\nBefore you start a gateway\n  /home/ana/.openclaw/openclaw.json [panel-republished]\n    - gateway.bind is";
    assert!(page.contains(note), "{page}");
    assert_eq!((page.lines().next().map(str::to_owned), status.exit()), before);
}

#[test]
fn an_open_circuit_whose_lock_was_taken_back_is_not_said_to_hold() {
    let absent = |locked| Status { daemon: Daemon::Absent, locked, ..running(Circuit::Open) };
    assert!(line(&absent(true)).contains("the lock is there"));
    assert!(line(&absent(false)).contains("its lock is gone"), "{}", line(&absent(false)));
}

#[test]
fn what_to_type_is_of_the_watcher_that_is_installed() {
    let absent = Status { daemon: Daemon::Absent, ..running(Circuit::Closed) };
    let blind = Status { verdict: Some(Verdict::Blind), ..running(Circuit::Closed) };
    let mac = Watcher::pretended(Manager::Launchd, Scope::Machine, true);
    let told = steps(&absent, mac);
    assert!(told[0].starts_with("sudo launchctl kickstart system/dev.guardian.watcher"), "{told:?}");
    assert!(!told.iter().any(|it| it.contains("systemctl") || it.contains("install (")), "{told:?}");
    assert_eq!(
        steps(&blind, mac),
        ["sudo guardian check"],
        "what root's watcher doubts, root has to look at"
    );
    let own = Watcher::pretended(Manager::Systemd, Scope::User, true);
    assert!(steps(&absent, own)[0].starts_with("systemctl --user start guardian.service ("));
    assert_eq!(steps(&blind, own), ["guardian check"]);
    let stale = Status { daemon: Daemon::Stale, ..running(Circuit::Closed) };
    assert!(steps(&stale, own)[0].starts_with("systemctl --user restart guardian.service ("));
    let none = Watcher::pretended(Manager::Systemd, Scope::Machine, false);
    assert_eq!(steps(&stale, none), ["guardian doctor", "sudo guardian check (looks once)"]);
    assert_eq!(
        steps(&absent, none),
        ["sudo guardian install (watches from now on)", "sudo guardian check (looks once)"]
    );
}
