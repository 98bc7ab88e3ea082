//! What a credential has opened ends with it, and nobody else's does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::house::{House, SOCKET};

/// A second for the file, a turn of the gate, and a busy machine.
const SOON: Duration = Duration::from_secs(10);
const CLOSED: &[u8] = b"\x88\x09\x03\xf5blocked";

/// Something that whoever sends these fields has open.
fn opened(house: &House, line: &str, credential: &str, fields: &str) -> TcpStream {
    let mut stream = house.connect();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\n{credential}\r\n{fields}\r\n",
        house.door
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..count]);
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 101") || answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    stream
}

/// What still came until it was cut.
#[track_caller]
fn ends(mut stream: TcpStream) -> Vec<u8> {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    rest
}

/// The gateway answers every message.
fn lives(stream: &mut TcpStream) -> bool {
    let mut part = [0; 64];
    stream.write_all(b"\x81\x82\x01\x02\x03\x04ab").is_ok()
        && stream.read(&mut part).is_ok_and(|count| count > 0 && part[0] == 0x81)
}

#[test]
fn a_token_that_is_revoked_takes_along_what_it_has_opened() {
    let house = House::new();
    let token = format!("Guardian-Token: {}", house.token);
    let other = format!("Guardian-Token: {}", house.guardian(&["token", "new", "other"]));
    // The gate looks at the file once a second.
    while !house
        .say(
            format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{other}\r\n\r\n", house.door)
                .as_bytes(),
        )
        .starts_with("HTTP/1.1 200")
    {}
    let socket = opened(&house, "GET /ws", &token, SOCKET);
    let events = opened(&house, "GET /events", &token, "");
    let stalls = opened(&house, "GET /stalls", &token, "");
    let mut kept = opened(&house, "GET /ws", &other, SOCKET);
    house.guardian(&["token", "revoke", "test"]);
    assert!(ends(socket).ends_with(CLOSED));
    assert!(!ends(events).ends_with(b"0\r\n\r\n"), "it is cut, and does not look complete");
    ends(stalls);
    for _ in 0..5 {
        assert!(lives(&mut kept), "nobody else's is cut");
    }
}

#[test]
fn signing_out_takes_along_what_the_session_has_opened_and_a_new_passphrase_all_sessions() {
    let house = House::new();
    let cookie = |passphrase| format!("Cookie: {}", house.sign_in(passphrase));
    let (one, token) = (cookie("correct horse battery"), format!("Guardian-Token: {}", house.token));
    let socket = opened(&house, "GET /ws", &one, SOCKET);
    let mut kept = opened(&house, "GET /ws", &token, SOCKET);
    let head = format!(
        "POST /_guardian/sign-out HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\n{one}\r\nContent-Length: 0\r\n\r\n",
        house.door
    );
    house.say(head.as_bytes());
    assert!(ends(socket).ends_with(CLOSED));
    let two = cookie("correct horse battery");
    let socket = opened(&house, "GET /ws", &two, SOCKET);
    cookie("another horse battery");
    assert!(ends(socket).ends_with(CLOSED));
    assert!(lives(&mut kept), "a token is no session");
}
