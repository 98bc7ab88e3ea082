//! From `guardian install` to `guardian uninstall --purge`, on a host with a real systemd: protected,
//! exposed, tripped, upgraded, recovered, and clean again byte for byte.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, LOOPBACK, at};
use crate::ready::Lab;
use crate::supervised::{ANAS, Manager, PORT, UNIT, place, until};

const DOOR: u16 = 18700;

/// Somebody on the host who types commands.
pub(crate) struct Person<'a> {
    pub(crate) host: &'a Host,
    pub(crate) user: User,
}

impl Person<'_> {
    /// A command of Guardian's: its exit code, and what it says.
    pub(crate) fn types(&self, program: &str, arguments: &[&str]) -> (i32, String) {
        let mut command = Host::command(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.user != User::Root {
            command.env("XDG_RUNTIME_DIR", format!("/run/user/{}", self.user.id()));
        }
        let output = self.host.spawn(self.user, &mut command).wait_with_output().unwrap();
        let said =
            [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
        (output.status.code().unwrap_or(-1), said)
    }

    pub(crate) fn status(&self, program: &str) -> Value {
        let (_, said) = self.types(program, &["status", "--json"]);
        serde_json::from_str(&said).unwrap_or(Value::Null)
    }

    #[track_caller]
    pub(crate) fn until(&self, program: &str, circuit: &str) -> Value {
        until(circuit, || {
            let status = self.status(program);
            status["breaker"] == circuit && (circuit != "open" || status["trip"]["barriers"].is_array())
        });
        self.status(program)
    }

    #[track_caller]
    pub(crate) fn recovers(&self, program: &str) {
        self.insists(program, &["recover", "--yes"], 1);
        self.insists(program, &["close", "--yes"], 0);
    }

    /// Types it again until it is done: what was mended a moment ago has to be seen first.
    #[track_caller]
    pub(crate) fn insists(&self, program: &str, arguments: &[&str], at_most: i32) {
        let begun = Instant::now();
        loop {
            let (code, said) = self.types(program, arguments);
            if (0..=at_most).contains(&code) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "{arguments:?}: {code}: {said}");
            sleep(Duration::from_millis(300));
        }
    }
}

/// Everything that an installation could leave: names, kinds, permissions, owners and what is in them.
/// `useradd` keeps the last version of its files.
pub(crate) fn everything(host: &Host) -> String {
    let look = "find /etc /usr/local /var/lib /home /root ! -name 'passwd-' ! -name 'group-' ! -name 'shadow-' \
                ! -name 'gshadow-' ! -name 'subuid-' ! -name 'subgid-' ! -name '.pwd.lock' -printf '%p %y %m %U %G %l\n' | sort; \
                find /etc /usr/local /var/lib /home /root -type f ! -name '*-' ! -name .pwd.lock -print0 | sort -z | xargs -0 -r sha256sum; \
                nft list tables 2>/dev/null; ls /run";
    host.run(User::Root, &["sh", "-c", look])
}

#[track_caller]
pub(crate) fn same(now: &str, before: &str) {
    let [is, was] = [now, before].map(|text| text.lines().collect::<BTreeSet<_>>());
    assert!(now == before, "more: {:#?}\nless: {:#?}", &is - &was, &was - &is);
}

/// A machine on which nobody has heard of Guardian, and whose users can be changed.
pub(crate) fn untouched(host: &Host) {
    host.run(User::Root, &["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/usr/local"]);
    let own = "mkdir /usr/local/bin && cd /etc && for file in passwd group; do grep -v _guardian-gate $file > /tmp/$file; \
               umount /etc/$file; cat /tmp/$file > /etc/$file; rm /tmp/$file; done; rm -rf /home/_guardian-gate /etc/guardian";
    host.run(User::Root, &["sh", "-c", own]);
    // What these write the first time they run is not Guardian's.
    host.run(User::Root, &["sh", "-c", "useradd --system warm-up && userdel warm-up"]);
}

#[test]
fn root_installs_is_protected_upgrades_and_leaves_nothing() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    untouched(host);
    Manager::System.starts(host);
    Manager::System.write(host, Ipv4Addr::LOCALHOST);
    Manager::System.ask(host, &["daemon-reload"]);
    Manager::System.ask(host, &["start", UNIT]);
    until("the gateway", || host.listens(PORT));
    let before = everything(host);
    let root = Person { host, user: User::Root };

    let (code, said) = root.types("/mnt/bin/guardian", &["install", "--dry-run"]);
    assert!(code == 0 && said.contains("write /etc/systemd/system/guardian.service"), "{said}");
    same(&everything(host), &before);

    let (code, said) = root.types("/mnt/bin/guardian", &["install"]);
    println!("{said}");
    let states = host.run(
        User::Root,
        &["systemctl", "show", "--property=Id,Result,ExecMainStatus", "guardian", "guardian-gate"],
    );
    assert_eq!(code, 0, "{said}\n{states}{:#}", root.status("/usr/local/bin/guardian"));
    for word in ["INSTALLED", "CLOSED", "at 127.0.0.1:18789", "sudo guardian gate passphrase"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let guardian = "/usr/local/bin/guardian";
    let verified = host
        .run(User::Root, &["sh", "-c", "systemd-analyze verify guardian.service guardian-gate.service 2>&1"]);
    assert_eq!(verified, "", "units are sound");
    let exposure = host.run(
        User::Root,
        &[
            "sh",
            "-c",
            "systemd-analyze security --no-pager guardian.service guardian-gate.service | grep -i overall",
        ],
    );
    println!("{exposure}");
    until("the gate", || host.listens(DOOR));
    until("the gate asks who is there", || http::call(host, at(LOOPBACK, DOOR)).ok() == Some(401));
    let gate =
        Manager::System.ask(host, &["show", "--property", "MainPID", "--value", "guardian-gate.service"]);
    let user = host.run(User::Root, &["stat", "-c", "%U", &format!("/proc/{gate}")]);
    assert_eq!(user.trim(), "_guardian-gate");
    let (code, token) = root.types(guardian, &["token", "new", "lab"]);
    assert_eq!(code, 0, "{token}");
    let field = format!("Guardian-Token: {}", token.trim());
    until("a credential that is let through", || {
        http::ask(host, at(LOOPBACK, DOOR), "GET /", &[&field])
            .is_ok_and(|it| it.status != 401 && it.status != 503)
    });

    // Twice is once, but for what runs.
    let (code, said) = root.types("/mnt/bin/guardian", &["install"]);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("✓ write") && !said.contains("✓ copy") && !said.contains("✓ make"), "{said}");

    Manager::System.write(host, Ipv4Addr::UNSPECIFIED);
    Manager::System.ask(host, &["daemon-reload"]);
    Manager::System.ask(host, &["restart", UNIT]);
    root.until(guardian, "open");
    until("a wall", || !place.outside.reaches(at(LAN, PORT)));
    assert_eq!(
        http::ask(host, at(LOOPBACK, DOOR), "GET /", &[&field]).unwrap().status,
        503,
        "the gate is shut"
    );

    // A newer one takes over what it finds, and does not let go of it.
    host.run(User::Root, &["sh", "-c", "cp /mnt/bin/guardian /tmp/newer && echo >> /tmp/newer"]);
    let started =
        Manager::System.ask(host, &["show", "--property", "MainPID", "--value", "guardian.service"]);
    let (code, said) = root.types("/tmp/newer", &["install"]);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("✓ copy this program") && said.contains("✓ systemctl restart guardian.service"),
        "{said}"
    );
    assert_ne!(
        Manager::System.ask(host, &["show", "--property", "MainPID", "--value", "guardian.service"]),
        started
    );
    root.until(guardian, "open");
    assert!(!place.outside.reaches(at(LAN, PORT)));

    Manager::System.write(host, Ipv4Addr::LOCALHOST);
    Manager::System.ask(host, &["daemon-reload"]);
    Manager::System.ask(host, &["restart", UNIT]);
    root.recovers(guardian);
    root.until(guardian, "closed");
    until("the gate again", || {
        http::ask(host, at(LOOPBACK, DOOR), "GET /", &[&field]).is_ok_and(|it| it.status != 503)
    });

    // Taken off while it blocks, it gives everything back.
    let (_, said) = root.types(guardian, &["trip", "to be taken off"]);
    println!("{said}");
    root.until(guardian, "open");
    let (code, said) = root.types(guardian, &["uninstall", "--purge", "--yes"]);
    assert_eq!(code, 0, "{said}");
    println!("{said}");
    host.run(User::Root, &["rm", "/tmp/newer"]);
    same(&everything(host), &before);
    until("the gateway", || host.listens(PORT));
    let units = host.run(User::Root, &["sh", "-c", "systemctl list-units --all --no-legend 'guardian*'; :"]);
    assert!(!units.contains("running"), "{units}");
}

#[test]
fn a_user_without_root_installs_is_protected_and_leaves_nothing() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    untouched(host);
    ANAS.starts(host);
    ANAS.write(host, Ipv4Addr::LOCALHOST);
    ANAS.ask(host, &["daemon-reload"]);
    ANAS.ask(host, &["start", UNIT]);
    until("the gateway", || host.listens(PORT));
    let before = everything(host);
    let ana = Person { host, user: User::Ana };

    let (code, said) = ana.types("/mnt/bin/guardian", &["install"]);
    assert!(code == 64 && said.contains("guardian install --user"), "{code}: {said}");
    let (code, said) = ana.types("/mnt/bin/guardian", &["install", "--user"]);
    println!("{said}");
    assert_eq!(code, 0, "{said}");
    let guardian = "/home/ana/.local/bin/guardian";
    until("the gate", || host.listens(DOOR));
    until("the gate asks who is there", || http::call(host, at(LOOPBACK, DOOR)).ok() == Some(401));

    ANAS.write(host, Ipv4Addr::UNSPECIFIED);
    ANAS.ask(host, &["daemon-reload"]);
    ANAS.ask(host, &["restart", UNIT]);
    ana.until(guardian, "open");
    until("an end", || http::call(&place.outside, at(LAN, PORT)).ok().is_none_or(|status| status == 503));
    ANAS.write(host, Ipv4Addr::LOCALHOST);
    ANAS.ask(host, &["daemon-reload"]);
    ana.recovers(guardian);
    ana.until(guardian, "closed");

    let (code, said) = ana.types(guardian, &["uninstall", "--user", "--purge"]);
    assert_eq!(code, 0, "{said}");
    same(&everything(host), &before);
}
