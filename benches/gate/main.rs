//! The gate against nginx doing the same job, on one core each, in one run.
//!
//! Run by `cargo bench --bench gate`, or by `cargo bench --bench gate -- PART` with one of [`PARTS`]. Needs Linux
//! with two cores, nginx and wrk (`tests/lab/install.sh` installs them); without them it says so and ends. `HAProxy`
//! and Caddy are measured beside where they are installed, in a table of their own and without bars. Under load the
//! proxy has core 0, load and gateway have core 1. Both check source, rate, host and token; the gate also checks the
//! lease and the form of every byte, and writes its log. Prints a table for docs/measurements.md and fails if a bar
//! is missed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark fails by panicking, and its numbers are small"
)]

mod alone;
#[path = "../../tests/gate/gateway.rs"]
#[allow(dead_code, reason = "written for the tests")]
mod gateway;
mod load;
mod peers;
mod process;
mod scene;
mod streams;
mod table;
#[path = "../../tests/gate/watcher.rs"]
#[allow(dead_code, reason = "written for the tests")]
mod watcher;

use std::process::{Command, Stdio};

use scene::Scene;
use table::Table;

const ROUNDS: usize = 9;
const HOST: &str = "gate.test";

type Measure = fn(&Scene, &mut Table);

/// What can be measured by itself.
const PARTS: [(&str, Measure); 4] = [
    ("load", load::under_load),
    ("alone", alone::one_at_a_time),
    ("events", streams::an_event),
    ("sockets", streams::sockets),
];

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
    // Cargo adds options of its own.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let parts: Vec<_> =
        PARTS.into_iter().filter(|(name, _)| wanted.as_deref().is_none_or(|it| it == *name)).collect();
    assert!(!parts.is_empty(), "there is no such part: {wanted:?}");
    let scene = Scene::new();
    let mut table = Table::begin();
    for (_, measure) in parts {
        measure(&scene, &mut table);
    }
    table.end();
}
