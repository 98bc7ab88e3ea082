//! The gate forwards while the watcher vouches, and not a lease longer.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::house::{House, SOCKET, statuses};
use crate::watcher::Says;

/// A lease lives 600 ms; beside the floods of the other tests everything takes longer.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn whatever_becomes_of_the_watcher_the_gate_is_shut_within_a_lease_and_opens_by_itself() {
    let house = House::new();
    for says in [Says::Nothing, Says::Silent, Says::Nonsense, Says::Stale] {
        house.watcher.says(says);
        let took = house.until(503);
        assert!(took < SOON, "{says:?}: {took:?}");
        house.gateway.forget();
        for _ in 0..10 {
            assert_eq!(house.status(), 503, "{says:?}");
        }
        assert_eq!(house.gateway.heard(), "", "{says:?}");
        house.watcher.says(Says::Vouches);
        house.until(200);
    }
    house.watcher.says(Says::VouchesForLoopback);
    std::thread::sleep(Duration::from_millis(1200));
    // Half-open is for this host.
    house.until(200);
}

#[test]
fn what_is_open_is_cut_when_the_lease_ends() {
    let house = House::new();
    let mut socket = house.connect();
    socket.write_all(house.head("GET /ws", SOCKET).as_bytes()).unwrap();
    let mut part = [0; 1024];
    let count = socket.read(&mut part).unwrap();
    assert!(part[..count].starts_with(b"HTTP/1.1 101"));
    let mut events = house.connect();
    events.write_all(house.head("GET /events", "").as_bytes()).unwrap();
    let mut waits = house.connect();
    waits.write_all(house.head("GET /slow", "").as_bytes()).unwrap();
    let count = events.read(&mut part).unwrap();
    assert!(part[..count].starts_with(b"HTTP/1.1 200"));
    std::thread::sleep(Duration::from_millis(300));
    house.watcher.says(Says::Silent);
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    assert!(rest.ends_with(b"\x88\x09\x03\xf5blocked"), "{rest:?}");
    let mut rest = Vec::new();
    let _ = events.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it is cut, and does not look complete");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let mut text = String::new();
    let _ = waits.set_read_timeout(Some(Duration::from_secs(2)));
    let _ = waits.read_to_string(&mut text);
    assert_eq!(statuses(&text), [503], "{text}");
    assert!(begun.elapsed() < SOON + SOON, "{:?}", begun.elapsed());
}

/// Nothing comes of it any more that could be stopped on its way: the connection itself is ended.
#[test]
fn an_answer_that_has_fallen_silent_is_cut_too() {
    let house = House::new();
    let mut stalls = house.connect();
    stalls.write_all(house.head("GET /stalls", "").as_bytes()).unwrap();
    let mut part = [0; 1024];
    let count = stalls.read(&mut part).unwrap();
    assert!(part[..count].starts_with(b"HTTP/1.1 200"));
    house.watcher.says(Says::Nothing);
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = stalls.read_to_end(&mut rest);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}
