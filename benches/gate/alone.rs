//! One request at a time: client, proxy and origin on one core, for between two the wake-ups are all there is to see.

use std::net::SocketAddr;
use std::process::Command;

use crate::ROUNDS;
use crate::load::micros;
use crate::process::{free, median, settled};
use crate::scene::Scene;
use crate::table::{Bar, Table};

/// The median time of a request, in microseconds.
fn once(at: SocketAddr, fields: &[String]) -> f64 {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", "wrk", "-t1", "-c1", "-d2s", "--latency"]);
    for field in fields {
        command.args(["-H", field]);
    }
    let output = command.arg(format!("http://{at}/1k")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.trim().starts_with("50%")).unwrap_or_else(|| panic!("{text}"));
    micros(line.split_whitespace().nth(1).unwrap())
}

pub(crate) fn one_at_a_time(scene: &Scene, table: &mut Table) {
    let (origin, front, door) = (free(), free(), free());
    let _origin = scene.origin("0", origin);
    let _peer = scene.nginx("alone", front, origin);
    let _gate = scene.gate("alone", door, origin);
    settled(&[origin, front, door]);
    let right = scene.right();
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (times, at) in times.iter_mut().zip([origin, front, door]) {
            times.push(once(at, &right));
        }
    }
    let [direct, theirs, ours] = times.map(median);
    table.number(
        "1 KiB, one connection, all on one core: p50 beyond the origin's own, µs",
        Some(theirs - direct),
        ours - direct,
        Bar::AtMost(theirs - direct + 3.0),
    );
}
