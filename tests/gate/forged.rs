//! Hosts, origins and identities that are not what they say.

use crate::house::{House, SOCKET};

#[test]
fn a_host_that_an_attackers_name_server_points_here_is_no_host_of_this_gate() {
    let house = House::new();
    for host in
        ["evil.test", "evil.test:18700", "127.0.0.1.evil.test", "localhost.evil.test", "169.254.169.254", ""]
    {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nGuardian-Token: {}\r\n\r\n", house.token);
        assert_eq!(house.statuses(request.as_bytes()), [421], "{host}");
    }
    let request = format!("GET / HTTP/1.1\r\nHost: localhost:1\r\nGuardian-Token: {}\r\n\r\n", house.token);
    assert_eq!(house.statuses(request.as_bytes()), [200]);
}

#[test]
fn a_page_of_another_site_opens_no_websocket_and_changes_nothing() {
    let house = House::new();
    let own = format!("Origin: http://{}\r\n", house.door);
    for origin in ["http://evil.test", "null", "http://127.0.0.1", "http://localhost:3000", "file://"] {
        let foreign = format!("Origin: {origin}\r\n");
        assert_eq!(
            house.statuses(house.head("GET /ws", &format!("{SOCKET}{foreign}")).as_bytes()),
            [403],
            "{origin}"
        );
        assert_eq!(house.statuses(house.head("POST /", &foreign).as_bytes()), [403], "{origin}");
        assert_eq!(house.statuses(house.head("GET /", &foreign).as_bytes()), [403], "{origin}");
    }
    assert!(
        house.say(house.head("GET /ws", &format!("{SOCKET}{own}")).as_bytes()).starts_with("HTTP/1.1 101")
    );
    assert_eq!(house.statuses(house.head("POST /", &own).as_bytes()), [200]);
}

#[test]
fn what_a_client_says_of_itself_does_not_reach_the_gateway() {
    let house = House::new();
    let forged = "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n\
                  Tailscale-User-Login: ana@example.com\r\nX-Forwarded-Host: localhost\r\nRemote-User: root\r\n";
    assert_eq!(house.statuses(house.head("GET /seen", forged).as_bytes()), [200]);
    let heard = house.gateway.heard().to_ascii_lowercase();
    for gone in [
        "127.0.0.1\r\nx-",
        "tailscale",
        "x-real-ip",
        "forwarded: for",
        "remote-user",
        "guardian-token",
        "gdn_",
    ] {
        assert!(!heard.contains(gone), "{gone}: {heard}");
    }
    assert!(heard.contains("x-forwarded-for: 192.0.2.1"), "somebody behind a proxy: {heard}");
    house.gateway.forget();
    assert_eq!(
        house.statuses(
            house
                .head(
                    "GET /seen",
                    "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n"
                )
                .as_bytes()
        ),
        [200]
    );
    let heard = house.gateway.heard().to_ascii_lowercase();
    assert!(
        !heard.contains("h2c") && !heard.contains("http2-settings") && !heard.contains("forwarded"),
        "{heard}"
    );
}

#[test]
fn the_gates_own_credential_goes_no_further_and_the_gateways_does() {
    let house = House::new();
    let ask = |fields: String| {
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n{fields}Connection: close\r\n\r\n", house.door);
        assert_eq!(house.statuses(request.as_bytes()), [200]);
        let heard = house.gateway.heard();
        house.gateway.forget();
        heard
    };
    let heard = ask(format!("Authorization: Bearer {}\r\n", house.token));
    assert!(
        !heard.contains(&house.token) && !heard.to_ascii_lowercase().contains("authorization"),
        "{heard}"
    );
    let heard = ask(format!("Guardian-Token: {}\r\nAuthorization: Bearer the-gateways-own\r\n", house.token));
    assert!(!heard.contains(&house.token) && heard.contains("Bearer the-gateways-own"), "{heard}");
}

#[test]
fn paths_go_on_as_they_came_and_no_trick_reaches_the_gates_own_pages() {
    let house = House::new();
    for path in [
        "/a/../b",
        "/%2e%2e/x",
        "//x",
        "/x/%00",
        "/_guardianx",
        "/x/../_guardian/status",
        "//_guardian/status",
        "/%5fguardian/status",
    ] {
        assert_eq!(house.statuses(house.head(&format!("GET {path}"), "").as_bytes()), [200], "{path}");
        assert!(house.gateway.heard().contains(&format!("GET {path} HTTP/1.1")), "{path}");
    }
    house.gateway.forget();
    for path in ["/_guardian", "/_guardian/", "/_guardian/nothing", "/_guardian/../x"] {
        let _ = house.say(house.head(&format!("GET {path}"), "").as_bytes());
        assert_eq!(house.gateway.heard(), "", "{path}");
    }
}
