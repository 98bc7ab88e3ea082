//! As many requests as there can be, from 64 connections.

use std::net::SocketAddr;
use std::process::Command;

use crate::peers::others;
use crate::process::{Process, free, median, settled};
use crate::scene::Scene;
use crate::table::{Bar, Table};
use crate::{HOST, ROUNDS};

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
    command.args(["-c", "1", "wrk", "-t1", "-c64", "-d2s", "--latency"]);
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
pub(crate) fn micros(value: &str) -> f64 {
    let split = value.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let scale = match &value[split..] {
        "us" => 1.0,
        "ms" => 1e3,
        _ => 1e6,
    };
    value[..split].parse::<f64>().unwrap() * scale
}

pub(crate) fn under_load(scene: &Scene, table: &mut Table) {
    let (origin, front, door) = (free(), free(), free());
    let _origin = scene.origin("1", origin);
    let peer = scene.nginx("front", front, origin);
    let gate = scene.gate("guardian", door, origin);
    let others = others(scene.path(), &scene.token, origin);
    settled(&[origin, front, door]);
    let at_rest = gate.resident() / 1024.0 / 1024.0;

    let right = scene.right();
    let closing = [right.clone(), vec!["Connection: close".to_owned()]].concat();
    let wrong = vec![format!("Host: {HOST}")];
    for (what, file, fields, refused, bar, cost_bar) in [
        ("1 KiB, 64 connections", "/1k", &right, false, 0.85, Bar::AtMost(1.2)),
        ("100 KiB, 64 connections", "/100k", &right, false, 1.1, Bar::None),
        ("1 KiB, a connection a request", "/1k", &closing, false, 0.95, Bar::None),
        ("refused with 401", "/1k", &wrong, true, 0.9, Bar::None),
    ] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(load(front, &peer, file, fields, refused));
            ours.push(load(door, &gate, file, fields, refused));
        }
        let each = |loads: &[Load], what: fn(&Load) -> f64| loads.iter().map(what).collect::<Vec<f64>>();
        let of = |loads: &[Load], what: fn(&Load) -> f64| median(each(loads, what));
        let mut row = |unit: &str, number: fn(&Load) -> f64, bar: Bar| {
            table.ratio(&format!("{what}: {unit}"), &each(&theirs, number), &each(&ours, number), bar);
        };
        row("requests a second", |it| it.per_second, Bar::AtLeast(bar));
        row("µs of the proxy's core a request", |it| it.cost, cost_bar);
        row("p50, µs", |it| it.p50, Bar::None);
        row("p99, µs", |it| it.p99, Bar::None);
        for (name, at, process) in &others {
            let loads: Vec<Load> = (0..ROUNDS).map(|_| load(*at, process, file, fields, refused)).collect();
            let (speed, cost) = (of(&loads, |it| it.per_second), of(&loads, |it| it.cost));
            let (ours_speed, ours_cost) = (of(&ours, |it| it.per_second), of(&ours, |it| it.cost));
            table.beside.push(format!(
                "| {what} | {name} | {speed:.1} | {:.2} | {cost:.1} | {:.2} |",
                ours_speed / speed,
                ours_cost / cost
            ));
        }
    }
    table.number("resident at rest, MiB", None, at_rest, Bar::AtMost(8.0));
}
