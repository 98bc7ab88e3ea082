//! A gateway that a real systemd runs and restarts is stopped, held and given back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, guardian};
use crate::decoy::Decoy;
use crate::holding::{STOPS, nobody_gets_through};
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, LOOPBACK, Place, at};
use crate::ready::{Lab, given};

const UNIT: &str = "openclaw-gateway.service";
const PORT: u16 = 18789;
/// As `host.sh` numbers ana.
const RUNTIME: &str = "XDG_RUNTIME_DIR=/run/user/4001";

/// Whose manager runs the gateway. It is ana's gateway either way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manager {
    System,
    Ana,
}

impl Manager {
    /// Where the owner has put the unit.
    fn unit(self) -> String {
        match self {
            Self::System => format!("/etc/systemd/system/{UNIT}"),
            Self::Ana => format!("/home/ana/.config/systemd/user/{UNIT}"),
        }
    }

    /// Who types `systemctl`, and how it begins.
    fn systemctl(self) -> (User, &'static [&'static str]) {
        match self {
            Self::System => (User::Root, &["systemctl"]),
            Self::Ana => (User::Ana, &["env", RUNTIME, "systemctl", "--user"]),
        }
    }

    /// `systemctl`, which has to succeed.
    fn ask(self, host: &Host, arguments: &[&str]) -> String {
        let (user, systemctl) = self.systemctl();
        host.run(user, &[systemctl, arguments].concat()).trim().to_owned()
    }

    /// One property of the unit.
    fn tells(self, host: &Host, property: &str) -> String {
        self.ask(host, &["show", "--property", property, "--value", UNIT])
    }

    /// Writes the unit of a gateway that listens there, and what such a gateway has at home.
    fn write(self, host: &Host, ip: Ipv4Addr) {
        let listens = SocketAddr::new(IpAddr::V4(ip), PORT);
        Decoy { user: User::Ana, at: listens }.furnish(host);
        let user = if self == Self::System { "User=ana\n" } else { "" };
        host.write(
            &self.unit(),
            &format!(
                "[Unit]\nStartLimitIntervalSec=0\n[Service]\n{user}Restart=always\nRestartSec=100ms\n\
                 ExecStart=@/mnt/lab/decoy/node openclaw-gateway drill-decoy {listens}\n"
            ),
        );
    }

    /// The manager runs, and the gateway does, open to the network.
    fn exposes(self, host: &Host) {
        if self == Self::Ana {
            // The one of systemd wants a login manager, and that a bus.
            host.write(
                "/etc/systemd/system/user@.service",
                &format!(
                    "[Service]\nType=notify\nUser=%i\nSlice=user-%i.slice\nDelegate=yes\nKillMode=mixed\n\
                     Environment={RUNTIME}\nExecStart=/lib/systemd/systemd --user --unit=basic.target\n"
                ),
            );
            host.run(User::Root, &["install", "-d", "-m", "700", "-o", "ana", "-g", "ana", "/run/user/4001"]);
            host.run(User::Ana, &["mkdir", "-p", "/home/ana/.config/systemd/user"]);
            host.run(User::Root, &["systemctl", "daemon-reload"]);
            host.run(User::Root, &["systemctl", "start", "user@4001.service"]);
        }
        self.write(host, Ipv4Addr::UNSPECIFIED);
        self.ask(host, &["daemon-reload"]);
        self.ask(host, &["start", UNIT]);
        until("the gateway", || host.listens(PORT));
    }
}

#[track_caller]
fn until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited for {what}");
        sleep(Duration::from_millis(30));
    }
}

/// What systemd has of files and links, running or not.
fn files(host: &Host) -> String {
    let find = "find /run/systemd /etc/systemd -type f -o -type l | sort";
    host.run(User::Root, &["sh", "-c", find])
}

/// What there is of guardian's, or of the gateway's, where drop-ins go.
fn left(host: &Host) -> String {
    let find = "find /run/systemd/system /run/systemd/user /run/user \
                -iname '*guardian*' -o -name 'openclaw-gateway.service.d' 2>/dev/null; :";
    host.run(User::Root, &["sh", "-c", find])
}

fn place() -> Option<Place> {
    given(Host::with_systemd()).map(Place::around)
}

/// Exposed, tripped, stopped, held against all who start it, mended, and given back.
fn is_held_and_given_back(manager: Manager) {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    let daemon = Daemon::start(host, User::Root, STOPS);
    daemon.is("closed");
    manager.exposes(host);
    assert_eq!(http::call(&place.outside, at(LAN, PORT)).ok(), Some(401), "it was open to the network");
    let status = daemon.holds();
    let barriers = status["trip"]["barriers"].to_string();
    assert!(barriers.contains(r#"{"barrier":"service","held":"yes"}"#), "{status:#}");
    assert!(left(host).contains("zz-guardian.conf"), "{}", left(host));

    let started = manager.tells(host, "ExecMainStartTimestampMonotonic");
    let (user, systemctl) = manager.systemctl();
    let line = systemctl.join(" ");
    let mut again = Host::command("sh");
    again.args([
        "-c",
        &format!("while :; do {line} start {UNIT}; {line} restart {UNIT}; echo tried; sleep 0.05; done"),
    ]);
    let again = host.start(user, &mut again);
    nobody_gets_through(host, &place.outside, 4);
    let tries = again.printed().matches("tried").count();
    drop(again);
    assert!(tries > 10, "it was tried {tries} times");
    assert_eq!(manager.tells(host, "ExecMainStartTimestampMonotonic"), started, "no start came through");
    assert_eq!(manager.tells(host, "ActiveState"), "inactive");
    let status = daemon.holds();
    for finding in status["trip"]["findings"].as_array().unwrap() {
        let subject = finding["subject"].to_string();
        assert!(finding["rule"] != "revived-while-open" || subject.contains(UNIT), "{status:#}");
    }

    manager.write(host, Ipv4Addr::LOCALHOST);
    daemon.recovers_and_closes();
    until("the mended gateway", || manager.tells(host, "ActiveState") == "active" && host.listens(PORT));
    assert_eq!(http::call(host, at(LOOPBACK, PORT)).ok(), Some(401), "served again");
    assert!(!place.outside.reaches(at(LAN, PORT)));
    assert_eq!(left(host), "");
}

#[test]
fn a_gateway_that_the_systems_manager_restarts_is_held_and_given_back() {
    is_held_and_given_back(Manager::System);
}

#[test]
fn a_gateway_that_its_users_manager_restarts_is_held_and_given_back() {
    is_held_and_given_back(Manager::Ana);
}

#[test]
fn rescue_gives_a_service_back_without_a_watcher() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    Manager::System.exposes(host);
    let before = files(host);
    let daemon = Daemon::start(host, User::Root, STOPS);
    daemon.holds();
    assert_ne!(files(host), before);
    daemon.kill();
    let (code, said) = guardian(host, User::Root, User::Root, &["rescue"]);
    assert_eq!(code, 0, "{said}");
    until("the gateway", || Manager::System.tells(host, "ActiveState") == "active" && host.listens(PORT));
    assert_eq!(files(host), before, "byte for byte");
    assert_eq!(left(host), "");
}
