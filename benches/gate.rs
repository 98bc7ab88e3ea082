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

#[path = "../tests/gate/gateway.rs"]
#[allow(dead_code, reason = "written for the tests")]
mod gateway;
#[path = "../tests/gate/watcher.rs"]
#[allow(dead_code, reason = "written for the tests")]
mod watcher;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const HOST: &str = "gate.test";
const SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A process on a core of its own, ended with the benchmark.
struct Process(Child);

impl Process {
    fn on(core: &str, command: &mut Command) -> Self {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", core]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            pinned.env(name, value.unwrap());
        }
        Self(pinned.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Processor time so far, in microseconds.
    fn micros(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        ticks as f64 * 1e6 / 100.0
    }

    fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn up(at: SocketAddr) {
    let begun = Instant::now();
    while TcpStream::connect(at).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody listens at {at}");
        sleep(Duration::from_millis(20));
    }
}

/// What wrk says, and what the proxy spent meanwhile.
#[derive(Debug, Clone, Copy)]
struct Load {
    per_second: f64,
    p50: f64,
    p99: f64,
    /// Microseconds of the proxy's processor a request.
    cost: f64,
}

fn load(at: SocketAddr, proxy: &Process, path: &str, fields: &[String], refused: bool) -> Load {
    let before = proxy.micros();
    let mut command = Command::new("taskset");
    command.args(["-c", "1", "wrk", "-t1", "-c64", "-d3s", "--latency"]);
    for field in fields {
        command.args(["-H", field]);
    }
    let output = command.arg(format!("http://{at}{path}")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.contains("Non-2xx"), refused, "{text}");
    let after = |label: &str| {
        let line = text.lines().find(|line| line.trim().starts_with(label));
        line.unwrap_or_else(|| panic!("{label}: {text}")).split_whitespace().nth(1).unwrap().to_owned()
    };
    let requests: f64 = text
        .lines()
        .find(|line| line.contains("requests in"))
        .and_then(|line| line.split_whitespace().next())
        .unwrap()
        .parse()
        .unwrap();
    Load {
        per_second: after("Requests/sec:").parse().unwrap(),
        p50: micros(&after("50%")),
        p99: micros(&after("99%")),
        cost: (proxy.micros() - before) / requests,
    }
}

/// A time as wrk prints it, in microseconds.
fn micros(value: &str) -> f64 {
    let split = value.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let scale = match &value[split..] {
        "us" => 1.0,
        "ms" => 1e3,
        _ => 1e6,
    };
    value[..split].parse::<f64>().unwrap() * scale
}

/// The median latency that wrk prints.
fn median_of(text: &str) -> f64 {
    let line = text.lines().find(|line| line.trim().starts_with("50%")).unwrap_or_else(|| panic!("{text}"));
    micros(line.split_whitespace().nth(1).unwrap())
}

/// Opens a WebSocket through a proxy and waits for the gateway's first frame.
fn socket(at: SocketAddr, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n{SOCKET}\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while !answer.ends_with(b"\x81\x02hi") {
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..count]);
    }
    stream
}

/// Microseconds of the proxy's processor a message, over fifty sockets.
fn echo(at: SocketAddr, token: &str, proxy: &Process) -> f64 {
    let mut sockets: Vec<TcpStream> = (0..50).map(|_| socket(at, token)).collect();
    let (before, begun) = (proxy.micros(), Instant::now());
    let mut messages = 0.0;
    let mut part = [0; 4];
    while begun.elapsed() < Duration::from_secs(3) {
        for stream in &mut sockets {
            stream.write_all(b"\x81\x82\x01\x02\x03\x04ab").unwrap();
        }
        for stream in &mut sockets {
            stream.read_exact(&mut part).unwrap();
            messages += 1.0;
        }
    }
    (proxy.micros() - before) / messages
}

/// Bytes of the proxy's memory for each of two thousand WebSockets that say nothing.
fn idle(at: SocketAddr, token: &str, proxy: &Process) -> f64 {
    let before = proxy.resident();
    let sockets: Vec<TcpStream> = (0..2000).map(|_| socket(at, token)).collect();
    sleep(Duration::from_millis(500));
    let each = (proxy.resident() - before) / 2000.0;
    drop(sockets);
    each
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn nginx(folder: &Path, name: &str, body: &str) -> Command {
    let file = folder.join(format!("{name}.conf"));
    let text = format!(
        "daemon off; master_process off; pid {f}/{name}.pid; error_log {f}/{name}.err;\n\
         events {{ worker_connections 10000; multi_accept on; }}\n\
         http {{ access_log off; keepalive_timeout 300s; keepalive_requests 100000000; tcp_nodelay on;\n\
         client_body_temp_path {f}/b; proxy_temp_path {f}/p; fastcgi_temp_path {f}/f; uwsgi_temp_path {f}/u;\n\
         scgi_temp_path {f}/s; {body} }}\n",
        f = folder.display()
    );
    fs::write(&file, text).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&file);
    command
}

/// The median time of one request at a time, in microseconds: client, proxy and origin on one core, for between
/// two the wake-ups are all there is to see.
fn alone(at: SocketAddr, fields: &[String]) -> f64 {
    let once = || {
        let mut command = Command::new("taskset");
        command.args(["-c", "0", "wrk", "-t1", "-c1", "-d2s", "--latency"]);
        for field in fields {
            command.args(["-H", field]);
        }
        let output = command.arg(format!("http://{at}/1k")).output().unwrap();
        median_of(&String::from_utf8_lossy(&output.stdout))
    };
    median((0..ROUNDS).map(|_| once()).collect())
}

/// A server of events, each of which says when it was told, in nanoseconds since `begun`.
fn events(begun: Instant) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
                while writeln!(stream, "data: {}\n", begun.elapsed().as_nanos()).is_ok() {
                    sleep(Duration::from_millis(5));
                }
            });
        }
    });
    at
}

/// The median time from the telling of an event to its coming, in microseconds.
fn delay(at: SocketAddr, token: &str, begun: Instant) -> f64 {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let told = lines.filter_map(|line| line.strip_prefix("data: ")?.parse::<f64>().ok());
    let delays = told.skip(20).take(300).map(|told| (begun.elapsed().as_nanos() as f64 - told) / 1e3);
    median(delays.collect())
}

/// Another program that does the same job, where it is installed.
fn other(
    name: &'static str,
    at: SocketAddr,
    folder: &Path,
    text: &str,
    begin: &[&str],
) -> Option<(&'static str, SocketAddr, Process)> {
    let there = Command::new(name).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    there.ok()?;
    let file = folder.join(format!("{name}.conf"));
    fs::write(&file, text).unwrap();
    let mut command = Command::new(name);
    // Of one core each, too.
    command.args(begin).arg(file).env("GOMAXPROCS", "1").env("XDG_DATA_HOME", folder);
    let process = Process::on("0", &mut command);
    up(at);
    Some((name, at, process))
}

/// `HAProxy` and Caddy: source, rate where it can, host and token, and connections to the origin kept.
fn others(folder: &Path, token: &str, origin: SocketAddr) -> Vec<(&'static str, SocketAddr, Process)> {
    let (haproxy, caddy) = (free(), free());
    let text = format!(
        "global\n nbthread 1\n maxconn 4000\ndefaults\n mode http\n timeout connect 5s\n timeout client 75s\n\
         timeout server 600s\n timeout http-request 10s\n http-reuse always\nfrontend f\n bind {haproxy} backlog 4096\n\
         stick-table type ip size 100k expire 30s store http_req_rate(1s)\n http-request track-sc0 src\n\
         http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 1000000 }}\n\
         http-request deny deny_status 403 unless {{ src 127.0.0.0/8 }}\n\
         http-request deny deny_status 404 unless {{ hdr(host) -i {HOST} }}\n\
         http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str \"Bearer {token}\" }}\n\
         http-request del-header authorization\n http-request set-header X-Forwarded-For %[src]\n\
         default_backend b\nbackend b\n server s {origin}\n"
    );
    let haproxy = other("haproxy", haproxy, folder, &text, &["-f"]);
    let text = format!(
        "{{\n admin off\n auto_https off\n}}\nhttp://{HOST}:{port} {{\n bind 127.0.0.1\n\
         @stranger not remote_ip 127.0.0.0/8\n respond @stranger 403\n\
         @unknown not header Authorization \"Bearer {token}\"\n respond @unknown 401\n\
         reverse_proxy {origin} {{\n header_up -Authorization\n}}\n}}\n",
        port = caddy.port()
    );
    let caddy = other("caddy", caddy, folder, &text, &["run", "--adapter", "caddyfile", "--config"]);
    [haproxy, caddy].into_iter().flatten().collect()
}

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
