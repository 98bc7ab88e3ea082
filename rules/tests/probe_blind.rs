use guardian_rules::fact::Attribution;
use guardian_rules::snapshot::{ProbeId, Snapshot};

use crate::scenery::*;

const RULE: &str = "probe-blind";

type Change = fn(&mut Snapshot);

fn laptop() -> Host {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
}

#[test]
fn a_host_that_was_seen_whole_leaves_nothing_blind() {
    laptop().judged().nothing_of(RULE).is_safe();
}

#[test]
fn every_probe_that_does_not_see_makes_the_verdict_blind() {
    let blinders: [(ProbeId, Change); 16] = [
        (ProbeId::Listeners, |it| it.listeners = unseen(denied())),
        (ProbeId::Witness, |it| it.witness = unseen(denied())),
        (ProbeId::Interfaces, |it| it.interfaces = unseen(denied())),
        (ProbeId::Owner, |it| it.owner = unseen(denied())),
        (ProbeId::Gateway, |it| it.gateway = unseen(denied())),
        (ProbeId::Routes, |it| it.routes = unseen(denied())),
        (ProbeId::Reach, |it| it.reach = unseen(denied())),
        (ProbeId::Panel, |it| it.panel = unseen(denied())),
        (ProbeId::Access, |it| it.access = unseen(denied())),
        (ProbeId::Handshake, |it| it.handshake = unseen(denied())),
        (ProbeId::Peers, |it| it.peers = unseen(denied())),
        (ProbeId::Tunnels, |it| it.tunnels = unseen(denied())),
        (ProbeId::Redirects, |it| it.redirects = unseen(denied())),
        (ProbeId::Containers, |it| it.containers = unseen(denied())),
        (ProbeId::Router, |it| it.router = unseen(denied())),
        (ProbeId::Announcements, |it| it.announcements = unseen(denied())),
    ];
    for (probe, blind) in blinders {
        laptop()
            .but(blind)
            .judged()
            .doubts(RULE, probe.as_str())
            .because(RULE, "denied: no permission")
            .is_blind();
    }
}

#[test]
fn before_the_first_look_everything_is_blind() {
    let conclusion = host().but(|snapshot| *snapshot = Snapshot::default()).judged();
    conclusion.is_blind();
    assert_eq!(conclusion.findings(RULE).count(), ProbeId::ALL.len());
}

#[test]
fn a_gateway_socket_whose_process_cannot_be_named_is_blind() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()).unnamed())
        .judged()
        .doubts(RULE, "127.0.0.1:18789")
        .because(RULE, "its process cannot be named (denied: no permission)")
        .is_blind();
}

#[test]
fn unless_what_is_seen_of_it_is_already_exposed() {
    host()
        .runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials()).unnamed())
        .judged()
        .doubts(RULE, "0.0.0.0:18789")
        .exposes("bound-beyond-allowed", "0.0.0.0:18789");
}

#[test]
fn another_users_gateway_whose_socket_cannot_be_told_is_blind() {
    // Its title is there for all to see; which of its user's silent sockets is its is not.
    let hanging = |uid| {
        host()
            .runs(gateway(812).of_user(1001, "ben"))
            .runs(unknown_program(700).on("127.0.0.1:19001", silent()).of_user(uid, "somebody").unnamed())
            .judged()
    };
    hanging(1001).doubts(RULE, "pid 812").is_blind();
    hanging(1002).nothing_of(RULE).is_safe();
    for manner in [refusing(), hanging_up()] {
        host()
            .runs(gateway(812).of_user(1001, "ben"))
            .runs(unknown_program(700).on("0.0.0.0:4711", manner).of_user(1001, "ben").unnamed())
            .judged()
            .doubts(RULE, "pid 812")
            .is_blind();
    }
}

/// Behind Guardian's own wall a neighbour's gateway refuses whoever is not admitted.
#[test]
fn a_socket_at_a_gateways_port_that_refuses_and_cannot_be_named_is_not_safe() {
    let refusing_at = |at: &str, unnamed: bool| {
        let program = unknown_program(700).on(at, refusing());
        let host = host();
        if unnamed { host.runs(program.unnamed()) } else { host.runs(program) }.judged()
    };
    refusing_at("127.0.0.1:18789", true)
        .because("open-without-credentials", "refuses whoever asks from here")
        .is_blind();
    refusing_at("127.0.0.1:18789", false).is_safe();
    refusing_at("127.0.0.1:631", true).is_safe();
}

#[test]
fn a_wrapper_without_sockets_is_no_gateway_without_a_socket() {
    // macOS does not tell whose socket it is that cannot be named.
    laptop()
        .runs(gateway(811))
        .runs(unknown_program(700).on_socket("127.0.0.1:6379", silent(), |it| it.uid = None).unnamed())
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_listener_that_cannot_be_named_and_is_no_gateway_is_nothing() {
    laptop()
        .runs(unknown_program(700).on_socket("0.0.0.0:80", another_site(), |it| {
            it.owner = Attribution::Unnamed(denied());
        }))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}
