//! What the person at the desktop gets to see: real notifications, shown by a real notification
//! service on a bus of its own.

use std::fs;
use std::io::Write as _;
use std::process::{ChildStdin, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::host::{Host, User};
use crate::ready::Lab;
use crate::running::Running;
use crate::session::{SOON, Session};

/// The folder in which the session keeps its bus.
const SESSION: &str = "/mnt/lab/session";
/// `guardian notifier`, and where it reads notices.
struct Notifier {
    process: Running,
    notices: ChildStdin,
}

/// A host on which Ana sits at a desktop.
fn desk() -> Host {
    let host = Host::new();
    host.run(User::Ana, &["mkdir", "-m", "700", SESSION]);
    host
}

impl Notifier {
    fn of(session: &Session<'_>) -> Self {
        let log = session.host.path("/mnt/lab/notifier.log");
        let file = fs::File::create(&log).unwrap();
        let mut command = Host::command("/mnt/bin/guardian");
        command
            .args(["notifier", "--stdin"])
            .env("DBUS_SESSION_BUS_ADDRESS", session.address())
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let mut child = session.host.spawn(User::Ana, &mut command);
        let notices = child.stdin.take().unwrap();
        Self { process: Running::new(child, "guardian notifier".to_owned(), log), notices }
    }

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
    let host = desk();
    let session = Session::begin(&host, SESSION);
    let mut service = session.service();
    let mut notifier = Notifier::of(&session);
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
    let host = desk();
    let session = Session::begin(&host, SESSION);
    let mut notifier = Notifier::of(&session);
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
    let host = desk();
    let session = Session::begin(&host, SESSION);
    let mut service = session.service();
    service.signal(Signal::SIGSTOP);
    let mut notifier = Notifier::of(&session);
    notifier.tell("tripped", "first", &["0.0.0.0:18789"]);
    let log = session.host.path("/mnt/lab/notifier.log");
    let gave_up = || fs::read_to_string(&log).unwrap().contains("did not answer within");
    notifier.process.wait_until("the deadline", SOON, gave_up);
    service.signal(Signal::SIGCONT);
    service.wait_until("the trip", SOON, || session.shown() >= 1);
}
