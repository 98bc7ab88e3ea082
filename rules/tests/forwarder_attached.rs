use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{Access, Audience, Reply, Role, Tailscale};
use guardian_rules::finding::{Answer, Severity};
use guardian_rules::observation::Observation;

use crate::scenery::*;

const RULE: &str = "forwarder-attached";
const GATEWAY: &str = "127.0.0.1:18789";

fn laptop() -> Host {
    host().runs(gateway(812).on(GATEWAY, asking_for_credentials()))
}

#[test]
fn a_gateway_that_nobody_is_connected_to_has_no_forwarder() {
    laptop().judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_proxy_forwarder_tunnel_or_container_engine_connected_to_the_gateway_is_attached() {
    for (name, role) in [
        ("nginx", Role::Proxy),
        ("socat", Role::Forwarder),
        ("ssh", Role::Forwarder),
        ("cloudflared", Role::Tunnel),
        ("docker-proxy", Role::ContainerEngine),
    ] {
        laptop()
            .runs(program(name, 950, role).connected_to(GATEWAY))
            .judged()
            .exposes(RULE, name)
            .because(RULE, "is connected to the gateway at 127.0.0.1:18789")
            .because(RULE, &format!("its program is {}", role.as_a()));
    }
}

#[test]
fn a_socat_with_a_stranger_is_named_with_its_pid_and_the_stranger() {
    laptop()
        .runs(
            socat(950)
                .on("0.0.0.0:29999", carrying_the_gateway())
                .connected_to(GATEWAY)
                .with_flow(serves("203.0.113.9:50111", "192.168.1.5:29999")),
        )
        .judged()
        .exposes(RULE, "socat (pid 950")
        .because(RULE, "takes a connection from 203.0.113.9:50111");
}

#[test]
fn a_renamed_socat_with_a_live_stranger_is_a_forwarder() {
    for role in [Role::Unknown, Role::OtherService, Role::Runtime, Role::Gateway] {
        laptop()
            .runs(
                program("helper", 950, role)
                    .connected_to(GATEWAY)
                    .with_flow(serves("203.0.113.9:50111", "192.168.1.5:29999")),
            )
            .judged()
            .exposes(RULE, "helper (pid 950")
            .because(RULE, "as a forwarder does");
    }
}

#[test]
fn a_browser_or_client_that_serves_a_stranger_is_none() {
    for role in [Role::Browser, Role::Client] {
        laptop()
            .runs(
                program("chrome", 950, role)
                    .connected_to(GATEWAY)
                    .with_flow(serves("203.0.113.9:50111", "192.168.1.5:29999")),
            )
            .judged()
            .exposes(RULE, "chrome");
    }
}

#[test]
fn a_program_that_serves_members_of_the_vpn_is_no_forwarder_to_strangers() {
    laptop()
        .runs(
            program("node", 950, Role::Runtime)
                .connected_to(GATEWAY)
                .with_flow(serves("100.90.1.7:50111", "100.100.1.2:3000")),
        )
        .judged()
        .warns(RULE, "node")
        .is_safe();
}

#[test]
fn a_program_with_connections_of_its_own_elsewhere_is_a_warning() {
    laptop()
        .runs(unknown_program(950).connected_to(GATEWAY).with_flow(calls("198.51.100.4:443")))
        .judged()
        .warns(RULE, "helper")
        .is_safe();
}

#[test]
fn a_program_with_no_connection_elsewhere_is_nothing() {
    laptop().runs(unknown_program(950).connected_to(GATEWAY)).judged().nothing_of(RULE).is_safe();
}

#[test]
fn browsers_clients_and_the_gate_are_nothing() {
    for role in [Role::Browser, Role::Client, Role::Guardian] {
        laptop()
            .runs(program("it", 950, role).connected_to(GATEWAY).with_flow(calls("198.51.100.4:443")))
            .judged()
            .nothing_of(RULE)
            .is_safe();
    }
    laptop()
        .runs(
            program("guardian", 950, Role::Guardian)
                .connected_to(GATEWAY)
                .with_flow(serves("203.0.113.9:50111", "192.168.1.5:18700")),
        )
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_gateway_connected_to_itself_is_nothing() {
    host()
        .runs(
            gateway(812)
                .on(GATEWAY, asking_for_credentials())
                .connected_to(GATEWAY)
                .with_flow(calls("198.51.100.4:443")),
        )
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn ssh_l_of_an_authenticated_user_is_info() {
    laptop()
        .runs(sshd(950).connected_to(GATEWAY).with_flow(serves("203.0.113.9:50111", "192.168.1.5:22")))
        .judged()
        .notes(RULE, "sshd")
        .because(RULE, "`ssh -L`")
        .is_safe();
}

#[test]
fn a_peer_that_cannot_be_named_is_unknown() {
    laptop()
        .runs(unknown_program(950).connected_to(GATEWAY).unnamed())
        .judged()
        .doubts(RULE, GATEWAY)
        .because(RULE, "cannot be named")
        .is_blind();
}

#[test]
fn a_peer_that_was_named_and_not_described_is_unknown() {
    laptop()
        .runs(socat(950).connected_to(GATEWAY).undescribed())
        .judged()
        .doubts(RULE, "pid 950")
        .because(RULE, "could not be described")
        .is_blind();
}

#[test]
fn a_proxy_keeps_many_connections_and_is_one_finding() {
    let conclusion =
        laptop().runs(nginx(950).connected_to(GATEWAY).connected_to(GATEWAY).connected_to(GATEWAY)).judged();
    assert_eq!(conclusion.findings(RULE).count(), 1, "{conclusion:#?}");
}

#[test]
fn a_program_with_a_harmless_and_a_grave_connection_is_grave() {
    // The same process seen twice, once without its stranger.
    let host = laptop().runs(unknown_program(950).connected_to(GATEWAY)).runs(
        unknown_program(950)
            .connected_to(GATEWAY)
            .with_flow(calls("198.51.100.4:443"))
            .with_flow(serves("203.0.113.9:50111", "192.168.1.5:29999")),
    );
    assert_eq!(host.judged().exposes(RULE, "helper").findings(RULE).count(), 1);
}

// Tailscale.

#[test]
fn tailscale_serve_within_the_vpn_is_info() {
    host()
        .runs(
            gateway(812)
                .on(GATEWAY, asking_for_credentials())
                .configured(|it| it.tailscale = Tailscale::Serve),
        )
        .runs(program("tailscaled", 600, Role::Vpn).connected_to(GATEWAY))
        .judged()
        .notes(RULE, "tailscaled")
        .is_safe();
}

#[test]
fn a_funnel_is_the_whole_internet() {
    let host = host()
        .runs(
            gateway(812)
                .on(GATEWAY, asking_for_credentials())
                .configured(|it| it.tailscale = Tailscale::Funnel),
        )
        .runs(program("tailscaled", 600, Role::Vpn).connected_to(GATEWAY));
    host.judged().exposes(RULE, "tailscaled").because(RULE, "the whole internet");
    host.allowing_path("tailscale-funnel").judged().notes(RULE, "tailscaled").is_safe();
}

#[test]
fn a_vpn_daemon_that_nothing_told_to_serve_is_unknown() {
    laptop()
        .runs(program("tailscaled", 600, Role::Vpn).connected_to(GATEWAY))
        .judged()
        .doubts(RULE, "tailscaled")
        .is_blind();
}

fn tailscaled() -> Program {
    program("tailscaled", 600, Role::Vpn).connected_to(GATEWAY)
}

#[test]
fn a_vpn_daemon_that_says_it_serves_the_vpn_alone_is_info() {
    for told in [
        tailscaled().publishing("tailscale-serve", Audience::Vpn, 18789),
        tailscaled().publishing("tailscale-serve", Audience::Vpn, 3000),
        tailscaled().publishing("tailscale-funnel", Audience::Internet, 3000),
        tailscaled().publishing_nothing(),
    ] {
        laptop().runs(told).judged().notes(RULE, "tailscaled").is_safe();
    }
}

#[test]
fn a_vpn_daemon_that_says_it_funnels_the_gateway_is_the_whole_internet() {
    // Whatever the gateway's own configuration asks for.
    let host = host()
        .runs(
            gateway(812)
                .on(GATEWAY, asking_for_credentials())
                .configured(|it| it.tailscale = Tailscale::Serve),
        )
        .runs(tailscaled().publishing("tailscale-funnel", Audience::Internet, 18789));
    host.judged().exposes(RULE, "tailscaled").because(RULE, "the whole internet");
    host.allowing_path("tailscale-funnel").judged().notes(RULE, "tailscaled").is_safe();
}

#[test]
fn a_vpn_daemon_that_funnels_a_proxy_of_the_gateway_is_the_whole_internet() {
    laptop()
        .runs(nginx(900).on("127.0.0.1:8080", carrying_the_gateway()))
        .runs(tailscaled().publishing("tailscale-funnel", Audience::Internet, 8080))
        .judged()
        .exposes(RULE, "tailscaled");
}

#[test]
fn a_vpn_daemon_that_does_not_tell_is_judged_by_the_gateways_configuration() {
    laptop().runs(tailscaled().keeping_silent()).judged().doubts(RULE, "tailscaled").is_blind();
    host()
        .runs(
            gateway(812)
                .on(GATEWAY, asking_for_credentials())
                .configured(|it| it.tailscale = Tailscale::Serve),
        )
        .runs(tailscaled().keeping_silent())
        .judged()
        .notes(RULE, "tailscaled")
        .is_safe();
}

#[test]
fn what_a_vpn_daemon_said_earlier_accuses_and_does_not_clear() {
    let forgotten = |it: &mut guardian_rules::snapshot::Snapshot| {
        let before = std::mem::replace(&mut it.tunnels, Observation::never_ran());
        it.tunnels = before.followed_by(Err(timed_out()));
    };
    let told = tailscaled().publishing("tailscale-serve", Audience::Vpn, 18789);
    laptop().runs(told).but(forgotten).judged().doubts(RULE, "tailscaled");
    let told = tailscaled().publishing("tailscale-funnel", Audience::Internet, 18789);
    laptop().runs(told).but(forgotten).judged().exposes(RULE, "tailscaled");
}

#[test]
fn another_tunnels_word_does_not_excuse_a_vpn_daemon() {
    laptop()
        .runs(tailscaled())
        .runs(program("ngrok", 601, Role::Tunnel).publishing_nothing())
        .judged()
        .doubts(RULE, "tailscaled")
        .is_blind();
}

#[test]
fn one_gateway_told_to_serve_does_not_excuse_the_connection_to_another() {
    laptop()
        .runs(
            gateway(813)
                .on("127.0.0.1:19001", asking_for_credentials())
                .configured(|it| it.tailscale = Tailscale::Serve),
        )
        .runs(program("tailscaled", 600, Role::Vpn).connected_to(GATEWAY))
        .judged()
        .doubts(RULE, "tailscaled")
        .is_blind();
}

// Instructions.

#[test]
fn an_ssh_r_is_attached_before_anyone_uses_it() {
    laptop()
        .runs(program("ssh", 950, Role::Forwarder).told_to_carry(&[], 18789))
        .judged()
        .exposes(RULE, "ssh (pid 950")
        .because(RULE, "is told in its arguments to carry port 18789 elsewhere");
}

#[test]
fn an_instruction_for_another_port_is_nothing() {
    laptop()
        .runs(program("ssh", 950, Role::Forwarder).told_to_carry(&[], 3000))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn an_instruction_for_the_port_of_a_gateway_on_another_port_is_attached() {
    host()
        .runs(gateway(812).on("127.0.0.1:4000", asking_for_credentials()))
        .runs(program("ngrok", 950, Role::Tunnel).told_to_carry(&[], 4000))
        .judged()
        .exposes(RULE, "ngrok");
}

#[test]
fn a_tunnel_told_to_carry_a_proxy_that_carries_the_gateway_is_attached() {
    for (proxy, tunnel_to) in [
        (nginx(900).on("127.0.0.1:8080", carrying_the_gateway()), 8080),
        (nginx(900).on("127.0.0.1:8080", another_site()).told_to_carry(&["127.0.0.1:8080"], 18789), 8080),
    ] {
        laptop()
            .runs(proxy)
            .runs(program("cloudflared", 950, Role::Tunnel).told_to_carry(&[], tunnel_to))
            .judged()
            .exposes(RULE, "cloudflared");
    }
}

#[test]
fn a_listener_told_to_carry_a_proxy_that_carries_the_gateway_republishes_it() {
    laptop()
        .runs(nginx(900).on("127.0.0.1:8080", another_site()).told_to_carry(&["127.0.0.1:8080"], 18789))
        .runs(socat(950).on("0.0.0.0:443", another_site()).told_to_carry(&["0.0.0.0:443"], 8080))
        .judged()
        .exposes("panel-republished", "0.0.0.0:443");
}

#[test]
fn an_instruction_for_a_port_that_the_policy_names_and_another_program_holds_is_its_affair() {
    host()
        .runs(unknown_program(700).on("127.0.0.1:18789", another_site()))
        .runs(nginx(900).on("0.0.0.0:80", another_site()).told_to_carry(&["0.0.0.0:80"], 18789))
        .runs(program("ssh", 950, Role::Forwarder).told_to_carry(&[], 18789))
        .judged()
        .is_safe();
}

#[test]
fn an_instruction_for_a_port_that_the_policy_names_stands_while_the_gateway_is_down() {
    host().runs(program("ssh", 950, Role::Forwarder).told_to_carry(&[], 18789)).judged().exposes(RULE, "ssh");
}

// Allowances.

#[test]
fn a_path_that_the_owner_allows_is_info() {
    for (name, role, path) in [
        ("ngrok", Role::Tunnel, "ngrok"),
        ("cloudflared", Role::Tunnel, "cloudflared"),
        ("docker-proxy", Role::ContainerEngine, "container"),
    ] {
        let connected = laptop().runs(program(name, 950, role).connected_to(GATEWAY));
        connected.judged().exposes(RULE, name);
        connected.allowing_path(path).judged().notes(RULE, name).is_safe();
    }
    laptop()
        .runs(program("ngrok", 950, Role::Tunnel).told_to_carry(&[], 18789))
        .allowing_path("ngrok")
        .judged()
        .notes(RULE, "ngrok")
        .is_safe();
}

#[test]
fn an_allowed_path_excuses_no_other() {
    laptop()
        .runs(program("cloudflared", 950, Role::Tunnel).connected_to(GATEWAY))
        .allowing_path("ngrok")
        .judged()
        .exposes(RULE, "cloudflared");
}

#[test]
fn a_container_that_the_owner_allows_may_be_published() {
    laptop()
        .runs(
            program("docker-proxy", 950, Role::ContainerEngine)
                .on("0.0.0.0:8080", carrying_the_gateway())
                .connected_to(GATEWAY),
        )
        .allowing_path("container")
        .judged()
        .notes("panel-republished", "0.0.0.0:8080")
        .notes(RULE, "docker-proxy")
        .is_safe();
}

#[test]
fn an_allowed_path_never_excuses_an_open_gateway() {
    laptop()
        .runs(program("ngrok", 950, Role::Tunnel).on("0.0.0.0:8080", open_to_anyone()))
        .allowing_path("ngrok")
        .judged()
        .exposes("open-without-credentials", "0.0.0.0:8080");
}

#[test]
fn a_proxy_within_the_networks_that_the_owner_allows_may_be_used() {
    let through = |listens: &str, visitor: &str| {
        host()
            .runs(gateway(812).on(GATEWAY, asking_for_credentials()))
            .runs(
                nginx(900)
                    .on(listens, carrying_the_gateway())
                    .connected_to(GATEWAY)
                    .with_flow(serves(visitor, listens)),
            )
            .allowing_network("192.168.1.0/24")
            .judged()
    };
    through("192.168.1.5:8088", "192.168.1.77:50111").notes(RULE, "nginx").is_safe();
    through("100.100.1.2:8088", "100.90.1.7:50111").notes(RULE, "nginx").is_safe();
    through("192.168.1.5:8088", "203.0.113.9:50111").exposes(RULE, "nginx");
}

#[test]
fn a_proxy_on_loopback_alone_hides_who_comes_through_it() {
    laptop()
        .runs(nginx(900).on("127.0.0.1:8088", carrying_the_gateway()).connected_to(GATEWAY))
        .judged()
        .exposes(RULE, "nginx");
}

#[test]
fn a_proxy_with_one_more_door_beyond_the_allowed_networks_is_attached() {
    laptop()
        .runs(
            nginx(900)
                .on("100.100.1.2:8088", carrying_the_gateway())
                .on("0.0.0.0:80", another_site())
                .connected_to(GATEWAY),
        )
        .judged()
        .exposes(RULE, "nginx");
}

#[test]
fn every_holder_of_a_socket_must_be_allowed() {
    use guardian_rules::fact::Attribution;
    laptop()
        .runs(program("docker-proxy", 950, Role::ContainerEngine).on_socket(
            "0.0.0.0:8080",
            carrying_the_gateway(),
            |it| it.owner = Attribution::Named(vec![950, 951]),
        ))
        .runs(nginx(951))
        .allowing_path("container")
        .judged()
        .exposes("panel-republished", "0.0.0.0:8080");
}

#[test]
fn the_gravest_connection_of_a_program_counts_whichever_comes_first() {
    let gateway = || {
        host().runs(
            gateway(812).on(GATEWAY, asking_for_credentials()).on("[::1]:18789", asking_for_credentials()),
        )
    };
    for (grave, light) in [(GATEWAY, "[::1]:18789"), ("[::1]:18789", GATEWAY)] {
        let conclusion = gateway()
            .runs(unknown_program(950).connected_to(light).with_flow(calls("198.51.100.4:443")))
            .runs(
                unknown_program(950)
                    .connected_to(grave)
                    .with_flow(serves("203.0.113.9:50111", "192.168.1.5:2999")),
            )
            .judged();
        assert_eq!(conclusion.exposes(RULE, "helper").findings(RULE).count(), 1);
    }
}

#[test]
fn a_forwarder_within_the_vpn_that_calls_elsewhere_is_attached() {
    let within = socat(950).on("100.100.1.2:8088", carrying_the_gateway()).connected_to(GATEWAY);
    laptop().runs(within.clone()).judged().notes(RULE, "socat").is_safe();
    laptop().runs(within.with_flow(calls("198.51.100.4:22"))).judged().exposes(RULE, "socat");
}

#[test]
fn an_instruction_with_a_listener_is_judged_by_its_socket() {
    laptop()
        .runs(nginx(900).on("127.0.0.1:8080", another_site()).told_to_carry(&["127.0.0.1:8080"], 18789))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn the_gravest_wish_counts_where_it_is_not_known_which_gateway_is_served() {
    let told = |pid, bound: &str, mode| {
        gateway(pid).on(bound, asking_for_credentials()).configured(|it| it.tailscale = mode)
    };
    for (one, other) in [(Tailscale::Serve, Tailscale::Funnel), (Tailscale::Funnel, Tailscale::Serve)] {
        host()
            .runs(told(812, GATEWAY, one))
            .runs(told(813, "127.0.0.1:19001", other))
            .runs(program("tailscaled", 600, Role::Vpn).connected_to("127.0.0.1:20000"))
            .judged()
            .exposes(RULE, "tailscaled");
    }
}

#[test]
fn of_two_gateways_on_one_port_the_more_exact_socket_takes_the_connection() {
    // macOS lets one bind to the wildcard and another to the address.
    bare_host()
        .interface("tailscale0", "100.100.1.2")
        .runs(gateway(812).on(GATEWAY, asking_for_credentials()))
        .runs(
            gateway(813)
                .on("0.0.0.0:18789", asking_for_credentials())
                .configured(|it| it.tailscale = Tailscale::Serve),
        )
        .runs(program("tailscaled", 600, Role::Vpn).connected_to(GATEWAY))
        .judged()
        .doubts(RULE, "tailscaled")
        .is_blind();
}

#[test]
fn a_tunnel_to_what_looks_like_a_panel_is_unknown_while_the_gateways_own_page_cannot_be_had() {
    let host = |own: Manner| {
        host()
            .runs(gateway(812).on("127.0.0.1:18789", own))
            .runs(unknown_program(700).on("127.0.0.1:8080", another_site().with_page(|it| *it = panel())))
            .runs(program("ngrok", 950, Role::Tunnel).told_to_carry(&[], 8080))
            .judged()
    };
    host(asking_for_credentials().but_reply(Reply::Silent)).doubts(RULE, "ngrok").is_blind();
    host(asking_for_credentials()).exposes(RULE, "ngrok");
}

#[test]
fn a_forwarder_told_to_carry_a_guest_elsewhere_is_judged_by_what_answers_there() {
    let told = |access| {
        let ssh = program("ssh", 950, Role::Forwarder).told_to_carry_a_guest(&[], "10.0.3.15:18789", access);
        host().runs(ssh).judged()
    };
    told(Access::Required)
        .exposes(RULE, "ssh")
        .because(RULE, "a guest of this host, where a gateway answers");
    told(Access::NoGateway).nothing_of(RULE).is_safe();
    told(Access::Unknown(Blindness::timed_out("silent"))).doubts(RULE, "ssh").is_blind();
    let fails = Access::Unknown(Blindness::malformed("503"));
    told(fails).says(RULE, Severity::Warning, Answer::Unknown, "ssh").is_safe();
}
