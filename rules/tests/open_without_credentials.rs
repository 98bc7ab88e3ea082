use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Access, Attribution, Listener, Reply, Role, Seal};
use guardian_rules::finding::{Answer, Severity};
use guardian_rules::observation::Observation;
use guardian_rules::scene::AccessSummary;
use guardian_rules::snapshot::Snapshot;
use guardian_rules::verdict::Verdict;

use crate::scenery::*;

const RULE: &str = "open-without-credentials";

#[test]
fn a_401_is_a_gateway_that_asks_for_credentials() {
    let conclusion = host().runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials())).judged();
    conclusion.nothing_of(RULE).is_safe();
    assert_eq!(conclusion.gateways()[0].access, AccessSummary::Required);
}

#[test]
fn open_on_loopback_is_open() {
    let conclusion = host().runs(gateway(812).on("127.0.0.1:18789", open_to_anyone())).judged();
    conclusion
        .exposes(RULE, "127.0.0.1:18789")
        .because(RULE, "http://127.0.0.1:18789 let a request without credentials through")
        .because(RULE, "on allowed addresses only, for now");
    assert_eq!(conclusion.gateways()[0].access, AccessSummary::Open);
}

#[test]
fn open_within_tls_is_open() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", open_to_anyone().within_tls()))
        .judged()
        .exposes(RULE, "127.0.0.1:18789")
        .because(RULE, "https://127.0.0.1:18789");
}

#[test]
fn a_websocket_welcomed_without_credentials_is_open_where_http_is_not_forwarded() {
    let websocket_only = another_site().but_access(Access::NoGateway).with_challenge(Access::Open);
    host()
        .runs(gateway(812).on("127.0.0.1:18789", websocket_only))
        .judged()
        .exposes(RULE, "127.0.0.1:18789")
        .because(RULE, "a WebSocket to 127.0.0.1:18789 was welcomed");
}

#[test]
fn one_open_socket_of_two_is_open() {
    let conclusion = host()
        .runs(
            gateway(812).on("127.0.0.1:18789", asking_for_credentials()).on("[::1]:18789", open_to_anyone()),
        )
        .judged();
    conclusion.exposes(RULE, "[::1]:18789");
    assert_eq!(conclusion.findings(RULE).count(), 1);
    assert_eq!(conclusion.gateways()[0].access, AccessSummary::Open);
}

#[test]
fn a_gateway_that_is_open_through_a_proxy_alone_is_open() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()))
        .runs(nginx(900).on("127.0.0.1:8080", open_to_anyone()))
        .judged()
        .exposes(RULE, "127.0.0.1:8080");
}

#[test]
fn a_page_with_the_right_title_is_reachable_and_not_open() {
    host().runs(unknown_program(700).on("0.0.0.0:8080", decoy())).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_hanging_gateway_is_blind_not_safe() {
    let conclusion = host().runs(gateway(812).on("127.0.0.1:18789", silent())).judged();
    conclusion.doubts(RULE, "127.0.0.1:18789").is_blind();
    assert_eq!(conclusion.gateways()[0].access, AccessSummary::Unknown);
}

#[test]
fn a_gateway_that_answers_with_an_error_is_blind_not_safe() {
    for status in [500, 502, 503] {
        host()
            .runs(gateway(812).on("127.0.0.1:18789", failing(status)))
            .judged()
            .doubts(RULE, "18789")
            .is_blind();
    }
}

#[test]
fn a_gateway_that_nobody_asked_is_blind_not_safe() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", unasked()))
        .judged()
        .doubts(RULE, "127.0.0.1:18789")
        .because(RULE, "nobody asked it")
        .is_blind();
}

#[test]
fn a_gateway_behind_a_password_of_its_own_kind_is_unknown() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", with_a_password_in_front()))
        .judged()
        .doubts(RULE, "127.0.0.1:18789")
        .because(RULE, "not one that a known gateway gives");
}

#[test]
fn a_gateway_that_refuses_proxies_asks_for_credentials() {
    let conclusion = host().runs(gateway(812).on("127.0.0.1:18789", refused_by_the_gateway())).judged();
    assert_eq!(conclusion.is_safe().gateways()[0].access, AccessSummary::Required);
}

#[test]
fn what_http_does_not_tell_websockets_may() {
    // A proxy that forwards WebSockets alone answers HTTP itself.
    for itself in [Access::NoGateway, Access::Fronted] {
        let told_by_websocket = another_site().but_access(itself).with_challenge(Access::Required);
        host().runs(gateway(812).on("127.0.0.1:18789", told_by_websocket)).judged().is_safe();
    }
}

#[test]
fn what_http_may_yet_tell_a_websocket_does_not_clear() {
    // 2026.1.24 refuses a proxy's WebSocket and lets the same proxy's HTTP in.
    host()
        .runs(gateway(812).on("127.0.0.1:18789", silent().with_challenge(Access::Required)))
        .judged()
        .doubts(RULE, "127.0.0.1:18789")
        .is_blind();
}

#[test]
fn what_a_websocket_cannot_tell_http_may() {
    let old = Access::Unknown(Blindness::new(Cause::Malformed, "this version does not tell"));
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials().with_challenge(old)))
        .judged()
        .is_safe();
}

#[test]
fn a_face_that_does_not_tell_is_not_cleared_by_another_that_does() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", asking_for_credentials()).on("[::1]:18789", silent()))
        .judged()
        .doubts(RULE, "[::1]:18789")
        .is_blind();
}

#[test]
fn an_open_gateway_of_another_user_is_open() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", open_to_anyone()).unnamed())
        .judged()
        .exposes(RULE, "127.0.0.1:18789");
}

#[test]
fn a_server_that_does_not_know_post_is_no_gateway() {
    // Python answers 501 to POST, and a listing of files to GET.
    let python = another_site().but_access(Access::NoGateway);
    host().runs(program("python3", 700, Role::Unknown).on("0.0.0.0:8000", python)).judged().is_safe();
}

#[test]
fn a_silent_program_at_a_gateways_port_may_be_a_gateway() {
    for silent in [silent(), unasked(), failing(503)] {
        host()
            .runs(program("node", 700, Role::Runtime).on("127.0.0.1:18789", silent.clone()))
            .judged()
            .doubts(RULE, "127.0.0.1:18789")
            .is_blind();
        host().runs(unknown_program(700).on("127.0.0.1:18789", silent).unnamed()).judged().is_blind();
    }
}

/// Guardian's own filter keeps a proxy's user from the gateway: "look again once it runs" would be no help.
#[test]
fn a_proxy_that_cannot_reach_the_gateway_is_to_be_stopped_until_the_circuit_is_closed() {
    let proxy = program("nginx", 900, Role::Proxy).on("0.0.0.0:8088", failing(502));
    let conclusion = host().runs(proxy.told_to_carry(&["0.0.0.0:8088"], 18789)).judged();
    let remedy = &conclusion.doubts(RULE, "0.0.0.0:8088").only(RULE).remedy;
    assert!(remedy.contains("Stop that proxy until the circuit is closed"), "{remedy}");
}

#[test]
fn a_program_at_a_gateways_port_that_answers_otherwise_is_none() {
    for other in [another_site(), another_protocol(), hanging_up()] {
        host().runs(unknown_program(700).on("127.0.0.1:18789", other)).judged().is_safe();
    }
}

#[test]
fn a_refused_connection_does_not_tell_who_gets_in() {
    host()
        .runs(gateway(812).on("127.0.0.1:18789", refusing().but_reply(Reply::Refused)))
        .judged()
        .doubts(RULE, "127.0.0.1:18789");
}

#[test]
fn a_gateway_known_by_its_first_frame_alone_that_does_not_tell_is_unknown() {
    let frame_alone = another_site().with_challenge(Access::Unknown(timed_out()));
    host()
        .runs(gateway(812).on("127.0.0.1:4000", frame_alone))
        .judged()
        .doubts(RULE, "127.0.0.1:4000")
        .is_blind();
}

#[test]
fn a_program_at_a_gateways_port_that_hangs_up_on_every_question_is_none() {
    let hangs_up = Access::Unknown(Blindness::new(Cause::Interrupted, "hung up without an answer"));
    host()
        .runs(unknown_program(700).on("127.0.0.1:18789", hanging_up().but_access(hangs_up)))
        .judged()
        .is_safe();
    host()
        .runs(
            unknown_program(700).on("127.0.0.1:18789", hanging_up().but_access(Access::Unknown(timed_out()))),
        )
        .judged()
        .is_blind();
}

#[test]
fn a_forwarder_to_another_hosts_gateway_that_is_down_is_none() {
    host().runs(program("ssh", 970, Role::Forwarder).on("127.0.0.1:18789", silent())).judged().is_safe();
}

#[test]
fn a_session_that_carries_a_gateway_on_the_policys_port_has_to_answer_too() {
    let lost = Access::Unknown(Blindness::new(Cause::TimedOut, "no answer within 2 s"));
    let session = |at: &str, manner: Manner| host().runs(sshd(900).on(at, manner)).judged();
    session("127.0.0.1:18789", carrying_the_gateway().but_access(lost.clone()))
        .doubts(RULE, "127.0.0.1:18789")
        .is_blind();
    session("127.0.0.1:18789", carrying_the_gateway()).is_safe();
    session("127.0.0.1:4000", carrying_the_gateway().but_access(lost)).is_safe();
}

/// An allowed path excuses that it carries a gateway, and not that nobody can tell who gets in by it.
#[test]
fn an_allowed_path_whose_answer_is_missing_is_unknown() {
    let lost = Access::Unknown(Blindness::new(Cause::TimedOut, "no answer within 2 s"));
    let path = |manner: Manner| {
        let gateway = gateway(812).on("127.0.0.1:18789", asking_for_credentials());
        let proxy = nginx(900).on("0.0.0.0:8080", manner);
        host().runs(gateway).runs(proxy).allowing_path("nginx").judged()
    };
    path(carrying_the_gateway()).is_safe();
    path(carrying_the_gateway().but_access(lost.clone()).without_challenge(lost))
        .doubts(RULE, "0.0.0.0:8080")
        .is_blind();
}

/// An nginx that the owner allows, root has started, and that leads to the gateway: the master, and a worker whom the seal
/// does not admit.
fn masters() -> (Program, Program) {
    let at = "0.0.0.0:8088";
    let shared = |listener: &mut Listener| listener.owner = Attribution::Named(vec![900, 901]);
    let master =
        nginx(900).of_user(0, "root").on_socket(at, failing(502), shared).told_to_carry(&[at], 18789);
    let mut worker = nginx(901).of_user(33, "www-data");
    worker.process.parent = Some(900);
    (master, worker)
}

fn kept_away(change: impl FnOnce(&mut Program, &mut Program), seal: fn(&mut Snapshot)) -> Conclusion {
    let (mut master, mut worker) = masters();
    change(&mut master, &mut worker);
    let gateway = gateway(812).on("127.0.0.1:18789", asking_for_credentials());
    host().runs(gateway).runs(master).runs(worker).allowing_path("nginx").but(seal).judged()
}

fn sealed(snapshot: &mut Snapshot) {
    snapshot.seal = Some(Seal { ports: [18789].into(), admitted: [0, 1000].into() });
}

#[test]
fn an_allowed_proxy_that_the_seal_keeps_from_the_gateway_is_no_doubt_while_the_seal_stands() {
    for status in [502, 503, 504] {
        let conclusion = kept_away(|master, _| master.sockets[0].1 = failing(status), sealed);
        conclusion
            .is_safe()
            .says(RULE, Severity::Warning, Answer::Unknown, "0.0.0.0:8088")
            .because(RULE, "nobody gets in by it while that stands");
    }
    kept_away(|_, _| (), |_| ()).doubts(RULE, "0.0.0.0:8088").is_blind();
}

#[test]
fn a_proxy_that_might_reach_the_gateway_all_the_same_is_a_doubt_behind_the_seal_too() {
    type Change = fn(&mut Program, &mut Program);
    let doubtful: [(&str, Change); 15] = [
        ("the gateway's own user", |_, worker| worker.process.uid = Some(1000)),
        ("workers of root", |_, worker| worker.process.uid = Some(0)),
        ("workers of nobody knows whom", |_, worker| worker.process.uid = None),
        ("a master who is none of root's", |master, _| master.process.uid = Some(33)),
        ("a worker of another master", |_, worker| worker.process.parent = Some(1)),
        ("a worker that is another program", |_, worker| worker.process.exe = Some("/tmp/nginz".into())),
        ("no worker at all", |master, _| master.sockets[0].0.owner = Attribution::Named(vec![900])),
        ("what it leads to may lead back", |master, _| {
            *master = master.clone().told_to_carry(&["0.0.0.0:8088"], 3000);
        }),
        ("it leads elsewhere besides", |master, _| master.strays = true),
        ("a connection from before the filter", |_, worker| worker.connected_to.push("127.0.0.1:18789")),
        ("silence", |master, _| master.sockets[0].1 = silent()),
        ("its own error", |master, _| master.sockets[0].1 = failing(500)),
        ("no answer in time", |master, _| {
            master.sockets[0].1 = failing(502).but_access(Access::Unknown(timed_out()));
        }),
        ("a page", |master, _| master.sockets[0].1 = failing(502).but_reply(Reply::Http(page(200)))),
        ("it never was asked for a page", |master, _| master.sockets[0].1.reply = None),
    ];
    for (what, change) in doubtful {
        let conclusion = kept_away(change, sealed);
        assert_eq!(conclusion.only(RULE).severity, Severity::Critical, "{what}");
        assert!(conclusion.0.verdict > Verdict::Safe, "{what}");
    }
    let told_by_another = |snapshot: &mut Snapshot| {
        sealed(snapshot);
        let Observation::Seen(told) = &mut snapshot.routes else { unreachable!("it was seen") };
        told.accounted = [(4001, 8088)].into();
    };
    kept_away(|_, _| (), told_by_another).is_blind();
    kept_away(
        |_, _| (),
        |snapshot| snapshot.seal = Some(Seal { ports: [4000].into(), admitted: [0].into() }),
    )
    .is_blind();
    kept_away(
        |_, _| (),
        |snapshot| snapshot.seal = Some(Seal { ports: [18789].into(), admitted: [33].into() }),
    )
    .is_blind();
}

#[test]
fn what_lets_anybody_in_is_exposed_whatever_the_seal_is_said_to_do() {
    kept_away(|master, _| master.sockets[0].1 = open_to_anyone(), sealed).exposes(RULE, "0.0.0.0:8088");
}

#[test]
fn a_proxy_that_nobody_has_allowed_is_not_excused_by_the_seal() {
    let (master, worker) = masters();
    let gateway = gateway(812).on("127.0.0.1:18789", asking_for_credentials());
    let conclusion = host().runs(gateway).runs(master).runs(worker).but(sealed).judged();
    conclusion.doubts(RULE, "0.0.0.0:8088").exposes("panel-republished", "0.0.0.0:8088");
}

/// Anybody may name a program so.
#[test]
fn what_somebody_else_than_root_has_started_under_an_allowed_name_is_not_excused_by_the_seal() {
    let own = nginx(900)
        .of_user(4001, "bob")
        .on("0.0.0.0:8088", failing(502))
        .told_to_carry(&["0.0.0.0:8088"], 18789);
    let gateway = gateway(812).on("127.0.0.1:18789", asking_for_credentials());
    host()
        .runs(gateway)
        .runs(own)
        .allowing_path("nginx")
        .but(sealed)
        .judged()
        .doubts(RULE, "0.0.0.0:8088")
        .is_blind();
}
