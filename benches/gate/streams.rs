//! WebSockets and streams of events.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::process::{Process, free, median, settled};
use crate::scene::Scene;
use crate::table::{Bar, Table};
use crate::{HOST, ROUNDS};

const SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Opens a WebSocket through a proxy and waits for the gateway's first frame.
fn socket(at: SocketAddr, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n{SOCKET}\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while !answer.ends_with(b"\x81\x02hi") {
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..count]);
    }
    stream
}

/// Microseconds of the proxy's processor a message, over fifty sockets.
fn echo(at: SocketAddr, token: &str, proxy: &Process) -> f64 {
    let mut sockets: Vec<TcpStream> = (0..50).map(|_| socket(at, token)).collect();
    let (before, begun) = (proxy.micros(), Instant::now());
    let mut messages = 0.0;
    let mut part = [0; 4];
    while begun.elapsed() < Duration::from_secs(2) {
        for stream in &mut sockets {
            stream.write_all(b"\x81\x82\x01\x02\x03\x04ab").unwrap();
        }
        for stream in &mut sockets {
            stream.read_exact(&mut part).unwrap();
            messages += 1.0;
        }
    }
    (proxy.micros() - before) / messages
}

/// Bytes of the proxy's memory for each of two thousand WebSockets that say nothing.
fn idle(at: SocketAddr, token: &str, proxy: &Process) -> f64 {
    let before = proxy.resident();
    let sockets: Vec<TcpStream> = (0..2000).map(|_| socket(at, token)).collect();
    sleep(Duration::from_millis(500));
    let each = (proxy.resident() - before) / 2000.0;
    drop(sockets);
    each
}

/// A server of events, each of which says when it was told, in nanoseconds since `begun`.
fn events(begun: Instant) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
                while writeln!(stream, "data: {}\n", begun.elapsed().as_nanos()).is_ok() {
                    sleep(Duration::from_millis(5));
                }
            });
        }
    });
    at
}

/// The median time from the telling of an event to its coming, in microseconds.
fn delay(at: SocketAddr, token: &str, begun: Instant) -> f64 {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let told = lines.filter_map(|line| line.strip_prefix("data: ")?.parse::<f64>().ok());
    let delays = told.skip(20).take(300).map(|told| (begun.elapsed().as_nanos() as f64 - told) / 1e3);
    median(delays.collect())
}

pub(crate) fn an_event(scene: &Scene, table: &mut Table) {
    let begun = Instant::now();
    let (telling, door) = (events(begun), free());
    let _gate = scene.gate("events", door, telling);
    settled(&[door]);
    let (straight, through) = (delay(telling, &scene.token, begun), delay(door, &scene.token, begun));
    table.number(
        "an event of a stream: p50 beyond the origin's own, µs",
        None,
        through - straight,
        Bar::AtMost(1000.0),
    );
}

pub(crate) fn sockets(scene: &Scene, table: &mut Table) {
    let (gateway, front, door) = (crate::gateway::Gateway::start().at, free(), free());
    let peer = scene.nginx("sockets", front, gateway);
    let gate = scene.gate("sockets", door, gateway);
    settled(&[front, door]);
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(echo(front, &scene.token, &peer));
        ours.push(echo(door, &scene.token, &gate));
    }
    table.ratio(
        "a WebSocket message there and back, 50 sockets: µs of the proxy's core",
        &theirs,
        &ours,
        Bar::AtMost(1.25),
    );
    let (theirs, ours) = (idle(front, &scene.token, &peer), idle(door, &scene.token, &gate));
    table.number("memory of an idle WebSocket of 2,000, bytes", Some(theirs), ours, Bar::AtMost(8192.0));
}
