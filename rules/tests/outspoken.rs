//! Proxies that say themselves what they run by: how far their word goes.

use guardian_rules::fact::Role;
use guardian_rules::observation::Observation;

use crate::scenery::*;

const RULE: &str = "panel-republished";

/// A sound gateway on loopback, and room for what is in front of it.
fn laptop() -> Host {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
}

/// Caddy answers nobody who does not name one of its sites.
fn caddy() -> Program {
    program("caddy", 900, Role::Proxy).on("0.0.0.0:443", silent())
}

#[test]
fn a_proxy_that_says_all_that_it_runs_by_leads_where_it_says() {
    laptop().runs(caddy()).judged().doubts(RULE, "0.0.0.0:443").is_blind();
    laptop().runs(caddy().outspoken()).judged().nothing_of(RULE).is_safe();
    let told = |port| caddy().told_to_carry(&["0.0.0.0:443"], port).outspoken();
    laptop().runs(told(18789)).judged().exposes(RULE, "0.0.0.0:443");
    let site = program("node", 700, Role::Runtime).on("127.0.0.1:3000", another_site());
    laptop().runs(site.clone()).runs(told(3000)).judged().nothing_of(RULE).is_safe();
    laptop().runs(told(4000)).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_proxy_that_says_all_is_not_believed_where_what_it_leads_to_leaves_open_what_is_behind() {
    let told = || caddy().told_to_carry(&["0.0.0.0:443"], 3000).outspoken();
    for behind in [
        socat(950).on("127.0.0.1:3000", silent()),
        program("docker-proxy", 950, Role::ContainerEngine).on("127.0.0.1:3000", hanging_up()),
        unknown_program(950).on("127.0.0.1:3000", silent()).unnamed(),
        unknown_program(950).on("127.0.0.1:3000", silent()),
    ] {
        laptop().runs(behind).runs(told()).judged().doubts(RULE, "0.0.0.0:443").is_blind();
    }
    let chain = nginx(950).on("127.0.0.1:3000", failing(502)).told_to_carry(&["127.0.0.1:3000"], 18789);
    laptop().runs(chain).runs(told()).judged().exposes(RULE, "0.0.0.0:443");
}

#[test]
fn a_proxy_that_says_all_and_shows_otherwise_is_not_believed() {
    let connected = caddy().connected_to("127.0.0.1:18789").outspoken();
    laptop().runs(connected).judged().doubts(RULE, "0.0.0.0:443");
    let carrying = program("caddy", 900, Role::Proxy).on("0.0.0.0:443", carrying_the_gateway());
    laptop().runs(carrying.outspoken()).judged().exposes(RULE, "0.0.0.0:443");
    // Said once, and not heard again since.
    laptop()
        .runs(caddy().outspoken())
        .but(|snapshot| {
            let last = snapshot.routes.known().cloned();
            snapshot.routes = Observation::Blind { why: timed_out(), last };
        })
        .judged()
        .doubts(RULE, "0.0.0.0:443")
        .is_blind();
    laptop().runs(caddy().unnamed().outspoken()).judged().doubts(RULE, "0.0.0.0:443").is_blind();
}
