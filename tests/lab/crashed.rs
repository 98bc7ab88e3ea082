//! The watcher dies as by a power cut, at every point at which it touches a file or the host.

use std::time::{Duration, Instant};

use crate::daemon::{Daemon, guardian, launch, state_file, status};
use crate::holding::{ON_THE_LAN, PORT, SOUND, STOPS, nobody_gets_through};
use crate::host::{Host, User};
use crate::place::{LAN, Place, at};
use crate::ready::Lab;
use crate::running::Running;

/// On the way into a trip.
const TRIP_POINTS: &[&str] = &[
    "lock-before",
    "lock-after",
    "save-open-before",
    "save-open-after",
    "record-tripped",
    "tell-before",
    "undo-before",
    "undo-after",
    "firewall-before",
    "firewall-after",
    "cut-after",
    "process-before",
    "endings-before",
    "endings-after",
    "process-after",
];

#[track_caller]
fn dies(doomed: &mut Running, point: &str) {
    assert!(doomed.ends_or(Duration::from_secs(20), || false), "it dies at {point}: {}", doomed.printed());
}

#[test]
fn a_watcher_that_dies_at_any_point_of_a_trip_blocks_again_as_soon_as_it_is_back() {
    let Some(_lab) = Lab::open() else { return };
    for point in TRIP_POINTS {
        let place = Place::new();
        let daemon = Daemon::start(&place.host, User::Root, STOPS);
        daemon.is("closed");
        daemon.kill();
        let mut doomed = launch(&place.host, User::Root, &[("GUARDIAN_CRASH_AT", point)]);
        let gateway = ON_THE_LAN.launch(&place.host);
        dies(&mut doomed, point);
        let locked = state_file(&place.host, User::Root, "breaker.lock").exists();
        assert!(locked || *point == "lock-before", "{point}: the lock comes first");
        let daemon = Daemon::restart(&place.host, User::Root, &[]);
        let status = daemon.holds();
        assert!(
            status["trip"]["findings"].to_string().contains("bound-beyond-allowed") || !locked,
            "{point}"
        );
        nobody_gets_through(&place.host, &place.outside, 1);
        drop(gateway);
        let (code, said) = daemon.guardian(User::Root, &["history", "--verify"]);
        assert_eq!(code, 0, "{point}: {said}");
    }
}

#[test]
fn a_watcher_of_a_user_that_dies_at_any_point_takes_the_port_as_soon_as_it_is_back() {
    let Some(_lab) = Lab::open() else { return };
    for point in ["port-before", "port-after", "process-before", "endings-after", "process-after"] {
        let place = Place::new();
        let daemon = Daemon::start(&place.host, User::Ana, STOPS);
        daemon.is("closed");
        daemon.kill();
        let mut doomed = launch(&place.host, User::Ana, &[("GUARDIAN_CRASH_AT", point)]);
        let _gateway = ON_THE_LAN.launch(&place.host);
        dies(&mut doomed, point);
        // The decoy may have been ended by then: what is asked is that nobody gets its port.
        let daemon = Daemon::restart(&place.host, User::Ana, &[]);
        daemon.until("the port", |_| place.host.holders(PORT) == [daemon.process.pid()]);
        daemon.holds();
    }
}

/// On the way back, and whether it may be closed after a crash there: only once that is on the disk.
const RETURN_POINTS: &[(&str, bool)] = &[
    ("save-half-open-before", false),
    ("save-half-open-after", false),
    ("record-recovery began", false),
    ("unlock-before", false),
    ("unlock-after", false),
    ("save-closed-before", false),
    ("save-closed-after", true),
    ("record-closed", true),
    ("wall-lower-before", true),
    ("wall-lower-after", true),
];

fn ruleset(host: &Host) -> String {
    host.run(User::Root, &["nft", "list", "ruleset"])
}

#[test]
fn a_watcher_that_dies_at_any_point_of_a_return_is_open_unless_the_close_was_written_down() {
    let Some(_lab) = Lab::open() else { return };
    for (point, may_be_closed) in RETURN_POINTS {
        let place = Place::new();
        let host = &place.host;
        let before = ruleset(host);
        let _gateway = SOUND.start(host);
        let daemon = Daemon::start(
            host,
            User::Root,
            "seal = false\n[half_open]\nrounds = 1\n[notify]\ndesktop = false\n",
        );
        daemon.is("closed");
        daemon.guardian(User::Root, &["trip"]);
        daemon.holds();
        daemon.kill();
        let mut doomed = launch(host, User::Root, &[("GUARDIAN_CRASH_AT", point)]);
        let begun = Instant::now();
        // The owner goes on until it dies.
        while !doomed.ends_or(Duration::from_millis(50), || false) {
            let wanted = if status(host, User::Root)["breaker"] == "half-open" { "close" } else { "recover" };
            guardian(host, User::Root, User::Root, &[wanted, "--yes"]);
            assert!(begun.elapsed() < Duration::from_secs(30), "it dies at {point}: {}", doomed.printed());
        }
        let daemon = Daemon::restart(host, User::Root, &[]);
        let circuit = daemon.status()["breaker"].clone();
        assert!(circuit == "open" || (*may_be_closed && circuit == "closed"), "{point}: {circuit}");
        if circuit == "open" {
            daemon.holds();
            assert!(daemon.state("breaker.lock").exists(), "{point}: supervisors look at the lock");
            assert!(!place.outside.reaches(at(LAN, PORT)));
            daemon.recovers_and_closes();
        }
        assert!(!daemon.state("breaker.lock").exists(), "{point}");
        daemon.until("the packet filter as before", |_| ruleset(host) == before);
        let (code, said) = daemon.guardian(User::Root, &["history", "--verify"]);
        assert_eq!(code, 0, "{point}: {said}");
    }
}
