//! Requests, as many as there can be or one at a time, and what a process spends meanwhile.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::ROUNDS;

/// A process on a core of its own, ended with the benchmark.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn on(core: &str, command: &mut Command) -> Self {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", core]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            pinned.env(name, value.unwrap());
        }
        Self(pinned.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Processor time so far, in microseconds.
    pub(crate) fn micros(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        ticks as f64 * 1e6 / 100.0
    }

    pub(crate) fn resident(&self) -> f64 {
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

pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) fn up(at: SocketAddr) {
    let begun = Instant::now();
    while TcpStream::connect(at).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody listens at {at}");
        sleep(Duration::from_millis(20));
    }
}

/// What wrk says, and what the proxy spent meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Microseconds of the proxy's processor a request.
    pub(crate) cost: f64,
}

pub(crate) fn load(at: SocketAddr, proxy: &Process, path: &str, fields: &[String], refused: bool) -> Load {
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

/// The median time of one request at a time, in microseconds: client, proxy and origin on one core, for between
/// two the wake-ups are all there is to see.
pub(crate) fn alone(at: SocketAddr, fields: &[String]) -> f64 {
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

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
