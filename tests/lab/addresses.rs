//! Which address counts: every spelling of loopback, the VPN, and all that is beyond.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::gateway::{PORT, SOUND_1_29, Scene, Setup, Version};
use crate::host::{Host, User};
use crate::http;
use crate::place::{BRIDGE, GLOBAL6, LAN, LINK_LOCAL, PROVIDER, VPN, at};
use crate::ready::Lab;
use crate::relay::{forward, socat};
use crate::report::{Report, check};
use crate::supervised::until;
use crate::trips::POLICY;

#[track_caller]
fn listens(report: &Report, socket: impl std::fmt::Display) {
    let socket = socket.to_string();
    let sockets = report.gateways()[0]["listeners"].as_array().unwrap();
    assert!(sockets.iter().any(|listed| *listed == socket), "expected the listener {socket}\n{report}");
}

fn custom(address: SocketAddr) -> Scene {
    let scene = Scene::new(&Setup::custom(Version::V2026_9_6, address));
    let local = scene.host().run(User::Root, &["ss", "-H", "-ltn", &format!("sport = :{PORT}")]);
    assert!(local.contains(&address.to_string()), "{address} is its face: {local}");
    scene
}

#[test]
fn another_loopback_address_is_safe() {
    let Some(_lab) = Lab::open() else { return };
    let face = at(Ipv4Addr::new(127, 0, 0, 2).into(), PORT);
    let report = check(custom(face).host());
    report.is("safe");
    listens(&report, face);
}

#[test]
fn an_address_of_the_vpn_is_safe_though_others_reach_it() {
    let Some(_lab) = Lab::open() else { return };
    let scene = custom(at(VPN, PORT));
    assert_eq!(http::call(scene.outside(), at(VPN, PORT)).unwrap(), 401, "a member of the VPN reaches it");
    let report = check(scene.host());
    report.is("safe");
    listens(&report, at(VPN, PORT));
}

/// What a wall refuses may be the end of a connection, which the gateway then never hears of.
#[test]
fn the_first_wall_knows_what_this_host_may_be_called_by() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_1_29.hold(&lab);
    let monitor = scene.host().start(User::Root, Host::command("nft").args(["-n", "monitor", "ruleset"]));
    sleep(Duration::from_millis(300));
    let daemon = Daemon::start(scene.host(), User::Root, POLICY);
    daemon.until("a lease", |status| !status["lease"].is_null());
    monitor.signal(nix::sys::signal::Signal::SIGTERM);
    let printed = monitor.printed();
    // A wall takes the place of another by taking its sets away.
    let first = printed.split("delete set").next().unwrap();
    assert!(first.contains(&format!("own4 {{ {VPN} }}")), "{printed}");
}

/// Guardian's own wall has to let this machine try what is bound to nothing but the VPN's address.
#[test]
fn a_gateway_on_the_vpns_address_alone_gets_back_in_after_a_trip() {
    let Some(_lab) = Lab::open() else { return };
    let scene = Scene::new(&Setup::sound(Version::V2026_9_6).bound_to("100.100.1.2", at(VPN, PORT)));
    let daemon = Daemon::start(scene.host(), User::Root, POLICY);
    daemon.until("a lease", |status| !status["lease"].is_null());
    let (code, said) = daemon.guardian(User::Root, &["trip", "by", "hand"]);
    assert_eq!(code, 2, "{said}");
    until("a wall", || http::call(scene.outside(), at(VPN, PORT)).is_err());
    let (code, said) = daemon.guardian(User::Root, &["recover", "--yes"]);
    assert_eq!(code, 1, "{said}");
    assert!(http::call(scene.outside(), at(VPN, PORT)).is_err(), "this machine alone may try it");
    daemon.until("safe rounds", |status| {
        let half = &status["half_open"];
        half.is_object() && half["safe"].as_u64() >= half["wanted"].as_u64()
    });
    let (code, said) = daemon.guardian(User::Root, &["close", "--yes"]);
    assert_eq!(code, 0, "{said}");
    until("the VPN to reach it", || http::call(scene.outside(), at(VPN, PORT)).ok() == Some(401));
}

/// `tailscale down`, an upgrade of its daemon, a laptop that leaves: the address goes, the socket stays.
#[test]
fn a_vpn_that_goes_down_under_a_gateway_bound_to_it_opens_no_circuit() {
    let Some(_lab) = Lab::open() else { return };
    let setup = Setup::sound(Version::V2026_9_6).bound_to("100.100.1.2", at(VPN, PORT));
    let scene = Scene::new(&setup);
    let host = scene.host();
    let daemon = Daemon::start(host, User::Root, POLICY);
    daemon.until("a lease", |status| !status["lease"].is_null());
    let mut left_over = None;
    until("the seal lets a member of the VPN in", || {
        left_over = scene.outside().connect(at(VPN, PORT)).ok();
        left_over.is_some()
    });
    let address = |change: &str, card: &str| {
        host.run(User::Root, &["ip", "addr", change, "100.100.1.2/24", "dev", card]);
    };
    address("del", "tailscale0");
    // Longer than the patience.
    sleep(Duration::from_secs(13));
    assert_eq!(daemon.status()["breaker"], "closed", "{:#?}", daemon.journal());
    address("add", "tailscale0");
    until("a member of the VPN reaches it again", || {
        http::call(scene.outside(), at(VPN, PORT)).is_ok_and(|it| it == 401)
    });
    daemon.until("a lease", |status| !status["lease"].is_null());
    assert!(daemon.journal().iter().all(|it| it["what"] != "tripped"), "{:#?}", daemon.journal());
    // The same address on an ordinary card lets others in.
    address("del", "tailscale0");
    address("add", "eth0");
    daemon.is("open");
}

#[test]
fn the_address_for_containers_is_exposed() {
    let Some(_lab) = Lab::open() else { return };
    let face = at(BRIDGE, PORT);
    let report = check(custom(face).host());
    report.is("exposed").accuses("bound-beyond-allowed", face).accuses("reachable-beyond-allowed", face);
    listens(&report, face);
}

#[test]
fn a_wildcard_of_both_families_is_exposed_in_both() {
    let Some(_lab) = Lab::open() else { return };
    let setup = Setup::lan(Version::V2026_9_6).bound_to("dual", at(LAN, PORT));
    let scene = Scene::new(&setup);
    for face in [at(LAN, PORT), at(GLOBAL6, PORT)] {
        assert_eq!(http::call(scene.outside(), face).unwrap(), 401, "the neighbour reaches {face}");
    }
    let report = check(scene.host());
    report
        .is("exposed")
        .accuses("bound-beyond-allowed", format!("[::]:{PORT}"))
        .accuses("reachable-beyond-allowed", at(LAN, PORT))
        .accuses("reachable-beyond-allowed", at(GLOBAL6, PORT));
    listens(&report, format!("0.0.0.0:{PORT}"));
    listens(&report, format!("[::]:{PORT}"));
}

#[test]
fn an_address_mapped_into_ipv6_is_the_ipv4_address_that_it_is() {
    let Some(_lab) = Lab::open() else { return };
    let face = at(LAN, PORT);
    let scene = Scene::new(&Setup::lan(Version::V2026_9_6).bound_to("::ffff:192.168.77.2", face));
    let sockets = scene.host().run(User::Root, &["ss", "-H", "-6", "-ltn", &format!("sport = :{PORT}")]);
    assert!(sockets.contains("[::ffff:192.168.77.2]"), "{sockets}");
    let report = check(scene.host());
    report.is("exposed").accuses("bound-beyond-allowed", face).accuses("reachable-beyond-allowed", face);
    listens(&report, face);
}

#[test]
fn a_wildcard_of_ipv6_alone_is_exposed_there_and_not_elsewhere() {
    let Some(_lab) = Lab::open() else { return };
    let scene = Scene::new(&Setup::lan(Version::V2026_9_6).bound_to("::", at(GLOBAL6, PORT)));
    assert_eq!(http::call(scene.outside(), at(GLOBAL6, PORT)).unwrap(), 401, "the neighbour reaches it");
    assert!(scene.outside().connect(at(LAN, PORT)).is_err(), "not over IPv4");
    let report = check(scene.host());
    report
        .is("exposed")
        .accuses("bound-beyond-allowed", format!("[::]:{PORT}"))
        .accuses("reachable-beyond-allowed", at(GLOBAL6, PORT))
        .does_not_accuse("reachable-beyond-allowed", at(LAN, PORT))
        .does_not_accuse("bound-beyond-allowed", format!("0.0.0.0:{PORT}"));
    listens(&report, format!("[::]:{PORT}"));
    let sockets = report.gateways()[0]["listeners"].to_string();
    assert!(!sockets.contains("0.0.0.0"), "it takes no IPv4\n{report}");
}

#[test]
fn a_forwarder_on_the_ipv6_wildcard_alone_republishes() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_1_29.hold(&lab);
    let listen = "TCP6-LISTEN:29999,bind=[::],ipv6only=1,fork,reuseaddr";
    let target = format!("TCP4:127.0.0.1:{PORT}");
    let _socat = socat(scene.host(), User::Root, "socat", 29999, listen, &target);
    check(scene.host()).is("exposed").accuses("panel-republished", "[::]:29999");
    assert_eq!(http::call(scene.outside(), at(GLOBAL6, 29999)).unwrap(), 401, "it was up");
}

#[test]
fn a_forwarder_on_a_link_local_address_republishes() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_1_29.hold(&lab);
    let listen = format!("TCP6-LISTEN:29999,bind=[{LINK_LOCAL}%eth0],fork,reuseaddr");
    let target = format!("TCP4:127.0.0.1:{PORT}");
    let _socat = socat(scene.host(), User::Root, "socat", 29999, &listen, &target);
    check(scene.host()).is("exposed").accuses("panel-republished", LINK_LOCAL);
    let page = format!("http://[{LINK_LOCAL}%25eth0]:29999/");
    let page = scene.outside().run(User::Root, &["curl", "-sS", "--globoff", &page]);
    assert!(page.contains("<openclaw-app"), "it was up");
}

#[test]
fn an_address_like_a_vpns_on_an_ordinary_card_is_exposed() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_1_29.hold(&lab);
    let _socat = forward(scene.host(), 29999, &PROVIDER.to_string(), PORT);
    check(scene.host()).is("exposed").accuses("panel-republished", at(PROVIDER, 29999));
}

#[test]
fn a_forwarder_within_the_vpn_stays_within_what_is_allowed() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_1_29.hold(&lab);
    let _socat = forward(scene.host(), 29999, &VPN.to_string(), PORT);
    check(scene.host()).is("safe");
    assert_eq!(http::call(scene.outside(), at(VPN, 29999)).unwrap(), 401, "it was up");
}
