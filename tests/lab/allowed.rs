//! Whom an allowance lets in at the gate, and for how long.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::gate::Gate;
use crate::gateway::{Setup, Version};
use crate::host::User;
use crate::http;
use crate::place::{LAN, Place, VPN, at};
use crate::ready::Lab;
use crate::trips::POLICY;

/// Long enough for everything to be up before its end.
const LASTS: SignedDuration = SignedDuration::from_secs(75);

/// A gate that listens on the network by an allowance that ends then, and its watcher.
fn visited(place: &Place, until: Timestamp) -> (Daemon<'_>, Gate<'_>) {
    let policy = format!(
        "patience = \"30s\"\n{POLICY}[gate]\nlisten = [\"127.0.0.1:18700\", \"{LAN}:18700\"]\n\
         [[allowance]]\nnetwork = \"192.168.77.0/24\"\nreason = \"a visit\"\nuntil = {until}\n"
    );
    let daemon = Daemon::start(&place.host, User::Root, &policy);
    let gate = Gate::start(&place.host, User::Root);
    gate.until(200);
    (daemon, gate)
}

#[test]
fn an_allowance_that_ends_while_the_gate_runs_takes_along_what_it_has_let_in() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let _gateway = Setup::behind_a_gate(Version::V2026_9_6).start(&place.host);
    let until = Timestamp::now() + LASTS;
    let (daemon, gate) = visited(&place, until);
    let lan = at(LAN, 18700);
    let ours = format!("Guardian-Token: {}", gate.token);
    let visit = || http::ask(&place.outside, lan, "GET /", &[&ours]);
    assert_eq!(Gate::vouched(|| visit().unwrap()).status, 200);
    assert!(Timestamp::now() < until, "it was not up in time");

    // The gateway lets nobody keep a socket for long who says nothing, and the lease may be lost for a moment.
    let mut cut = None;
    while Timestamp::now() < until {
        let Ok(socket) = gate.socket(&place.outside, lan) else { break };
        cut = socket.ends(Duration::from_secs(100)).map(|(said, _)| said);
    }
    let late = Timestamp::now().duration_since(until);
    println!("measured: an allowance's end to the cut socket {late:#}");
    // A fifth of a second at rest; this is a busy machine.
    assert!(late < SignedDuration::from_secs(10), "{late:#}");
    assert!(cut.is_some_and(|said| said.ends_with(b"\x88\x09\x03\xf5blocked")), "it is told so");
    let begun = Instant::now();
    while place.outside.reaches(lan) {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "an address that is there by the allowance alone is open"
        );
    }
    assert!(visit().is_err());
    assert_eq!(Gate::vouched(|| gate.ask("GET /")).status, 200, "nobody else is concerned");

    let (code, said) =
        daemon.guardian(User::Root, &["allow", "--path", "ngrok", "--reason", "a demo", "--until", "2h"]);
    assert_eq!(code, 0, "{said}");
    // What has ended is told at the watcher's next turn.
    daemon.until("a turn", |status| status["allowances"].as_array().is_some_and(|it| it.len() == 1));
    let told = daemon.journal();
    let told = |what: &str| -> Vec<&Value> {
        told.iter().filter(|it| it["what"] == what).map(|it| &it["about"]["reason"]).collect()
    };
    assert_eq!(told("allowance ended"), ["a visit"]);
    assert_eq!(told("allowance added"), ["a demo"]);
}

#[test]
fn an_allowance_that_is_taken_away_ends_at_the_gate_at_once() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    let _gateway = Setup::behind_a_gate(Version::V2026_9_6).start(&place.host);
    let (daemon, gate) = visited(&place, "2099-01-01T00:00:00Z".parse().unwrap());
    let lan = at(LAN, 18700);
    let ours = format!("Guardian-Token: {}", gate.token);
    let visit = || http::ask(&place.outside, lan, "GET /", &[&ours]);
    assert_eq!(Gate::vouched(|| visit().unwrap()).status, 200);
    let socket = gate.socket(&place.outside, lan).unwrap();

    let remove = ["allow", "--remove", "--network", "192.168.77.0/24"];
    let (code, said) = daemon.guardian(User::Root, &remove);
    assert!(code == 0 && said.contains("192.168.77.0/24 is allowed no more"), "{said}");
    let (said, late) = socket.ends(Duration::from_secs(10)).expect("what it let in ends with it");
    println!("measured: from the command's end to the cut socket {late:?}");
    assert!(said.ends_with(b"\x88\x09\x03\xf5blocked"), "it is told so");
    let begun = Instant::now();
    while place.outside.reaches(lan) {
        assert!(begun.elapsed() < Duration::from_secs(10), "the door that was there by it alone is open");
    }
    assert_eq!(Gate::vouched(|| gate.ask("GET /")).status, 200, "nobody else is concerned");
}

/// Connections that a source may have.
const PLACES: usize = 256;

#[test]
fn whoever_floods_the_gate_from_one_address_takes_no_place_from_another() {
    let Some(_lab) = Lab::open() else { return };
    let place = Place::new();
    place.outside.run(User::Root, &["ip", "addr", "add", "100.100.1.9/24", "dev", "tailscale0"]);
    let policy = format!("{POLICY}[gate]\nlisten = [\"127.0.0.1:18700\", \"{VPN}:18700\"]\n");
    let _daemon = Daemon::start(&place.host, User::Root, &policy);
    let gate = Gate::start(&place.host, User::Root);
    let vpn = at(VPN, 18700);
    let flood: Vec<TcpStream> = (0..PLACES + 50).map_while(|_| place.outside.connect(vpn).ok()).collect();
    // Who has a place waits for a request; who has none is hung up on.
    let hung_up = || {
        let gone = |mut stream: &TcpStream| {
            stream.set_nonblocking(true).unwrap();
            !stream.read(&mut [0]).is_err_and(|waits| waits.kind() == ErrorKind::WouldBlock)
        };
        flood.iter().filter(|stream| gone(stream)).count()
    };
    let begun = Instant::now();
    while flood.len() - hung_up() > PLACES {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{} of {} are in",
            flood.len() - hung_up(),
            flood.len()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let other = [
        "curl",
        "-sS",
        "--max-time",
        "20",
        "--interface",
        "100.100.1.9",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
    ];
    let page = format!("http://{vpn}/_guardian/sign-in");
    let served = place.outside.run(User::Root, &[&other[..], &[&page]].concat());
    assert_eq!(served.trim(), "200");
    assert!(gate.ask("GET /_guardian/sign-in").status == 200, "and so is this machine");
    drop(flood);
    let begun = Instant::now();
    while http::ask(&place.outside, vpn, "GET /_guardian/sign-in", &[]).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody gets a place that was left");
    }
}
