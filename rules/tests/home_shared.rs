use guardian_rules::fact::Secret;

use crate::scenery::*;

const RULE: &str = "home-shared";

fn reaching(secrets: &[&str]) -> Host {
    let secrets: Vec<Secret> =
        secrets.iter().map(|it| Secret { path: it.into(), what: "SSH keys".to_owned() }).collect();
    host().runs(
        gateway(812)
            .on("127.0.0.1:18789", asking_for_credentials())
            .marked(|it| it.within_reach = Ok(secrets)),
    )
}

#[test]
fn a_gateway_that_reaches_nobodys_secrets_is_nothing() {
    reaching(&[]).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_gateway_that_reads_a_persons_keys_is_a_warning_and_never_moves_the_verdict() {
    reaching(&["/home/ana/.ssh"])
        .judged()
        .warns(RULE, "pid 812")
        .because(RULE, "it can read /home/ana/.ssh (SSH keys)")
        .is_safe();
}

#[test]
fn behind_a_bulkhead_what_others_leave_open_is_theirs_to_close() {
    let secret = Secret { path: "/home/bob/.npmrc".into(), what: "keys of registries".to_owned() };
    let conclusion = host()
        .runs(
            gateway(812)
                .of_user(998, "_moltbot")
                .on("127.0.0.1:18789", asking_for_credentials())
                .marked(|it| it.within_reach = Ok(vec![secret])),
        )
        .judged();
    assert!(conclusion.findings(RULE).all(|it| it.remedy.contains("chmod")), "{conclusion:?}");
}

#[test]
fn of_many_secrets_a_few_are_named() {
    let many: Vec<String> = (10..30).map(|n| format!("/home/ana/{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    reaching(&many).judged().because(RULE, "/home/ana/10").because(RULE, "and 12 more");
}

#[test]
fn what_cannot_be_looked_at_is_unknown() {
    host()
        .runs(
            gateway(812)
                .on("127.0.0.1:18789", asking_for_credentials())
                .marked(|it| it.within_reach = Err(denied())),
        )
        .judged()
        .notes(RULE, "pid 812")
        .is_safe();
}
