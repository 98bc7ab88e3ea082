//! A gateway on every address of the host: exposed, token or not.

use serde_json::json;

use crate::gateway::{LAN_9_6, Scene, Setup, Version};
use crate::http;
use crate::place::{LAN, at};
use crate::ready::Lab;
use crate::report::check;

/// The neighbour reaches it, and the check says so.
#[track_caller]
fn is_exposed(scene: &Scene) {
    let setup = &scene.gateway.setup;
    let face = at(LAN, setup.port);
    assert_eq!(http::call(scene.outside(), face).unwrap(), 401, "the neighbour reaches it");
    let report = check(scene.host());
    report
        .is("exposed")
        .accuses("bound-beyond-allowed", format!("0.0.0.0:{}", setup.port))
        .accuses("bound-beyond-allowed", LAN)
        .accuses("reachable-beyond-allowed", face)
        .is_silent_about("open-without-credentials");
    let listed = &report.gateways()[0];
    assert!(
        listed["product"] == setup.version.product()
            && listed["access"] == "required"
            && listed["pid"] == scene.host().holders(setup.port)[0],
        "{report}"
    );
}

#[test]
fn a_gateway_of_2026_1_24_on_the_lan_is_exposed_though_it_wants_a_token() {
    let Some(_lab) = Lab::open() else { return };
    is_exposed(&Scene::new(&Setup::lan(Version::V2026_1_24)));
}

#[test]
fn a_gateway_of_2026_1_29_on_the_lan_is_exposed_on_another_port_too() {
    let Some(_lab) = Lab::open() else { return };
    is_exposed(&Scene::new(&Setup::lan(Version::V2026_1_29).on_port(4711)));
}

#[test]
fn a_gateway_of_2026_9_6_on_the_lan_is_exposed_though_it_wants_a_token() {
    let Some(lab) = Lab::open() else { return };
    is_exposed(&LAN_9_6.hold(&lab));
}

#[test]
fn a_gateway_on_the_lan_is_exposed_though_its_panel_lies_elsewhere() {
    let Some(_lab) = Lab::open() else { return };
    let scene = Scene::new(&Setup::lan(Version::V2026_9_6).with("controlUi", json!({"basePath": "/attic"})));
    let root = http::ask(scene.outside(), at(LAN, scene.gateway.setup.port), "GET /", &[]).unwrap();
    assert_eq!(root.status, 404, "no panel at the root");
    is_exposed(&scene);
}

#[test]
fn a_gateway_on_the_lan_is_exposed_though_its_panel_is_switched_off() {
    let Some(_lab) = Lab::open() else { return };
    let scene = Scene::new(&Setup::lan(Version::V2026_1_29).with("controlUi", json!({"enabled": false})));
    let root = http::ask(scene.outside(), at(LAN, scene.gateway.setup.port), "GET /", &[]).unwrap();
    assert_eq!(root.status, 404, "no panel at all");
    is_exposed(&scene);
}
