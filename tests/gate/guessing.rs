//! Whoever guesses.

use crate::house::House;
#[cfg(target_os = "linux")]
use crate::house::statuses;

#[test]
fn wrong_tokens_are_slowed_down_and_the_right_one_is_not() {
    let house = House::new();
    let wrong = |number: u32| {
        let request =
            format!("GET / HTTP/1.1\r\nHost: {}\r\nGuardian-Token: gdn_{number:064}\r\n\r\n", house.door);
        house.statuses(request.as_bytes())[0]
    };
    let said: Vec<u16> = (0..8).map(wrong).collect();
    assert_eq!(said[..5], [401; 5]);
    assert!(said[5..].contains(&429), "{said:?}");
    assert_eq!(house.status(), 200, "no neighbour locks the owner out");
    assert!(!house.gateway.heard().contains("gdn_"));
}

#[test]
fn nearly_right_is_wrong() {
    let house = House::new();
    let token = &house.token;
    for (field, value) in [
        ("Guardian-Token", token.to_uppercase()),
        ("Guardian-Token", format!("{token}0")),
        ("Guardian-Token", token[..token.len() - 1].to_owned()),
        ("Guardian-Token", String::new()),
        ("Authorization", token.clone()),
        ("Authorization", format!("Basic {token}")),
        ("Cookie", format!("guardian_session={token}")),
        ("Proxy-Authorization", format!("Bearer {token}")),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n{field}: {value}\r\n\r\n", house.door);
        let said = house.statuses(request.as_bytes());
        assert!(said == [401] || said == [429], "{field}: {value}: {said:?}");
    }
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: {}\r\nAuthorization: {scheme} {token}\r\n\r\n", house.door);
        assert_eq!(house.statuses(request.as_bytes()), [200], "{scheme}");
    }
    let twice = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nAuthorization: Bearer x\r\n\r\n",
        house.door
    );
    assert_eq!(house.statuses(twice.as_bytes()), [400]);
}

#[test]
fn a_refusal_tells_an_outsider_nothing() {
    let house = House::new();
    let said =
        house.say(format!("GET / HTTP/1.1\r\nHost: {}\r\nAccept: text/html\r\n\r\n", house.door).as_bytes());
    let lower = said.to_ascii_lowercase();
    for told in ["openclaw", "clawdbot", "version", "server:", "x-powered-by", env!("CARGO_PKG_VERSION")] {
        assert!(!lower.contains(told), "{told}: {said}");
    }
    for kept in
        ["content-security-policy: default-src 'none'", "x-frame-options: deny", "cache-control: no-store"]
    {
        assert!(lower.contains(kept), "{kept}: {said}");
    }
}

/// Every address of 127.0.0.0/8 is this host's on Linux, and whoever is on it may take any of them.
#[cfg(target_os = "linux")]
#[test]
fn a_thousand_addresses_of_this_host_that_guess_are_one_source_and_take_nothing_from_the_owner() {
    use std::io::{Read as _, Write as _};
    use std::net::Ipv4Addr;

    let house = House::new();
    let before = house.memory();
    let (mut wrong, mut locked) = (0, 0);
    for number in 0..1000_u16 {
        let [high, low] = number.to_be_bytes();
        let mut stream = house.connect_from(Ipv4Addr::new(127, 9, high, low));
        for guess in 0..6 {
            let closes = if guess == 5 { "Connection: close\r\n" } else { "" };
            let token = format!("gdn_{number:060}{guess:04}");
            write!(
                stream,
                "GET / HTTP/1.1\r\nHost: {}\r\nGuardian-Token: {token}\r\n{closes}\r\n",
                house.door
            )
            .unwrap();
        }
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let said = statuses(&said);
        wrong += said.iter().filter(|status| **status == 401).count();
        locked += said.iter().filter(|status| **status == 429).count();
        if number % 100 == 0 {
            assert_eq!(house.status(), 200, "the owner is served beside {number} of them");
        }
    }
    // Whoever takes long gets another try when the wait is over.
    assert_eq!(wrong + locked, 6000);
    assert!((5..20).contains(&wrong), "{wrong} were looked at");
    assert_eq!(house.status(), 200);
    assert!(!house.gateway.heard().contains("gdn_"), "no guess reaches the gateway");
    let more = house.memory().saturating_sub(before);
    assert!(more < 4 * 1024 * 1024, "{more} bytes for a thousand addresses");
}
