//! Good clients: what they send and get is what was sent, at once.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::house::House;

#[test]
fn events_come_as_they_are_told() {
    let house = House::new();
    let mut stream = house.connect();
    stream.write_all(house.head("GET /events", "").as_bytes()).unwrap();
    let mut lines =
        BufReader::new(stream).lines().map_while(Result::ok).filter(|line| line.starts_with("data: "));
    let begun = Instant::now();
    let mut gaps = Vec::new();
    let mut last = begun;
    for number in 0..5 {
        assert_eq!(lines.next().unwrap(), format!("data: {number}"));
        gaps.push(last.elapsed());
        last = Instant::now();
    }
    // Told every 100 ms: none waits for another.
    assert!(gaps.iter().all(|gap| *gap < Duration::from_millis(400)), "{gaps:?}");
}

#[test]
fn a_short_answer_comes_in_one_piece_and_the_head_of_a_long_one_at_once() {
    let house = House::new();
    let first_piece = |path: &str| {
        let mut stream = house.connect();
        stream.write_all(house.head(&format!("GET {path}"), "").as_bytes()).unwrap();
        let mut piece = [0; 16 * 1024];
        let length = stream.read(&mut piece).unwrap();
        String::from_utf8_lossy(&piece[..length]).into_owned()
    };
    let short = first_piece("/parted/10");
    assert!(short.starts_with("HTTP/1.1 200") && short.ends_with("\r\n\r\nxxxxxxxxxx"), "{short}");
    let long = first_piece("/parted/5000");
    assert!(long.starts_with("HTTP/1.1 200") && long.ends_with("\r\n\r\n"), "{long}");
    // Nothing of it has left yet: it can still be said that there is none.
    let none = first_piece("/parted/0");
    assert!(none.starts_with("HTTP/1.1 502"), "{none}");
}

#[test]
fn large_bodies_pass_both_ways_unchanged_and_connections_are_used_again() {
    let house = House::new();
    let body: Vec<u8> = (0..5_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let mut stream = house.connect();
    for _ in 0..3 {
        let head =
            house.head("POST /echo", &format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        let mut writing = stream.try_clone().unwrap();
        let sent = body.clone();
        let writer = std::thread::spawn(move || writing.write_all(&sent).unwrap());
        let mut reader = BufReader::new(&stream);
        let mut length = None;
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 0 && !(line == "\r\n" && length.is_some()) {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = Some(value.trim().parse::<usize>().unwrap());
            }
            line.clear();
        }
        let mut got = vec![0; length.unwrap()];
        reader.read_exact(&mut got).unwrap();
        writer.join().unwrap();
        assert!(got == body);
    }
    assert_eq!(house.gateway.heard().matches("POST /echo").count(), 3);
    assert_eq!(house.gateway.connections(), 1);
}

/// Node closes a connection that has waited for five seconds.
#[test]
fn a_connection_that_the_gateway_has_closed_meanwhile_costs_no_request_and_is_not_kept() {
    let house = House::new();
    for (path, wait) in [("/last", 100), ("/last", 500), ("/", 0), ("/", 0)] {
        let said = house.say(house.head(&format!("GET {path}"), "Connection: close\r\n").as_bytes());
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("ok"), "{said}");
        std::thread::sleep(std::time::Duration::from_millis(wait));
        #[cfg(target_os = "linux")]
        if wait == 500 {
            let port = format!(":{:04X} ", house.gateway.at.port());
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let half_closed = table.lines().filter(|line| line.contains(&format!("{port}08 "))).count();
            assert_eq!(half_closed, 0, "the gate has noticed: {table}");
        }
    }
    assert_eq!(house.gateway.connections(), 3);
}

#[test]
fn a_head_request_and_an_empty_answer_leave_the_connection_in_order() {
    let house = House::new();
    let requests = format!("{}{}", house.head("HEAD /", ""), house.head("GET /", "Connection: close\r\n"));
    let said = house.say(requests.as_bytes());
    assert_eq!(said.matches("HTTP/1.1 200").count(), 2, "{said}");
    assert!(said.ends_with("\r\n\r\nok"), "{said}");
}
