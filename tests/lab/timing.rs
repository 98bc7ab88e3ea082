//! How soon an exposure is seen and blocked, and what a watcher costs while nothing happens. The
//! figures are printed; `docs/measurements.md` keeps them. What is asserted is that every exposure
//! is blocked, with bounds that a busy machine keeps too.

use std::net::SocketAddr;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, state_file};
use crate::decoy::Decoy;
use crate::gateway::{PORT, SOUND_9_6};
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, Place, at};
use crate::ready::Lab;
use crate::relay::{forward, nginx, proxy_to};
use crate::running::Running;

/// No seal, and recoveries as short as they can be.
const SHORT_RECOVERIES: &str = "seal = false\n[half_open]\nrounds = 1\n[notify]\ndesktop = false\n";

/// When the lock was on the disk, and when the last connection from outside came through.
struct Times {
    lock: Duration,
    refused: Duration,
}

/// A forwarder is another program, whose port stays its own: what ends is what it hands on.
fn answered(from: &Host, door: SocketAddr) -> bool {
    matches!(http::call(from, door), Ok(400 | 401 | 403))
}

/// Exposes something and watches what becomes of it from outside.
fn expose(
    host: &Host,
    outside: &Host,
    door: SocketAddr,
    through: fn(&Host, SocketAddr) -> bool,
    expose: impl FnOnce() -> Running,
) -> (Times, Running) {
    let lock = state_file(host, User::Root, "breaker.lock");
    assert!(!lock.exists());
    let begun = Instant::now();
    thread::scope(|scope| {
        let locked = scope.spawn(|| {
            while !lock.exists() {
                assert!(begun.elapsed() < Duration::from_secs(40), "no lock");
                sleep(Duration::from_micros(500));
            }
            Instant::now()
        });
        let knocking = scope.spawn(|| {
            let (mut first, mut last) = (None, None);
            while begun.elapsed() < Duration::from_secs(40) {
                if through(outside, door) {
                    last = Some(Instant::now());
                    first = first.or(last);
                } else if lock.exists() && last.is_none_or(|last| last.elapsed() > Duration::from_secs(1)) {
                    break;
                }
                sleep(Duration::from_millis(1));
            }
            (first, last)
        });
        let running = expose();
        let locked = locked.join().unwrap();
        let (first, last) = knocking.join().unwrap();
        // The exposure begins when the first connection comes through; if none ever did, with the lock.
        let exposed = first.unwrap_or(locked).min(locked);
        let times = Times {
            lock: locked.duration_since(exposed),
            refused: last.map_or(Duration::ZERO, |last| last.duration_since(exposed)),
        };
        (times, running)
    })
}

fn percentiles(what: &str, times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = |share: usize| sorted[(sorted.len() * share / 100).min(sorted.len() - 1)];
    println!(
        "measured: {what}: p50 {:?}, p99 {:?}, max {:?} of {}",
        at(50),
        at(99),
        sorted[sorted.len() - 1],
        sorted.len()
    );
    at(99)
}

#[test]
fn fifty_exposures_are_all_seen_and_blocked() {
    let Some(alone) = Lab::alone() else { return };
    let (mut locks, mut refusals) = (Vec::new(), Vec::new());
    let mut keep = |times: &Times| {
        locks.push(times.lock);
        refusals.push(times.refused);
    };
    {
        let scene = SOUND_9_6.hold(&alone);
        let daemon = Daemon::start(scene.host(), User::Root, SHORT_RECOVERIES);
        for turn in 0..15 {
            let begun = Instant::now();
            daemon.until("a lease", |status| !status["lease"].is_null());
            let (times, running) = expose(scene.host(), scene.outside(), at(LAN, 29999), answered, || {
                forward(scene.host(), 29999, "0.0.0.0", PORT)
            });
            keep(&times);
            drop(running);
            daemon.until("socat gone", |_| !scene.host().listens(29999));
            daemon.recovers_and_closes();
            daemon.until("a lease", |status| !status["lease"].is_null());
            let (times, running) = expose(scene.host(), scene.outside(), at(LAN, 8088), answered, || {
                nginx(scene.host(), 8088, &format!("listen 0.0.0.0:8088; {}", proxy_to(PORT, "")))
            });
            keep(&times);
            drop(running);
            daemon.until("nginx gone", |_| !scene.host().listens(8088));
            daemon.recovers_and_closes();
            println!("turn {turn}: {:?}", begun.elapsed());
        }
    }
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, SHORT_RECOVERIES);
    for turn in 0..20 {
        daemon.until("a lease", |status| !status["lease"].is_null());
        // The same port and another one in turn.
        let port = if turn % 2 == 0 { PORT } else { 4000 + turn };
        let decoy = Decoy { user: User::Ana, at: SocketAddr::from(([0, 0, 0, 0], port)) };
        let (times, running) =
            expose(&place.host, &place.outside, at(LAN, port), Host::reaches, || decoy.start(&place.host));
        keep(&times);
        drop(running);
        daemon.until("the decoy gone", |_| !place.host.listens(port));
        // The owner mends its configuration too.
        Decoy { at: SocketAddr::from(([127, 0, 0, 1], port)), ..decoy }.furnish(&place.host);
        daemon.recovers_and_closes();
    }
    assert_eq!(locks.len(), 50);
    let lock = percentiles("exposure to lock on disk", &locks);
    let refused = percentiles("exposure to refused from another host", &refusals);
    assert!(lock < Duration::from_secs(2) && refused < Duration::from_secs(2));
}

#[test]
fn a_watcher_at_rest_costs_little() {
    let Some(alone) = Lab::alone() else { return };
    let scene = SOUND_9_6.hold(&alone);
    let daemon = Daemon::start(scene.host(), User::Root, "[notify]\ndesktop = false\n");
    daemon.until("a lease", |status| !status["lease"].is_null());
    sleep(Duration::from_secs(5));
    let pid = daemon.process.pid();
    let read =
        |name: &str| std::fs::read_to_string(scene.host().path(&format!("/proc/{pid}/{name}"))).unwrap();
    let ticks = || {
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // Its own time and that of the tools it has run: proc_pid_stat(5), fields 14 to 17.
        fields[11..15].iter().map(|field| field.parse::<f64>().unwrap()).sum::<f64>()
    };
    let (before, begun) = (ticks(), Instant::now());
    sleep(Duration::from_secs(20));
    let share = (ticks() - before) / begun.elapsed().as_secs_f64();
    let resident: u64 = read("status")
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap();
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!("measured: at rest {share:.2} % of one core, {resident} kB resident ({build} build)");
    // The bars are those of a release build; a debug build is several times slower and larger.
    let slack = if cfg!(debug_assertions) { (20.0, 4) } else { (1.0, 1) };
    assert!(share < 0.5 * slack.0, "{share} %");
    assert!(resident < 16 * 1024 * slack.1, "{resident} kB");
}
