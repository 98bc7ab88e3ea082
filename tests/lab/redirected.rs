//! Redirects by the packet filter: nobody listens where strangers come in.

use crate::daemon::Daemon;
use crate::gateway::{LAN_9_6, PORT, SOUND_9_6, Scene, Setup, Version};
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, LOOPBACK, Place, VPN, at};
use crate::ready::Lab;
use crate::report::{Check, check};
use crate::trips::UNSEALED;

const RULE: &str = "nat-published";

/// Rules of a host, gone with the test: several share a host.
pub(crate) struct Rules<'a>(&'a Host);

impl<'a> Rules<'a> {
    /// Rules of nft in a chain where packets arrive.
    pub(crate) fn nft(host: &'a Host, rule: &str) -> Self {
        let table = format!(
            "table ip lab {{\n map ports {{ type inet_service : ipv4_addr . inet_service; \
             elements = {{ 8083 : 127.0.0.1 . {PORT} }}\n }}\n \
             chain pre {{ type nat hook prerouting priority dstnat;\n {rule}\n }}\n}}\n"
        );
        host.write("/mnt/lab/rules.nft", &table);
        Self::of(host, &["nft", "-f", "/mnt/lab/rules.nft"])
    }

    fn of(host: &'a Host, command: &[&str]) -> Self {
        let rules = Self(host);
        host.run(User::Root, command);
        rules
    }
}

impl Drop for Rules<'_> {
    fn drop(&mut self) {
        let undo = "nft flush ruleset; iptables-legacy -t nat -F; \
                    echo 0 >/proc/sys/net/ipv4/conf/eth0/route_localnet";
        self.0.run(User::Root, &["sh", "-c", undo]);
    }
}

/// Whether packets of others may be sent to 127/8.
fn route_localnet(host: &Host, on: bool) {
    let set = format!("echo {} >/proc/sys/net/ipv4/conf/eth0/route_localnet", u8::from(on));
    host.run(User::Root, &["sh", "-c", &set]);
}

/// What a stranger gets at a port of the host's address on the local network.
fn stranger(scene: &Scene, port: u16) -> Option<u16> {
    let face = at(LAN, port);
    scene.outside().reaches(face).then(|| http::call(scene.outside(), face).unwrap())
}

/// A stranger comes to the gateway on loopback, and the check says so.
fn leads_to_loopback(scene: &Scene, port: u16) {
    route_localnet(scene.host(), true);
    assert_eq!(stranger(scene, port), Some(401), "the stranger's request is answered");
    assert!(!scene.host().listens(port), "nobody listens there");
    check(scene.host()).is("exposed").accuses(RULE, at(LOOPBACK, PORT));
}

#[test]
fn a_redirect_to_loopback_is_exposed_where_the_kernel_lets_it_through_and_else_a_warning() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let _rules = Rules::nft(scene.host(), &format!("iifname eth0 tcp dport 8080 dnat to 127.0.0.1:{PORT}"));
    assert_eq!(stranger(&scene, 8080), None);
    check(scene.host()).is("safe").notes(RULE, "warning", "route_localnet");
    leads_to_loopback(&scene, 8080);
}

#[test]
fn a_redirect_by_a_map_is_followed() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let _rules = Rules::nft(scene.host(), "dnat to tcp dport map @ports");
    leads_to_loopback(&scene, 8083);
}

#[test]
fn a_redirect_by_iptables_on_nftables_is_read() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let to = format!("127.0.0.1:{PORT}");
    let _rules = Rules::of(
        scene.host(),
        &[
            "iptables-nft",
            "-t",
            "nat",
            "-A",
            "PREROUTING",
            "-p",
            "tcp",
            "--dport",
            "8080",
            "-j",
            "DNAT",
            "--to-destination",
            &to,
        ],
    );
    leads_to_loopback(&scene, 8080);
}

#[test]
fn a_redirect_by_legacy_iptables_is_read() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let script = format!(
        "iptables-legacy -t nat -N LAB 2>/dev/null; iptables-legacy -t nat -A PREROUTING -i eth0 -j LAB && \
         iptables-legacy -t nat -A LAB -p tcp --dport 8080 -j DNAT --to-destination 127.0.0.1:{PORT}"
    );
    let _rules = Rules::of(scene.host(), &["sh", "-c", &script]);
    leads_to_loopback(&scene, 8080);
}

#[test]
fn a_redirect_to_another_port_and_one_for_the_vpn_alone_accuse_nobody() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    route_localnet(scene.host(), true);
    let rules = Rules::nft(scene.host(), "tcp dport 8080 dnat to 127.0.0.1:5432");
    // A neighbour needs no rule: with this switch on he may send to loopback himself, and no seal stands.
    check(scene.host()).is("blind").does_not_accuse(RULE, "").cannot_tell("without any rule");
    route_localnet(scene.host(), false);
    check(scene.host()).is("safe").is_silent_about(RULE);
    drop(rules);
    let rule = format!("iifname tailscale0 tcp dport 8080 dnat to 127.0.0.1:{PORT}");
    let _rules = Rules::nft(scene.host(), &rule);
    route_localnet(scene.host(), true);
    check(scene.host()).is("blind").does_not_accuse(RULE, "").notes(RULE, "info", "allowed networks only");
    route_localnet(scene.host(), false);
    check(scene.host()).is("safe").notes(RULE, "info", "allowed networks only");
}

#[test]
fn a_redirect_to_a_gateway_on_every_address_is_told() {
    let Some(lab) = Lab::open() else { return };
    let scene = LAN_9_6.hold(&lab);
    let _rules = Rules::nft(scene.host(), &format!("tcp dport 8080 redirect to :{PORT}"));
    assert_eq!(stranger(&scene, 8080), Some(401));
    check(scene.host()).is("exposed").accuses(RULE, format!(":{PORT}"));
}

#[test]
fn a_redirect_to_a_gateway_in_the_vpn_is_exposed() {
    let Some(_lab) = Lab::open() else { return };
    let scene = Scene::new(&Setup::custom(Version::V2026_9_6, at(VPN, PORT)));
    check(scene.host()).is("safe");
    let rules = Rules::nft(scene.host(), &format!("tcp dport 8080 dnat to {VPN}:{PORT}"));
    assert_eq!(stranger(&scene, 8080), Some(401));
    check(scene.host()).is("exposed").accuses(RULE, at(VPN, PORT));
    // Whoever may not read the rules knows that there might be one.
    let report = Check::of(scene.host()).by(User::Ana).run();
    report.is("safe").cannot_tell("the packet filter");
    drop(rules);
}

#[test]
fn without_privileges_a_gateway_on_loopback_is_safe_unless_rules_may_lead_there() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let _rules = Rules::nft(scene.host(), &format!("tcp dport 8080 dnat to 127.0.0.1:{PORT}"));
    let by_ana = || Check::of(scene.host()).by(User::Ana).run();
    by_ana().is("safe").is_silent_about(RULE);
    route_localnet(scene.host(), true);
    by_ana().is("blind").cannot_tell("the packet filter");
}

/// A container behind the host's bridge, and a gateway in it. No engine has made it.
fn with_a_container(place: &Place) -> (Host, crate::gateway::Gateway) {
    let container = Host::new();
    place.host.wire("veth0", &container, "eth0");
    for (host, line) in [
        (&place.host, "link set veth0 master docker0"),
        (&container, "addr add 172.17.0.2/16 dev eth0"),
        (&container, "route add default via 172.17.0.1"),
    ] {
        let command: Vec<&str> = std::iter::once("ip").chain(line.split(' ')).collect();
        host.run(User::Root, &command);
    }
    place.host.run(User::Root, &["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
    let gateway = Setup::lan(Version::V2026_9_6).start(&container);
    (container, gateway)
}

#[test]
fn a_container_that_the_packet_filter_alone_publishes_is_exposed_and_a_neighbour_is_left_alone() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let (_container, _gateway) = with_a_container(&place);
    let face = at(LAN, 8080);
    check(&place.host).is("safe");
    let neighbour = place.outside.listen(at(crate::place::NEIGHBOUR, PORT));
    neighbour.set_nonblocking(true).unwrap();
    let rule = format!(
        "tcp dport 8080 dnat to 172.17.0.2:{PORT}\n tcp dport 8081 dnat to 172.17.0.2:9\n \
         tcp dport 8082 dnat to {}:{PORT}",
        crate::place::NEIGHBOUR
    );
    let rules = Rules::nft(&place.host, &rule);
    assert_eq!(http::call(&place.outside, face).unwrap(), 401, "the stranger's request is answered");
    assert!(!place.host.listens(8080), "nobody listens there");
    let report = check(&place.host);
    report.is("exposed").accuses(RULE, format!("172.17.0.2:{PORT}")).does_not_accuse(RULE, "172.17.0.2:9");
    assert!(neighbour.accept().is_err(), "no neighbour was asked");
    // The container ends after its gateway.
    drop(rules);
}

#[test]
fn a_redirect_that_is_made_while_the_watcher_runs_trips_it() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    route_localnet(scene.host(), true);
    let daemon = Daemon::start(scene.host(), User::Root, UNSEALED);
    daemon.is("closed");
    let gateway = scene.host().holders(PORT);
    let rules = Rules::nft(scene.host(), &format!("tcp dport 8080 dnat to 127.0.0.1:{PORT}"));
    let status = daemon.holds();
    assert!(status["trip"]["findings"].to_string().contains(RULE), "{status:#}");
    assert_eq!(stranger(&scene, 8080), None, "the redirect is there, and leads nowhere");
    assert_eq!(scene.host().holders(PORT), gateway, "it was not ended");
    // Guardian's own table stays: only the rule goes.
    scene.host().run(User::Root, &["nft", "delete", "table", "ip", "lab"]);
    // Without a seal a neighbour might send to loopback himself.
    route_localnet(scene.host(), false);
    daemon.recovers_and_closes();
    drop(daemon);
    drop(rules);
}
