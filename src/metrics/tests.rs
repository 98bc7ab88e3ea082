//! Served on real sockets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use jiff::Timestamp;

use super::*;
use crate::breaker::state::Circuit;
use crate::config::Mode;
use crate::status::Daemon;

const ANYWHERE: &str = "127.0.0.1:0";
const ASKED: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn status() -> Status {
    Status::new(Circuit::Closed, Some(Timestamp::UNIX_EPOCH), Mode::Enforce, Daemon::Running)
}

fn served() -> (watch::Sender<Status>, Listening) {
    let (told, statuses) = watch::channel(status());
    let listening = Listening::start(ANYWHERE.parse().unwrap(), statuses).unwrap();
    (told, listening)
}

fn connected(to: &Listening) -> TcpStream {
    let stream = TcpStream::connect(to.bound).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // Whoever is cut off may be told so in any way.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn asked(of: &Listening, text: &str) -> String {
    let mut stream = connected(of);
    let _ = stream.write_all(text.as_bytes());
    answer(stream)
}

#[test]
fn whoever_asks_is_told_how_it_is_now() {
    let (told, listening) = served();
    let text = asked(&listening, ASKED);
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("\nguardian_up 1\n"), "{text}");
    assert!(text.contains("guardian_breaker_state{state=\"open\"} 0"), "{text}");
    told.send_replace(Status { breaker: Circuit::Open, ..status() });
    let text = asked(&listening, ASKED);
    assert!(text.contains("guardian_breaker_state{state=\"open\"} 1"), "{text}");
}

#[test]
fn a_watcher_that_does_not_look_any_more_is_not_up() {
    let (told, listening) = served();
    told.send_replace(Status { round: Some(clock::Moment::default()), armed: true, ..status() });
    let text = asked(&listening, ASKED);
    assert!(text.contains("\nguardian_up 0\n") && text.contains("\nguardian_armed 0\n"), "{text}");
}

#[test]
fn whoever_says_too_much_or_nonsense_is_refused_and_others_are_served() {
    let (_told, listening) = served();
    let long = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(200));
    for nonsense in [
        long.as_str(),
        many.as_str(),
        "nonsense\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}\0\0\r\n\r\n",
        "GET http://evil.test/metrics HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        "CONNECT 127.0.0.1:18789 HTTP/1.1\r\nHost: 127.0.0.1:18789\r\n\r\n",
    ] {
        let text = asked(&listening, nonsense);
        assert!(!text.contains("guardian_up"), "{nonsense:.40}: {text}");
    }
    let twice = asked(&listening, &ASKED.repeat(2));
    assert_eq!(twice.matches("\nguardian_up 1\n").count(), 1, "one connection, one answer: {twice}");
    assert!(asked(&listening, ASKED).contains("guardian_up 1"));
}

#[test]
fn the_silent_and_the_slow_are_cut_off_and_the_next_is_served() {
    let (_told, listening) = served();
    let begun = Instant::now();
    let silent: Vec<TcpStream> = (0..MOST).map(|_| connected(&listening)).collect();
    let text = asked(&listening, ASKED);
    assert!(text.contains("guardian_up 1"), "{text}");
    assert!(begun.elapsed() < LONGEST * 3, "{:?}", begun.elapsed());
    assert!(begun.elapsed() > LONGEST / 2, "every seat was taken: {:?}", begun.elapsed());
    for stream in silent {
        assert_eq!(answer(stream), "");
    }
    // A byte now and then buys no time.
    let mut slow = connected(&listening);
    let begun = Instant::now();
    for byte in ASKED.bytes().chain(std::iter::repeat(b'x')) {
        if slow.write_all(&[byte]).is_err() || begun.elapsed() > LONGEST * 3 {
            break;
        }
        thread::sleep(Duration::from_millis(200));
    }
    assert!(begun.elapsed() < LONGEST * 3, "{:?}", begun.elapsed());
}

#[test]
fn it_ends_when_the_policy_says_so_and_moves_when_that_says_so() {
    let (_told, statuses) = watch::channel(status());
    let mut metrics = Metrics::of(statuses);
    let place = || std::net::TcpListener::bind(ANYWHERE).unwrap().local_addr().unwrap();
    let (first, second) = (place(), place());
    // The socket goes with its thread, which takes a moment.
    let becomes = |at: SocketAddr, served: bool| {
        let begun = Instant::now();
        while TcpStream::connect(at).is_ok() != served {
            assert!(begun.elapsed() < Duration::from_secs(10), "{at} is never so: {served}");
            thread::sleep(Duration::from_millis(20));
        }
    };
    metrics.follow(Some(first), Moment::default());
    becomes(first, true);
    metrics.follow(Some(second), Moment::default());
    becomes(second, true);
    becomes(first, false);
    metrics.follow(None, Moment::default());
    becomes(second, false);
    assert_eq!(metrics.trouble(), None);
}

#[test]
fn a_port_that_is_taken_is_told_until_it_is_free_or_not_wanted() {
    let (_told, statuses) = watch::channel(status());
    let mut metrics = Metrics::of(statuses);
    let taken = std::net::TcpListener::bind(ANYWHERE).unwrap();
    let at = taken.local_addr().unwrap();
    metrics.follow(Some(at), Moment::default());
    let why = metrics.trouble().unwrap_or_default().to_owned();
    assert!(why.starts_with("metrics: ") && why.contains(&at.to_string()), "{why}");
    metrics.follow(None, Moment::default());
    assert_eq!(metrics.trouble(), None);
    metrics.follow(Some(at), Moment::default());
    assert!(metrics.trouble().is_some());
    let later = Moment::default() + AGAIN;
    assert!(!metrics.try_again(later) && metrics.trouble().is_some(), "it is still taken");
    drop(taken);
    assert!(!metrics.try_again(later + AGAIN / 2), "not all the time");
    assert!(metrics.try_again(later + AGAIN));
    assert_eq!(metrics.trouble(), None);
    assert!(!metrics.try_again(later + AGAIN * 3), "it is served");
}
