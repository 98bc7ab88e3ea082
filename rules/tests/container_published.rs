use guardian_rules::fact::{Access, ContainerPort, Engine, Role};
use guardian_rules::finding::{Answer, Severity};
use guardian_rules::observation::Observation;
use guardian_rules::snapshot::Snapshot;
use guardian_rules::verdict::Verdict;

use crate::scenery::*;

const RULE: &str = "container-published";

fn publishing(on: &str, access: Access) -> ContainerPort {
    ContainerPort {
        container: "box".to_owned(),
        image: "image".to_owned(),
        is_named_like_a_gateway: false,
        on: at(on),
        to: Some(at("172.17.0.2:18789")),
        access,
    }
}

fn named(port: ContainerPort) -> ContainerPort {
    ContainerPort { is_named_like_a_gateway: true, ..port }
}

/// A sound gateway, and whatever else runs beside it.
fn laptop() -> Host {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
}

fn docker(port: ContainerPort) -> Engine {
    Engine {
        name: "docker".to_owned(),
        socket: "/run/docker.sock".into(),
        is_roots: true,
        ports: Ok(vec![port]),
    }
}

#[test]
fn a_gateway_in_a_container_published_on_every_address_is_exposed() {
    for access in [Access::Open, Access::Required, Access::RefusesProxy] {
        host()
            .with_engine(docker(publishing("0.0.0.0:8080", access)))
            .judged()
            .exposes(RULE, "0.0.0.0:8080")
            .because(RULE, "docker publishes the container box")
            .because(RULE, "192.168.1.5");
    }
}

#[test]
fn a_gateway_in_a_container_published_on_loopback_or_in_the_vpn_is_protected() {
    for on in ["127.0.0.1:8080", "[::1]:8080", "100.100.1.2:8080"] {
        host().with_engine(docker(publishing(on, Access::Required))).judged().nothing_of(RULE).is_safe();
    }
}

#[test]
fn a_container_without_a_gateway_is_nothing_whatever_it_is_called() {
    for access in [Access::NoGateway, Access::Fronted] {
        host()
            .with_engine(docker(named(publishing("0.0.0.0:8080", access))))
            .judged()
            .nothing_of(RULE)
            .is_safe();
    }
}

/// Pi-hole takes `GE` for a length and waits; Syncthing wants a certificate of whoever asks.
#[test]
fn a_silent_port_of_a_container_that_roots_engine_knows_is_odd_and_any_other_one_a_doubt() {
    const DOOR: &str = "panel-republished";
    let proxy =
        || program("docker-proxy", 900, Role::ContainerEngine).of_user(0, "root").on("0.0.0.0:53", silent());
    let judged = |proxy: Program, engine: Engine| laptop().runs(proxy).with_engine(engine).judged();
    let unknown = || Access::Unknown(timed_out());
    let of = |access| publishing("0.0.0.0:53", access);
    for access in [Access::NoGateway, unknown()] {
        judged(proxy(), docker(of(access))).notes(DOOR, "0.0.0.0:53").is_safe();
    }
    // It answers as a gateway, or is named like one.
    for port in [of(Access::Required), named(of(unknown()))] {
        assert_ne!(judged(proxy(), docker(port)).0.verdict, Verdict::Safe);
    }
    // A user's engine may say what it likes; one that does not tell, or not of this port, says nothing.
    let users = Engine { is_roots: false, ..docker(of(Access::NoGateway)) };
    let mute = Engine { ports: Err(denied()), ..docker(of(Access::NoGateway)) };
    let another = docker(publishing("0.0.0.0:5353", Access::NoGateway));
    for engine in [users, mute, another] {
        let doubted = judged(proxy(), engine);
        doubted.doubts(DOOR, "0.0.0.0:53").is_blind();
        assert!(doubted.findings(DOOR).any(|it| it.remedy.contains("guardian allow --path container")));
    }
    // Whoever only calls himself so, and who is connected to a gateway, is none of root's engine.
    let bobs = proxy().of_user(1001, "bob");
    judged(bobs, docker(of(Access::NoGateway))).doubts(DOOR, "0.0.0.0:53");
    let attached = proxy().connected_to("127.0.0.1:18789");
    judged(attached, docker(of(Access::NoGateway))).doubts(DOOR, "0.0.0.0:53");
    // What was said earlier excuses nobody now.
    let earlier =
        laptop().runs(proxy()).with_engine(docker(of(Access::NoGateway))).but(|snapshot: &mut Snapshot| {
            let last = snapshot.containers.known().cloned();
            snapshot.containers = Observation::Blind { why: timed_out(), last };
        });
    earlier.judged().doubts(DOOR, "0.0.0.0:53");
}

#[test]
fn a_container_that_does_not_tell_is_doubted_where_it_is_named_like_a_gateway() {
    let silent = || publishing("0.0.0.0:8080", Access::Unknown(timed_out()));
    host().with_engine(docker(named(silent()))).judged().doubts(RULE, "0.0.0.0:8080").is_blind();
    host().with_engine(docker(silent())).judged().nothing_of(RULE).is_safe();
    let within = named(publishing("127.0.0.1:8080", Access::Unknown(timed_out())));
    host().with_engine(docker(within)).judged().nothing_of(RULE).is_safe();
}

#[test]
fn where_the_addresses_of_this_host_are_not_known_it_cannot_be_told() {
    fn blind(snapshot: &mut Snapshot) {
        snapshot.interfaces = unseen(denied());
    }
    host()
        .with_engine(docker(publishing("0.0.0.0:8080", Access::Required)))
        .but(blind)
        .judged()
        .doubts(RULE, "0.0.0.0:8080");
}

#[test]
fn what_the_owner_allows_is_worth_knowing() {
    host()
        .allowing_path("container")
        .with_engine(docker(publishing("0.0.0.0:8080", Access::Required)))
        .judged()
        .notes(RULE, "0.0.0.0:8080")
        .is_safe();
    host()
        .allowing_network("192.168.1.0/24")
        .with_engine(docker(publishing("0.0.0.0:8080", Access::Required)))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn an_engine_that_does_not_tell_is_worth_knowing() {
    let engine = Engine { ports: Err(denied()), ..docker(publishing("0.0.0.0:1", Access::Open)) };
    host()
        .with_engine(engine)
        .judged()
        .says(RULE, Severity::Info, Answer::Unknown, "docker")
        .because(RULE, "/run/docker.sock")
        .is_safe();
}

#[test]
fn only_whoever_was_refused_is_told_to_be_root() {
    for (why, remedy) in [(denied(), "Run Guardian as root"), (timed_out(), "Guardian asks again by itself")]
    {
        let engine = Engine { ports: Err(why), ..docker(publishing("0.0.0.0:1", Access::Open)) };
        host().with_engine(engine).judged().advises(RULE, remedy);
    }
}

#[test]
fn a_container_seen_before_the_probe_went_blind_still_accuses() {
    fn blind(snapshot: &mut Snapshot) {
        snapshot.containers = snapshot.containers.clone().followed_by(Err(timed_out()));
    }
    host()
        .with_engine(docker(publishing("0.0.0.0:8080", Access::Required)))
        .but(blind)
        .judged()
        .exposes(RULE, "0.0.0.0:8080");
}
