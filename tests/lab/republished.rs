//! A sound gateway on loopback, and a web server that hands it to everybody.

use crate::gateway::{PORT, SOUND_1_24, SOUND_9_6, Shared};
use crate::host::User;
use crate::http;
use crate::place::{LAN, at};
use crate::ready::Lab;
use crate::relay::{FORWARDED, nginx, proxy_to};
use crate::report::check;

fn through_nginx(shared: &'static Shared, headers: &str, status: u16) {
    let Some(lab) = Lab::open() else { return };
    let scene = shared.hold(&lab);
    let nginx = nginx(scene.host(), 8088, &format!("listen 0.0.0.0:8088; {}", proxy_to(PORT, headers)));
    assert_eq!(http::call(scene.outside(), at(LAN, 8088)).unwrap(), status);
    let report = check(scene.host());
    report
        .is("exposed")
        .accuses("panel-republished", "0.0.0.0:8088")
        .accuses("panel-republished", nginx.pid())
        .does_not_accuse("open-without-credentials", "");
}

#[test]
fn nginx_in_front_republishes_a_gateway_of_2026_1_24() {
    through_nginx(&SOUND_1_24, "", 401);
}

#[test]
fn nginx_in_front_republishes_a_gateway_of_2026_9_6() {
    through_nginx(&SOUND_9_6, "", 401);
}

#[test]
fn nginx_that_says_for_whom_it_asks_republishes_a_gateway_of_2026_1_24() {
    through_nginx(&SOUND_1_24, FORWARDED, 401);
}

#[test]
fn nginx_that_says_for_whom_it_asks_republishes_a_gateway_of_2026_9_6() {
    through_nginx(&SOUND_9_6, FORWARDED, 403);
}

#[test]
fn nginx_with_tls_and_a_certificate_of_its_own_making_republishes() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    host.run(
        User::Root,
        &[
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=panel.example",
            "-days",
            "2",
            "-keyout",
            "/root/key.pem",
            "-out",
            "/root/certificate.pem",
        ],
    );
    let _nginx = nginx(
        host,
        8443,
        &format!(
            "listen 0.0.0.0:8443 ssl; ssl_certificate /root/certificate.pem; ssl_certificate_key /root/key.pem; {}",
            proxy_to(PORT, "")
        ),
    );
    let page = scene.outside().run(User::Root, &["curl", "-sSk", &format!("https://{}/", at(LAN, 8443))]);
    assert!(page.contains("<openclaw-app"), "the neighbour sees the panel");
    let report = check(host);
    report
        .is("exposed")
        .accuses("panel-republished", "0.0.0.0:8443")
        .does_not_accuse("open-without-credentials", "");
}

#[test]
fn nginx_with_a_password_republishes_and_is_not_open() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let host = scene.host();
    host.write("/mnt/lab/passwords", "ana:{PLAIN}secret\n");
    let front = "listen 0.0.0.0:8088; auth_basic panel; auth_basic_user_file /mnt/lab/passwords;";
    let _nginx = nginx(host, 8088, &format!("{front} {}", proxy_to(PORT, "")));
    let face = at(LAN, 8088);
    assert_eq!(http::ask(scene.outside(), face, "GET /", &[]).unwrap().status, 401);
    let with = ["Authorization: Basic YW5hOnNlY3JldA=="];
    assert_eq!(
        http::ask(scene.outside(), face, "GET /", &with).unwrap().status,
        200,
        "the password opens it"
    );
    let report = check(host);
    report
        .is("exposed")
        .accuses("panel-republished", "0.0.0.0:8088")
        .does_not_accuse("open-without-credentials", "");
}

#[test]
fn nginx_that_hands_on_websockets_alone_republishes() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let server = format!(
        "listen 0.0.0.0:8088; if ($http_upgrade != websocket) {{ return 404; }} {}",
        proxy_to(PORT, "")
    );
    let _nginx = nginx(scene.host(), 8088, &server);
    let face = at(LAN, 8088);
    assert_eq!(http::ask(scene.outside(), face, "GET /", &[]).unwrap().status, 404, "no page");
    assert_eq!(http::call(scene.outside(), face).unwrap(), 404, "no call");
    let upgrade = scene.outside().run(
        User::Root,
        &[
            "sh",
            "-c",
            &format!(
                "curl -sSi --max-time 2 -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
                 -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
                 --output - http://{face}/ || true"
            ),
        ],
    );
    assert!(upgrade.contains("connect.challenge"), "the neighbour gets the gateway's first frame: {upgrade}");
    check(scene.host()).is("exposed").accuses("panel-republished", "0.0.0.0:8088");
}
