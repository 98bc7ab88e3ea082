//! A real gateway of ana's gets a user of its own, and gives it back, on a host with a real systemd.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::gateway::TOKEN;
use crate::host::{Host, User};
use crate::http;
use crate::installed::{Person, everything, same, untouched};
use crate::place::{LOOPBACK, at};
use crate::ready::Lab;
use crate::supervised::{ANAS, Manager, PORT, UNIT, place, until};

const GUARDIAN: &str = "/usr/local/bin/guardian";
const OPENCLAW: &str = "/mnt/cache/npm/openclaw-2026.9.6/node_modules/openclaw/openclaw.mjs";

/// Ana's gateway, as the product installs it: a service of hers, its state in her home, beside her keys.
fn anas_gateway(host: &Host) {
    ANAS.starts(host);
    let home = "set -e; cd; umask 077; mkdir .ssh .openclaw .config/gh; echo PRIVATE > .ssh/id_ed25519; \
                echo token > .config/gh/hosts.yml; echo secret > .npmrc; chmod 644 .npmrc; chmod 755 .";
    host.run(User::Ana, &["sh", "-c", &format!("export HOME=/home/ana; {home}")]);
    let config = format!(
        r#"{{"gateway":{{"mode":"local","port":{PORT},"bind":"loopback","auth":{{"mode":"token","token":"{TOKEN}"}}}}}}"#
    );
    host.run(
        User::Ana,
        &["sh", "-c", &format!("umask 077; echo '{config}' > /home/ana/.openclaw/openclaw.json")],
    );
    host.write(
        &format!("/home/ana/.config/systemd/user/{UNIT}"),
        &format!(
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=1\n\
             ExecStart=/mnt/cache/bin/node \\\n  {OPENCLAW} gateway run --port {PORT}\n\
             Environment=HOME=%h PATH=/mnt/cache/bin:/usr/bin:/bin NO_COLOR=1\n\
             StandardOutput=append:/mnt/lab/gateway.log\nStandardError=inherit\n\
             [Install]\nWantedBy=default.target\n"
        ),
    );
    ANAS.ask(host, &["daemon-reload"]);
    ANAS.ask(host, &["enable", "--now", UNIT]);
    answers(host);
}

/// Waits until the gateway asks for its token: a cold start takes a while.
#[track_caller]
fn answers(host: &Host) {
    let begun = Instant::now();
    while http::call(host, at(LOOPBACK, PORT)).ok() != Some(401) {
        let log = || {
            host.run(
                User::Root,
                &["sh", "-c", "tail -n 30 /mnt/lab/gateway.log; ls -la /mnt/cache /mnt/cache/bin /home/ana/.config/systemd/user; env XDG_RUNTIME_DIR=/run/user/4001 setpriv --reuid=4001 --regid=4001 --clear-groups systemctl --user show openclaw-gateway -p Result -p ExecMainStatus -p ActiveState -p SubState -p LoadError -p StatusText; :"],
            )
        };
        assert!(begun.elapsed() < Duration::from_mins(2), "the gateway does not answer: {}", log());
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Whose process listens on the gateway's port.
fn runs_as(host: &Host) -> String {
    let ask = format!(
        "pid=$(ss -Htlnp 'sport = :{PORT}' | grep -o 'pid=[0-9]*' | head -1 | cut -d= -f2); stat -c %U /proc/$pid"
    );
    host.run(User::Root, &["sh", "-c", &ask]).trim().to_owned()
}

/// A shell of the gateway's user, without the service's sandbox: what it is refused, and why.
#[track_caller]
fn is_refused(host: &Host, command: &str) {
    let mut shell = Host::command("setpriv");
    shell
        .args(["--reuid=_moltbot", "--regid=_moltbot", "--clear-groups", "sh", "-c", command])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = host.spawn(User::Root, &mut shell).wait_with_output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    println!("$ {command}\n{why}");
    assert!(!output.status.success(), "{command} was not refused");
    assert!(why.contains("denied") || why.contains("not permitted"), "{command}: {why}");
}

/// All but what the gateway and the watcher themselves write while they run.
fn but_the_state(everything: &str) -> String {
    let of_the_gateway = ["/.openclaw", "/.cache", "/.npm/", "  /var/lib/guardian/"];
    everything
        .lines()
        .filter(|line| !of_the_gateway.iter().any(|it| line.contains(it)))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn behind_a_bulkhead_a_real_gateway_reads_nothing_of_its_owner_and_changes_nothing_of_guardian() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    untouched(host);
    anas_gateway(host);
    let root = Person { host, user: User::Root };
    let (code, said) = root.types("/mnt/bin/guardian", &["install"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = root.types(GUARDIAN, &["check"]);
    assert!(code == 1 && said.contains("home-shared") && said.contains("/home/ana/.ssh"), "{code}: {said}");
    let before = but_the_state(&everything(host));

    let (code, said) = root.types(GUARDIAN, &["bulkhead", "plan"]);
    println!("$ sudo guardian bulkhead plan\n{said}");
    assert_eq!(code, 0, "{said}");
    for words in [
        "✗ /home/ana/.ssh (SSH keys)",
        "close /home/ana to other users: mode 0755 becomes 0750",
        "move /home/ana/.openclaw to /home/_moltbot/.openclaw",
        "| ProtectHome=tmpfs",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    same(&but_the_state(&everything(host)), &before);

    let (code, said) = root.types(GUARDIAN, &["bulkhead", "apply", "--yes"]);
    println!("$ sudo guardian bulkhead apply\n{said}");
    assert!(code == 0 && said.contains("attempts, all refused"), "{code}: {said}");
    answers(host);
    assert_eq!(runs_as(host), "_moltbot");
    for command in [
        "ls /home/ana",
        "cat /home/ana/.ssh/id_ed25519",
        "cat /home/ana/.config/gh/hosts.yml",
        "cat /home/ana/.npmrc",
        "echo x > /home/ana/planted",
        "echo x >> /home/ana/.config/systemd/user/openclaw-gateway.service",
        "echo x >> /etc/guardian/guardian.toml",
        "cat /var/lib/guardian/breaker.json",
        "touch /var/lib/guardian/planted",
        "rm /var/lib/guardian/breaker.json",
        "cp /bin/sh /usr/local/bin/guardian",
        "echo x >> /etc/systemd/system/moltbot-gateway.service",
        "kill -9 $(cat /run/guardian/*.pid 2>/dev/null || pgrep -o guardian)",
        "cat /etc/shadow",
    ] {
        is_refused(host, command);
    }
    let (code, said) = root.types(GUARDIAN, &["check"]);
    assert!(code <= 1 && !said.contains("home-shared"), "{code}: {said}");

    // The breaker has the new service too.
    root.until(GUARDIAN, "closed");
    root.types(GUARDIAN, &["trip", "a", "test"]);
    root.until(GUARDIAN, "open");
    until("the door shut", || http::call(host, at(LOOPBACK, PORT)).is_err());
    let (code, said) = root.types(GUARDIAN, &["bulkhead", "apply", "--yes"]);
    assert!(code == 70 && said.contains("stands here already"), "{code}: {said}");
    let (code, said) = root.types(GUARDIAN, &["uninstall", "--purge", "--yes"]);
    assert!(code == 70 && said.contains("guardian bulkhead undo"), "{code}: {said}");
    root.insists(GUARDIAN, &["recover", "--yes"], 1);
    root.insists(GUARDIAN, &["close", "--yes"], 0);
    answers(host);

    let (code, said) = root.types(GUARDIAN, &["bulkhead", "undo", "--yes"]);
    println!("$ sudo guardian bulkhead undo\n{said}");
    assert!(
        code == 1 && said.contains("what the gateway has made in /home/_moltbot stays there"),
        "{code}: {said}"
    );
    let nobodys = host.run(User::Root, &["find", "/home/_moltbot", "!", "-user", "ana"]);
    assert_eq!(nobodys, "", "nothing is left to a user that is gone");
    host.run(User::Root, &["rm", "-r", "/home/_moltbot"]);
    answers(host);
    assert_eq!(runs_as(host), "ana");
    let foreign = "find /home/ana/.openclaw ! -user ana -o ! -group ana";
    assert_eq!(host.run(User::Root, &["sh", "-c", foreign]), "", "all of it is ana's");
    assert_eq!(ANAS.tells(host, "UnitFileState"), "enabled");
    same(&but_the_state(&everything(host)), &before);
    let (code, said) = root.types(GUARDIAN, &["bulkhead", "undo", "--yes"]);
    assert!(code == 70 && said.contains("no bulkhead"), "{code}: {said}");
    assert_eq!(Manager::System.ask(host, &["is-active", "guardian.service"]), "active");
}
