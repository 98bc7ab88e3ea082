//! Connections that stand when the circuit opens are ended, not only new ones refused.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use crate::daemon::{Daemon, guardian, state_file};
use crate::gateway::{LAN_9_6, PORT, SOUND_9_6, Scene};
use crate::host::{Host, User};
use crate::http;
use crate::place::{LAN, at};
use crate::ready::Lab;
use crate::relay::forward;

const UNSEALED: &str = "seal = false\n[half_open]\nrounds = 3\n[notify]\ndesktop = false\n";

/// A WebSocket that the gateway has opened: it has sent its challenge.
fn websocket(from: &Host, door: SocketAddr) -> TcpStream {
    let mut stream = from.connect(door).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {door}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let (mut said, mut part) = (String::new(), [0; 4096]);
    // The frame follows the head of the answer, perhaps in another packet.
    while !(said.starts_with("HTTP/1.1 101 ") && said.contains("connect.challenge") && said.ends_with('}')) {
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0 && said.len() < 1 << 16, "no challenge: {said}");
        said.push_str(&String::from_utf8_lossy(&part[..read]));
    }
    stream
}

/// When it ended, and how; none if it did not within some seconds.
fn end(mut stream: TcpStream) -> (Option<Instant>, String) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return (Some(Instant::now()), "end of file".to_owned()),
            // A last word is none of an end.
            Ok(_) => {}
            Err(failed) if matches!(failed.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return (None, "nothing".to_owned());
            }
            Err(failed) => return (Some(Instant::now()), failed.to_string()),
        }
    }
}

/// The instant at which a lock that was not there before was on the disk.
fn locked(host: &Host, since: SystemTime) -> Instant {
    let lock = state_file(host, User::Root, "breaker.lock");
    let begun = Instant::now();
    while !fs::metadata(&lock).and_then(|it| it.modified()).is_ok_and(|at| at > since) {
        assert!(begun.elapsed() < Duration::from_secs(40), "no lock");
        sleep(Duration::from_micros(500));
    }
    Instant::now()
}

/// Takes back what a watcher has done to a host that others use.
struct Rescue<'a>(&'a Host);

impl Drop for Rescue<'_> {
    fn drop(&mut self) {
        let (code, said) = guardian(self.0, User::Root, User::Root, &["rescue"]);
        if code != 0 {
            println!("not taken back: {said}");
        }
    }
}

/// Whoever is connected when the watcher finds the exposure is cut off within a second of the lock.
fn is_cut_off(scene: &Scene, door: SocketAddr, what: &str) {
    let (host, outside) = (scene.host(), scene.outside());
    let gateway = host.holders(PORT);
    let _rescue = Rescue(host);
    let since = SystemTime::now();
    thread::scope(|scope| {
        let idle = outside.connect(door).unwrap();
        let socket = websocket(outside, door);
        let idle = scope.spawn(move || end(idle));
        let socket = scope.spawn(move || end(socket));
        let lock = scope.spawn(move || locked(host, since));
        let daemon = Daemon::start(host, User::Root, UNSEALED);
        let lock = lock.join().unwrap();
        let ends = [("WebSocket", socket.join().unwrap()), ("idle connection", idle.join().unwrap())];
        let status = daemon.holds();
        assert_eq!(
            status["level"], "isolated",
            "the gateway was not ended, so it is the barrier that cut: {status:#}"
        );
        assert_eq!(host.holders(PORT), gateway);
        for (kind, (ended, how)) in &ends {
            let Some(ended) = ended else { panic!("the {kind} {what} stands 20 s later: {status:#}") };
            let early = lock.saturating_duration_since(*ended);
            let after = ended.saturating_duration_since(lock);
            println!("measured: {kind} {what}: ended ({how}) {after:?} after the lock");
            assert!(early < Duration::from_millis(20), "the {kind} ended {early:?} before the lock: {how}");
            assert!(after < Duration::from_secs(1), "the {kind} {what} stood for {after:?}");
        }
        for _ in 0..50 {
            // A forwarder is another program: it may accept, and has nothing to hand on.
            let new =
                if door.port() == PORT { outside.reaches(door) } else { http::call(outside, door).is_ok() };
            assert!(!new, "a new connection {what}");
        }
    });
}

#[test]
fn a_websocket_and_an_idle_connection_through_a_forwarder_end_at_the_trip() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_9_6.hold(&lab);
    let _socat = forward(scene.host(), 29999, "0.0.0.0", PORT);
    is_cut_off(&scene, at(LAN, 29999), "through socat");
}

#[test]
fn a_websocket_and_an_idle_connection_on_the_lan_end_at_the_trip() {
    let Some(lab) = Lab::open() else { return };
    let scene = LAN_9_6.hold(&lab);
    is_cut_off(&scene, at(LAN, PORT), "on the LAN");
}
