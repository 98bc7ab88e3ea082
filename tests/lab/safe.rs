//! Sound gateways: nobody is alarmed.

use crate::gateway::{SOUND_1_24, SOUND_1_29, SOUND_9_6, Scene, Setup, Shared, Version};
use crate::host::User;
use crate::place::Place;
use crate::ready::Lab;
use crate::report::{Check, Report, check};

/// The one gateway of a report is this one: product, user, process, sockets, and closed.
#[track_caller]
pub(crate) fn lists(report: &Report, scene: &Scene) {
    let setup = &scene.gateway.setup;
    let holders = scene.host().holders(setup.port);
    assert_eq!(holders.len(), 1, "one process holds a gateway's port");
    let listed = report.gateways();
    assert!(listed.len() == 1, "one gateway\n{report}");
    let listed = &listed[0];
    let faces = [format!("127.0.0.1:{}", setup.port), format!("[::1]:{}", setup.port)];
    let sockets = listed["listeners"].as_array().unwrap();
    assert!(
        listed["product"] == setup.version.product()
            && listed["user"] == setup.user.name()
            && listed["pid"] == holders[0]
            && listed["access"] == "required"
            && faces.iter().all(|face| sockets.iter().any(|socket| socket == face.as_str())),
        "expected {} of {} as process {} on {faces:?}, closed\n{report}",
        setup.version.product(),
        setup.user.name(),
        holders[0]
    );
}

fn a_sound_gateway_is_safe(shared: &'static Shared) {
    let Some(lab) = Lab::open() else { return };
    let scene = shared.hold(&lab);
    let report = check(scene.host());
    report.is("safe").is_silent_about("gateway-as-root");
    lists(&report, &scene);
    // Its owner sees as much as root does.
    let report = Check::of(scene.host()).by(User::Ana).run();
    report.is("safe");
    lists(&report, &scene);
}

#[test]
fn a_gateway_of_2026_1_24_on_loopback_with_a_token_is_safe() {
    a_sound_gateway_is_safe(&SOUND_1_24);
}

#[test]
fn a_gateway_of_2026_1_29_on_loopback_with_a_token_is_safe() {
    a_sound_gateway_is_safe(&SOUND_1_29);
}

#[test]
fn a_gateway_of_2026_9_6_on_loopback_with_a_token_is_safe() {
    a_sound_gateway_is_safe(&SOUND_9_6);
}

#[test]
fn a_gateway_that_runs_as_root_earns_a_warning_and_stays_safe() {
    let Some(_lab) = Lab::open() else { return };
    let scene = Scene::new(&Setup::sound(Version::V2026_9_6).of(User::Root));
    let report = check(scene.host());
    report.is("safe").notes("gateway-as-root", "warning", "");
    assert_eq!(report.exit, 1);
    lists(&report, &scene);
}

#[test]
fn a_host_without_a_gateway_is_safe_and_lists_none() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    for user in [User::Root, User::Ana] {
        let report = Check::of(&place.host).by(user).run();
        report.is("safe");
        assert_eq!((report.exit, report.gateways().len()), (0, 0), "{report}");
    }
}

#[test]
fn two_gateways_at_once_are_both_listed() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_1_24.hold(&lab);
    let late = Setup::sound(Version::V2026_9_6).on_port(28789).of(User::Bob).start(scene.host());
    let report = check(scene.host());
    report.is("safe");
    let mut listed: Vec<_> = report
        .gateways()
        .iter()
        .map(|gateway| (gateway["product"].as_str(), gateway["user"].as_str(), gateway["pid"].as_u64()))
        .collect();
    listed.sort_unstable();
    let pid = |port| scene.host().holders(port).first().copied().map(u64::from);
    let expected = [
        (Some("clawdbot"), Some("ana"), pid(scene.gateway.setup.port)),
        (Some("openclaw"), Some("bob"), pid(late.setup.port)),
    ];
    assert!(listed == expected, "expected {expected:?}\n{report}");
}
