use guardian_rules::finding::{Answer, Severity};

use crate::scenery::*;

const RULE: &str = "secrets-readable";

fn with_paths(paths: &[(&str, u32)]) -> Conclusion {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()).marked(|it| {
            it.private_paths = paths.iter().map(|(path, mode)| private(path, *mode)).collect();
        }))
        .judged()
}

#[test]
fn paths_for_the_gateways_user_alone_are_nothing() {
    with_paths(&[("/state", 0o700), ("/state/openclaw.json", 0o600)]).nothing_of(RULE).is_safe();
}

#[test]
fn a_path_that_others_can_read_or_change_is_a_warning_and_never_moves_the_verdict() {
    for mode in [0o640, 0o604, 0o620, 0o602, 0o666] {
        with_paths(&[("/state", 0o711), ("/state/openclaw.json", mode)])
            .warns(RULE, "/state/openclaw.json")
            .because(RULE, &format!("its mode is {mode:03o}"))
            .is_safe();
    }
}

#[test]
fn a_folder_that_keeps_others_out_shelters_what_is_within() {
    with_paths(&[("/state", 0o700), ("/state/credentials", 0o755), ("/state/openclaw.json", 0o644)])
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_folder_that_others_can_list_and_not_enter_shelters_what_is_within() {
    let conclusion = with_paths(&[("/state", 0o744), ("/state/openclaw.json", 0o644)]);
    assert_eq!(conclusion.only(RULE).subject, "/state");
}

#[test]
fn a_folder_shelters_only_what_is_within() {
    with_paths(&[("/state", 0o700), ("/state-of-another", 0o644)]).warns(RULE, "/state-of-another");
}

#[test]
fn a_gateway_whose_paths_nobody_found_is_unknown() {
    with_paths(&[]).says(RULE, Severity::Warning, Answer::Unknown, "pid 812").is_safe();
}

#[test]
fn a_folder_that_the_group_can_enter_shelters_nothing() {
    with_paths(&[("/state", 0o710), ("/state/openclaw.json", 0o640)]).warns(RULE, "/state/openclaw.json");
}
