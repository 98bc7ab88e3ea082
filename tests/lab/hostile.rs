//! Servers that want to hold, flood or mislead whoever asks them.

use std::time::Duration;

use crate::gateway::{LAN_9_6, PORT, SOUND_9_6};
use crate::host::User;
use crate::place::{LAN, at};
use crate::ready::Lab;
use crate::relay::server;
use crate::report::{Check, Report};

/// MiB.
const MEMORY: u64 = 200;
const TIME: Duration = Duration::from_secs(15);

#[track_caller]
fn is_bounded(report: &Report) {
    assert!(report.took < TIME && report.peak < MEMORY, "took too much\n{report}");
}

/// It is Bob's, it has nothing to do with the gateway, and root can see that.
fn beside_a_sound_gateway(mode: &str) {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let _server = server(scene.host(), User::Bob, mode, "0.0.0.0", 6666, &[]);
    let report = Check::of(scene.host()).run();
    is_bounded(report.is("safe"));
    // Ana cannot see whose it is; she may be in doubt, and must not be held.
    let report = Check::of(scene.host()).by(User::Ana).run();
    is_bounded(&report);
    assert_ne!(report.verdict(), "exposed", "{report}");
}

#[test]
fn a_page_without_an_end_holds_nobody() {
    beside_a_sound_gateway("endless-body");
}

#[test]
fn headers_without_an_end_hold_nobody() {
    beside_a_sound_gateway("endless-headers");
}

#[test]
fn a_server_that_drips_holds_nobody() {
    beside_a_sound_gateway("slow");
}

#[test]
fn redirects_in_a_circle_lead_nobody() {
    beside_a_sound_gateway("redirects");
}

#[test]
fn compressed_emptiness_fills_nobodys_memory() {
    beside_a_sound_gateway("gzip-bomb");
}

#[test]
fn a_server_that_never_answers_holds_nobody() {
    beside_a_sound_gateway("silent");
}

#[test]
fn ten_thousand_listeners_hold_nobody_and_hide_nothing() {
    let Some(lab) = Lab::open() else { return };
    let scene = LAN_9_6.hold(&lab);
    let _server = server(scene.host(), User::Bob, "many", "0.0.0.0", 20000, &["10000"]);
    for user in [User::Root, User::Ana] {
        let report = Check::of(scene.host()).by(user).run();
        is_bounded(report.is("exposed").accuses("reachable-beyond-allowed", at(LAN, PORT)));
    }
}
