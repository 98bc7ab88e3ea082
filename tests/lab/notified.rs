//! What the person at the desktop gets to see: real notifications, shown by a real notification
//! service on a bus of its own.

use std::fs;
use std::io::Write as _;
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::host::{Host, User};
use crate::ready::Lab;
use crate::running::Running;

/// The folder in which the session keeps its sockets.
const SESSION: &str = "/mnt/lab/session";
/// The session's bus.
const BUS: &str = "unix:path=/mnt/lab/session/bus";
/// Long enough for anything that happens within a session.
const SOON: Duration = Duration::from_secs(10);

/// A session of Ana's: a display and a bus.
struct Session {
    _bus: Running,
    _display: Running,
    host: Host,
}

/// `guardian notifier`, and where it reads notices.
struct Notifier {
    process: Running,
    notices: ChildStdin,
}

impl Session {
    fn begin() -> Self {
        let host = Host::new();
        host.run(User::Ana, &["mkdir", "-m", "700", SESSION]);
        let mut display =
            host.start(User::Ana, Host::command("Xvfb").args([":7", "-screen", "0", "640x480x24"]));
        display.wait_until("the display", SOON, || host.path("/tmp/.X11-unix/X7").exists());
        let mut bus = Host::command("dbus-daemon");
        bus.args(["--session", "--nofork", "--nopidfile", "--address", BUS]);
        let mut bus = host.start(User::Ana, &mut bus);
        bus.wait_until("the bus", SOON, || host.path(&format!("{SESSION}/bus")).exists());
        Self { _bus: bus, _display: display, host }
    }

    /// The service that shows notifications. It prints what it shows.
    fn service(&self) -> Running {
        let mut dunst = Host::command("dunst");
        dunst.arg("-print").env("DISPLAY", ":7").env("DBUS_SESSION_BUS_ADDRESS", BUS);
        let mut service = self.host.start(User::Ana, &mut dunst);
        service.wait_until("the service", SOON, || {
            let names =
                ["org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ListNames"];
            self.busctl("call", &names).to_string().contains("org.freedesktop.Notifications")
        });
        service
    }

    fn notifier(&self) -> Notifier {
        let log = self.host.path("/mnt/lab/notifier.log");
        let file = fs::File::create(&log).unwrap();
        let mut command = Host::command("/mnt/bin/guardian");
        command
            .args(["notifier", "--stdin"])
            .env("DBUS_SESSION_BUS_ADDRESS", BUS)
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let mut child = self.host.spawn(User::Ana, &mut command);
        let notices = child.stdin.take().unwrap();
        Notifier { process: Running::new(child, "guardian notifier".to_owned(), log), notices }
    }

    fn busctl(&self, verb: &str, about: &[&str]) -> Value {
        let address = format!("--address={BUS}");
        let command = [&["busctl", &address, "--json=short", verb], about].concat();
        serde_json::from_str(&self.host.run(User::Ana, &command)).unwrap()
    }

    fn dunst(&self, verb: &str, what: &str) -> Value {
        let name = "org.freedesktop.Notifications";
        self.busctl(verb, &[name, "/org/freedesktop/Notifications", "org.dunstproject.cmd0", what])["data"]
            .take()
    }

    /// How many notifications are shown.
    fn shown(&self) -> u64 {
        self.dunst("get-property", "displayedLength").as_u64().unwrap()
    }

    /// Takes away what is shown, and returns all that was ever taken away, the last first.
    fn take_away(&self) -> Vec<Value> {
        let name = "org.freedesktop.Notifications";
        let address = format!("--address={BUS}");
        let close = ["/org/freedesktop/Notifications", "org.dunstproject.cmd0", "NotificationCloseAll"];
        self.host.run(User::Ana, &[&["busctl", &address, "call", name], &close[..]].concat());
        self.dunst("call", "NotificationListHistory")[0].as_array().unwrap().clone()
    }
}

impl Notifier {
    /// Tells it of a trip.
    fn tell(&mut self, event: &str, id: &str, subjects: &[&str]) {
        let finding = |subject: &&str| {
            json!({"rule": "bound-beyond-allowed", "severity": "critical", "answer": "yes",
                   "subject": subject, "evidence": [], "remedy": ""})
        };
        let findings: Vec<Value> = subjects.iter().map(finding).collect();
        let at = "2026-11-23T08:00:00Z";
        let trip =
            json!({"id": id, "at": at, "cause": "exposed", "why": "", "findings": findings, "boot": null});
        writeln!(self.notices, "{}", json!({"at": at, "event": event, "about": trip})).unwrap();
    }
}

#[test]
fn a_trip_is_shown_once_and_stays_and_its_news_takes_its_place() {
    let Some(_lab) = Lab::open() else { return };
    let session = Session::begin();
    let mut service = session.service();
    let mut notifier = session.notifier();
    for _ in 0..3 {
        notifier.tell("tripped", "first", &["0.0.0.0:18789"]);
    }
    service.wait_until("the trip", SOON, || session.shown() == 1);
    notifier.tell("news", "first", &["0.0.0.0:18789", "<b>192.168.77.2:80</b>"]);
    writeln!(notifier.notices, "no notice at all").unwrap();
    notifier.tell("tripped", "second", &["0.0.0.0:19001"]);
    let shows = || service.printed().matches("appname: 'Guardian'").count();
    notifier.process.wait_until("the news and the other trip", SOON, || shows() == 3);
    assert_eq!(session.shown(), 2);
    let printed = service.printed();
    assert_eq!(printed.matches("urgency: CRITICAL").count(), 3, "{printed}");
    assert!(printed.contains("Type: guardian status"), "{printed}");
    let mut taken = session.take_away();
    taken.sort_by_key(|taken| taken["summary"]["data"].to_string());
    let text = |taken: &Value, key: &str| taken[key]["data"].as_str().unwrap().to_owned();
    assert_eq!(taken.len(), 2, "{taken:#?}");
    assert!(text(&taken[0], "summary").starts_with("Gateway blocked on"));
    assert!(text(&taken[0], "body").contains("0.0.0.0:19001"));
    assert!(text(&taken[1], "summary").starts_with("More was found on"));
    assert!(text(&taken[1], "body").contains("‹b›192.168.77.2:80‹/b›"), "nothing in it is markup");
    // Zero is never: they stay until somebody takes them away.
    assert!(taken.iter().all(|taken| taken["timeout"]["data"] == 0), "{taken:#?}");
    assert!(notifier.process.printed().contains("no notice is left out"), "{}", notifier.process.printed());
}

#[test]
fn a_trip_that_nobody_shows_is_shown_once_somebody_does() {
    let Some(_lab) = Lab::open() else { return };
    let session = Session::begin();
    let mut notifier = session.notifier();
    notifier.tell("tripped", "first", &["0.0.0.0:18789"]);
    let log = session.host.path("/mnt/lab/notifier.log");
    let tried_again = || fs::read_to_string(&log).unwrap().contains("trying again");
    notifier.process.wait_until("a failure", SOON, tried_again);
    let mut service = session.service();
    service.wait_until("the trip", SOON, || session.shown() == 1);
}

#[test]
fn a_service_that_hangs_keeps_no_message_back_for_ever() {
    let Some(_lab) = Lab::open() else { return };
    let session = Session::begin();
    let mut service = session.service();
    service.signal(Signal::SIGSTOP);
    let mut notifier = session.notifier();
    notifier.tell("tripped", "first", &["0.0.0.0:18789"]);
    let log = session.host.path("/mnt/lab/notifier.log");
    let gave_up = || fs::read_to_string(&log).unwrap().contains("did not answer within");
    notifier.process.wait_until("the deadline", SOON, gave_up);
    service.signal(Signal::SIGCONT);
    service.wait_until("the trip", SOON, || session.shown() >= 1);
}
