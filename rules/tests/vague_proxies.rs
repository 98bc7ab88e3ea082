//! Proxies of which it is not wholly known where they lead.

use guardian_rules::fact::{Attribution, Audience, Role, Seal};
use guardian_rules::finding::{Answer, Severity};
use guardian_rules::snapshot::Snapshot;

use crate::scenery::*;

const RULE: &str = "panel-republished";

fn laptop() -> Host {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
}

fn traefik() -> Program {
    program("traefik", 900, Role::Proxy).vague()
}

/// Of a user of its own.
fn by_itself(mut program: Program) -> Program {
    (program.process.uid, program.process.user) = (Some(33), Some("web".to_owned()));
    program
}

fn sealed(snapshot: &mut Snapshot) {
    snapshot.seal = Some(Seal { ports: [18789].into(), admitted: [0, 1000].into() });
}

#[test]
fn a_proxy_that_answers_otherwise_to_a_bare_address_may_carry_the_gateway_under_a_name() {
    for manner in [another_site(), another_site().with_page(|it| it.status = 404), hanging_up()] {
        laptop()
            .runs(traefik().on("0.0.0.0:443", manner))
            .judged()
            .doubts(RULE, "0.0.0.0:443")
            .because(RULE, "cannot all be told")
            .is_blind();
    }
}

#[test]
fn one_that_is_wholly_known_says_so_itself_or_speaks_another_protocol_is_no_door() {
    let known = nginx(900).on("0.0.0.0:443", another_site());
    laptop().runs(known).judged().nothing_of(RULE).is_safe();
    laptop()
        .runs(traefik().outspoken().on("0.0.0.0:443", another_site()))
        .judged()
        .nothing_of(RULE)
        .is_safe();
    let other = traefik().on("0.0.0.0:25", another_protocol());
    laptop().runs(other).judged().nothing_of(RULE).is_safe();
}

#[test]
fn without_a_gateway_or_within_the_allowed_networks_it_is_nothing() {
    host().runs(traefik().on("0.0.0.0:443", another_site())).judged().nothing_of(RULE).is_safe();
    for within in ["127.0.0.1:8080", "100.100.1.2:443"] {
        laptop().runs(traefik().on(within, another_site())).judged().nothing_of(RULE).is_safe();
    }
}

#[test]
fn an_allowance_excuses_it() {
    laptop()
        .runs(traefik().on("0.0.0.0:443", another_site()))
        .allowing_path("traefik")
        .judged()
        .says(RULE, Severity::Info, Answer::Unknown, "0.0.0.0:443")
        .is_safe();
}

#[test]
fn the_seal_that_does_not_admit_it_excuses_it() {
    let web = || by_itself(traefik()).on("0.0.0.0:443", another_site());
    laptop().runs(web()).but(sealed).judged().nothing_of(RULE).is_safe();
    laptop().runs(web()).judged().doubts(RULE, "0.0.0.0:443");
    let admitted = |uid: u32| {
        let mut own = traefik().on("0.0.0.0:443", another_site());
        own.process.uid = Some(uid);
        own
    };
    for uid in [0, 1000] {
        laptop().runs(admitted(uid)).but(sealed).judged().doubts(RULE, "0.0.0.0:443").is_blind();
    }
    let elsewhere = |snapshot: &mut Snapshot| {
        snapshot.seal = Some(Seal { ports: [4000].into(), admitted: [0].into() });
    };
    laptop().runs(web()).but(elsewhere).judged().doubts(RULE, "0.0.0.0:443");
    // A connection from before the seal lives on.
    laptop().runs(web().connected_to("127.0.0.1:18789")).but(sealed).judged().doubts(RULE, "0.0.0.0:443");
    // What leads on to the gateway has a port that nobody seals.
    let hop = program("socat", 901, Role::Forwarder).on("127.0.0.1:8080", carrying_the_gateway());
    laptop().runs(web()).runs(hop).but(sealed).judged().doubts(RULE, "0.0.0.0:443");
}

#[test]
fn a_master_of_roots_with_workers_of_its_own_is_excused_by_the_seal() {
    let judged = |workers: u32, parent: u32| {
        let mut worker = program("apache2", 901, Role::Proxy);
        (worker.process.uid, worker.process.parent) = (Some(workers), Some(parent));
        let mut master =
            program("apache2", 900, Role::Proxy).vague().on_socket("0.0.0.0:80", another_site(), |it| {
                it.owner = Attribution::Named(vec![900, 901]);
            });
        master.process.uid = Some(0);
        laptop().runs(master).runs(worker).but(sealed).judged()
    };
    judged(33, 900).nothing_of(RULE).is_safe();
    judged(1000, 900).doubts(RULE, "0.0.0.0:80");
    judged(33, 1).doubts(RULE, "0.0.0.0:80");
}

#[test]
fn a_tunnel_or_a_forwarder_that_leads_to_one_may_publish_the_gateway() {
    let proxy = || by_itself(traefik()).on("127.0.0.1:80", another_site());
    let cloudflared = || program("cloudflared", 950, Role::Tunnel);
    let published = || cloudflared().publishing("cloudflared", Audience::Internet, 80);
    laptop()
        .runs(proxy())
        .runs(published())
        .judged()
        .doubts("tunnel-published", "https://x.example")
        .is_blind();
    laptop().runs(proxy()).runs(published()).but(sealed).judged().nothing_of("tunnel-published").is_safe();
    host().runs(proxy()).runs(published()).judged().nothing_of("tunnel-published").is_safe();
    let ssh = || program("ssh", 950, Role::Forwarder).told_to_carry(&[], 80);
    laptop().runs(proxy()).runs(ssh()).judged().doubts("forwarder-attached", "ssh").is_blind();
    laptop().runs(proxy()).runs(ssh()).but(sealed).judged().nothing_of("forwarder-attached").is_safe();
}
