//! What makes a picture, and what accuses before there is one.

use std::net::{Ipv4Addr, SocketAddr};

use guardian_rules::fact::{
    Attribution, ConfigFile, ConfigState, GatewayProcess, Instructions, Origin, PanelAnswer, Peer, Process,
    Product, Role, Route, RouteSource,
};
use guardian_rules::policy::AllowedPath;

use super::*;
use crate::sys::clock::Moment;

fn listener(bound: &str, pid: u32) -> Listener {
    Listener {
        bound: bound.parse().unwrap(),
        dual_stack: false,
        device: None,
        uid: Some(1000),
        socket: 1,
        owner: Attribution::Named(vec![pid]),
    }
}

/// A gateway on loopback, seen by everybody once.
fn sight() -> (Sight, Schedule) {
    let mut sight = Sight::new(Policy::default());
    let known = Arc::make_mut(&mut sight.known);
    known.listeners = Observation::Seen(vec![listener("127.0.0.1:4711", 812)]);
    known.interfaces = Observation::Seen(vec![InterfaceAddress {
        interface: "eth0".to_owned(),
        index: None,
        address: "192.168.1.5".parse().unwrap(),
        prefix: 24,
        tunnel: false,
    }]);
    known.gateway = Observation::Seen(vec![GatewayProcess {
        pid: 812,
        product: Some(Product::Openclaw),
        marks: Vec::new(),
        service: None,
        config: ConfigFile { path: None, state: ConfigState::Absent },
        private_paths: Vec::new(),
        state: None,
        within_reach: Ok(Vec::new()),
        devices: Ok(Vec::new()),
    }]);
    known.owner = Observation::Seen(vec![Process {
        pid: 812,
        parent: Some(1),
        started: 1_780_000_000,
        uid: Some(1000),
        user: Some("ana".to_owned()),
        name: "node".to_owned(),
        exe: None,
        argv: Vec::new(),
        role: Role::Gateway,
    }]);
    let mut schedule = Schedule::new(|_| std::time::Duration::from_secs(1));
    for probe in ProbeId::ALL {
        schedule.started(probe, Moment::default());
        schedule.finished(probe, false);
    }
    (sight, schedule)
}

fn looked(listeners: Vec<Listener>) -> Looked {
    let keep = Box::new(move |known: &mut Snapshot| {
        known.listeners = Observation::Seen(listeners);
        true
    });
    Looked { probe: ProbeId::Listeners, took: std::time::Duration::ZERO, keep }
}

#[test]
fn listeners_that_come_and_go_wait_for_the_next_picture() {
    let (mut sight, schedule) = sight();
    let before = sight.known.listeners.clone();
    for port in 40_000..40_003 {
        let churn = vec![listener("127.0.0.1:4711", 812), listener(&format!("127.0.0.1:{port}"), 900)];
        assert_eq!(sight.look_ahead(looked(churn), &schedule), None);
        assert!(sight.looks_ahead() && sight.known.listeners == before);
    }
    assert_eq!(sight.catch_up(), [ProbeId::Listeners], "the newest");
    let newest = sight.known.listeners.seen().unwrap();
    assert!(newest.iter().any(|it| it.bound.port() == 40_002) && newest.len() == 2);
    assert!(!sight.looks_ahead() && sight.catch_up().is_empty());
}

#[test]
fn what_is_as_before_when_its_turn_comes_is_no_news() {
    let (mut sight, schedule) = sight();
    sight.look_ahead(looked(vec![listener("127.0.0.1:9", 900)]), &schedule);
    sight.look_ahead(looked(vec![listener("127.0.0.1:4711", 812)]), &schedule);
    assert!(sight.catch_up().is_empty());
}

#[test]
fn a_card_that_comes_and_goes_waits_too_unless_a_gateway_is_open_on_it() {
    let (mut sight, schedule) = sight();
    let cards = |addresses: &'static [&'static str]| {
        let own = |address: &&str| InterfaceAddress {
            interface: "eth1".to_owned(),
            index: None,
            address: address.parse().unwrap(),
            prefix: 24,
            tunnel: false,
        };
        let keep = Box::new(move |known: &mut Snapshot| {
            known.interfaces = Observation::Seen(addresses.iter().map(own).collect());
            true
        });
        Looked { probe: ProbeId::Interfaces, took: std::time::Duration::ZERO, keep }
    };
    assert_eq!(sight.look_ahead(cards(&["10.9.0.1"]), &schedule), None);
    assert_eq!(sight.catch_up(), [ProbeId::Interfaces]);
    Arc::make_mut(&mut sight.known).listeners = Observation::Seen(vec![listener("0.0.0.0:4711", 812)]);
    Arc::make_mut(&mut sight.known).interfaces = Observation::Seen(Vec::new());
    let round = sight.look_ahead(cards(&["10.9.0.2"]), &schedule).unwrap();
    assert!(round.findings.iter().any(|it| it.rule == "bound-beyond-allowed"), "{:?}", round.findings);
}

#[test]
fn a_client_that_is_gone_before_it_was_described_makes_no_picture_of_its_own() {
    let (mut sight, mut schedule) = sight();
    let connected = Peer {
        gateway: "127.0.0.1:4711".parse().unwrap(),
        remote: "127.0.0.1:40000".parse().unwrap(),
        origin: Origin::Here { owner: Attribution::Named(vec![999]), flows: Vec::new() },
    };
    let mut look = |probe, peers: &[Peer]| {
        Arc::make_mut(&mut sight.known).peers = Observation::Seen(peers.to_vec());
        schedule.started(probe, Moment::default());
        sight.settle(&mut schedule, probe, probe == ProbeId::Peers);
        schedule.is_whole()
    };
    let there = std::slice::from_ref(&connected);
    look(ProbeId::Peers, there);
    assert!(!look(ProbeId::Owner, there), "nobody can say who 999 is, and it may be gone");
    look(ProbeId::Peers, &[]);
    assert!(look(ProbeId::Owner, &[]), "it is");
    look(ProbeId::Peers, there);
    look(ProbeId::Owner, there);
    look(ProbeId::Peers, there);
    assert!(look(ProbeId::Owner, there), "it is not, and is told");
}

/// An nginx on every address that is told to carry the gateway, and answers.
fn nginx(known: &mut Snapshot) {
    let at: SocketAddr = "0.0.0.0:8088".parse().unwrap();
    let Observation::Seen(listeners) = &mut known.listeners else { panic!("they are seen") };
    listeners.push(listener("0.0.0.0:8088", 900));
    let Observation::Seen(processes) = &mut known.owner else { panic!("they are seen") };
    let mut process = processes[0].clone();
    (process.pid, process.name, process.role) = (900, "nginx".to_owned(), Role::Proxy);
    processes.push(process);
    let carries = Route {
        pid: 900,
        program: "nginx".to_owned(),
        listens: vec![at],
        to_port: 4711,
        source: RouteSource::Itself,
        text: "proxy_pass http://127.0.0.1:4711".to_owned(),
    };
    known.routes = Observation::Seen(Instructions { routes: vec![carries], ..Instructions::default() });
    let asked = SocketAddr::from((Ipv4Addr::LOCALHOST, 8088));
    known.panel = Observation::Seen(vec![PanelAnswer { at: asked, bound: at, reply: Reply::Closed }]);
}

/// What the gateway's ports take has changed, in a recovery say: the list is looked at again, and until then an answer
/// is nobody's.
#[test]
fn an_allowed_proxy_is_not_accused_while_the_list_of_sockets_is_looked_at_again() {
    for allowed in [true, false] {
        let (mut sight, mut schedule) = sight();
        nginx(Arc::make_mut(&mut sight.known));
        let paths = AllowedPath { path: "nginx".to_owned(), reason: "ours".to_owned() };
        let paths = if allowed { vec![paths] } else { Vec::new() };
        sight.set_policy(Policy { paths, ports: vec![4711], ..Policy::default() });
        let mut accused = |schedule: &Schedule| {
            sight.doubt();
            let round = sight.accusation(schedule);
            round.is_some_and(|round| round.findings.iter().any(|it| it.rule == "panel-republished"))
        };
        schedule.changed(ProbeId::Reach);
        assert!(!schedule.is_settled(ProbeId::Listeners) && schedule.is_settled(ProbeId::Panel));
        assert!(!accused(&schedule), "whose it is nobody knows");
        schedule.started(ProbeId::Listeners, Moment::default());
        schedule.finished(ProbeId::Listeners, false);
        schedule.changed(ProbeId::Tunnels);
        assert_eq!(accused(&schedule), !allowed, "now it is known");
    }
}

fn vpn_comes_up(known: &mut Snapshot) {
    let Observation::Seen(addresses) = &mut known.interfaces else { panic!("they are seen") };
    let (interface, address) = ("tailscale0".to_owned(), "100.100.1.2".parse().unwrap());
    addresses.push(InterfaceAddress { interface, index: None, address, prefix: 24, tunnel: false });
}

#[test]
fn a_member_of_a_vpn_that_just_came_up_is_judged_by_addresses_newer_than_its_connection() {
    for comes_up in [true, false] {
        let (mut sight, mut schedule) = sight();
        let known = Arc::make_mut(&mut sight.known);
        known.listeners = Observation::Seen(vec![listener("100.100.1.2:4711", 812)]);
        known.reach = Observation::Seen(Vec::new());
        let (gateway, remote) = ("100.100.1.2:4711".parse().unwrap(), "100.100.1.1:40000".parse().unwrap());
        known.peers = Observation::Seen(vec![Peer { gateway, remote, origin: Origin::Elsewhere }]);
        sight.doubt();
        let look = |sight: &Sight, schedule: &mut Schedule, probe, second| {
            schedule.started(probe, Moment::default() + std::time::Duration::from_secs(second));
            sight.settle(schedule, probe, false);
        };
        look(&sight, &mut schedule, ProbeId::Interfaces, 1);
        look(&sight, &mut schedule, ProbeId::Peers, 2);
        assert!(sight.whole(&schedule).is_none(), "it is not one picture");
        // Something else is unsettled, too, as it is most of the time: what is settled may accuse.
        schedule.changed(ProbeId::Tunnels);
        assert!(schedule.is_settled(ProbeId::Peers) && !schedule.is_whole());
        let accused = sight.accusation(&schedule).map(|round| round.findings).unwrap_or_default();
        assert!(accused.iter().all(|it| it.rule != "foreign-peer"), "{accused:#?}");
        let at = Moment::default() + std::time::Duration::from_secs(2);
        assert!(schedule.due(at).contains(&ProbeId::Interfaces), "they are asked for at once");
        if comes_up {
            vpn_comes_up(Arc::make_mut(&mut sight.known));
        }
        look(&sight, &mut schedule, ProbeId::Interfaces, 3);
        look(&sight, &mut schedule, ProbeId::Owner, 3);
        sight.doubt();
        let findings = &sight.whole(&schedule).unwrap().findings;
        let is_foreign = findings.iter().any(|it| it.rule == "foreign-peer");
        assert_eq!(is_foreign, !comes_up, "{findings:#?}");
    }
}

#[test]
fn what_proves_something_is_not_put_off_for_a_client_that_nobody_can_name() {
    let (mut sight, mut schedule) = sight();
    let peer = |gateway: &str, remote: &str, origin| Peer {
        gateway: gateway.parse().unwrap(),
        remote: remote.parse().unwrap(),
        origin,
    };
    let nameless = Origin::Here { owner: Attribution::Named(vec![999]), flows: Vec::new() };
    Arc::make_mut(&mut sight.known).peers = Observation::Seen(vec![
        peer("127.0.0.1:4711", "127.0.0.1:40000", nameless),
        peer("192.168.1.5:4711", "192.168.1.9:40000", Origin::Elsewhere),
    ]);
    Arc::make_mut(&mut sight.known).reach = Observation::Seen(Vec::new());
    sight.doubt();
    let later = Moment::default() + std::time::Duration::from_secs(1);
    schedule.started(ProbeId::Owner, later);
    sight.settle(&mut schedule, ProbeId::Owner, false);
    let findings = &sight.whole(&schedule).expect("nobody looks again before it is told").findings;
    assert!(findings.iter().any(|it| it.rule == "foreign-peer"), "{findings:#?}");
}

#[test]
fn an_address_that_the_picture_lacks_is_not_kept_for_the_next_one() {
    let brings = |gateway: &str| {
        let (mut sight, schedule) = sight();
        let peer = Peer {
            gateway: gateway.parse().unwrap(),
            remote: "100.100.1.1:40000".parse().unwrap(),
            origin: Origin::Elsewhere,
        };
        Arc::make_mut(&mut sight.known).peers = Observation::Seen(vec![peer]);
        let keep = Box::new(|known: &mut Snapshot| {
            vpn_comes_up(known);
            true
        });
        let took = std::time::Duration::ZERO;
        sight.look_ahead(Looked { probe: ProbeId::Interfaces, took, keep }, &schedule);
        sight.brings_an_address()
    };
    assert!(brings("100.100.1.2:4711"));
    assert!(!brings("100.100.1.3:4711"), "it is another that is lacking");
    assert!(!brings("127.0.0.1:4711"), "none is");
}

#[test]
fn a_gateway_that_binds_beyond_what_is_allowed_accuses_without_waiting() {
    let (mut sight, schedule) = sight();
    let wide = vec![listener("0.0.0.0:4711", 812)];
    let round = sight.look_ahead(looked(wide), &schedule).unwrap();
    assert_eq!(round.verdict, Verdict::Exposed);
    assert!(round.findings.iter().any(|it| it.rule == "bound-beyond-allowed"), "{:?}", round.findings);
}

/// A wall that was there before it knew this host's own addresses refuses the first question: to wait for
/// the next one until its usual time would be as long as the patience.
#[test]
fn whoever_refuses_a_page_is_asked_again_soon_and_whoever_gives_one_is_not() {
    let (mut sight, _) = sight();
    let mut answers = |reply| {
        let at = "100.100.1.2:4711".parse().unwrap();
        let heard = guardian_rules::fact::PanelAnswer { at, bound: at, reply };
        Arc::make_mut(&mut sight.known).panel = Observation::Seen(vec![heard]);
        sight.leaves_open(ProbeId::Panel)
    };
    assert!(answers(Reply::Refused) && answers(Reply::Silent));
    assert!(!answers(Reply::OtherProtocol) && !answers(Reply::Closed));
}
