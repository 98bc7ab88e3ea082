//! What Prometheus reads of a watcher and its gate, judged by its own tool.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, guardian_command};
use crate::gate::{DOOR, Gate};
use crate::gateway::GATED_9_6;
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, LOOPBACK, Place, VPN, at};
use crate::ready::{Lab, cache};
use crate::relay::server;
use crate::report::Check;
use crate::trips::POLICY;

const NUMBERS: SocketAddr = at(LOOPBACK, 18710);

fn policy() -> String {
    format!("patience = \"30s\"\n{POLICY}[metrics]\nlisten = \"{NUMBERS}\"\n")
}

/// `promtool` with these arguments has nothing against this text.
#[track_caller]
fn promtool(arguments: &[&str], text: &str) {
    let mut tool = Command::new(cache().join("bin/promtool"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    assert!(output.status.success(), "promtool {arguments:?}: {said}\n{text}");
}

/// What the watcher serves.
fn numbers(host: &Host) -> Option<String> {
    let answer = http::ask(host, NUMBERS, "GET /metrics", &[]).ok()?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let (head, body) = answer.text.split_once("\r\n\r\n")?;
    let kind = "content-type: text/plain; version=0.0.4; charset=utf-8";
    assert!(head.to_ascii_lowercase().contains(kind), "{head}");
    Some(body.to_owned())
}

/// Waits until they say all of this at once.
#[track_caller]
fn until(host: &Host, lines: &[&str]) -> String {
    let begun = Instant::now();
    loop {
        let text = numbers(host).unwrap_or_default();
        let Some(missing) = lines.iter().find(|line| !text.lines().any(|it| it == **line)) else {
            return text;
        };
        assert!(begun.elapsed() < Duration::from_secs(40), "never {missing}:\n{text}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_of_name(c)).filter(|word| word.starts_with("guardian_")).collect()
}

#[test]
fn prometheus_reads_watcher_and_gate_and_every_alert_names_what_it_reads() {
    let Some(lab) = Lab::open() else { return };
    promtool(&["check", "rules", "guardian.rules.yml"], "");
    promtool(&["test", "rules", "guardian.rules.test.yml"], "");

    let scene = GATED_9_6.hold(&lab);
    let host = scene.host();
    let daemon = Daemon::start(host, User::Root, &policy());
    let lines = [
        "guardian_up 1",
        "guardian_verdict{verdict=\"safe\"} 1",
        "guardian_lease_live 1",
        "guardian_breaker_state{state=\"closed\"} 1",
        "guardian_gateways{access=\"required\"} 1",
        "guardian_probe_blind{probe=\"listeners\"} 0",
        "guardian_mode{mode=\"enforce\"} 1",
        "guardian_armed 1",
        "guardian_seal_held{held=\"yes\"} 1",
    ];
    let safe = until(host, &lines);
    promtool(&["check", "metrics"], &safe);
    let (code, printed) = daemon.guardian(User::Bob, &["status", "--prometheus"]);
    assert_eq!(code, 0, "{printed}");
    promtool(&["check", "metrics"], &printed);

    // It is no door: not for the probes, and for nobody who is not here.
    for user in [User::Root, User::Ana] {
        Check::of(host).by(user).run().is("safe");
    }
    for address in [LAN, VPN] {
        assert!(!scene.outside().reaches(at(address, NUMBERS.port())), "{address}");
    }
    assert_eq!(http::ask(host, NUMBERS, "GET /", &[]).unwrap().status, 404);

    let gate = Gate::start(host, User::Root);
    gate.until(200);
    let wrong = Gate::vouched(|| http::ask(host, DOOR, "GET /", &["Guardian-Token: gdn_wrong"]).unwrap());
    assert_eq!(wrong.status, 401);
    let answer = gate.ask("GET /_guardian/metrics");
    let (_, counted) = answer.text.split_once("\r\n\r\n").unwrap();
    promtool(&["check", "metrics"], counted);

    assert_eq!(daemon.guardian(User::Root, &["trip", "a rehearsal"]).0, 2);
    daemon.holds();
    let open = until(host, &["guardian_barrier_held{barrier=\"firewall\",held=\"yes\"} 1"]);
    assert!(open.contains("guardian_breaker_state{state=\"open\"} 1"), "{open}");
    assert!(open.contains("guardian_trips_last_week 1") && open.contains("guardian_lease_live 0"), "{open}");
    assert!(!open.contains("rehearsal"), "nobody's words are in it: {open}");
    promtool(&["check", "metrics"], &open);
    let known: BTreeSet<&str> = named(&open).into_iter().chain(named(counted)).collect();
    for name in ["guardian.rules.yml", "guardian.rules.test.yml", "grafana.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring").join(name);
        let text = fs::read_to_string(path).unwrap();
        let unknown: Vec<&str> = named(&text).difference(&known).copied().collect();
        assert!(unknown.is_empty(), "{name} names {unknown:?}, which nobody writes");
    }
    daemon.recovers_and_closes();

    daemon.process.signal(Signal::SIGSTOP);
    thread::sleep(Duration::from_secs(1));
    let (code, down) = daemon.guardian(User::Root, &["status", "--prometheus"]);
    daemon.process.signal(Signal::SIGCONT);
    assert!(code == 3 && down.contains("guardian_up 0\n"), "{code} {down}");
}

/// Asks in every bad way until it is over.
fn hostile(host: &Host, until: Instant) {
    let bad =
        ["GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "nonsense\r\n\r\n", "", "GET / HTTP/1.1\r\nX: "];
    for (turn, bad) in bad.iter().cycle().enumerate() {
        if Instant::now() > until {
            return;
        }
        let Ok(mut stream) = host.connect(NUMBERS) else { continue };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
        let _ = stream.write_all(bad.as_bytes());
        if turn % 7 == 0 {
            let _ = stream.write_all("x".repeat(100_000).as_bytes());
        }
        let _ = stream.read(&mut [0; 64]);
    }
}

#[test]
fn whoever_floods_the_numbers_does_not_delay_the_watch() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, &policy());
    until(&place.host, &["guardian_verdict{verdict=\"safe\"} 1"]);
    let oldest = |until: Instant| {
        let mut oldest = 0;
        while Instant::now() < until {
            let status = daemon.status();
            oldest = oldest.max(status["round_age_ms"].as_u64().unwrap_or(u64::MAX));
            assert_eq!((&status["breaker"], &status["daemon"]), (&"closed".into(), &"running".into()));
        }
        oldest
    };
    let quiet = oldest(Instant::now() + Duration::from_secs(4));
    let end = Instant::now() + Duration::from_secs(8);
    let flooded = thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| hostile(&place.host, end));
        }
        oldest(end)
    });
    println!("measured: the oldest look at rest {quiet} ms, while 24 flood the numbers {flooded} ms");
    // The flood and what asks for the status take their share of a small machine.
    assert!(flooded < quiet + 2500, "{quiet} {flooded} ms");
    until(&place.host, &["guardian_up 1"]);
}

#[test]
fn where_the_port_is_taken_the_watch_goes_on_and_a_reload_tries_again() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let taken = server(&place.host, User::Bob, "silent", "127.0.0.1", NUMBERS.port(), &[]);
    let daemon = Daemon::start(&place.host, User::Root, &policy());
    let said = |status: &serde_json::Value| status["degraded"].to_string().contains("metrics: ");
    let status = daemon.until("it says so", said);
    assert_eq!((&status["breaker"], &status["armed"]), (&"closed".into(), &true.into()), "{status:#}");
    assert!(daemon.process.printed().contains("metrics: "), "{}", daemon.process.printed());
    drop(taken);
    daemon.until("the port is free", |_| !place.host.listens(NUMBERS.port()));
    daemon.process.signal(Signal::SIGHUP);
    daemon.until("nothing is amiss", |status| !said(status));
    until(&place.host, &["guardian_up 1"]);
    let status = daemon.status();
    assert_eq!(status["breaker"], "closed", "{status:#}");
}

#[test]
fn where_standard_error_is_the_journal_its_lines_say_how_grave_they_are() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    // It has something to say.
    let _taken = server(&place.host, User::Bob, "silent", "127.0.0.1", NUMBERS.port(), &[]);
    let daemon = Daemon::start(&place.host, User::Root, &policy());
    let printed = daemon.process.printed();
    assert!(printed.contains("metrics: ") && !printed.contains("<4>"), "{printed}");
    daemon.kill();
    // What systemd tells whomever it starts: the device and inode of their standard error.
    let starts = "JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec /mnt/bin/guardian daemon";
    let mut command = Host::command("sh");
    let variables = guardian_command(User::Root);
    let variables = variables.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.args(["-c", starts]).envs(variables);
    let mut watcher = place.host.start(User::Root, &mut command);
    let begun = Instant::now();
    while !watcher.printed().contains('\n') {
        let ended = watcher.ends_or(Duration::from_millis(50), || false);
        assert!(!ended && begun.elapsed() < Duration::from_secs(40), "it says nothing (ended: {ended})");
    }
    let printed = watcher.printed();
    assert!(
        printed.lines().all(|line| line.starts_with("<4>")) && printed.contains("metrics: "),
        "{printed}"
    );
    watcher.signal(Signal::SIGTERM);
    assert!(watcher.ends_or(Duration::from_secs(40), || false), "it ends");
}
