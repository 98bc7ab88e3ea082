//! The gate against nginx doing the same job, on one core each, in one run.
//!
//! Run by `cargo bench --bench gate`. Needs Linux with two cores, nginx and wrk (`tests/lab/install.sh`
//! installs them); without them it says so and ends. `HAProxy` and Caddy are measured beside where they are
//! installed, in a table of their own and without bars. The proxy has core 0, load and gateway have
//! core 1. Both check source, rate, host and token; the gate also checks the lease and the form of
//! every byte, and writes its log. Prints a table for docs/measurements.md and fails if a bar is missed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark fails by panicking, and its numbers are small"
)]

#[path = "../../tests/gate/gateway.rs"]
#[allow(dead_code, reason = "written for the tests")]
mod gateway;
mod load;
mod peers;
mod streams;
#[path = "../../tests/gate/watcher.rs"]
#[allow(dead_code, reason = "written for the tests")]
mod watcher;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use load::{Load, Process, alone, free, load, median, up};
use peers::{nginx, others};
use streams::{delay, echo, events, idle};

const ROUNDS: usize = 5;
const HOST: &str = "gate.test";

#[expect(clippy::too_many_lines, reason = "one table, top to bottom")]
fn main() {
    for tool in ["nginx", "wrk", "taskset"] {
        let there =
            Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status();
        if !there.unwrap().success() {
            println!("skipped: {tool} is not there: tests/lab/install.sh");
            return;
        }
    }
    let (soft, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let files = hard.min(20_000).max(soft);
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, files, hard).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("www")).unwrap();
    fs::write(path.join("www/1k"), vec![b'x'; 1024]).unwrap();
    fs::write(path.join("www/100k"), vec![b'x'; 100 * 1024]).unwrap();
    // Whoever runs nginx as root runs its workers as somebody else.
    Command::new("chmod").args(["-R", "a+rX"]).arg(path).status().unwrap();

    let (origin, front, door) = (free(), free(), free());
    let sockets = gateway::Gateway::start().at;
    let _origin = Process::on(
        "1",
        &mut nginx(
            path,
            "origin",
            &format!(
                "sendfile on; open_file_cache max=10; server {{ listen {origin}; root {}/www; }}",
                path.display()
            ),
        ),
    );
    let state = path.join("state");
    let _watcher = watcher::Watcher::at(&path.join("run"));
    let policy = |name: &str, upstream: SocketAddr, door: SocketAddr| {
        let file = path.join(name);
        let text = format!(
            "[gate]\nlisten = [\"{door}\"]\ngateway = \"{upstream}\"\nhosts = [\"{HOST}\"]\n\
             rate = {{ per_second = 1000000, burst = 1000000 }}\nrate_of_all = {{ per_second = 1000000, burst = 1000000 }}\n"
        );
        fs::write(&file, text).unwrap();
        file
    };
    let guardian = |config: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guardian"));
        command
            .env("GUARDIAN_STATE_DIR", &state)
            .env("GUARDIAN_RUNTIME_DIR", path.join("run"))
            .env("GUARDIAN_CONFIG", config);
        command
    };
    let config = policy("guardian.toml", origin, door);
    let made = guardian(&config).args(["token", "new", "bench"]).output().unwrap();
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let proxy = |port: SocketAddr, to: SocketAddr| {
        format!(
            "map_hash_bucket_size 256; map $http_authorization $authed {{ default 0; \"~^Bearer {token}$\" 1; }}\n\
             map $http_upgrade $conn {{ default upgrade; \"\" \"\"; }}\n\
             limit_req_zone $binary_remote_addr zone=rl:10m rate=1000000r/s; upstream app {{ server {to}; keepalive 128;\n\
             keepalive_requests 100000000; }}\n\
             server {{ listen {port} default_server backlog=4096; return 421; }}\n\
             server {{ listen {port}; server_name {HOST}; allow 127.0.0.0/8; deny all; limit_req zone=rl burst=100000 nodelay;\n\
             client_header_timeout 10s; if ($authed = 0) {{ return 401; }} proxy_http_version 1.1;\n\
             proxy_set_header Connection $conn; proxy_set_header Upgrade $http_upgrade; proxy_set_header Host $host;\n\
             proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header Authorization \"\";\n\
             location / {{ proxy_pass http://app; }} }}"
        )
    };
    let peer = Process::on("0", &mut nginx(path, "front", &proxy(front, origin)));
    let gate = Process::on("0", guardian(&config).arg("gate"));
    let others = others(path, &token, origin);
    let mut beside = Vec::new();
    for at in [origin, front, door] {
        up(at);
    }
    sleep(Duration::from_secs(1));
    let at_rest = gate.resident();

    let right = vec![format!("Host: {HOST}"), format!("Authorization: Bearer {token}")];
    let closing = [right.clone(), vec!["Connection: close".to_owned()]].concat();
    let wrong = vec![format!("Host: {HOST}")];
    println!("| what | nginx | gate | gate / nginx | bar |\n|---|---|---|---|---|");
    let mut missed = Vec::new();
    let mut row = |what: &str, peer: f64, gate: f64, bar: Option<(f64, bool)>| {
        let ratio = gate / peer;
        let shown = match bar {
            Some((bar, true)) => format!("at least {bar}"),
            Some((bar, false)) => format!("at most {bar}"),
            None => String::new(),
        };
        println!("| {what} | {peer:.1} | {gate:.1} | {ratio:.2} | {shown} |");
        if bar.is_some_and(|(bar, at_least)| if at_least { ratio < bar } else { ratio > bar }) {
            missed.push(what.to_owned());
        }
    };
    for (what, file, fields, refused, bar, cost_bar) in [
        ("1 KiB, 64 connections", "/1k", &right, false, Some(0.85), Some(1.2)),
        ("100 KiB, 64 connections", "/100k", &right, false, Some(1.1), None),
        ("1 KiB, a connection a request", "/1k", &closing, false, Some(0.95), None),
        ("refused with 401", "/1k", &wrong, true, Some(0.9), None),
    ] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(load(front, &peer, file, fields, refused));
            ours.push(load(door, &gate, file, fields, refused));
        }
        let of = |loads: &[Load], what: fn(&Load) -> f64| median(loads.iter().map(what).collect());
        let both = |what: fn(&Load) -> f64| (of(&theirs, what), of(&ours, what));
        let (peer, gate) = both(|load| load.per_second);
        row(&format!("{what}: requests a second"), peer, gate, bar.map(|bar| (bar, true)));
        let (peer, gate) = both(|load| load.cost);
        row(
            &format!("{what}: µs of the proxy's core a request"),
            peer,
            gate,
            cost_bar.map(|bar| (bar, false)),
        );
        let (peer, gate) = both(|load| load.p50);
        row(&format!("{what}: p50, µs"), peer, gate, None);
        let (peer, gate) = both(|load| load.p99);
        row(&format!("{what}: p99, µs"), peer, gate, None);
        for (name, at, process) in &others {
            let loads: Vec<Load> = (0..ROUNDS).map(|_| load(*at, process, file, fields, refused)).collect();
            let (speed, cost) = (of(&loads, |it| it.per_second), of(&loads, |it| it.cost));
            let (ours_speed, ours_cost) = (of(&ours, |it| it.per_second), of(&ours, |it| it.cost));
            beside.push(format!(
                "| {what} | {name} | {speed:.1} | {:.2} | {cost:.1} | {:.2} |",
                ours_speed / speed,
                ours_cost / cost
            ));
        }
    }
    drop((peer, gate, others));

    let begun = Instant::now();
    let (front, door, origin, telling) = (free(), free(), free(), events(begun));
    let config = policy("alone.toml", origin, door);
    let _origin = Process::on(
        "0",
        &mut nginx(
            path,
            "alone-origin",
            &format!(
                "sendfile on; open_file_cache max=10; server {{ listen {origin}; root {}/www; }}",
                path.display()
            ),
        ),
    );
    let peer = Process::on("0", &mut nginx(path, "alone", &proxy(front, origin)));
    let gate = Process::on("0", guardian(&config).arg("gate"));
    for at in [origin, front, door] {
        up(at);
    }
    sleep(Duration::from_secs(1));
    let (direct, theirs, ours) = (alone(origin, &right), alone(front, &right), alone(door, &right));
    drop((peer, gate));
    let door = free();
    let config = policy("events.toml", telling, door);
    let gate = Process::on("0", guardian(&config).arg("gate"));
    up(door);
    sleep(Duration::from_secs(1));
    let (straight, through) = (delay(telling, &token, begun), delay(door, &token, begun));
    drop(gate);
    println!(
        "| 1 KiB, one connection, all on one core: p50 beyond the origin's own, µs | {:.0} | {:.0} | | at most nginx's and 3 |",
        theirs - direct,
        ours - direct
    );
    println!(
        "| an event of a stream: p50 beyond the origin's own, µs | | {:.0} | | under 1000 |",
        through - straight
    );
    let slow = [("one request at a time", ours > theirs + 3.0), ("events", through - straight >= 1000.0)];

    let (front, door) = (free(), free());
    let config = policy("sockets.toml", sockets, door);
    let peer = Process::on("0", &mut nginx(path, "sockets", &proxy(front, sockets)));
    let gate = Process::on("0", guardian(&config).arg("gate"));
    up(front);
    up(door);
    sleep(Duration::from_secs(1));
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(echo(front, &token, &peer));
        ours.push(echo(door, &token, &gate));
    }
    row(
        "a WebSocket message there and back, 50 sockets: µs of the proxy's core",
        median(theirs),
        median(ours),
        Some((1.25, false)),
    );
    let (theirs, ours) = (idle(front, &token, &peer), idle(door, &token, &gate));
    row("memory of an idle WebSocket of 2,000, bytes", theirs, ours, None);
    println!("| resident at rest, MiB | | {:.1} | | at most 8 |", at_rest / 1024.0 / 1024.0);
    if ours > 8192.0 {
        missed.push("memory of an idle WebSocket (8 KiB)".to_owned());
    }
    if at_rest > 8.0 * 1024.0 * 1024.0 {
        missed.push("memory at rest".to_owned());
    }
    missed.extend(slow.iter().filter(|(_, is_slow)| *is_slow).map(|(what, _)| (*what).to_owned()));
    if !beside.is_empty() {
        println!(
            "\n| what | peer | requests a second | gate / peer | µs of its core a request | gate / peer |"
        );
        println!("|---|---|---|---|---|---|\n{}", beside.join("\n"));
    }
    assert!(missed.is_empty(), "bars missed: {missed:?}");
}
