//! The rules together: whole hosts, and what the findings add up to.

use std::net::SocketAddr;

use guardian_rules::fact::{Access, Product, Reply, Role, SideDoor};
use guardian_rules::finding::{Answer, Severity};
use guardian_rules::observation::Observation;
use guardian_rules::verdict::Verdict;

use crate::scenery::*;

#[test]
fn the_worst_finding_is_the_verdict() {
    assert!(Verdict::Safe < Verdict::Blind && Verdict::Blind < Verdict::Exposed);
    host()
        .runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials()))
        .but(|snapshot| snapshot.routes = unseen(denied()))
        .judged()
        .doubts("probe-blind", "routes")
        .is(Verdict::Exposed);
}

#[test]
fn an_empty_host_is_safe_and_has_no_gateway() {
    let conclusion = host().judged();
    conclusion.is_safe();
    assert!(conclusion.gateways().is_empty() && conclusion.0.findings.is_empty());
}

#[test]
fn an_ordinary_host_with_a_sound_gateway_is_safe() {
    // Seen without privileges: only what ana runs can be named.
    host()
        .runs(
            gateway(812)
                .on("127.0.0.1:18789", asking_for_credentials())
                .on("[::1]:18789", asking_for_credentials()),
        )
        .runs(program("sshd", 400, Role::Session).on("0.0.0.0:22", another_protocol()).unnamed())
        .runs(program("sshd", 400, Role::Session).on("[::]:22", another_protocol()).unnamed())
        .runs(program("postgres", 500, Role::OtherService).on("127.0.0.1:5432", hanging_up()).unnamed())
        .runs(program("redis", 501, Role::OtherService).on("127.0.0.1:6379", silent()).unnamed())
        .runs(program("cupsd", 502, Role::Unknown).on("127.0.0.1:631", failing(500)).unnamed())
        .runs(
            nginx(900)
                .on("0.0.0.0:80", another_site())
                .on("0.0.0.0:443", another_site().within_tls())
                .unnamed(),
        )
        .runs(
            program("chrome", 1200, Role::Browser)
                .connected_to("127.0.0.1:18789")
                .with_flow(calls("198.51.100.4:443")),
        )
        .judged()
        .is_safe();
}

#[test]
fn each_generation_of_the_gateway_is_safe_on_loopback_with_a_token() {
    let mut oldest = gateway(812)
        .on("127.0.0.1:18789", asking_for_credentials())
        .on("[::1]:18789", asking_for_credentials())
        .on("127.0.0.1:18791", side_door(SideDoor::BrowserControl))
        .on("127.0.0.1:18792", side_door(SideDoor::ExtensionRelay));
    oldest.process.name = "clawdbot-gatewa".to_owned();
    let conclusion = host().runs(oldest.marked(|it| it.product = Some(Product::Clawdbot))).judged();
    conclusion.is_safe();
    assert_eq!(conclusion.gateways()[0].product, Some(Product::Clawdbot));
    assert_eq!(conclusion.gateways()[0].listeners, [at("127.0.0.1:18789"), at("[::1]:18789")]);
    assert!(conclusion.0.has_warnings(), "browser control is open");

    let newest = host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials())).judged();
    assert!(!newest.is_safe().0.has_warnings());
}

#[test]
fn a_gateway_is_told_with_its_product_process_user_and_sockets() {
    let conclusion = host()
        .runs(gateway(812).on_socket("[::]:18789", asking_for_credentials(), |it| it.dual_stack = true))
        .judged();
    let [gateway] = conclusion.gateways() else { panic!("{conclusion:#?}") };
    assert_eq!(gateway.product, Some(Product::Openclaw));
    assert_eq!((gateway.pid, gateway.user.as_deref()), (Some(812), Some("ana")));
    assert_eq!(gateway.listeners, [at("0.0.0.0:18789"), at("[::]:18789")]);
}

#[test]
fn a_gateway_that_cannot_be_named_has_no_pid_and_the_user_of_its_socket() {
    let conclusion =
        host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()).unnamed()).judged();
    let [gateway] = conclusion.gateways() else { panic!("{conclusion:#?}") };
    assert_eq!((gateway.pid, gateway.user.as_deref()), (None, Some("1000")));
    assert_eq!(gateway.product, Some(Product::Openclaw), "the page tells");
}

#[test]
fn several_gateways_are_told_apart_and_the_worst_counts() {
    let conclusion = host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .runs(gateway(820).on("127.0.0.1:19001", open_to_anyone()))
        .judged();
    conclusion.exposes("open-without-credentials", "127.0.0.1:19001");
    let pids: Vec<_> = conclusion.gateways().iter().map(|gateway| gateway.pid).collect();
    assert_eq!(pids, [Some(812), Some(820)]);
}

#[test]
fn gateways_of_two_users_that_cannot_be_named_are_two() {
    let conclusion = host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()).unnamed())
        .runs(gateway(820).on("127.0.0.2:18789", asking_for_credentials()).of_user(1001, "ben").unnamed())
        .judged();
    assert_eq!(conclusion.gateways().len(), 2, "{conclusion:#?}");
}

#[test]
fn a_helper_of_the_product_that_answers_otherwise_is_no_gateway() {
    let conclusion = host().runs(gateway(830).on("127.0.0.1:1455", another_site())).judged();
    conclusion.is_safe();
    assert!(conclusion.gateways().is_empty());
}

#[test]
fn a_process_of_the_product_whose_websocket_did_not_tell_may_be_a_gateway() {
    host()
        .runs(
            gateway(830)
                .on("192.168.1.5:4000", another_site().without_challenge(Access::Unknown(timed_out()))),
        )
        .judged()
        .exposes("bound-beyond-allowed", "192.168.1.5:4000");
}

#[test]
fn a_process_of_the_product_whose_page_could_not_be_had_may_be_a_gateway() {
    for lost in [Reply::Silent, Reply::Unknown(timed_out())] {
        host().runs(gateway(830).on("127.0.0.1:4000", another_site().but_reply(lost))).judged().is_blind();
    }
}

#[test]
fn a_gateway_that_speaks_elsewhere_still_has_to_answer_on_the_policys_port() {
    let host = |at: &str, manner: Manner| {
        let speaking = gateway(830).on("127.0.0.1:4000", asking_for_credentials());
        host().runs(speaking.on(at, manner)).judged()
    };
    let silent = || another_site().without_challenge(Access::Unknown(timed_out()));
    host("127.0.0.1:18789", silent()).doubts("open-without-credentials", "127.0.0.1:18789").is_blind();
    host("127.0.0.1:18789", another_site()).is_safe();
    host("127.0.0.1:4001", silent()).is_safe();
}

#[test]
fn a_helper_of_the_product_that_speaks_another_protocol_is_no_gateway() {
    let conclusion = host().runs(gateway(830).on("127.0.0.1:4000", another_protocol())).judged();
    assert!(conclusion.is_safe().gateways().is_empty());
}

#[test]
fn what_answers_as_a_gateway_is_judged_even_where_no_list_of_sockets_could_be_had() {
    let unlisted = |bound: &str, manner: Manner| {
        host()
            .runs(gateway(812).on(bound, manner))
            .but(|snapshot| snapshot.listeners = unseen(denied()))
            .judged()
    };
    unlisted("127.0.0.1:18789", asking_for_credentials()).doubts("probe-blind", "127.0.0.1:18789").is_blind();
    unlisted("127.0.0.1:18789", open_to_anyone()).exposes("open-without-credentials", "127.0.0.1:18789");
    unlisted("192.168.1.5:18789", asking_for_credentials())
        .exposes("bound-beyond-allowed", "192.168.1.5:18789");
}

#[test]
fn an_answer_of_a_socket_that_is_gone_is_gone_with_it() {
    host()
        .runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials()))
        .but(|snapshot| {
            snapshot.listeners = Observation::Seen(Vec::new());
            snapshot.reach = Observation::Seen(Vec::new());
        })
        .judged()
        .is_safe();
}

#[test]
fn two_processes_at_one_address_cannot_be_told_apart() {
    // SO_REUSEPORT: the answers may be either's.
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .runs(unknown_program(900).on("127.0.0.1:18789", asking_for_credentials()))
        .judged()
        .is_blind();
}

#[test]
fn sockets_of_one_program_at_one_address_are_one_finding() {
    // nginx with reuseport has one socket a worker, and every worker holds all of them.
    let mut workers = nginx(900);
    for _ in 0..4 {
        workers = workers.on("0.0.0.0:8088", carrying_the_gateway());
    }
    let conclusion =
        host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials())).runs(workers).judged();
    assert_eq!(
        conclusion.exposes("panel-republished", "0.0.0.0:8088").findings("panel-republished").count(),
        1
    );
}

#[test]
fn findings_come_gravest_first() {
    let conclusion = host()
        .runs(gateway(812).on("0.0.0.0:18789", asking_for_credentials()).of_user(0, "root"))
        .runs(unknown_program(700).on("0.0.0.0:29999", silent()))
        .runs(nginx(900).on("0.0.0.0:80", failing(502)))
        .judged();
    let weights: Vec<_> = conclusion.0.findings.iter().map(|it| (it.severity, it.answer)).collect();
    let first_doubt =
        weights.iter().position(|it| *it == (Severity::Critical, Answer::Unknown)).expect("nginx");
    let last_yes =
        weights.iter().rposition(|it| *it == (Severity::Critical, Answer::Yes)).expect("the gateway");
    assert!(last_yes < first_doubt, "{weights:?}");
    assert!(weights.windows(2).all(|pair| pair[0].0 >= pair[1].0), "{weights:?}");
}

#[test]
fn a_marked_process_is_a_gateway_on_any_port_and_a_name_alone_is_none() {
    host().runs(gateway(812).on("192.168.1.5:4321", asking_for_credentials())).judged().is(Verdict::Exposed);
    let mut namesake = unknown_program(700);
    namesake.process.name = "openclaw-gateway".to_owned();
    host().runs(namesake.on("0.0.0.0:18789", another_site())).judged().is_safe();
}

#[test]
fn a_socket_tied_to_an_interface_is_open_on_that_interface() {
    let tied = |device: &'static str| {
        host()
            .runs(gateway(812).on_socket("0.0.0.0:18789", asking_for_credentials(), move |it| {
                it.device = Some(device.to_owned());
            }))
            .judged()
    };
    tied("lo").is_safe();
    tied("tailscale0").is_safe();
    tied("wlan0").exposes("bound-beyond-allowed", "0.0.0.0:18789");
    // A VRF has no address of its own.
    tied("vrf-blue").doubts("bound-beyond-allowed", "0.0.0.0:18789").is_blind();
}

#[test]
fn an_alias_of_an_interface_is_that_interface() {
    let tied = |interface: &str, device: &'static str| {
        bare_host()
            .interface(interface, "10.7.0.2")
            .runs(gateway(812).on_socket("0.0.0.0:18789", asking_for_credentials(), move |it| {
                it.device = Some(device.to_owned());
            }))
            .judged()
    };
    tied("eth0:1", "eth0").exposes("bound-beyond-allowed", "0.0.0.0:18789");
    tied("tun0:1", "tun0").is_safe();
}

#[test]
fn a_forwarder_tied_to_an_interface_cannot_be_asked_from_here() {
    let tied = |program: Program| {
        host()
            .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
            .runs(program.on_socket("0.0.0.0:8088", refusing(), |it| it.device = Some("wlan0".to_owned())))
            .judged()
    };
    tied(nginx(900)).doubts("panel-republished", "0.0.0.0:8088").is_blind();
    tied(unknown_program(900)).notes("panel-republished", "0.0.0.0:8088").is_safe();
}

#[test]
fn a_link_local_address_is_told_by_its_scope() {
    let bound = |scope: u32| {
        // The same address on a card and on a tunnel.
        let host = bare_host().interface("eth0", "fe80::1").interface("wg0", "fe80::1");
        host.runs(gateway(812).on(&format!("[fe80::1%{scope}]:18789"), asking_for_credentials())).judged()
    };
    bound(2).exposes("bound-beyond-allowed", "fe80::1");
    bound(3).is_safe();
}

#[test]
fn a_link_local_address_of_loopback_is_loopback() {
    // macOS gives lo0 fe80::1.
    bare_host()
        .interface("lo0", "fe80::1")
        .interface("utun3", "100.100.1.2")
        .runs(gateway(812).on_socket("[::]:18789", asking_for_credentials(), |it| it.dual_stack = true))
        .judged()
        .is_safe();
}

#[test]
fn an_address_whose_interface_is_not_known_may_be_a_vpns() {
    let unseen_interfaces = |bound: &str| {
        host()
            .runs(gateway(812).on(bound, asking_for_credentials()))
            .but(|snapshot| snapshot.interfaces = unseen(timed_out()))
            .judged()
    };
    unseen_interfaces("100.100.1.2:18789").doubts("bound-beyond-allowed", "100.100.1.2:18789").is_blind();
    unseen_interfaces("203.0.113.9:18789").exposes("bound-beyond-allowed", "203.0.113.9:18789");
    unseen_interfaces("127.0.0.1:18789").nothing_of("bound-beyond-allowed").is_blind();
}

#[test]
fn a_port_that_takes_connections_while_the_listeners_are_not_known_is_unknown() {
    let conclusion = host()
        .runs(unknown_program(700).on("0.0.0.0:18789", unasked()))
        .but(|snapshot| snapshot.listeners = unseen(denied()))
        .judged();
    conclusion.doubts("reachable-beyond-allowed", "192.168.1.5:18789").is_blind();
}

#[test]
fn the_more_exact_of_two_sockets_takes_the_connection() {
    // The gateway has both protocols, another program has IPv4 for itself.
    bare_host()
        .interface("eth0", "192.168.1.5")
        .runs(gateway(812).on("[::]:18789", asking_for_credentials()))
        .runs(unknown_program(700).on("0.0.0.0:18789", another_site()))
        .judged()
        .nothing_of("reachable-beyond-allowed")
        .is_safe();
}

#[test]
fn sockets_are_told_in_order_whatever_the_order_of_the_facts() {
    let conclusion = host()
        .runs(
            gateway(812)
                .on("[::1]:18789", asking_for_credentials())
                .on("127.0.0.1:18789", asking_for_credentials()),
        )
        .judged();
    let told: &[SocketAddr] = &conclusion.gateways()[0].listeners;
    assert_eq!(told, [at("127.0.0.1:18789"), at("[::1]:18789")]);
}

#[test]
fn what_is_known_comes_before_what_is_doubted_whatever_the_catalogs_order() {
    let conclusion = host().runs(gateway(812).on("0.0.0.0:18789", silent())).judged();
    let answers: Vec<Answer> = conclusion.0.findings.iter().map(|it| it.answer).collect();
    assert_eq!(answers.first(), Some(&Answer::Yes), "{conclusion:#?}");
    assert_eq!(answers.last(), Some(&Answer::Unknown), "{conclusion:#?}");
}

#[test]
fn a_process_of_the_product_that_shows_a_panel_may_be_a_gateway() {
    host().runs(gateway(830).on("127.0.0.1:4000", decoy())).judged().is_blind();
}

#[test]
fn a_mapped_address_is_the_ipv4_address_that_it_is() {
    let policy = host().allowing_network("192.168.1.0/24").policy;
    assert!(policy.names(ip("::ffff:192.168.1.77")) && !policy.names(ip("::ffff:192.168.2.77")));
}
