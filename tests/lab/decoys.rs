//! What looks like a gateway and is none.

use crate::gateway::SOUND_9_6;
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, Place, at};
use crate::ready::Lab;
use crate::relay::{nginx, server};
use crate::report::check;

const TITLE: &str = "<!doctype html><title>OpenClaw Control</title><p>Notes on OpenClaw.";
const PANEL: &str =
    "<!doctype html><title>OpenClaw Control</title><body><openclaw-app></openclaw-app></body>";

/// A page of Bob's on every address, with and without a gateway on the host.
fn a_page_is_no_gateway(page: &str) {
    let Some(lab) = Lab::open() else { return };
    let shown = |host: &Host, outside: &Host| {
        host.write("/mnt/lab/page.html", page);
        let server = server(host, User::Bob, "page", "0.0.0.0", 8090, &["/mnt/lab/page.html"]);
        assert!(http::ask(outside, at(LAN, 8090), "GET /", &[]).unwrap().text.contains("OpenClaw Control"));
        server
    };
    let alone = Place::new();
    let _page = shown(&alone.host, &alone.outside);
    let report = check(&alone.host);
    report.is("safe");
    assert!(report.gateways().is_empty(), "{report}");

    let scene = SOUND_9_6.hold(&lab);
    let _page = shown(scene.host(), scene.outside());
    let report = check(scene.host());
    report.is("safe");
    assert_eq!(report.gateways().len(), 1, "{report}");
}

#[test]
fn a_page_with_the_same_title_is_no_gateway() {
    a_page_is_no_gateway(TITLE);
}

#[test]
fn a_page_with_the_same_title_and_element_is_no_gateway() {
    a_page_is_no_gateway(PANEL);
}

#[test]
fn an_unrelated_web_server_is_nobodys_business() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let _nginx = nginx(scene.host(), 80, "listen 0.0.0.0:80; location / { return 200 \"hello\"; }");
    assert_eq!(http::ask(scene.outside(), at(LAN, 80), "GET /", &[]).unwrap().status, 200);
    check(scene.host()).is("safe");
}
