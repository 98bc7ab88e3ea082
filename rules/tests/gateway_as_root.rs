use guardian_rules::finding::{Answer, Severity};

use crate::scenery::*;

const RULE: &str = "gateway-as-root";

#[test]
fn a_gateway_of_an_ordinary_user_is_nothing() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_gateway_of_root_is_a_warning_and_never_moves_the_verdict() {
    let conclusion = host()
        .runs(
            gateway(812)
                .on("127.0.0.1:18789", asking_for_credentials())
                .on("[::1]:18789", asking_for_credentials())
                .of_user(0, "root"),
        )
        .judged();
    conclusion.warns(RULE, "pid 812, user root").is_safe();
    assert_eq!(conclusion.findings(RULE).count(), 1, "one process is one finding");
    assert!(conclusion.0.has_warnings());
}

#[test]
fn the_socket_tells_the_user_where_the_process_does_not() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()).of_user(0, "root").unnamed())
        .judged()
        .warns(RULE, "user 0");
}

#[test]
fn a_user_that_cannot_be_told_is_unknown() {
    host()
        .runs(
            gateway(812)
                .on_socket("127.0.0.1:18789", asking_for_credentials(), |it| it.uid = None)
                .undescribed(),
        )
        .judged()
        .says(RULE, Severity::Warning, Answer::Unknown, "pid 812");
}

#[test]
fn another_program_of_root_is_none_of_this_rules_business() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .runs(nginx(900).on("0.0.0.0:80", another_site()).of_user(0, "root"))
        .judged()
        .nothing_of(RULE);
}
