//! A second request inside the first: no form of it is forwarded, and what is malformed is refused
//! with the status that says so.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::house::House;

/// Every row: what comes after `Host` and the token, the body, and the status.
#[test]
fn no_request_is_smuggled_inside_another_and_nothing_of_a_malformed_one_is_forwarded() {
    let house = House::new();
    let inner =
        format!("GET /smuggled HTTP/1.1\r\nHost: {}\r\nGuardian-Token: {}\r\n\r\n", house.door, house.token);
    let chunked = format!("0\r\n\r\n{inner}");
    for (fields, body, status) in [
        ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", &chunked, 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &chunked, 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &chunked, 400),
        ("Transfer-Encoding: xchunked\r\n", &chunked, 501),
        ("Transfer-Encoding: chunked, identity\r\n", &chunked, 501),
        ("Transfer-Encoding: gzip, chunked\r\n", &chunked, 501),
        ("Transfer-Encoding : chunked\r\n", &chunked, 400),
        ("Transfer-Encoding: \x0bchunked\r\n", &chunked, 400),
        ("Transfer-Encoding:\r\n chunked\r\n", &chunked, 501),
        ("X: y\nTransfer-Encoding: chunked\r\n", &chunked, 400),
        ("X: y\rTransfer-Encoding: chunked\r\n", &chunked, 400),
        ("X: y\0Transfer-Encoding: chunked\r\n", &chunked, 400),
        ("Content-Length: 0\r\nContent-Length: 5\r\n", &inner, 400),
        ("Content-Length: 0, 5\r\n", &inner, 400),
        ("Content-Length: +0\r\n", &inner, 400),
        ("Content-Length: -0\r\n", &inner, 400),
        ("Content-Length: 0x0\r\n", &inner, 400),
        ("Content-Length: 18446744073709551616\r\n", &inner, 400),
        ("Host: other\r\n", &inner, 400),
        ("Connection: content-length\r\nContent-Length: 0\r\n", &inner, 400),
    ] {
        let request = format!("{}{body}", house.head("POST /outer", fields));
        let said = house.statuses(request.as_bytes());
        assert_eq!(said, [status], "{fields:?}");
        let heard = house.gateway.heard();
        assert!(!heard.contains("/smuggled") && !heard.contains("/outer"), "{fields:?}: {heard}");
    }
}

#[test]
fn a_body_in_chunks_that_is_framed_wrongly_is_refused_and_its_end_is_never_heard() {
    let house = House::new();
    for body in [
        "5x\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "ffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
        "5;a\0b\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\nZ: a\r\n\r\n",
    ] {
        let request = format!(
            "{}{body}GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
            house.head("POST /outer", "Transfer-Encoding: chunked\r\n")
        );
        let said = house.statuses(request.as_bytes());
        assert_eq!(said, [400], "{body:?}");
        let heard = house.gateway.heard();
        assert!(!heard.contains("0\r\n\r\n") && !heard.contains("/smuggled"), "{body:?}: {heard}");
        house.gateway.forget();
    }
}

#[test]
fn requests_one_after_another_are_each_admitted_or_not() {
    let house = House::new();
    let bare = format!("GET /second HTTP/1.1\r\nHost: {}\r\n\r\n", house.door);
    let said = house.statuses(format!("{}{bare}", house.head("GET /first", "")).as_bytes());
    assert_eq!(said, [200, 401]);
    let heard = house.gateway.heard();
    assert!(heard.contains("/first") && !heard.contains("/second"), "{heard}");
    let chunked =
        format!("{}3\r\nabc\r\n0\r\n\r\n", house.head("POST /echo", "Transfer-Encoding: chunked\r\n"));
    let said = house.say(format!("{chunked}{}", house.head("GET /", "")).as_bytes());
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("abc") && said.contains("ok"), "{said}");
}

#[test]
fn bytes_sent_ahead_of_a_websockets_answer_wait_for_it_and_are_no_requests_of_the_gateways() {
    use crate::house::SOCKET;
    let house = House::new();
    // The gateway answers 200: what was sent ahead is a request of its own, without a credential.
    let ahead = format!("GET /smuggled HTTP/1.1\r\nHost: {}\r\n\r\n", house.door);
    let said = house.statuses(format!("{}{ahead}", house.head("GET /ws-refused", SOCKET)).as_bytes());
    assert_eq!(said, [200, 401]);
    assert!(!house.gateway.heard().contains("/smuggled"));
    // It answers 101: they are frames.
    let said = house.say(format!("{}\u{1}\u{2}", house.head("GET /ws", SOCKET)).as_bytes());
    assert!(said.starts_with("HTTP/1.1 101") && said.ends_with("ok"), "{said}");
}

#[test]
fn what_a_client_sends_ahead_of_its_websocket_comes_to_the_gateway_whole_and_in_order() {
    use crate::house::SOCKET;
    let house = House::new();
    for round in 0..20 {
        house.gateway.forget();
        let mut stream = house.connect();
        stream.write_all(house.head("GET /ws", SOCKET).as_bytes()).unwrap();
        // Some of it before the gateway's answer, some while that is written, some after.
        let parts: Vec<String> = (0..300).map(|number| format!("<{round}.{number}>")).collect();
        for part in &parts {
            stream.write_all(part.as_bytes()).unwrap();
        }
        let sent = parts.concat();
        let begun = Instant::now();
        while !house.gateway.heard().ends_with(&sent) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{}", house.gateway.heard());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(house.gateway.heard().matches("\r\n\r\n").count(), 1);
    }
}

#[test]
fn a_gateway_that_switches_protocols_unasked_is_not_believed() {
    let house = House::new();
    let inner = format!("GET /smuggled HTTP/1.1\r\nHost: {}\r\n\r\n", house.door);
    let said = house.statuses(format!("{}{inner}", house.head("GET /sneaky", "")).as_bytes());
    assert_eq!(said.first(), Some(&502), "{said:?}");
    assert!(!house.gateway.heard().contains("/smuggled"));
}

#[test]
fn methods_versions_and_targets_that_proxies_disagree_about_are_refused() {
    let house = House::new();
    for (line, status) in [
        ("TRACE /x", 405),
        ("CONNECT x:80", 405),
        ("get /x", 400),
        ("OPTIONS *", 400),
        ("GET http://evil.test/x", 400),
        ("GET /a b", 400),
        ("GET /a\\..\\b", 400),
        ("GET x", 400),
    ] {
        assert_eq!(house.statuses(house.head(line, "").as_bytes()), [status], "{line}");
    }
    for (text, status) in [
        ("GET /x HTTP/1.9\r\nHost: x\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET /x\r\n\r\n", 400),
        ("GET /x HTTP/1.1\r\n\r\n", 400),
        ("\x16\x03\x01\x02\r\n\r\n", 400),
    ] {
        assert_eq!(house.statuses(text.as_bytes()), [status], "{text:?}");
    }
    assert_eq!(house.gateway.heard(), "");
}

#[test]
fn what_is_sent_at_once_with_a_refused_websocket_is_answered_and_nothing_stays_behind() {
    use crate::house::SOCKET;
    let house = House::new();
    // One write: nothing else wakes the gate.
    let next = house.head("GET /", "Connection: close\r\n");
    let said = house.statuses(format!("{}{next}", house.head("GET /ws-refused", SOCKET)).as_bytes());
    assert_eq!(said, [200, 200]);
    let junk = "x".repeat(20 * 1024);
    let said = house.statuses(format!("{}{junk}", house.head("GET /ws-refused", SOCKET)).as_bytes());
    assert_eq!(said.first(), Some(&200), "{said:?}");
}

#[test]
fn a_websocket_asked_for_behind_another_request_waits_for_its_answer() {
    use crate::house::SOCKET;
    let house = House::new();
    let said = house.say(
        format!("{}{}\u{1}\u{2}", house.head("GET /first", ""), house.head("GET /ws", SOCKET)).as_bytes(),
    );
    assert_eq!(crate::house::statuses(&said), [200, 101], "{said}");
    assert!(said.ends_with("ok"), "the frames went through: {said}");
}
