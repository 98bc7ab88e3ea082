//! Devices that were paired while a gateway was exposed.

use serde_json::Value;

use crate::daemon::Daemon;
use crate::gateway::{PORT, SOUND_1_29, SOUND_9_6, Shared, TOKEN};
use crate::host::{Host, User};
use crate::ready::Lab;
use crate::relay::{nginx, proxy_to};
use crate::trips::POLICY;

/// Pairs a new device with the gateway, by this port of the host.
fn pair(host: &Host, port: u16) {
    let url = format!("ws://127.0.0.1:{port}");
    let said = host.run(User::Bob, &["/mnt/cache/bin/node", "/mnt/scripts/pair.cjs", &url, TOKEN]);
    assert!(said.contains("paired"), "{said}");
}

fn warnings<'s>(status: &'s Value, rule: &str) -> Vec<&'s Value> {
    let warnings = status["warnings"].as_array().map(Vec::as_slice).unwrap_or_default();
    warnings.iter().filter(|it| it["rule"] == rule).collect()
}

/// Early gateways list their devices in a file.
#[test]
fn a_device_that_was_paired_while_a_proxy_published_the_gateway_is_named_and_others_are_not() {
    named(&SOUND_1_29);
}

/// And late ones keep them in a database.
#[test]
fn a_device_in_a_database_that_was_paired_while_a_proxy_published_the_gateway_is_named_and_others_are_not() {
    named(&SOUND_9_6);
}

fn named(gateway: &'static Shared) {
    const RULE: &str = "paired-while-exposed";
    let Some(lab) = Lab::open() else { return };
    let scene = gateway.hold(&lab);
    let host = scene.host();
    pair(host, PORT);
    let daemon = Daemon::start(host, User::Root, &format!("mode = \"observe\"\n{POLICY}"));
    let before = daemon.until("a safe round", |status| status["verdict"] == "safe");
    assert!(warnings(&before, RULE).is_empty(), "{before:#}");
    // To the gateway whoever comes by it looks local, and is paired without being asked.
    let looks_local = proxy_to(PORT, "").replace("$http_host", "127.0.0.1");
    let proxy = nginx(host, 8088, &format!("listen 0.0.0.0:8088; {looks_local}"));
    daemon.until("exposed", |status| status["verdict"] == "exposed");
    pair(host, 8088);
    daemon.until("the device", |status| warnings(status, RULE).len() == 1);
    drop(proxy);
    let after = daemon.until("safe again", |status| status["verdict"] == "safe");
    let found = warnings(&after, RULE);
    assert_eq!(found.len(), 1, "{after:#}");
    assert!(found[0]["evidence"][0].as_str().unwrap().contains("while the gateway was exposed"), "{found:?}");
    // A new watcher has not forgotten it.
    drop(daemon);
    let daemon = Daemon::restart(host, User::Root, &[]);
    daemon.until("the device again", |status| warnings(status, RULE).len() == 1);
    pair(host, PORT);
    daemon.until("a look at it", |status| status["verdict"] == "safe");
    let (code, said) = daemon.guardian(User::Root, &["status"]);
    assert!(code == 0 && said.matches(RULE).count() == 1, "{said}");
}
