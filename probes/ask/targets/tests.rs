//! Which addresses are asked, in what order.

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{Attribution, Process};
use guardian_rules::observation::Observation;
use guardian_rules::policy::AllowedNetwork;

use super::*;

const GATEWAY: u32 = 10;
const NGINX: u32 = 20;
const POSTGRES: u32 = 30;
const SHELL: u32 = 40;

fn process(pid: u32, role: Role) -> Process {
    Process {
        pid,
        parent: None,
        started: 0,
        uid: None,
        user: None,
        name: String::new(),
        exe: None,
        argv: Vec::new(),
        role,
    }
}

fn own(interface: &str, index: u32, address: &str) -> InterfaceAddress {
    InterfaceAddress {
        interface: interface.to_owned(),
        index: Some(index),
        address: address.parse().unwrap(),
        prefix: 24,
        tunnel: false,
    }
}

fn listens(bound: &str, pid: u32) -> Listener {
    Listener {
        bound: bound.parse().unwrap(),
        dual_stack: false,
        device: None,
        uid: None,
        socket: 1,
        owner: Attribution::Named(vec![pid]),
    }
}

fn unnamed(bound: &str) -> Listener {
    Listener { owner: Attribution::Unnamed(Blindness::denied("no permission")), ..listens(bound, 0) }
}

fn dual(listener: Listener) -> Listener {
    Listener { dual_stack: true, ..listener }
}

/// A host with loopback, a VPN, a card with a private and two IPv6 addresses.
fn host(listeners: Vec<Listener>) -> Snapshot {
    Snapshot {
        listeners: Observation::Seen(listeners),
        interfaces: Observation::Seen(vec![
            own("lo", 1, "127.0.0.1"),
            own("lo", 1, "::1"),
            own("tailscale0", 3, "100.100.1.1"),
            own("eth0", 2, "192.168.1.5"),
            own("eth0", 2, "fe80::5"),
            own("eth0", 2, "2001:db8::5"),
        ]),
        owner: Observation::Seen(vec![
            process(GATEWAY, Role::Gateway),
            process(NGINX, Role::Proxy),
            process(POSTGRES, Role::OtherService),
            process(SHELL, Role::Session),
        ]),
        ..Snapshot::default()
    }
}

fn asked(snapshot: &Snapshot) -> Vec<String> {
    targets(&Policy::default(), snapshot).iter().map(|target| target.at.to_string()).collect()
}

#[test]
fn a_listener_on_an_address_is_asked_there() {
    for bound in ["192.168.1.5:8080", "127.0.0.2:8080", "[2001:db8::5]:8080", "100.100.1.1:8080"] {
        assert_eq!(asked(&host(vec![listens(bound, SHELL)])), [bound]);
    }
}

#[test]
fn a_wildcard_is_asked_on_one_address_a_family_that_is_not_allowed() {
    assert_eq!(asked(&host(vec![listens("0.0.0.0:8080", NGINX)])), ["192.168.1.5:8080"]);
    assert_eq!(asked(&host(vec![listens("[::]:8080", NGINX)])), ["[2001:db8::5]:8080"]);
    let both = dual(listens("[::]:8080", NGINX));
    assert_eq!(asked(&host(vec![both])), ["192.168.1.5:8080", "[2001:db8::5]:8080"]);
}

#[test]
fn a_written_allowance_makes_another_address_the_one_to_ask() {
    let policy = Policy {
        networks: vec![AllowedNetwork { network: "2001:db8::/32".parse().unwrap(), reason: String::new() }],
        ..Policy::default()
    };
    let targets = targets(&policy, &host(vec![listens("[::]:8080", NGINX)]));
    assert_eq!(targets[0].at.to_string(), "[fe80::5%2]:8080");
}

#[test]
fn a_wildcard_that_could_be_a_gateways_is_asked_on_loopback_too() {
    assert_eq!(asked(&host(vec![listens("0.0.0.0:8080", GATEWAY)])), ["127.0.0.1:8080", "192.168.1.5:8080"]);
    assert_eq!(asked(&host(vec![unnamed("[::]:8080")])), ["[::1]:8080", "[2001:db8::5]:8080"]);
    assert_eq!(asked(&host(vec![listens("0.0.0.0:18789", NGINX)])).len(), 2, "on a policy port");
    assert_eq!(asked(&host(vec![listens("0.0.0.0:8080", 99)])).len(), 2, "by nobody known");
}

#[test]
fn where_a_socket_bound_by_name_answers_a_wildcard_is_asked_elsewhere() {
    let mut snapshot = host(vec![
        listens("0.0.0.0:8080", GATEWAY),
        listens("192.168.1.5:8080", NGINX),
        listens("127.0.0.1:8080", SHELL),
    ]);
    let own_addresses = snapshot.interfaces.known().unwrap().clone();
    let bound_of = |snapshot: &Snapshot, at: &str| {
        let at: SocketAddr = at.parse().unwrap();
        targets(&Policy::default(), snapshot).iter().find(|it| it.at == at).map(|it| it.bound.to_string())
    };
    assert_eq!(bound_of(&snapshot, "192.168.1.5:8080").as_deref(), Some("192.168.1.5:8080"));
    assert_eq!(bound_of(&snapshot, "100.100.1.1:8080").as_deref(), Some("0.0.0.0:8080"));
    assert_eq!(bound_of(&snapshot, "127.0.0.1:8080").as_deref(), Some("127.0.0.1:8080"));
    let more = own_addresses.into_iter().chain([own("eth1", 4, "10.0.0.5")]).collect();
    snapshot.interfaces = Observation::Seen(more);
    assert_eq!(bound_of(&snapshot, "10.0.0.5:8080").as_deref(), Some("0.0.0.0:8080"));
}

#[test]
fn without_any_address_to_prefer_loopback_is_asked() {
    let mut snapshot = host(vec![listens("0.0.0.0:8080", NGINX), listens("[::]:9090", NGINX)]);
    snapshot.interfaces = Observation::Seen(vec![own("lo", 1, "127.0.0.1")]);
    assert_eq!(asked(&snapshot), ["127.0.0.1:8080", "[::1]:9090"]);
    snapshot.interfaces = Observation::never_ran();
    assert_eq!(asked(&snapshot), ["127.0.0.1:8080", "[::1]:9090"]);
}

#[test]
fn a_socket_tied_to_an_interface_is_asked_on_that_interfaces_address() {
    let tied =
        |device: &str| Listener { device: Some(device.to_owned()), ..listens("0.0.0.0:8080", GATEWAY) };
    assert_eq!(asked(&host(vec![tied("eth0")])), ["192.168.1.5:8080"]);
    assert_eq!(asked(&host(vec![tied("tailscale0")])), ["100.100.1.1:8080"]);
    let elsewhere = targets(&Policy::default(), &host(vec![tied("eth7")]));
    assert_eq!(elsewhere[0].tied_to.as_deref(), Some("eth7"), "asked in vain, and known to be");
}

#[test]
fn a_link_local_address_carries_its_interface() {
    assert_eq!(asked(&host(vec![listens("[fe80::5]:8080", SHELL)])), ["[fe80::5%2]:8080"]);
    let mut snapshot = host(vec![listens("[::]:8080", NGINX)]);
    snapshot.interfaces = Observation::Seen(vec![own("eth0", 7, "fe80::5")]);
    assert_eq!(asked(&snapshot), ["[fe80::5%7]:8080"]);
}

#[test]
fn services_that_note_strangers_are_left_alone_on_loopback_only() {
    assert_eq!(asked(&host(vec![listens("127.0.0.1:5432", POSTGRES)])), [""; 0]);
    assert_eq!(asked(&host(vec![listens("0.0.0.0:5432", POSTGRES)])), ["192.168.1.5:5432"]);
    assert_eq!(asked(&host(vec![listens("127.0.0.1:18789", POSTGRES)])), ["127.0.0.1:18789"]);
    assert_eq!(asked(&host(vec![unnamed("127.0.0.1:5432")])), ["127.0.0.1:5432"]);
    let shared = Listener {
        owner: Attribution::Named(vec![POSTGRES, GATEWAY]),
        ..listens("127.0.0.1:5432", POSTGRES)
    };
    assert_eq!(asked(&host(vec![shared])), ["127.0.0.1:5432"]);
}

#[test]
fn a_process_does_not_ask_itself_on_loopback() {
    let this = std::process::id();
    assert_eq!(asked(&host(vec![listens("127.0.0.1:4000", this)])), [""; 0]);
    assert_eq!(asked(&host(vec![listens("192.168.1.5:4000", this)])), ["192.168.1.5:4000"]);
}

#[test]
fn the_most_important_are_asked_first() {
    let snapshot = host(vec![
        listens("127.0.0.1:9999", SHELL),
        listens("192.168.1.5:22", SHELL),
        listens("192.168.1.5:443", NGINX),
        unnamed("192.168.1.5:631"),
        listens("127.0.0.1:19001", GATEWAY),
        listens("127.0.0.1:18789", SHELL),
    ]);
    let ranks: Vec<Rank> = targets(&Policy::default(), &snapshot).iter().map(|target| target.rank).collect();
    assert_eq!(
        ranks,
        [Rank::PolicyPort, Rank::Gateway, Rank::Unnamed, Rank::Relay, Rank::Beyond, Rank::Loopback]
    );
}

#[test]
fn sockets_that_share_an_address_are_asked_once_for_the_best_reason() {
    let snapshot = host(vec![listens("192.168.1.5:8080", SHELL), unnamed("192.168.1.5:8080")]);
    let targets = targets(&Policy::default(), &snapshot);
    assert_eq!(targets.len(), 1);
    assert_eq!(targets[0].rank, Rank::Unnamed);
}

#[test]
fn without_knowledge_of_listeners_the_policys_ports_are_asked_everywhere() {
    let mut snapshot = host(Vec::new());
    snapshot.listeners = Observation::never_ran();
    let asked = asked(&snapshot);
    for at in ["127.0.0.1:18789", "[::1]:18789", "192.168.1.5:18789", "[fe80::5%2]:18789"] {
        assert!(asked.contains(&at.to_owned()), "{at} of {asked:?}");
    }
    snapshot.interfaces = Observation::never_ran();
    assert_eq!(super::tests::asked(&snapshot), ["127.0.0.1:18789", "[::1]:18789"]);
    snapshot.listeners = Observation::Seen(Vec::new());
    assert_eq!(super::tests::asked(&snapshot), [""; 0], "a host on which nobody listens");
}
