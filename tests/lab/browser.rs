//! A person with a real browser: signs in, uses the panel of a real gateway, is shut out by a trip,
//! and gets back in from the page.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::Daemon;
use crate::gate::{Gate, PASSPHRASE, set_passphrase, turn_codes_on};
use crate::gateway::{GATED_9_6, PORT, TOKEN};
use crate::host::{Host, User};
use crate::ready::Lab;
use crate::relay::forward;
use crate::trips::POLICY;

/// Where pictures of the pages go; a copy is kept where `GUARDIAN_PICTURES` says.
const PICTURES: &str = "/mnt/lab/pictures";

struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Browser {
    fn start(host: &Host) -> Self {
        host.run(User::Root, &["install", "-d", "-m", "777", PICTURES]);
        let mut command = Host::command("/mnt/cache/bin/node");
        command
            .args(["/mnt/scripts/browser.cjs", "http://127.0.0.1:18700", PASSPHRASE, TOKEN, PICTURES])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = host.spawn(User::Ana, &mut command);
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self { child, input, output };
        assert_eq!(browser.answer()["ready"], true);
        browser
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|failed| panic!("{failed}: {line:?}"))
    }

    /// Does a step; what is on the page then.
    #[track_caller]
    fn does(&mut self, step: &str) -> Page {
        self.sees(step, "")
    }

    /// Does a step and waits until the page says something; what is on it then.
    #[track_caller]
    fn sees(&mut self, step: &str, text: &str) -> Page {
        writeln!(self.input, "{step}\t{text}").unwrap();
        let seen = self.answer();
        assert!(seen["failed"].is_null(), "{step}: {seen:#}");
        assert_eq!(seen["errors"].as_array().map(Vec::len), Some(0), "{step}: {seen:#}");
        Page(seen)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Page(Value);

impl Page {
    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        assert!(self.0["text"].as_str().is_some_and(|it| it.contains(text)), "{text}: {:#}", self.0);
        self
    }

    #[track_caller]
    fn says_not(&self, text: &str) -> &Self {
        assert!(!self.0["text"].as_str().unwrap().contains(text), "{text}: {:#}", self.0);
        self
    }
}

#[test]
fn a_person_signs_in_is_shut_out_by_a_trip_and_gets_back_in_from_the_page() {
    let Some(lab) = Lab::open() else { return };
    let scene = GATED_9_6.hold(&lab);
    let host = scene.host();
    let daemon = Daemon::start(host, User::Root, &format!("patience = \"30s\"\n{POLICY}"));
    set_passphrase(host);
    let gate = Gate::start(host, User::Root);
    gate.until(200);
    let mut browser = Browser::start(host);
    browser.sees("visit", "Passphrase");
    browser.sees("sign-in-wrongly", "That is not the passphrase");
    browser.does("sign-in");
    let panel = browser.does("panel");
    assert!(panel.0["title"].as_str().unwrap().contains("OpenClaw"), "{:#}", panel.0);
    assert!(panel.0["open"].as_u64() > Some(0) && panel.0["heard"].as_u64() > Some(0), "{:#}", panel.0);
    assert_eq!(browser.does("stays").0["stayed"], true);

    let begun = Instant::now();
    let socat = forward(host, 29999, "0.0.0.0", PORT);
    assert_eq!(browser.does("cut").0["cut"], true);
    let cut = begun.elapsed();
    browser.sees("blocked", "not closed").says_not("29999");
    println!(
        "measured: a forwarder's start to the browser's cut socket {cut:?}, to its page {:?}",
        begun.elapsed()
    );
    // Half a second at rest; this is a busy machine.
    assert!(cut < Duration::from_secs(5), "{cut:?}");
    daemon.holds();
    browser.sees("status", "OPEN").says("29999").says("What holds");
    assert_eq!(browser.does("narrow").0["wide"], false, "nothing is wider than a phone");
    browser.does("wide");
    browser.sees("recover", "review still fails");
    drop(socat);
    daemon.until("socat gone", |_| !host.listens(29999));
    let begun = Instant::now();
    while daemon.status()["breaker"] != "half-open" {
        browser.does("status");
        browser.does("recover");
        assert!(begun.elapsed() < Duration::from_mins(1), "{:#}", daemon.status());
    }
    daemon.until("safe rounds", |status| status["half_open"]["safe"].as_u64() >= Some(3));
    browser.sees("live", "3 of 3");
    browser.sees("close", "CLOSED");
    daemon.is("closed");
    gate.until(200);
    assert!(browser.does("panel").0["open"].as_u64() > Some(0));
    browser.sees("sign-out", "Passphrase").says_not("Code");
    turn_codes_on(host);
    browser.sees("visit", "Code");
    browser.sees("sign-in-with-a-wrong-code", "The passphrase or the code is wrong");
    assert_eq!(browser.does("sign-in-with-code").0["taken"], true);
    // The way back from the page asks for another code at each of its two steps.
    daemon.guardian(User::Root, &["trip", "to come back with a code"]);
    daemon.holds();
    browser.sees("status", "OPEN").says("Code");
    assert_eq!(browser.does("recover-with-code").0["taken"], true);
    daemon.is("half-open");
    daemon.until("safe rounds", |status| status["half_open"]["safe"].as_u64() >= Some(3));
    assert_eq!(browser.does("close-with-code").0["taken"], true);
    daemon.is("closed");
    browser.sees("status", "CLOSED");
    if let Some(folder) = std::env::var_os("GUARDIAN_PICTURES") {
        std::fs::create_dir_all(&folder).unwrap();
        for picture in std::fs::read_dir(host.path(PICTURES)).unwrap() {
            let picture = picture.unwrap();
            std::fs::copy(picture.path(), std::path::Path::new(&folder).join(picture.file_name())).unwrap();
        }
    }
}
