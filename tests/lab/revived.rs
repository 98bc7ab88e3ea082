//! Supervisors that start the gateway again and again, at their own pace, over a stretch of time.
//!
//! The claim is about ten minutes. A run of all tests compresses them into 25 seconds for each
//! supervisor, both at the same time: the policy, the pace of the supervisors and that of the watcher
//! are those of the long run, it is only cut off earlier. By then the watcher's pauses between two
//! ends of the gateway have grown to half of their longest, a minute. `GUARDIAN_HOLD_SECONDS=600`
//! makes it the ten minutes.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::Daemon;
use crate::decoy::Decoy;
use crate::holding::used;
use crate::host::User;
use crate::knocking::{Knocks, knocked};
use crate::place::{LAN, Place, at};
use crate::ready::Lab;

const PORT: u16 = 18789;
/// Where the host's own command writes what it is told.
const TOLD: &str = "/mnt/lab/told.jsonl";
const POLICY: &str = "enforce = \"stop\"\n[half_open]\nrounds = 3\n[notify]\ndesktop = false\n\
                      command = [\"/bin/sh\", \"-c\", \"cat >> /mnt/lab/told.jsonl\"]\n";

fn stretch() -> Duration {
    let told = env::var("GUARDIAN_HOLD_SECONDS").ok();
    let seconds = told.map_or(25, |told| told.parse().expect("GUARDIAN_HOLD_SECONDS is a number of seconds"));
    assert!(seconds >= 10, "a stretch of {seconds} s shows nothing");
    Duration::from_secs(seconds)
}

/// A gateway on the LAN, behind the seal and then the wall, under a supervisor that waits so long.
fn is_held(pause: &str) {
    let place = Place::new();
    let daemon = Daemon::start(&place.host, User::Root, POLICY);
    daemon.is("closed");
    let ((watchdog, seconds, share), Knocks { tried, through }) =
        knocked(&place.outside, at(LAN, PORT), 1, || {
            let decoy = Decoy { user: User::Ana, at: SocketAddr::from(([0, 0, 0, 0], PORT)) };
            let watchdog = decoy.watched(&place.host, pause);
            daemon.is("open");
            daemon.until("the revival", |status| {
                status["trip"]["findings"].to_string().contains("revived-while-open")
            });
            let firewall = r#"{"barrier":"firewall","held":"yes"}"#;
            let walled = |status: &Value| status["trip"]["barriers"].to_string().contains(firewall);
            daemon.until("the wall", walled);
            let (before, begun) = (used(&place.host, daemon.process.pid()), Instant::now());
            while begun.elapsed() < stretch() {
                let status = daemon.status();
                assert_eq!(status["breaker"], "open", "{status:#}");
                assert!(walled(&status), "{status:#}");
                sleep(Duration::from_secs(1));
            }
            let seconds = begun.elapsed().as_secs_f64();
            let burnt = used(&place.host, daemon.process.pid()) - before;
            (watchdog, seconds, 100.0 * burnt / seconds)
        });
    let starts = watchdog.printed().matches("listening").count();
    let told = told(&place);
    println!(
        "measured: restarted {pause} s after each end, held for {seconds:.0} s: {through} of {tried} connections from \
         outside came through, {starts} starts, {share:.1} % of one core (debug build), {} notice of a trip",
        told.len()
    );
    assert!(tried > 500, "knocked {tried} times");
    assert_eq!(through, 0, "connections came through");
    assert!(starts >= 3, "it was started {starts} times");
    assert!(share < 50.0, "no busy loop: {share} % of one core");
    assert_eq!(told.len(), 1, "one notice, however often it comes back: {told:#?}");
    let trips = daemon.journal().iter().filter(|entry| entry["what"] == "tripped").count();
    assert_eq!(trips, 1, "one trip in the journal");
    let status = daemon.status();
    let findings = status["trip"]["findings"].as_array().unwrap();
    let revived: Vec<&Value> = findings.iter().filter(|it| it["rule"] == "revived-while-open").collect();
    let named = format!("bash (pid {}", watchdog.pid());
    assert!(
        revived.len() == 1 && revived[0]["subject"].as_str().unwrap().contains(&named),
        "{named}: {status:#}"
    );
}

/// The notices of trips that the owner's command was handed.
fn told(place: &Place) -> Vec<Value> {
    let text = fs::read_to_string(place.host.path(TOLD)).unwrap_or_default();
    let told = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    told.filter(|it| it["event"] == "tripped").collect()
}

#[test]
fn supervisors_that_restart_the_gateway_every_100_ms_and_every_5_s_are_held_named_and_told_once() {
    let Some(_lab) = Lab::open() else { return };
    thread::scope(|scope| {
        for pause in ["0.1", "5"] {
            scope.spawn(|| is_held(pause));
        }
    });
}
