//! A gate that a real systemd starts with a socket that it has opened.

use crate::daemon::guardian;
use crate::host::{Host, User};
use crate::http;
use crate::place::{LOOPBACK, at};
use crate::ready::Lab;
use crate::supervised::{Manager, place, until};

/// What the socket unit opens, and what the policy says.
const HANDED: u16 = 18700;
const NAMED: u16 = 18799;
const WIDE: u16 = 18701;

/// A socket unit, and the service that it starts.
fn units(host: &Host, name: &str, listen: &str) {
    host.write(&format!("/etc/systemd/system/{name}.socket"), &format!("[Socket]\nListenStream={listen}\n"));
    let folder = "/mnt/guardian-root";
    host.write(
        &format!("/etc/systemd/system/{name}.service"),
        &format!(
            "[Service]\nType=notify\nUser={}\nExecStart=/mnt/bin/guardian gate\n\
             Environment=GUARDIAN_STATE_DIR={folder}/state GUARDIAN_RUNTIME_DIR={folder}/run\n\
             Environment=GUARDIAN_CONFIG={folder}/guardian.toml\n\
             StandardError=file:/mnt/lab/{name}.log\n",
            User::Gate.name()
        ),
    );
}

#[test]
fn systemd_starts_the_gate_with_the_first_connection_and_hands_over_its_socket_and_no_wildcard() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    host.run(User::Root, &["install", "-d", "-m", "755", "/mnt/guardian-root"]);
    host.write("/mnt/guardian-root/guardian.toml", &format!("[gate]\nlisten = [\"127.0.0.1:{NAMED}\"]\n"));
    let (code, said) = guardian(host, User::Root, User::Root, &["token", "new", "lab"]);
    assert_eq!(code, 0, "{said}");
    units(host, "gate", &format!("127.0.0.1:{HANDED}"));
    units(host, "wide", &format!("0.0.0.0:{WIDE}"));
    let ask = |arguments: &[&str]| Manager::System.ask(host, arguments);
    let tells = |unit: &str, property: &str| ask(&["show", "--property", property, "--value", unit]);
    ask(&["daemon-reload"]);
    ask(&["start", "gate.socket", "wide.socket"]);
    assert_eq!(tells("gate.service", "ActiveState"), "inactive", "nobody has come yet");

    let page = http::ask(host, at(LOOPBACK, HANDED), "GET /_guardian/sign-in", &[]).unwrap();
    assert!(page.status == 200 && page.text.contains("Passphrase"), "{}", page.text);
    assert_eq!(tells("gate.service", "ActiveState"), "active");
    let gate: u32 = tells("gate.service", "MainPID").parse().unwrap();
    assert!(host.holders(HANDED).contains(&gate), "it is the socket that was handed over");
    assert!(!host.listens(NAMED), "and the gate opens none of its own");

    // Whoever opened it: every address of this host at once is refused, and nobody is served.
    assert!(http::ask(host, at(LOOPBACK, WIDE), "GET /_guardian/sign-in", &[]).is_err());
    until("its end", || tells("wide.service", "ActiveState") == "failed");
    assert_eq!(tells("wide.service", "ExecMainStatus"), "78");
    let said = std::fs::read_to_string(host.path("/mnt/lab/wide.log")).unwrap();
    assert!(said.contains("every address of this host"), "{said}");
}
