//! Whoever guesses.

use crate::house::House;

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
