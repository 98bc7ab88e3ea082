use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Access, ContainerPort, Destination, Engine, Redirect, Redirects, Seal};
use guardian_rules::finding::{Answer, Severity};
use guardian_rules::snapshot::Snapshot;

use crate::scenery::*;

const RULE: &str = "nat-published";

/// A sound gateway on loopback.
fn unsealed() -> Host {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
}

/// The same behind the seal, so that nobody sends to loopback without a rule.
fn laptop() -> Host {
    unsealed().but(sealed)
}

fn sealed(snapshot: &mut Snapshot) {
    snapshot.seal = Some(Seal { ports: [18789].into(), admitted: [0, 1000].into() });
}

#[test]
fn where_neighbours_may_send_to_loopback_themselves_a_gateway_there_is_doubted_unless_the_seal_stands() {
    let none = |reaches: Option<bool>| {
        let cards = if reaches == Some(true) { vec!["wlan0".to_owned()] } else { Vec::new() };
        Redirects { open_cards: cards, ..rules(&[], reaches) }
    };
    let exposed = unsealed().redirecting(none(Some(true))).judged();
    exposed.doubts(RULE, "127.0.0.1:18789").because(RULE, "wlan0.route_localnet").is_blind();
    laptop().redirecting(none(Some(true))).judged().nothing_of(RULE).is_safe();
    // Where guests of this host alone, or members of a VPN, might.
    let guests = Redirects { open_cards: Vec::new(), ..none(Some(true)) };
    let members = Redirects { open_cards: vec!["tailscale0".to_owned()], ..none(Some(true)) };
    for nobodys in [guests, members] {
        unsealed().redirecting(nobodys).judged().nothing_of(RULE).is_safe();
    }
    // Where the kernel drops them, or the system has no such switch.
    for reaches in [Some(false), None] {
        unsealed().redirecting(none(reaches)).judged().nothing_of(RULE).is_safe();
    }
    // A seal of other ports holds nothing here, and whoever carries a gateway is a way to it too.
    let another = |snapshot: &mut Snapshot| {
        snapshot.seal = Some(Seal { ports: [4711].into(), admitted: [0].into() });
    };
    unsealed().redirecting(none(Some(true))).but(another).judged().doubts(RULE, "127.0.0.1:18789");
    let carried = laptop().runs(socat(950).on("127.0.0.1:8088", carrying_the_gateway()));
    carried.redirecting(none(Some(true))).judged().doubts(RULE, "127.0.0.1:8088");
    // Nothing there leads to a gateway; or the owner has written that it is to be so.
    let postgres = host().runs(unknown_program(70).on("127.0.0.1:5432", another_protocol()));
    postgres.redirecting(none(Some(true))).judged().nothing_of(RULE).is_safe();
    unsealed().allowing_path("nat").redirecting(none(Some(true))).judged().notes(RULE, "18789").is_safe();
}

/// A rule that sends whatever matches it there.
fn to(ip_address: &str, port: u16) -> Redirect {
    Redirect {
        to: Some(Destination { ip: ip(ip_address), ports: (port, port) }),
        arriving_at: Vec::new(),
        arriving_on: Vec::new(),
        from: Vec::new(),
        guest: None,
        text: "ip nat prerouting: tcp dport 8080 dnat".to_owned(),
    }
}

fn rules(rules: &[Redirect], reaches_loopback: Option<bool>) -> Redirects {
    Redirects { rules: Ok(rules.to_vec()), reaches_loopback, open_cards: Vec::new() }
}

fn lost() -> Redirect {
    Redirect { to: None, ..to("0.0.0.0", 1) }
}

#[test]
fn a_redirect_to_the_loopback_of_a_gateway_exposes_it() {
    laptop()
        .redirecting(rules(&[to("127.0.0.1", 18789)], Some(true)))
        .judged()
        .exposes(RULE, "127.0.0.1:18789")
        .because(RULE, "tcp dport 8080 dnat");
}

#[test]
fn packets_that_the_kernel_drops_are_a_warning() {
    let dropped = laptop().redirecting(rules(&[to("127.0.0.1", 18789)], Some(false))).judged();
    dropped.warns(RULE, "127.0.0.1:18789").because(RULE, "route_localnet").is_safe();
    laptop()
        .redirecting(rules(&[to("::1", 18789)], Some(true)))
        .judged()
        .warns(RULE, "[::1]:18789")
        .is_safe();
}

#[test]
fn a_redirect_on_a_mac_reaches_loopback() {
    laptop().redirecting(rules(&[to("127.0.0.1", 18789)], None)).judged().exposes(RULE, "127.0.0.1:18789");
}

#[test]
fn a_redirect_to_another_port_is_nothing() {
    laptop().redirecting(rules(&[to("127.0.0.1", 5432)], Some(true))).judged().nothing_of(RULE).is_safe();
    laptop().redirecting(rules(&[to("192.168.1.9", 18789)], Some(true))).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_range_of_ports_is_searched_for_the_gateways() {
    let range = |first, last| Redirect {
        to: Some(Destination { ip: ip("127.0.0.1"), ports: (first, last) }),
        ..to("127.0.0.1", 1)
    };
    laptop().redirecting(rules(&[range(18780, 18790)], Some(true))).judged().exposes(RULE, "127.0.0.1:18789");
    laptop().redirecting(rules(&[range(1, 18788)], Some(true))).judged().nothing_of(RULE).is_safe();
    laptop().redirecting(rules(&[range(9, 1)], Some(true))).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_redirect_at_the_address_that_was_called_takes_a_gateway_that_listens_there() {
    let redirect = || rules(&[to("0.0.0.0", 18789)], Some(false));
    host()
        .runs(gateway(812).on("100.100.1.2:18789", asking_for_credentials()))
        .redirecting(redirect())
        .judged()
        .exposes(RULE, "0.0.0.0:18789");
    laptop().redirecting(redirect()).judged().warns(RULE, "0.0.0.0:18789").because(RULE, "for now").is_safe();
}

#[test]
fn a_redirect_to_an_own_address_takes_whoever_listens_there() {
    let redirect = || rules(&[to("100.100.1.2", 18789)], Some(false));
    host()
        .runs(gateway(812).on("100.100.1.2:18789", asking_for_credentials()))
        .redirecting(redirect())
        .judged()
        .exposes(RULE, "100.100.1.2:18789");
    laptop().redirecting(redirect()).judged().warns(RULE, "100.100.1.2:18789").is_safe();
}

#[test]
fn a_door_that_may_be_a_gateway_cannot_be_told() {
    host()
        .runs(unknown_program(700).on("127.0.0.1:18789", silent()))
        .redirecting(rules(&[to("127.0.0.1", 18789)], Some(true)))
        .judged()
        .says(RULE, Severity::Critical, Answer::Yes, "127.0.0.1:18789");
    let doubtful = decoy().but_access(Access::Unknown(timed_out()));
    host()
        .runs(unknown_program(700).on("127.0.0.1:4000", doubtful).connected_to("127.0.0.1:18789"))
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .redirecting(rules(&[to("127.0.0.1", 4000)], Some(true)))
        .judged()
        .doubts(RULE, "127.0.0.1:4000");
}

#[test]
fn what_applies_to_allowed_networks_only_is_worth_knowing() {
    let narrowed = |narrow: fn(&mut Redirect)| {
        let mut redirect = to("127.0.0.1", 18789);
        narrow(&mut redirect);
        laptop().allowing_network("10.1.0.0/16").redirecting(rules(&[redirect], Some(true))).judged()
    };
    let narrow: [fn(&mut Redirect); 5] = [
        |it| it.from = vec!["10.1.2.0/24".parse().unwrap()],
        |it| it.arriving_on = vec!["tailscale0".to_owned()],
        |it| it.arriving_on = vec!["lo".to_owned()],
        |it| it.arriving_at = vec![ip("127.0.0.1")],
        |it| it.arriving_at = vec![ip("100.100.1.2")],
    ];
    for narrow in narrow {
        narrowed(narrow).notes(RULE, "127.0.0.1:18789").is_safe();
    }
    let wide: [fn(&mut Redirect); 5] = [
        |it| it.from = vec!["10.1.2.0/24".parse().unwrap(), "10.2.0.0/16".parse().unwrap()],
        |it| it.from = vec!["10.0.0.0/8".parse().unwrap()],
        |it| it.arriving_on = vec!["tailscale0".to_owned(), "wlan0".to_owned()],
        |it| it.arriving_on = vec!["eth7".to_owned()],
        |it| it.arriving_at = vec![ip("100.100.1.2"), ip("192.168.1.5")],
    ];
    for narrow in wide {
        narrowed(narrow).exposes(RULE, "127.0.0.1:18789");
    }
}

#[test]
fn a_target_that_is_not_understood_may_be_a_gateway() {
    laptop().redirecting(rules(&[lost()], Some(true))).judged().doubts(RULE, "tcp dport 8080").is_blind();
    host()
        .runs(gateway(812).on("100.100.1.2:18789", asking_for_credentials()))
        .redirecting(rules(&[lost()], Some(false)))
        .judged()
        .doubts(RULE, "tcp dport 8080");
    laptop().redirecting(rules(&[lost()], Some(false))).judged().notes(RULE, "tcp dport 8080").is_safe();
    let on_the_vpn = Redirect { arriving_on: vec!["tailscale0".to_owned()], ..lost() };
    laptop().redirecting(rules(&[on_the_vpn], Some(true))).judged().notes(RULE, "tcp dport 8080").is_safe();
    host().redirecting(rules(&[lost()], Some(true))).judged().nothing_of(RULE).is_safe();
}

#[test]
fn rules_that_cannot_be_read_matter_where_they_could_lead_to_a_gateway() {
    let unread =
        |reaches_loopback| Redirects { rules: Err(denied()), reaches_loopback, open_cards: Vec::new() };
    laptop().redirecting(unread(Some(false))).judged().nothing_of(RULE).is_safe();
    laptop().redirecting(unread(Some(true))).judged().doubts(RULE, "the packet filter").is_blind();
    let on_a_mac = laptop().redirecting(unread(None)).judged();
    on_a_mac.says(RULE, Severity::Warning, Answer::Unknown, "the packet filter").is_safe();
    host()
        .runs(gateway(812).on("100.100.1.2:18789", asking_for_credentials()))
        .redirecting(unread(Some(false)))
        .judged()
        .says(RULE, Severity::Warning, Answer::Unknown, "the packet filter")
        .is_safe();
    host().redirecting(unread(Some(true))).judged().nothing_of(RULE).is_safe();
}

#[test]
fn only_whoever_was_refused_is_told_to_be_root() {
    for (cause, remedy) in [
        (Cause::Denied, "Run Guardian as root"),
        (Cause::ToolMissing, "Install what is missing"),
        (Cause::TimedOut, "Guardian tries again by itself"),
        (Cause::Interrupted, "Guardian tries again by itself"),
        (Cause::Malformed, "Look yourself: `nft list ruleset`"),
        (Cause::TooMuch, "Look yourself: `nft list ruleset`"),
    ] {
        let unread = Redirects {
            rules: Err(Blindness::new(cause, "so")),
            reaches_loopback: Some(true),
            open_cards: Vec::new(),
        };
        laptop().redirecting(unread).judged().doubts(RULE, "the packet filter").advises(RULE, remedy);
    }
}

fn to_a_guest(access: Access) -> Redirects {
    rules(&[Redirect { guest: Some(access), ..to("172.17.0.2", 18789) }], Some(false))
}

#[test]
fn a_gateway_in_a_guest_is_exposed_by_a_redirect_to_it() {
    for access in [Access::Required, Access::Open] {
        host().redirecting(to_a_guest(access)).judged().exposes(RULE, "172.17.0.2:18789");
    }
    host().redirecting(to_a_guest(Access::NoGateway)).judged().nothing_of(RULE).is_safe();
    host()
        .redirecting(to_a_guest(Access::Unknown(timed_out())))
        .judged()
        .notes(RULE, "172.17.0.2:18789")
        .is_safe();
}

#[test]
fn a_container_that_its_engine_publishes_is_told_once() {
    let engine = |on: &str| Engine {
        is_roots: true,
        name: "docker".to_owned(),
        socket: "/run/docker.sock".into(),
        ports: Ok(vec![ContainerPort {
            container: "box".to_owned(),
            image: "image".to_owned(),
            is_named_like_a_gateway: false,
            on: at(on),
            to: Some(at("172.17.0.2:18789")),
            access: Access::Required,
        }]),
    };
    host()
        .with_engine(engine("0.0.0.0:8080"))
        .redirecting(to_a_guest(Access::Required))
        .judged()
        .nothing_of(RULE)
        .exposes("container-published", "0.0.0.0:8080");
    host()
        .with_engine(engine("127.0.0.1:8080"))
        .redirecting(to_a_guest(Access::Required))
        .judged()
        .nothing_of("container-published")
        .exposes(RULE, "172.17.0.2:18789");
}

#[test]
fn a_redirect_seen_before_the_probe_went_blind_still_accuses() {
    fn blind(snapshot: &mut Snapshot) {
        snapshot.redirects = snapshot.redirects.clone().followed_by(Err(timed_out()));
    }
    laptop()
        .redirecting(rules(&[to("127.0.0.1", 18789)], Some(true)))
        .but(blind)
        .judged()
        .exposes(RULE, "127.0.0.1:18789");
}
