//! When the view itself fails, nothing is called safe.

use nix::sys::signal::Signal;

use crate::gateway::{LAN_9_6, SOUND_1_29, SOUND_9_6, Scene};
use crate::host::User;
use crate::place::{LAN, Place};
use crate::ready::Lab;
use crate::report::{Check, check};
use crate::seccomp::Refusal;

/// The gateway stands still for as long as this lives.
struct Stopped<'a>(&'a Scene);

impl<'a> Stopped<'a> {
    fn new(scene: &'a Scene) -> Self {
        scene.gateway.process.signal(Signal::SIGSTOP);
        Self(scene)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.gateway.process.signal(Signal::SIGCONT);
    }
}

#[test]
fn a_gateway_that_stands_still_is_not_called_safe() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let stopped = Stopped::new(&scene);
    let report = check(scene.host());
    report.is("blind");
    assert_eq!(report.gateways()[0]["access"], "unknown", "{report}");
    drop(stopped);
    check(scene.host()).is("safe");
}

#[test]
fn without_the_kernels_list_of_sockets_nothing_is_safe() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_1_29.hold(&lab);
    let report = Check::of(scene.host()).refused(Refusal::SocketTable).run();
    report.is("blind");
    let (outcome, reason) = report.probe("listeners");
    assert!(outcome == "blind" && !reason.is_empty(), "{report}");
    check(scene.host()).is("safe");
}

#[test]
fn without_a_canary_of_its_own_it_trusts_no_list() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_1_29.hold(&lab);
    let report = Check::of(scene.host()).refused(Refusal::Listen).run();
    report.is("blind");
    assert_eq!(report.probe("listeners").0, "blind", "{report}");
}

#[test]
fn a_host_without_a_gateway_is_not_safe_either_when_nothing_can_be_seen() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    Check::of(&place.host).refused(Refusal::SocketTable).run().is("blind");
}

#[test]
fn what_is_seen_in_spite_of_it_still_accuses() {
    let Some(lab) = Lab::open() else { return };
    let scene = LAN_9_6.hold(&lab);
    // No canary, so the list proves nothing safe; the gateway's port answers on the LAN all the same.
    let report = Check::of(scene.host()).refused(Refusal::Listen).run();
    report.is_not_safe();
    if report.verdict() == "exposed" {
        report.accuses("reachable-beyond-allowed", LAN);
    }
}

#[test]
fn where_processes_of_others_are_hidden_a_tunnel_may_be_among_them() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    for way in ["hidepid=1", "hidepid=2"] {
        host.run(User::Root, &["mount", "-o", &format!("remount,{way}"), "/proc"]);
        Check::of(host).by(User::Ana).run().is("blind").cannot_tell("the processes of other users");
        check(host).is("safe");
    }
    host.run(User::Root, &["mount", "-o", "remount,hidepid=0", "/proc"]);
    Check::of(host).by(User::Ana).run().is("safe");
}
