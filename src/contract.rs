//! `docs/json.md` lists every field that other programs may read, and no other: a field that is renamed
//! in one place alone would be a contract that is broken.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use guardian_rules::fact::Product;
use guardian_rules::finding::{Answer, Finding, Severity};
use guardian_rules::scene::{AccessSummary, Gateway};
use guardian_rules::snapshot::ProbeId;
use guardian_rules::verdict::{Judgement, Verdict};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::barrier::{Barrier, Held};
use crate::breaker::effect::Reach;
use crate::breaker::state::{Circuit, Level};
use crate::config::Mode;
use crate::doubt::Doubt;
use crate::journal::Entry;
use crate::lease::Lease;
use crate::report::Report;
use crate::round::{Outcome, ProbeReport};
use crate::status::timeline::{Turn, Was};
use crate::status::{
    AllowanceStatus, BarrierStatus, Daemon, Found, GateStatus, ProbeStatus, Recovery, Status, TripStatus,
};
use crate::trip::{Cause, Evidence};

const HANDBOOK: &str = include_str!("../docs/json.md");

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn some(text: &str) -> String {
    text.to_owned()
}

fn gateway() -> Gateway {
    Gateway {
        product: Some(Product::Openclaw),
        pid: Some(812),
        user: Some(some("ana")),
        listeners: vec![SocketAddr::from(([0, 0, 0, 0], 18789))],
        access: AccessSummary::Required,
    }
}

fn evidence() -> Vec<Evidence> {
    vec![Evidence {
        rule: some("bound-beyond-allowed"),
        severity: Severity::Critical,
        answer: Answer::Yes,
        subject: some("0.0.0.0:18789"),
        evidence: vec![some("seen")],
        remedy: some("mend it"),
    }]
}

fn allowances() -> Vec<AllowanceStatus> {
    let allowance = |network: Option<&str>, path: Option<&str>| AllowanceStatus {
        network: network.map(str::to_owned),
        path: path.map(str::to_owned),
        reason: some("kiosk"),
        until: at("2026-12-31T00:00:00Z"),
    };
    vec![allowance(Some("192.168.1.0/24"), None), allowance(None, Some("ngrok"))]
}

/// A check that says all that one can.
fn check() -> Value {
    let finding = Finding {
        rule: "bound-beyond-allowed",
        severity: Severity::Critical,
        answer: Answer::Yes,
        subject: some("0.0.0.0:18789"),
        evidence: vec![some("seen")],
        remedy: some("mend it"),
    };
    let judgement =
        Judgement { verdict: Verdict::Exposed, gateways: vec![gateway()], findings: vec![finding] };
    let probe = ProbeReport {
        probe: ProbeId::Listeners,
        outcome: Outcome::Blind,
        reason: Some(some("denied")),
        took_ms: 0.4,
    };
    serde_json::to_value(Report::new(&judgement, &[probe], &allowances(), 2)).unwrap()
}

/// A status that says all that one can, of every state at once.
fn status() -> Value {
    let trip = TripStatus {
        id: some("20261123T080000.000Z"),
        at: at("2026-11-23T08:00:00Z"),
        cause: Cause::Exposed,
        why: some("because"),
        findings: evidence(),
        still_found: Some(vec![some("bound-beyond-allowed")]),
        gone: vec![some("0.0.0.0:8088")],
        barriers: vec![BarrierStatus { barrier: Barrier::Firewall, held: Held::Yes }],
        detect_ms: Some(81),
        block_ms: Some(140),
    };
    let probe = ProbeStatus {
        probe: ProbeId::Listeners,
        outcome: Outcome::Blind,
        reason: Some(some("denied")),
        looked: Some(at("2026-11-23T08:00:00Z")),
    };
    let found = Found { rule: some("bound-beyond-allowed"), severity: Severity::Critical, count: 1 };
    // A field that is added is added here, or this does not compile.
    let status = Status {
        schema: 1,
        breaker: Circuit::Open,
        since: Some(at("2026-11-23T08:00:00Z")),
        mode: Mode::Enforce,
        daemon: Daemon::Running,
        armed: true,
        degraded: vec![some("no supervisor")],
        round_age_ms: Some(120),
        locked: true,
        lease: Some(Lease { reach: Reach::Allowed, serial: 1, expires: 600 }),
        gate: Some(GateStatus::Running),
        trip: Some(trip),
        allowances: allowances(),
        clock_was: Some(at("2027-11-23T08:00:00Z")),
        verdict: Some(Verdict::Exposed),
        seal: Some(Held::Yes),
        level: Some(Level::Isolated),
        doubt: Some(Doubt {
            since: at("2026-11-23T08:00:00Z"),
            opens: Some(at("2026-11-23T08:00:10Z")),
            findings: evidence(),
        }),
        half_open: Some(Recovery {
            safe: 3,
            wanted: 10,
            until: at("2026-11-23T08:15:00Z"),
            in_the_way: evidence(),
        }),
        gateways: vec![serde_json::to_value(gateway()).unwrap()],
        warnings: evidence(),
        at_rest: evidence(),
        found: vec![found],
        probes: vec![probe],
        timeline: vec![Turn { at: at("2026-11-23T08:00:00Z"), was: Was::Closed }],
        round: None,
    };
    serde_json::to_value(status).unwrap()
}

fn history() -> Value {
    let about = json!("more");
    let entry = Entry {
        n: 1,
        at: at("2026-11-23T08:00:00Z"),
        what: some("tripped"),
        circuit: Circuit::Open,
        about,
        prev: some("00"),
    };
    serde_json::to_value(entry).unwrap()
}

/// The path of every field within a value.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                fields(member, &path, found);
                found.insert(path);
            }
        }
        Value::Array(items) => {
            assert!(!items.is_empty(), "{path} says nothing of what is in it");
            for item in items {
                fields(item, &format!("{path}[]"), found);
            }
        }
        Value::Null => panic!("{path} says nothing"),
        _ => {}
    }
}

/// The fields that a table of the page lists: the first one after `heading`.
fn listed(heading: &str) -> BTreeSet<String> {
    let (_, section) = HANDBOOK.split_once(heading).expect("the page has the section");
    let (_, table) = section.split_once("| field | type | meaning |\n|---|---|---|\n").expect("a table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect()
}

#[test]
fn the_page_on_json_lists_every_field_and_no_other() {
    for (heading, value) in [
        ("## `guardian check --json`", check()),
        ("## `guardian status --json`", status()),
        ("## `guardian history --json`", history()),
    ] {
        let mut written = BTreeSet::new();
        fields(&value, "", &mut written);
        assert_eq!(listed(heading), written, "{heading}");
    }
}

#[test]
fn the_page_on_json_names_every_entry_of_the_journal_and_what_it_shows_is_json() {
    let (_, table) = HANDBOOK.split_once("| `what` | `about` |\n|---|---|\n").expect("a table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let first: String = rows.filter_map(|row| row.split('|').nth(1)).collect();
    let named: BTreeSet<&str> = first.split('`').skip(1).step_by(2).collect();
    let recorded = [
        include_str!("watch.rs"),
        include_str!("watch/ahead.rs"),
        include_str!("watch/allowances.rs"),
        include_str!("watch/asked.rs"),
        include_str!("watch/carry_out.rs"),
        include_str!("watch/equipment.rs"),
        include_str!("watch/picture.rs"),
        include_str!("breaker.rs"),
        include_str!("cli/rescue.rs"),
    ]
    .into_iter()
    .flat_map(|source| {
        let calls = [
            "record(\"",
            "record(\n                    \"",
            "Record(\"",
            "only(\"",
            "Change { what: \"",
            "circuit, \"",
        ];
        calls
            .into_iter()
            .flat_map(|call| source.split(call).skip(1).filter_map(|rest| rest.split('"').next()))
    });
    let mut recorded: BTreeSet<&str> = recorded.collect();
    recorded.insert("torn");
    assert_eq!(named, recorded);
    let shown: Vec<&str> =
        HANDBOOK.split("```json\n").skip(1).filter_map(|it| it.split("```").next()).collect();
    assert!(shown.len() >= 3, "an example each");
    for lines in shown {
        for value in serde_json::Deserializer::from_str(lines).into_iter::<Value>() {
            value.expect("what the page shows is JSON");
        }
    }
}
