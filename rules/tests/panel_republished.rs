use guardian_rules::fact::{Access, Reply, Role};
use guardian_rules::finding::{Answer, Severity};

use crate::scenery::*;

const RULE: &str = "panel-republished";

/// A sound gateway on loopback, and room for what is in front of it.
fn laptop() -> Host {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
}

#[test]
fn nginx_in_front_of_a_gateway_republishes_it() {
    laptop()
        .runs(nginx(900).on("0.0.0.0:8088", carrying_the_gateway()))
        .judged()
        .exposes(RULE, "0.0.0.0:8088")
        .because(RULE, "nginx (pid 900, user ana) listens on 0.0.0.0:8088")
        .because(RULE, "the gateway behind it asks for credentials")
        .because(RULE, "everyone on the local network");
}

#[test]
fn nginx_with_tls_and_a_certificate_of_its_own_republishes_it() {
    laptop()
        .runs(nginx(900).on("0.0.0.0:443", carrying_the_gateway().within_tls()))
        .judged()
        .exposes(RULE, "0.0.0.0:443");
}

#[test]
fn a_401_from_the_gateway_through_a_proxy_is_still_republished() {
    let only_the_401 = another_site().but_access(Access::Required).with_page(|it| it.status = 404);
    laptop().runs(nginx(900).on("0.0.0.0:8088", only_the_401)).judged().exposes(RULE, "0.0.0.0:8088");
}

#[test]
fn a_403_from_the_gateway_through_a_proxy_is_still_republished() {
    laptop()
        .runs(nginx(900).on("0.0.0.0:8088", refused_by_the_gateway()))
        .judged()
        .exposes(RULE, "0.0.0.0:8088")
        .because(RULE, "proxy_attribution_required")
        .nothing_of("open-without-credentials");
}

#[test]
fn a_proxy_that_lets_anyone_in_is_republished_and_open() {
    laptop()
        .runs(nginx(900).on("0.0.0.0:8088", open_to_anyone()))
        .judged()
        .exposes(RULE, "0.0.0.0:8088")
        .exposes("open-without-credentials", "0.0.0.0:8088");
}

#[test]
fn nginx_with_a_password_is_republished_but_not_open() {
    laptop()
        .runs(
            nginx(900).on("0.0.0.0:8088", with_a_password_in_front()).told_to_carry(&["0.0.0.0:8088"], 18789),
        )
        .judged()
        .exposes(RULE, "0.0.0.0:8088")
        .because(RULE, "is told to carry it")
        .because(RULE, "asks for credentials first")
        .nothing_of("open-without-credentials");
}

#[test]
fn a_virtual_host_that_hides_without_its_name_is_found_by_the_proxys_configuration() {
    laptop()
        .runs(nginx(900).on("0.0.0.0:80", another_site()).told_to_carry(&["0.0.0.0:80"], 18789))
        .judged()
        .exposes(RULE, "0.0.0.0:80");
}

#[test]
fn a_proxy_that_is_told_to_carry_another_port_is_no_door() {
    laptop()
        .runs(nginx(900).on("0.0.0.0:80", another_site()).told_to_carry(&["0.0.0.0:80"], 3000))
        .judged()
        .is_safe();
}

#[test]
fn an_idle_socat_is_found_by_what_comes_back_through_it() {
    laptop()
        .runs(socat(950).on("0.0.0.0:29999", carrying_the_gateway()))
        .judged()
        .exposes(RULE, "0.0.0.0:29999")
        .because(RULE, "socat (pid 950");
}

#[test]
fn a_forwarder_of_any_name_that_carries_the_answer_republishes_it() {
    laptop()
        .runs(unknown_program(951).on("0.0.0.0:29999", carrying_the_gateway()))
        .judged()
        .exposes(RULE, "0.0.0.0:29999");
}

#[test]
fn a_forwarder_of_another_user_republishes_it() {
    laptop()
        .runs(socat(950).on("0.0.0.0:29999", carrying_the_gateway()).unnamed())
        .judged()
        .exposes(RULE, "0.0.0.0:29999")
        .because(RULE, "that cannot be named");
}

#[test]
fn the_gateways_own_page_at_another_address_is_carried_there() {
    for same in [
        another_site().with_page(|it| it.digest = Some([7; 32])),
        another_site().with_page(|it| it.build = Some("2026.9.6-release-eb37".to_owned())),
    ] {
        laptop()
            .runs(program("caddy", 900, Role::Proxy).on("0.0.0.0:8088", same))
            .judged()
            .exposes(RULE, "0.0.0.0:8088")
            .because(RULE, "the very");
    }
}

#[test]
fn a_decoy_with_the_same_title_is_no_door() {
    let conclusion = laptop().runs(unknown_program(700).on("0.0.0.0:8080", decoy())).judged();
    conclusion.is_safe().notes(RULE, "0.0.0.0:8080").because(RULE, "no gateway answers there");
}

#[test]
fn a_page_like_the_panel_is_doubtful_while_the_gateways_own_page_cannot_be_had() {
    let with_page = |own: Manner| {
        host()
            .runs(gateway(812).on("127.0.0.1:18789", own))
            .runs(nginx(900).on("0.0.0.0:8080", decoy()))
            .judged()
    };
    for lost in [Reply::Silent, Reply::Closed, Reply::Unknown(timed_out())] {
        with_page(asking_for_credentials().but_reply(lost)).doubts(RULE, "0.0.0.0:8080").is_blind();
    }
    // Without a panel of its own there is nothing to compare.
    with_page(asking_for_credentials().with_page(|it| *it = page(404))).notes(RULE, "0.0.0.0:8080").is_safe();
}

#[test]
fn a_page_like_the_panel_that_does_not_tell_who_gets_in_is_doubtful() {
    laptop()
        .runs(unknown_program(700).on("0.0.0.0:8080", decoy().but_access(Access::Unknown(timed_out()))))
        .judged()
        .doubts(RULE, "0.0.0.0:8080")
        .is_blind();
}

#[test]
fn an_unrelated_web_site_is_no_door() {
    laptop().runs(nginx(900).on("0.0.0.0:80", another_site())).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_proxy_on_loopback_alone_republishes_nothing_by_itself() {
    laptop()
        .runs(nginx(900).on("127.0.0.1:8088", carrying_the_gateway()))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_proxy_within_the_vpn_republishes_nothing_beyond() {
    laptop()
        .runs(nginx(900).on("100.100.1.2:8088", carrying_the_gateway()))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_proxy_in_a_network_that_the_owner_allows_is_allowed() {
    laptop()
        .allowing_network("192.168.1.0/24")
        .runs(nginx(900).on("0.0.0.0:8088", carrying_the_gateway()))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_container_engine_republishes_what_it_publishes() {
    laptop()
        .runs(program("docker-proxy", 960, Role::ContainerEngine).on("0.0.0.0:18789", carrying_the_gateway()))
        .judged()
        .exposes(RULE, "0.0.0.0:18789");
}

#[test]
fn a_gateway_of_another_host_published_here_is_republished() {
    host()
        .runs(program("ssh", 970, Role::Forwarder).on("0.0.0.0:18790", carrying_the_gateway()))
        .judged()
        .exposes(RULE, "0.0.0.0:18790");
}

#[test]
fn a_proxy_on_the_gateways_own_port_of_another_address_is_a_proxy() {
    let conclusion = laptop().runs(nginx(900).on("192.168.1.5:18789", carrying_the_gateway())).judged();
    conclusion.exposes(RULE, "192.168.1.5:18789").nothing_of("bound-beyond-allowed");
    assert_eq!(conclusion.gateways().len(), 1);
}

#[test]
fn an_unknown_program_on_the_gateways_own_port_of_another_address_is_no_gateway() {
    let conclusion =
        laptop().runs(unknown_program(900).on("192.168.1.5:18789", carrying_the_gateway())).judged();
    conclusion.exposes(RULE, "192.168.1.5:18789").nothing_of("bound-beyond-allowed");
}

#[test]
fn a_wildcard_that_carries_on_a_host_whose_addresses_are_not_known_is_unknown() {
    laptop()
        .runs(nginx(900).on("0.0.0.0:8088", carrying_the_gateway()))
        .but(|snapshot| snapshot.interfaces = unseen(timed_out()))
        .judged()
        .doubts(RULE, "0.0.0.0:8088")
        .is_blind();
}

// A listener that answers in another protocol, or closes without an answer while the gateway
// itself answers, is no door.

#[test]
fn a_listener_that_answers_in_another_protocol_is_no_door() {
    laptop().runs(socat(950).on("0.0.0.0:5900", another_protocol())).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_listener_that_hangs_up_while_the_gateway_answers_is_no_door() {
    laptop().runs(socat(950).on("0.0.0.0:29999", hanging_up())).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_forwarder_that_hangs_up_while_the_gateway_is_mute_is_doubtful() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", silent()))
        .runs(socat(950).on("0.0.0.0:29999", hanging_up()))
        .judged()
        .doubts(RULE, "0.0.0.0:29999");
}

// One that accepts and stays silent, or answers 5xx, moves the verdict only where it could be a
// door.

#[test]
fn a_502_of_nginx_is_doubtful() {
    for status in [500, 502, 503, 504] {
        laptop()
            .runs(nginx(900).on("0.0.0.0:80", failing(status)))
            .judged()
            .doubts(RULE, "0.0.0.0:80")
            .because(RULE, &format!("answers with the error {status}, and its program is a proxy"))
            .is_blind();
    }
}

#[test]
fn a_silent_forwarder_is_doubtful() {
    laptop().runs(socat(950).on("0.0.0.0:29999", silent())).judged().doubts(RULE, "0.0.0.0:29999").is_blind();
}

#[test]
fn a_silent_program_with_a_connection_to_the_gateway_is_doubtful() {
    laptop()
        .runs(unknown_program(700).on("0.0.0.0:29999", silent()).connected_to("127.0.0.1:18789"))
        .judged()
        .doubts(RULE, "0.0.0.0:29999")
        .because(RULE, "its process is connected to a gateway")
        .is_blind();
}

#[test]
fn a_silent_program_that_cannot_be_named_is_doubtful() {
    laptop()
        .runs(unknown_program(700).on("0.0.0.0:29999", silent()).unnamed())
        .judged()
        .doubts(RULE, "0.0.0.0:29999")
        .because(RULE, "its process cannot be named")
        .is_blind();
}

#[test]
fn a_silent_program_that_was_named_and_not_described_is_doubtful() {
    laptop()
        .runs(nginx(700).on("0.0.0.0:29999", silent()).undescribed())
        .judged()
        .doubts(RULE, "0.0.0.0:29999")
        .is_blind();
}

#[test]
fn a_silent_program_that_nothing_ties_to_a_gateway_is_info() {
    for odd in [silent(), failing(500), failing(503)] {
        laptop()
            .runs(unknown_program(700).on("0.0.0.0:29999", odd))
            .judged()
            .notes(RULE, "0.0.0.0:29999")
            .is_safe();
    }
}

#[test]
fn a_silent_program_on_loopback_is_nothing() {
    laptop()
        .runs(unknown_program(700).on("127.0.0.1:6379", silent()).unnamed())
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_501_says_for_itself_that_it_is_no_gateway() {
    let python = another_site().with_page(|it| it.status = 501);
    laptop().runs(unknown_program(700).on("0.0.0.0:8000", python).unnamed()).judged().is_safe();
}

#[test]
fn a_listener_that_could_not_be_asked_is_as_one_that_is_silent() {
    let unaskable = hanging_up().but_reply(Reply::Unknown(timed_out()));
    laptop()
        .runs(nginx(900).on("0.0.0.0:80", unaskable.clone()))
        .judged()
        .doubts(RULE, "0.0.0.0:80")
        .is_blind();
    laptop()
        .runs(unknown_program(700).on("0.0.0.0:80", unaskable))
        .judged()
        .notes(RULE, "0.0.0.0:80")
        .is_safe();
}

#[test]
fn a_listener_that_nobody_asked_is_as_one_that_is_silent() {
    laptop().runs(nginx(900).on("0.0.0.0:80", unasked())).judged().doubts(RULE, "0.0.0.0:80").is_blind();
    laptop()
        .runs(unknown_program(700).on("0.0.0.0:80", unasked()))
        .judged()
        .notes(RULE, "0.0.0.0:80")
        .is_safe();
}

#[test]
fn a_page_whose_access_nobody_asked_is_as_one_that_is_silent() {
    let half_asked = Manner { access: None, ..another_site() };
    laptop().runs(nginx(900).on("0.0.0.0:80", half_asked)).judged().doubts(RULE, "0.0.0.0:80").is_blind();
}

#[test]
fn one_that_is_doubtful_says_unknown_and_never_yes() {
    let conclusion = laptop().runs(nginx(900).on("0.0.0.0:80", failing(502))).judged();
    let finding = conclusion.only(RULE);
    assert_eq!((finding.severity, finding.answer), (Severity::Critical, Answer::Unknown));
}

#[test]
fn what_is_doubtful_says_which_allowance_to_type_where_it_is_a_proxy_of_roots() {
    let remedy = |program: Program| {
        let conclusion = laptop().runs(program.on("0.0.0.0:80", failing(502))).judged();
        conclusion.doubts(RULE, "0.0.0.0:80").only(RULE).remedy.clone()
    };
    let typed = "`guardian allow --path nginx --reason TEXT --until 2h`";
    let roots = || nginx(900).of_user(0, "root");
    assert!(remedy(roots()).contains(typed), "{}", remedy(roots()));
    laptop().allowing_path("nginx").runs(roots().on("0.0.0.0:80", failing(502))).judged().is_safe();
}

/// An agent that listens, answers nothing and calls itself whatever it likes would have the owner allow it.
#[test]
fn what_anybody_else_calls_a_program_is_not_suggested_to_the_owner() {
    for program in [
        nginx(900),
        nginx(900).of_user(0, "root").unnamed(),
        program("node", 900, Role::OtherService).of_user(0, "root"),
        program("ng; reboot", 900, Role::Proxy).of_user(0, "root"),
        program("-x", 900, Role::Proxy).of_user(0, "root"),
    ] {
        let conclusion = laptop().runs(program.on("0.0.0.0:80", failing(502))).judged();
        for finding in conclusion.findings(RULE) {
            // The owner has to find out for whom he types it.
            let mut named = finding.remedy.split("--path ").skip(1);
            assert!(named.all(|rest| rest.starts_with("NAME ")), "{}", finding.remedy);
        }
    }
}

// What asks for a password of its own.

#[test]
fn a_password_in_front_of_a_program_connected_to_the_gateway_is_doubtful() {
    laptop()
        .runs(
            unknown_program(700)
                .on("0.0.0.0:443", with_a_password_in_front())
                .connected_to("127.0.0.1:18789"),
        )
        .judged()
        .doubts(RULE, "0.0.0.0:443")
        .is_blind();
}

#[test]
fn a_password_in_front_of_a_proxy_is_info() {
    for proxy in [nginx(900), nginx(900).unnamed()] {
        laptop()
            .runs(proxy.on("0.0.0.0:443", with_a_password_in_front()))
            .judged()
            .notes(RULE, "0.0.0.0:443")
            .is_safe();
    }
    laptop()
        .runs(unknown_program(700).on("0.0.0.0:443", with_a_password_in_front()))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_site_that_refuses_a_post_asks_for_no_password() {
    laptop()
        .runs(nginx(900).on("0.0.0.0:443", another_site().but_access(Access::Fronted)))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

// Where a proxy is told to listen, and where it does.

#[test]
fn an_instruction_for_every_address_holds_for_each() {
    laptop()
        .runs(nginx(900).on("192.168.1.5:80", another_site()).told_to_carry(&["0.0.0.0:80"], 18789))
        .judged()
        .exposes(RULE, "192.168.1.5:80");
}

#[test]
fn an_instruction_for_one_address_holds_for_the_wildcard_that_takes_it() {
    laptop()
        .runs(nginx(900).on("0.0.0.0:80", another_site()).told_to_carry(&["192.168.1.5:80"], 18789))
        .judged()
        .exposes(RULE, "0.0.0.0:80");
}

#[test]
fn an_instruction_for_another_address_does_not_hold() {
    laptop()
        .runs(nginx(900).on("192.168.1.5:80", another_site()).told_to_carry(&["100.100.1.2:80"], 18789))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

// Whose answer it is.

#[test]
fn a_session_that_carries_its_users_own_gateway_here_is_no_gateway() {
    let conclusion = host().runs(sshd(950).on("127.0.0.1:9000", asking_for_credentials())).judged();
    assert!(conclusion.is_safe().gateways().is_empty());
}

#[test]
fn a_loopback_socket_that_cannot_be_named_and_answers_as_a_gateway_may_be_another() {
    laptop()
        .runs(unknown_program(950).on("127.0.0.1:9000", asking_for_credentials()).unnamed())
        .judged()
        .doubts("probe-blind", "127.0.0.1:9000")
        .is_blind();
}

#[test]
fn a_probe_that_saw_nothing_at_all_says_so_itself() {
    let unasked_of = |manner: Manner| host().runs(nginx(900).on("0.0.0.0:80", manner));
    unasked_of(unasked())
        .but(|snapshot| snapshot.panel = unseen(timed_out()))
        .judged()
        .nothing_of(RULE)
        .doubts("probe-blind", "panel");
    unasked_of(Manner { access: None, ..another_site() })
        .but(|snapshot| snapshot.access = unseen(timed_out()))
        .judged()
        .nothing_of(RULE)
        .doubts("probe-blind", "access");
}

#[test]
fn a_proxy_that_the_owner_allows_may_leave_open_what_is_behind_it() {
    let doubtful = || laptop().runs(nginx(900).on("0.0.0.0:8088", failing(502)));
    doubtful().judged().doubts(RULE, "0.0.0.0:8088").is_blind();
    doubtful().allowing_path("nginx").judged().is_safe();
    doubtful().allowing_path("caddy").judged().doubts(RULE, "0.0.0.0:8088").is_blind();
}

#[test]
fn a_proxy_told_to_carry_a_guest_that_is_a_gateway_republishes_it_whatever_it_answers() {
    let proxy = |access| {
        nginx(900).on("0.0.0.0:443", another_site()).told_to_carry_a_guest(
            &["0.0.0.0:443"],
            "10.0.3.15:18789",
            access,
        )
    };
    host()
        .runs(proxy(Access::Required))
        .judged()
        .exposes(RULE, "0.0.0.0:443")
        .because(RULE, "carry to 10.0.3.15:18789");
    host().runs(proxy(Access::NoGateway)).judged().nothing_of(RULE);
}
