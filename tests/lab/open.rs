//! Gateways that let anyone in, on loopback and through whatever stands in front.

use crate::gateway::{OPEN_1_24, OPEN_9_6, PORT, Shared};
use crate::host::User;
use crate::http;
use crate::place::{LAN, LOOPBACK, at};
use crate::ready::Lab;
use crate::relay::{FORWARDED, forward, nginx, proxy_to};
use crate::report::{Check, check};

fn open_on_loopback_is_exposed(shared: &'static Shared) {
    let Some(lab) = Lab::open() else { return };
    let scene = shared.hold(&lab);
    assert_eq!(http::call(scene.host(), at(LOOPBACK, PORT)).unwrap(), 400, "it is open");
    for user in [User::Root, User::Ana, User::Bob] {
        let report = Check::of(scene.host()).by(user).run();
        report.is("exposed").accuses("open-without-credentials", at(LOOPBACK, PORT));
        assert!(report.gateways()[0]["access"] == "open", "{report}");
    }
}

#[test]
fn a_gateway_of_2026_1_24_without_a_secret_is_open_even_on_loopback() {
    open_on_loopback_is_exposed(&OPEN_1_24);
}

#[test]
fn a_gateway_of_2026_9_6_with_authentication_off_is_open_even_on_loopback() {
    open_on_loopback_is_exposed(&OPEN_9_6);
}

/// A proxy at 8088 carries the neighbour to an open gateway, who is let in or not.
fn through_nginx(shared: &'static Shared, headers: &str, status: u16) {
    let Some(lab) = Lab::open() else { return };
    let scene = shared.hold(&lab);
    let _nginx = nginx(scene.host(), 8088, &format!("listen 0.0.0.0:8088; {}", proxy_to(PORT, headers)));
    assert_eq!(http::call(scene.outside(), at(LAN, 8088)).unwrap(), status);
    let report = check(scene.host());
    report.is("exposed").accuses("panel-republished", ":8088");
    if status == 400 {
        report.accuses("open-without-credentials", ":8088");
    } else {
        report.does_not_accuse("open-without-credentials", ":8088");
    }
}

#[test]
fn an_open_gateway_of_2026_1_24_is_open_through_a_plain_nginx() {
    through_nginx(&OPEN_1_24, "", 400);
}

#[test]
fn an_open_gateway_of_2026_1_24_is_open_though_nginx_says_for_whom_it_asks() {
    through_nginx(&OPEN_1_24, FORWARDED, 400);
}

#[test]
fn an_open_gateway_of_2026_9_6_is_open_through_a_plain_nginx() {
    through_nginx(&OPEN_9_6, "", 400);
}

#[test]
fn an_open_gateway_of_2026_9_6_refuses_an_nginx_that_says_for_whom_it_asks_and_is_republished() {
    through_nginx(&OPEN_9_6, FORWARDED, 403);
}

#[test]
fn an_open_gateway_is_open_through_a_forwarder() {
    let Some(lab) = Lab::open() else { return };
    let scene = OPEN_9_6.hold(&lab);
    let socat = forward(scene.host(), 29999, "0.0.0.0", PORT);
    let report = check(scene.host());
    report
        .is("exposed")
        .accuses("panel-republished", ":29999")
        .accuses("panel-republished", socat.pid())
        .accuses("open-without-credentials", ":29999");
}
