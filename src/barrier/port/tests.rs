use std::io::{Read as _, Write as _};
use std::net::{TcpListener as StdListener, TcpStream as StdStream};
use std::time::{Duration, Instant};

use super::*;

/// A port that is free on both loopbacks.
fn free() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// Binds and listens as node does: with `SO_REUSEADDR`.
fn as_node_does(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(16)
}

async fn talk(at: SocketAddr, request: &'static [u8]) -> String {
    tokio::task::spawn_blocking(move || {
        let mut stream = StdStream::connect(at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap()
}

async fn taken(port: u16) -> Ports {
    let mut ports = Ports::new();
    let failures = ports.take(&BTreeSet::from([port]), &BTreeSet::new()).await;
    assert!(failures.is_empty(), "{failures:?}");
    ports
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_is_told_that_it_is_blocked() {
    let port = free();
    let ports = taken(port).await;
    assert_eq!(ports.standing(&BTreeSet::from([port])), Held::Yes);
    for request in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"POST /tools/invoke HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ] {
        let answer = talk(at("127.0.0.1", port), request).await;
        let (header, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(header.starts_with("HTTP/1.1 503 "), "{header}");
        for line in ["X-Guardian: blocked", "Connection: close", "Cache-Control: no-store", "Retry-After: 60"]
        {
            assert!(header.lines().any(|shown| shown == line), "{line} in {header}");
        }
        assert_eq!(body, "blocked by guardian\n");
        assert!(header.contains(&format!("Content-Length: {}", body.len())));
    }
}

#[tokio::test]
async fn a_gateway_that_comes_back_cannot_bind_loopback_or_a_wildcard() {
    if cfg!(not(target_os = "linux")) {
        eprintln!("left out: other systems let a wildcard be bound beside a specific address");
        return;
    }
    let port = free();
    let mut ports = taken(port).await;
    for ip in ["127.0.0.1", "0.0.0.0", "::"] {
        let refused = as_node_does(at(ip, port)).map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse, "{ip}");
    }
    ports.release().await;
    drop(as_node_does(at("0.0.0.0", port)).unwrap());
}

#[tokio::test]
async fn a_port_is_free_at_once_when_it_is_given_back_even_with_connections_open() {
    let port = free();
    let mut ports = taken(port).await;
    let stream = tokio::net::TcpStream::connect(at("127.0.0.1", port)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    ports.release().await;
    assert!(!ports.holds(at("127.0.0.1", port)));
    drop(as_node_does(at("127.0.0.1", port)).unwrap());
    drop(stream);
}

#[tokio::test]
async fn what_a_gateway_still_has_is_reported_and_taken_when_it_is_gone() {
    let port = free();
    let gateway = as_node_does(at("0.0.0.0", port)).unwrap();
    let wanted = BTreeSet::from([port]);
    let mut ports = Ports::new();
    let failures = ports.take(&wanted, &BTreeSet::new()).await;
    assert!(
        failures.iter().any(|(address, failure)| *address == at("127.0.0.1", port)
            && failure.kind() == io::ErrorKind::AddrInUse),
        "{failures:?}"
    );
    assert_eq!(ports.standing(&wanted), Held::No);
    drop(gateway);
    assert!(ports.take(&wanted, &BTreeSet::new()).await.is_empty());
    assert_eq!(ports.standing(&wanted), Held::Yes);
}

#[tokio::test]
async fn taking_again_keeps_what_is_taken() {
    let port = free();
    let mut ports = taken(port).await;
    let before: Vec<_> = ports.taken.values().map(JoinHandle::id).collect();
    for _ in 0..100 {
        assert!(ports.take(&BTreeSet::from([port]), &BTreeSet::new()).await.is_empty());
    }
    assert_eq!(ports.taken.values().map(JoinHandle::id).collect::<Vec<_>>(), before);
}

#[tokio::test]
async fn an_address_as_bound_is_taken_too() {
    if cfg!(not(target_os = "linux")) {
        eprintln!("left out: other loopback addresses are there on Linux alone");
        return;
    }
    let port = free();
    let mut ports = Ports::new();
    let bound = BTreeSet::from([at("127.0.0.9", port)]);
    assert!(ports.take(&BTreeSet::from([port]), &bound).await.is_empty());
    assert!(ports.holds(at("127.0.0.9", port)) && ports.holds(at("::ffff:127.0.0.1", port)));
    assert!(!ports.holds(at("0.0.0.0", port)));
    assert!(as_node_does(at("127.0.0.9", port)).is_err());
}

#[tokio::test]
async fn an_address_that_this_host_has_not_is_reported() {
    let mut ports = Ports::new();
    // TEST-NET-1 of RFC 5737.
    let failures = ports.take(&BTreeSet::new(), &BTreeSet::from([at("192.0.2.1", free())])).await;
    assert_eq!(failures.len(), 1);
}

#[test]
fn a_wildcard_is_never_taken_but_its_port_is() {
    let bound = BTreeSet::from([at("0.0.0.0", 1), at("::", 2), at("::ffff:0.0.0.0", 3), at("10.0.0.1", 4)]);
    let wanted = wanted(&BTreeSet::from([5, 0]), &bound);
    assert!(wanted.iter().all(|at| !at.ip().is_unspecified() && at.port() != 0));
    for port in [1, 2, 3, 5] {
        assert!(wanted.contains(&at("127.0.0.1", port)) && wanted.contains(&at("::1", port)), "{port}");
    }
    assert!(wanted.contains(&at("10.0.0.1", 4)));
    assert_eq!(wanted.len(), 9);
}

#[test]
fn a_host_without_ipv6_is_no_failure() {
    let missing = io::Error::from(io::ErrorKind::AddrNotAvailable);
    assert!(is_absent(at("::1", 1), &missing));
    assert!(!is_absent(at("fd00::1", 1), &missing) && !is_absent(at("127.0.0.1", 1), &missing));
}

#[tokio::test]
async fn ports_that_were_never_tried_do_not_stand() {
    assert_eq!(Ports::new().standing(&BTreeSet::from([1])), Held::No);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_end_is_answered_after_eight_kibibytes() {
    static ENDLESS: [u8; 9000] = [b'a'; 9000];
    let port = free();
    let _ports = taken(port).await;
    let began = Instant::now();
    assert!(talk(at("127.0.0.1", port), &ENDLESS).await.starts_with("HTTP/1.1 503"));
    assert!(began.elapsed() < Duration::from_millis(1800), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_says_nothing_is_answered_after_two_seconds() {
    let port = free();
    let _ports = taken(port).await;
    let began = Instant::now();
    assert!(talk(at("127.0.0.1", port), b"").await.starts_with("HTTP/1.1 503"));
    assert!((1900..4000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_for_whom_there_is_no_room_are_closed_at_once() {
    let port = free();
    let ports = taken(port).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        silent.push(tokio::net::TcpStream::connect(at("127.0.0.1", port)).await.unwrap());
    }
    let full = Instant::now();
    while ports.room.available_permits() > 0 {
        assert!(full.elapsed() < Duration::from_secs(1), "all are accepted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut one_more = tokio::net::TcpStream::connect(at("127.0.0.1", port)).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut one_more, &mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(1), read).await.expect("it is closed at once");
    assert!(answer.is_empty());
    drop(silent);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(talk(at("127.0.0.1", port), b"GET / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 503"));
}
