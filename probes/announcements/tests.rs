use guardian_rules::fact::{Attribution, InterfaceAddress, Listener};
use guardian_rules::observation::Observation;

use super::*;

fn service(port: u16) -> Service {
    Service { kind: "_openclaw-gw._tcp".to_owned(), port: Some(port), tells: Vec::new() }
}

/// Two gateways, each on its port.
fn known() -> Snapshot {
    let listener = |pid: u32, port: u16| Listener {
        bound: (Ipv4Addr::LOCALHOST, port).into(),
        dual_stack: false,
        device: None,
        uid: None,
        socket: 1,
        owner: Attribution::Named(vec![pid]),
    };
    Snapshot {
        listeners: Observation::Seen(vec![listener(7, 18789), listener(8, 19001)]),
        ..Snapshot::default()
    }
}

fn heard(port: u16) -> BTreeMap<Service, BTreeSet<IpAddr>> {
    BTreeMap::from([(service(port), BTreeSet::from(["192.168.7.2".parse().unwrap()]))])
}

#[test]
fn an_announcement_is_of_the_process_whose_port_it_names() {
    let held = BTreeMap::from([(7, Hold::Yes), (8, Hold::Yes)]);
    let facts = facts(&known(), &held, heard(19001), None);
    let of = |pid| facts.iter().find(|fact| fact.pid == Some(pid)).unwrap();
    assert_eq!(of(8).heard.as_ref().unwrap().port, Some(19001));
    assert_eq!(of(7).heard.as_ref().unwrap_err().cause, Cause::TimedOut, "nothing was heard of it");
}

#[test]
fn an_announcement_of_another_port_is_of_the_only_one_that_can_announce() {
    let one = BTreeMap::from([(7, Hold::Yes)]);
    assert_eq!(facts(&known(), &one, heard(4711), None)[0].pid, Some(7));
    let two = BTreeMap::from([(7, Hold::Yes), (8, Hold::Yes)]);
    assert!(facts(&known(), &two, heard(4711), None).iter().any(|fact| fact.pid.is_none()));
}

#[test]
fn what_could_not_be_seen_or_asked_is_said_with_its_reason() {
    let hidden = BTreeMap::from([(7, Hold::Unknown(Blindness::denied("hidden")))]);
    assert_eq!(facts(&known(), &hidden, BTreeMap::new(), None)[0].heard, Err(Blindness::denied("hidden")));
    assert!(facts(&known(), &hidden, heard(18789), None)[0].heard.is_ok(), "what is heard is heard");
    let held = BTreeMap::from([(7, Hold::Yes)]);
    let unasked = facts(&known(), &held, BTreeMap::new(), Some("no route"));
    assert_eq!(unasked[0].heard.as_ref().unwrap_err().cause, Cause::Interrupted);
}

#[test]
fn every_network_is_asked_loopback_first_and_so_many_at_most() {
    let own = |address: &str| InterfaceAddress {
        interface: "x".to_owned(),
        index: None,
        address: address.parse().unwrap(),
        prefix: 24,
        tunnel: false,
    };
    let mut all: Vec<InterfaceAddress> = (0..100).map(|number| own(&format!("10.0.{number}.1"))).collect();
    all.push(own("127.0.0.1"));
    all.push(own("fe80::1"));
    let known = Snapshot { interfaces: Observation::Seen(all), ..Snapshot::default() };
    let asked = addresses(&known);
    assert_eq!((asked.len(), asked[0]), (MAX_ADDRESSES, Ipv4Addr::LOCALHOST));
}

#[tokio::test]
async fn without_a_gateway_nobody_is_asked() {
    let ground = Ground { policy: std::sync::Arc::default(), known: std::sync::Arc::default() };
    assert_eq!(Announcements.observe(ground).await, Ok(Vec::new()));
}
