//! A gateway that a real systemd runs and restarts is stopped, held and given back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, guardian, launch};
use crate::decoy::Decoy;
use crate::holding::{STOPS, nobody_gets_through};
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, LOOPBACK, Place, at};
use crate::ready::{Lab, given};

pub(crate) const UNIT: &str = "openclaw-gateway.service";
pub(crate) const PORT: u16 = 18789;

/// Whose manager runs a unit. A gateway is ana's either way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    System,
    Of(User),
}

pub(crate) const ANAS: Manager = Manager::Of(User::Ana);
const BOBS: Manager = Manager::Of(User::Bob);

impl Manager {
    /// Where the owner has put a unit.
    fn file(self, unit: &str) -> String {
        match self {
            Self::System => format!("/etc/systemd/system/{unit}"),
            Self::Of(user) => format!("{}/.config/systemd/user/{unit}", user.home()),
        }
    }

    /// Who types `systemctl`, and how it begins.
    fn systemctl(self) -> (User, Vec<String>) {
        let line = match self {
            Self::System => "systemctl".to_owned(),
            Self::Of(user) => format!("env XDG_RUNTIME_DIR=/run/user/{} systemctl --user", user.id()),
        };
        let user = if let Self::Of(user) = self { user } else { User::Root };
        (user, line.split(' ').map(str::to_owned).collect())
    }

    /// `systemctl`, which has to succeed.
    pub(crate) fn ask(self, host: &Host, arguments: &[&str]) -> String {
        let (user, systemctl) = self.systemctl();
        let line: Vec<&str> = systemctl.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        host.run(user, &line).trim().to_owned()
    }

    /// One property of a unit.
    fn tells_of(self, host: &Host, unit: &str, property: &str) -> String {
        self.ask(host, &["show", "--property", property, "--value", unit])
    }

    /// One property of the gateway's unit.
    pub(crate) fn tells(self, host: &Host, property: &str) -> String {
        self.tells_of(host, UNIT, property)
    }

    /// The manager runs.
    pub(crate) fn starts(self, host: &Host) {
        let Self::Of(user) = self else { return };
        // The one of systemd wants a login manager, and that a bus.
        host.write(
            "/etc/systemd/system/user@.service",
            "[Service]\nType=notify\nUser=%i\nSlice=user-%i.slice\nDelegate=yes\nKillMode=mixed\n\
             Environment=XDG_RUNTIME_DIR=/run/user/%i\n\
             ExecStart=/lib/systemd/systemd --user --unit=basic.target\n",
        );
        let (name, runtime) = (user.name(), format!("/run/user/{}", user.id()));
        host.run(User::Root, &["install", "-d", "-m", "700", "-o", name, "-g", name, &runtime]);
        host.run(user, &["mkdir", "-p", &format!("{}/.config/systemd/user", user.home())]);
        host.run(User::Root, &["systemctl", "daemon-reload"]);
        host.run(User::Root, &["systemctl", "start", &format!("user@{}.service", user.id())]);
    }

    /// A unit that has nothing to do with a gateway runs; its first process.
    fn runs(self, host: &Host, unit: &str, command: &str) -> String {
        host.write(&self.file(unit), &format!("[Service]\nRestart=always\nExecStart={command}\n"));
        self.ask(host, &["daemon-reload"]);
        self.ask(host, &["start", unit]);
        self.tells_of(host, unit, "MainPID")
    }

    /// It still runs, as the same process, and starts again when it is told to.
    fn is_untouched(self, host: &Host, unit: &str, process: &str) {
        assert_eq!(self.tells_of(host, unit, "MainPID"), process, "{unit}");
        self.ask(host, &["restart", unit]);
        assert_eq!(self.tells_of(host, unit, "ActiveState"), "active", "{unit}");
        assert_ne!(self.tells_of(host, unit, "MainPID"), process, "{unit}");
    }

    /// Writes the unit of a gateway that listens there, and what such a gateway has at home.
    pub(crate) fn write(self, host: &Host, ip: Ipv4Addr) {
        let listens = SocketAddr::new(IpAddr::V4(ip), PORT);
        Decoy { user: User::Ana, at: listens }.furnish(host);
        let user = if self == Self::System { "User=ana\n" } else { "" };
        host.write(
            &self.file(UNIT),
            &format!(
                "[Unit]\nStartLimitIntervalSec=0\n[Service]\n{user}Restart=always\nRestartSec=100ms\n\
                 ExecStart=@/mnt/lab/decoy/node openclaw-gateway drill-decoy {listens}\n"
            ),
        );
    }

    /// The gateway is told to listen there, and to start again. Nobody waits for its start: a trip that
    /// stops it at once has that job cancelled.
    pub(crate) fn moves(self, host: &Host, ip: Ipv4Addr) {
        self.write(host, ip);
        self.ask(host, &["daemon-reload"]);
        self.ask(host, &["restart", "--no-block", UNIT]);
    }

    /// The manager runs, and the gateway does, open to the network.
    pub(crate) fn exposes(self, host: &Host) {
        self.starts(host);
        self.write(host, Ipv4Addr::UNSPECIFIED);
        self.ask(host, &["daemon-reload"]);
        self.ask(host, &["start", UNIT]);
        until("the gateway", || host.listens(PORT));
    }
}

#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
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

pub(crate) fn place() -> Option<Place> {
    given(Host::with_systemd()).map(Place::around)
}

/// Exposed, tripped, stopped, held against all who start it, mended, and given back.
fn is_held_and_given_back(manager: Manager) {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    let daemon = Daemon::start(host, User::Root, STOPS);
    daemon.is("closed");
    manager.starts(host);
    manager.moves(host, Ipv4Addr::UNSPECIFIED);
    let status = daemon.holds();
    // It may never have been open to anybody: what its configuration says is found before it listens, at times.
    let found = status["trip"]["findings"].to_string();
    assert!(
        ["bound-beyond-allowed", "config-incomplete"].iter().any(|rule| found.contains(rule)),
        "{status:#}"
    );
    let barriers = status["trip"]["barriers"].to_string();
    assert!(barriers.contains(r#"{"barrier":"service","held":"yes"}"#), "{status:#}");
    let drop_in = if manager == Manager::System { "zz-guardian.conf" } else { "zz-guardian-4001.conf" };
    assert!(left(host).contains(drop_in), "{}", left(host));

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
    is_held_and_given_back(ANAS);
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
    daemon.process.signal(Signal::SIGSTOP);
    let held = files(host);
    let (code, said) = guardian(host, User::Root, User::Root, &["rescue"]);
    assert!(code == 70 && said.contains("answering or not"), "{code}: {said}");
    assert_eq!(files(host), held, "a watcher that is stopped has not gone");
    daemon.kill();
    let (code, said) = guardian(host, User::Root, User::Root, &["rescue"]);
    assert_eq!(code, 0, "{said}");
    until("the gateway", || Manager::System.tells(host, "ActiveState") == "active" && host.listens(PORT));
    assert_eq!(files(host), before, "byte for byte");
    assert_eq!(left(host), "");
}

#[test]
fn another_users_service_of_the_same_name_is_not_held() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    BOBS.starts(host);
    let bobs = BOBS.runs(host, UNIT, "sleep infinity");
    let daemon = Daemon::start(host, User::Root, STOPS);
    ANAS.starts(host);
    ANAS.moves(host, Ipv4Addr::UNSPECIFIED);
    daemon.holds();
    assert!(left(host).contains("zz-guardian-4001.conf"), "{}", left(host));
    BOBS.ask(host, &["daemon-reload"]);
    assert!(BOBS.tells(host, "DropInPaths").contains("zz-guardian-4001.conf"), "it is loaded");
    BOBS.is_untouched(host, UNIT, &bobs);
    ANAS.ask(host, &["start", UNIT]);
    assert_eq!(ANAS.tells(host, "ActiveState"), "inactive", "and holds ana's");
}

/// A look-alike of bob's that names another unit, and one of ana's that was started from within a
/// unit of the system's, as by cron. Both are ended, and no unit is touched.
#[test]
fn a_look_alike_has_no_other_service_stopped() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    for user in [ANAS, BOBS] {
        user.starts(host);
    }
    let users = [ANAS, BOBS].map(|user| (user, user.runs(host, "bot.service", "sleep infinity")));
    for (user, port) in [(User::Ana, PORT + 1), (User::Bob, PORT)] {
        Decoy { user, at: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port) }.furnish(host);
    }
    host.write(
        "/mnt/lab/job.sh",
        &format!(
            "setpriv --reuid=4001 --regid=4001 --clear-groups env HOME=/home/ana bash -c \
             '(exec -a openclaw-gateway /mnt/lab/decoy/node drill-decoy 0.0.0.0:{}) &'\n\
             exec sleep infinity\n",
            PORT + 1
        ),
    );
    let daemon = Daemon::start(host, User::Root, STOPS);
    daemon.is("closed");
    let jobs = Manager::System.runs(host, "jobs.service", "bash /mnt/lab/job.sh");
    let mut look_alike = Host::command("/mnt/lab/decoy/node");
    look_alike
        .arg0("openclaw-gateway")
        .args(["drill-decoy", &format!("0.0.0.0:{PORT}")])
        .env("OPENCLAW_SYSTEMD_UNIT", "bot.service");
    let _look_alike = host.start(User::Bob, &mut look_alike);
    daemon.is("open");
    until("the end of both", || !host.listens(PORT) && !host.listens(PORT + 1));
    let refused = |unit: &str| daemon.process.printed().contains(&format!("{unit} is not the gateway's own"));
    sleep(Duration::from_secs(2));
    assert!(!refused("openclaw-gateway.service"));
    assert_eq!(left(host), "", "nothing was written");
    for (user, process) in users {
        user.is_untouched(host, "bot.service", &process);
    }
    assert_eq!(Manager::System.tells_of(host, "jobs.service", "MainPID"), jobs);
    assert_eq!(Manager::System.tells_of(host, "jobs.service", "ActiveState"), "active");
}

#[test]
fn a_user_who_stops_its_own_manager_keeps_no_other_barrier_waiting() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    let daemon = Daemon::start(host, User::Root, STOPS);
    daemon.is("closed");
    ANAS.starts(host);
    ANAS.write(host, Ipv4Addr::LOCALHOST);
    ANAS.ask(host, &["daemon-reload"]);
    ANAS.ask(host, &["start", UNIT]);
    until("the gateway", || host.listens(PORT));
    daemon.until("the gateway seen", |status| status["gateways"].to_string().contains("18789"));
    let signal = |name: &str| {
        let unit = "user@4001.service";
        host.run(User::Root, &["systemctl", "kill", "--kill-who=main", "--signal", name, unit]);
    };
    signal("SIGSTOP");
    let begun = Instant::now();
    daemon.guardian(User::Root, &["trip"]);
    until("its end", || host.holders(PORT).is_empty());
    println!("measured: the gateway of a user whose manager is stopped ends after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    daemon.until("the process's end", |status| {
        status["trip"]["barriers"].to_string().contains(r#"{"barrier":"process","held":"yes"}"#)
    });
    signal("SIGCONT");
    daemon.holds();
    assert!(left(host).contains("zz-guardian-4001.conf"), "{}", left(host));
}

/// The watcher dies while it keeps a service from starting, or lets it go.
#[test]
fn a_service_is_held_and_given_back_wherever_the_watcher_dies() {
    let Some(_lab) = Lab::open() else { return };
    let Some(place) = place() else { return };
    let host = &place.host;
    for point in ["service-before", "service-after"] {
        Manager::System.write(host, Ipv4Addr::LOCALHOST);
        let daemon = Daemon::start(host, User::Root, STOPS);
        daemon.is("closed");
        daemon.kill();
        let mut doomed = launch(host, User::Root, &[("GUARDIAN_CRASH_AT", point)]);
        Manager::System.moves(host, Ipv4Addr::UNSPECIFIED);
        assert!(doomed.ends_or(Duration::from_secs(20), || false), "{point}: {}", doomed.printed());
        let daemon = Daemon::restart(host, User::Root, &[]);
        daemon.holds();
        assert_eq!(Manager::System.tells(host, "ActiveState"), "inactive", "{point}");
        Manager::System.write(host, Ipv4Addr::LOCALHOST);
        daemon.recovers_and_closes();
        until("the mended gateway", || Manager::System.tells(host, "ActiveState") == "active");
        assert_eq!(left(host), "", "{point}");
        daemon.kill();
    }
    for point in ["lower-before", "lower-after"] {
        let daemon = Daemon::start(host, User::Root, STOPS);
        daemon.is("closed");
        daemon.guardian(User::Root, &["trip"]);
        daemon.holds();
        daemon.kill();
        let mut doomed = launch(host, User::Root, &[("GUARDIAN_CRASH_AT", point)]);
        // It lets services go as soon as the recovery begins.
        until("the recovery", || {
            let asked = guardian(host, User::Root, User::Root, &["recover", "--yes"]).0;
            asked == 1 || doomed.ends_or(Duration::from_millis(10), || false)
        });
        assert!(doomed.ends_or(Duration::from_secs(20), || false), "{point}: {}", doomed.printed());
        let daemon = Daemon::restart(host, User::Root, &[]);
        daemon.holds();
        assert_eq!(
            Manager::System.tells(host, "ActiveState"),
            "inactive",
            "{point}: whoever recovers begins again"
        );
        daemon.recovers_and_closes();
        until("the gateway", || Manager::System.tells(host, "ActiveState") == "active");
        assert_eq!(left(host), "", "{point}");
        daemon.kill();
    }
}
