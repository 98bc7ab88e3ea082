use guardian_rules::finding::{Answer, Severity};

use crate::scenery::*;

const RULE: &str = "announced";
const SERVICE: &str = "_openclaw-gw._tcp";

fn laptop() -> Host {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
}

#[test]
fn a_gateway_that_says_nothing_is_nothing() {
    laptop().judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_gateway_announced_in_the_local_network_is_a_warning_also_on_loopback_alone() {
    laptop()
        .announcing(announced_on(Some(812), &["127.0.0.1", "192.168.1.5"]))
        .judged()
        .warns(RULE, SERVICE)
        .because(RULE, "(pid 812")
        .because(RULE, "announces _openclaw-gw._tcp, on port 18789, on the networks of 192.168.1.5")
        .because(RULE, "it tells cliPath, sshPort")
        .is_safe();
}

#[test]
fn an_announcement_whose_process_is_not_known_is_this_hosts_all_the_same() {
    laptop()
        .announcing(announced_on(None, &["192.168.1.5"]))
        .judged()
        .warns(RULE, SERVICE)
        .because(RULE, "a program of this host announces")
        .is_safe();
}

#[test]
fn an_announcement_where_strangers_do_not_hear_it_is_info() {
    for own in ["127.0.0.1", "100.100.1.2"] {
        laptop().announcing(announced_on(Some(812), &[own])).judged().notes(RULE, SERVICE).is_safe();
    }
}

#[test]
fn an_announcement_in_a_network_that_the_owner_allows_is_info() {
    laptop()
        .announcing(announced_on(Some(812), &["192.168.1.5"]))
        .allowing_network("192.168.1.0/24")
        .judged()
        .notes(RULE, SERVICE)
        .because(RULE, "in another network it would announce itself too")
        .is_safe();
}

#[test]
fn an_announcement_at_an_address_that_is_not_known_is_a_warning() {
    laptop().announcing(announced_on(Some(812), &["10.1.2.3"])).judged().warns(RULE, SERVICE).is_safe();
}

#[test]
fn what_cannot_be_told_is_info() {
    laptop()
        .announcing(perhaps_announced(812))
        .judged()
        .says(RULE, Severity::Info, Answer::Unknown, "pid 812")
        .because(RULE, "cannot be told: denied: no permission")
        .is_safe();
}
