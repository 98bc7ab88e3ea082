use guardian_rules::fact::Witness;
use guardian_rules::observation::Observation;

use crate::scenery::*;

const RULE: &str = "witnesses-disagree";

fn laptop() -> Host {
    host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
}

#[test]
fn witnesses_that_agree_are_nothing() {
    laptop().judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_socket_that_only_one_witness_saw_makes_the_verdict_blind_never_exposed() {
    laptop()
        .but(|snapshot| {
            snapshot.witness =
                Observation::Seen(Witness { only_first: vec![at("0.0.0.0:80")], only_second: Vec::new() });
        })
        .judged()
        .doubts(RULE, "listening sockets")
        .because(RULE, "only in guardian's own list: 0.0.0.0:80")
        .is_blind();
    laptop()
        .but(|snapshot| {
            snapshot.witness =
                Observation::Seen(Witness { only_first: Vec::new(), only_second: vec![at("0.0.0.0:81")] });
        })
        .judged()
        .because(RULE, "only in the second witness (netstat2): 0.0.0.0:81")
        .is_blind();
}

#[test]
fn a_long_difference_is_told_in_short() {
    laptop()
        .but(|snapshot| {
            let many = (1..=9).map(|port| at(&format!("0.0.0.0:{port}"))).collect();
            snapshot.witness = Observation::Seen(Witness { only_first: many, only_second: Vec::new() });
        })
        .judged()
        .because(RULE, "0.0.0.0:5, and 4 more");
}

#[test]
fn a_witness_that_did_not_answer_is_blind() {
    laptop()
        .but(|snapshot| snapshot.witness = unseen(timed_out()))
        .judged()
        .doubts("probe-blind", "witness")
        .is_blind();
}
