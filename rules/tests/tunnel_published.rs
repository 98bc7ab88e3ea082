use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{Access, Audience, Reply, Role, TunnelKind};
use guardian_rules::finding::{Answer, Severity};
use guardian_rules::observation::Observation;

use crate::scenery::*;

const RULE: &str = "tunnel-published";
const PUBLIC: &str = "https://x.example";

fn laptop() -> Host {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
}

fn ngrok() -> Program {
    program("ngrok", 950, Role::Tunnel)
}

fn tailscaled() -> Program {
    program("tailscaled", 600, Role::Vpn)
}

#[test]
fn a_host_without_tunnels_publishes_nothing() {
    laptop().judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_tunnel_that_publishes_a_gateway_exposes_it_before_anyone_comes() {
    laptop()
        .runs(ngrok().publishing("ngrok", Audience::Internet, 18789))
        .judged()
        .exposes(RULE, PUBLIC)
        .because(RULE, "ngrok (pid 950, user ana) publishes port 18789 of this host as https://x.example")
        .because(RULE, "the whole internet");
}

#[test]
fn a_funnel_exposes_and_serve_within_the_vpn_is_info() {
    laptop()
        .runs(tailscaled().publishing("tailscale-funnel", Audience::Internet, 18789))
        .judged()
        .exposes(RULE, PUBLIC);
    laptop()
        .runs(tailscaled().publishing("tailscale-serve", Audience::Vpn, 18789))
        .judged()
        .notes(RULE, PUBLIC)
        .because(RULE, "the members of the VPN")
        .is_safe();
}

#[test]
fn a_tunnel_to_another_port_or_to_nothing_is_no_affair_of_the_gateways() {
    laptop().runs(ngrok().publishing("ngrok", Audience::Internet, 3000)).judged().nothing_of(RULE).is_safe();
    laptop().runs(ngrok().publishing_nothing()).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_tunnel_to_a_proxy_that_carries_the_gateway_publishes_it() {
    laptop()
        .runs(nginx(900).on("127.0.0.1:8080", carrying_the_gateway()))
        .runs(ngrok().publishing("ngrok", Audience::Internet, 8080))
        .judged()
        .exposes(RULE, PUBLIC);
}

#[test]
fn a_tunnel_to_the_gateways_port_counts_while_the_gateway_is_down() {
    host().runs(ngrok().publishing("ngrok", Audience::Internet, 18789)).judged().exposes(RULE, PUBLIC);
}

#[test]
fn a_tunnel_to_what_may_be_a_gateway_is_unknown() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials().but_reply(Reply::Silent)))
        .runs(unknown_program(700).on("127.0.0.1:8080", another_site().with_page(|it| *it = panel())))
        .runs(ngrok().publishing("ngrok", Audience::Internet, 8080))
        .judged()
        .doubts(RULE, PUBLIC)
        .because(RULE, "whether a gateway is at port 8080 cannot be told")
        .is_blind();
}

#[test]
fn a_public_tunnel_that_does_not_tell_is_unknown() {
    laptop()
        .runs(ngrok().keeping_silent())
        .judged()
        .doubts(RULE, "ngrok (pid 950")
        .because(RULE, "cannot be told")
        .is_blind();
}

#[test]
fn what_a_tunnel_is_known_to_publish_accuses_beside_what_it_does_not_tell() {
    let publishes = |port| {
        laptop()
            .runs(ngrok().publishing("ngrok", Audience::Internet, port))
            .runs(ngrok().keeping_silent())
            .judged()
    };
    publishes(18789).exposes(RULE, PUBLIC);
    publishes(3000).doubts(RULE, "ngrok").is_blind();
}

#[test]
fn a_tunnel_that_does_not_tell_matters_to_nobody_without_a_gateway() {
    host().runs(ngrok().keeping_silent()).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_vpn_an_account_or_what_seldom_publishes_that_does_not_tell_is_a_warning() {
    for silent in [
        tailscaled().keeping_silent(),
        ngrok().keeping_silent().serving(TunnelKind::Account),
        ngrok().keeping_silent().serving(TunnelKind::Seldom),
    ] {
        let name = silent.process.name.clone();
        laptop().runs(silent).judged().says(RULE, Severity::Warning, Answer::Unknown, &name).is_safe();
    }
}

#[test]
fn a_path_that_the_owner_allows_is_info() {
    for (told, path) in [
        (ngrok().publishing("ngrok", Audience::Internet, 18789), "ngrok"),
        (ngrok().keeping_silent(), "ngrok"),
        (tailscaled().publishing("tailscale-funnel", Audience::Internet, 18789), "tailscale-funnel"),
    ] {
        let name = told.process.name.clone();
        let host = laptop().runs(told).allowing_path(path);
        let conclusion = host.judged();
        assert_eq!(conclusion.only(RULE).severity, Severity::Info, "{name}");
        conclusion.is_safe();
    }
}

#[test]
fn an_allowed_path_excuses_no_other() {
    laptop()
        .runs(tailscaled().publishing("tailscale-funnel", Audience::Internet, 18789))
        .allowing_path("tailscale-serve")
        .judged()
        .exposes(RULE, PUBLIC);
    laptop().runs(ngrok().keeping_silent()).allowing_path("cloudflared").judged().doubts(RULE, "ngrok");
}

#[test]
fn a_guest_that_a_tunnel_publishes_is_a_gateway_or_none_by_its_answer() {
    let told = |access| host().runs(ngrok().publishing_a_guest("172.17.0.2:18789", access)).judged();
    for gateway in [Access::Open, Access::Required, Access::RefusesProxy] {
        told(gateway).exposes(RULE, PUBLIC).because(RULE, "a gateway answers at 172.17.0.2:18789");
    }
    for other in [Access::NoGateway, Access::Fronted] {
        told(other).nothing_of(RULE).is_safe();
    }
    told(Access::Unknown(Blindness::timed_out("silent"))).doubts(RULE, PUBLIC).is_blind();
    let fails = Access::Unknown(Blindness::malformed("503"));
    told(fails).says(RULE, Severity::Warning, Answer::Unknown, PUBLIC).is_safe();
    let allowed = ngrok().publishing_a_guest("172.17.0.2:18789", Access::Open);
    host()
        .runs(allowed)
        .allowing_path("ngrok")
        .judged()
        .says(RULE, Severity::Info, Answer::Yes, PUBLIC)
        .is_safe();
}

#[test]
fn hidden_processes_may_be_tunnels_where_there_is_a_gateway() {
    let hiding = |host: Host| {
        host.but(|snapshot| {
            let Observation::Seen(told) = &mut snapshot.routes else { unreachable!("it was seen") };
            told.hidden = Some(Blindness::denied("hidepid"));
        })
    };
    hiding(laptop()).judged().doubts(RULE, "the processes of other users").is_blind();
    hiding(host()).judged().nothing_of(RULE).is_safe();
    laptop().judged().nothing_of(RULE).is_safe();
    let accused = hiding(laptop().runs(ngrok().publishing("ngrok", Audience::Internet, 18789)));
    accused.judged().exposes(RULE, PUBLIC);
}
