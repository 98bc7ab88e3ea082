//! Gateways that tell the local network of themselves.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::gateway::{PORT, SOUND_1_24, SOUND_1_29, SOUND_9_6, Shared};
use crate::host::{Host, User};
use crate::ready::Lab;
use crate::report::{Check, Report};
use crate::running::Running;

/// The host's address in a second network, and its neighbour's.
const OWN: &str = "10.88.0.2";
const NEIGHBOUR: &str = "10.88.0.1";

/// A network with a neighbour who hears what is announced there. It is on a bridge: the gateways'
/// responder does not know a card by the name that `ip` gives one end of a wire.
struct Wire<'a> {
    host: &'a Host,
    heard: Running,
    // Dropped last: what runs on it is waited for first.
    _neighbour: Host,
}

impl<'a> Wire<'a> {
    fn to(host: &'a Host) -> Self {
        let neighbour = Host::new();
        let ip = |host: &Host, line: &str| {
            let command: Vec<&str> = std::iter::once("ip").chain(line.split(' ')).collect();
            host.run(User::Root, &command);
        };
        host.wire("wire", &neighbour, "eth0");
        ip(host, "link add wifi type bridge");
        ip(host, "link set wire master wifi");
        ip(host, &format!("addr add {OWN}/24 dev wifi"));
        ip(host, "link set wifi up");
        ip(&neighbour, &format!("addr add {NEIGHBOUR}/24 dev eth0"));
        let mut command = Host::command("/usr/bin/python3");
        command.args(["/mnt/scripts/group.py", NEIGHBOUR]);
        let heard = neighbour.start(User::Root, &mut command);
        Self { host, heard, _neighbour: neighbour }
    }
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        self.host.run(User::Root, &["ip", "link", "del", "wifi"]);
    }
}

#[track_caller]
fn announces(shared: &'static Shared, kind: &str, tells: &str) {
    let Some(lab) = Lab::open() else { return };
    let scene = shared.hold(&lab);
    let host = scene.host();
    let mut wire = Wire::to(host);
    // The gateway looks for new networks every quarter of a minute, and says in each that it is there.
    let from = format!("from {OWN} 5353");
    let heard = |wire: &Wire<'_>| wire.heard.printed().lines().any(|line| line == from);
    let begun = Instant::now();
    while !heard(&wire) {
        let ended = wire.heard.ends_or(Duration::from_millis(100), || false);
        assert!(!ended && begun.elapsed() < Duration::from_mins(2), "{}", wire.heard.printed());
    }
    let holder = host.holders(PORT)[0];
    let warns = |report: &Report, about: &dyn Display| {
        report.is("safe").notes("announced", "warning", kind).notes("announced", "warning", about);
    };
    // It asks first whether its name is free, and is silent meanwhile.
    let mut report = Check::of(host).run();
    while !report.has("announced", "warning", "yes", OWN) && begun.elapsed() < Duration::from_mins(3) {
        report = Check::of(host).run();
    }
    warns(&report, &format!("(pid {holder}"));
    warns(&report, &OWN);
    warns(&report, &tells);
    // Whoever cannot see whose the port is hears it all the same.
    warns(&Check::of(host).by(User::Ana).run(), &OWN);
    warns(&Check::of(host).by(User::Ana).run(), &format!("port {PORT}"));
    // What the network hears comes from the gateway's port, none of it from a question of Guardian's.
    for line in wire.heard.printed().lines().filter(|line| line.starts_with("from")) {
        assert!(line.ends_with(" 5353"), "{line}");
    }
}

#[test]
fn a_gateway_of_2026_1_24_on_loopback_tells_the_network_where_its_program_lies() {
    announces(&SOUND_1_24, "_clawdbot-gw._tcp", "cliPath");
}

#[test]
fn a_gateway_of_2026_1_29_on_loopback_tells_the_network_that_it_is_there() {
    announces(&SOUND_1_29, "_openclaw-gw._tcp", "displayName");
}

#[test]
fn a_gateway_of_2026_9_6_tells_nobody() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    for user in [User::Root, User::Ana] {
        let report = Check::of(scene.host()).by(user).run();
        report.is("safe").is_silent_about("announced");
        assert_eq!(report.probe("announcements").0, "seen", "{report}");
    }
}
