//! The browser control of 2026.1.24, which asks nobody for credentials.

use crate::gateway::{PORT, SOUND_1_24};
use crate::http;
use crate::place::{LAN, LOOPBACK, at};
use crate::ready::Lab;
use crate::relay::forward;
use crate::report::check;

const BROWSER_CONTROL: u16 = PORT + 2;

#[test]
fn browser_control_on_loopback_is_a_warning() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_1_24.hold(&lab);
    let door = http::ask(scene.host(), at(LOOPBACK, BROWSER_CONTROL), "GET /", &[]).unwrap();
    assert!(door.status == 200 && door.text.contains("controlUrl"), "{door:?}");
    let report = check(scene.host());
    report.is("safe").notes("side-door-open", "warning", at(LOOPBACK, BROWSER_CONTROL));
    assert_eq!(report.exit, 1);
}

#[test]
fn browser_control_beyond_loopback_is_exposed() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_1_24.hold(&lab);
    let _socat = forward(scene.host(), 28791, "0.0.0.0", BROWSER_CONTROL);
    check(scene.host()).is("exposed").accuses("side-door-open", ":28791");
    let door = http::ask(scene.outside(), at(LAN, 28791), "GET /", &[]).unwrap();
    assert!(door.text.contains("controlUrl"), "it was up");
}
