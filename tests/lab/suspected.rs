//! The gate tells the watcher of those who try its lock.

use crate::daemon::Daemon;
use crate::gate::{DOOR, Gate};
use crate::gateway::GATED_9_6;
use crate::host::User;
use crate::http;
use crate::ready::Lab;
use crate::trips::POLICY;

#[test]
fn whoever_guesses_without_end_opens_the_circuit_and_nobody_else_can_say_that_they_did() {
    let Some(lab) = Lab::open() else { return };
    let scene = GATED_9_6.hold(&lab);
    let host = scene.host();
    let daemon = Daemon::start(host, User::Root, POLICY);
    let gate = Gate::start(host, User::Root);
    gate.until(200);
    let report =
        r#"{"v":1,"ask":"report","suspicions":[{"intent":"guessing","count":1000,"last":"127.0.0.1"}]}"#;
    let ask = format!("echo '{report}' | socat -t 30 - UNIX-CONNECT:/mnt/guardian-root/run/control.sock");
    let said = host.run(User::Bob, &["bash", "-c", &ask]);
    assert!(said.contains("not-owner"), "{said}");
    for _ in 0..20 {
        assert!(matches!(
            http::ask(host, DOOR, "GET /", &["Guardian-Token: gdn_x"]).unwrap().status,
            401 | 429 | 503
        ));
    }
    daemon.is("closed");
    for _ in 0..150 {
        http::ask(host, DOOR, "GET /", &["Guardian-Token: gdn_x"]).unwrap();
    }
    let status = daemon.holds();
    let findings = status["trip"]["findings"].to_string();
    assert!(findings.contains("suspicious-requests") && findings.contains("from 127.0.0.1"), "{status:#}");
    gate.until(503);
}
