//! What a gateway sees of a client's header, and a client of a gateway's.

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, ORIGIN, TRANSFER_ENCODING};

use super::*;

fn header(fields: &[(&str, &str)]) -> HeaderMap {
    let mut header = HeaderMap::new();
    for (name, value) in fields {
        header.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    header
}

fn reached(remote: &str) -> Reached {
    Reached { remote: remote.parse().unwrap(), tls: false }
}

fn seen(fields: &[(&str, &str)], remote: &str) -> HeaderMap {
    let mut header = header(fields);
    to_gateway(&mut header, reached(remote), true);
    header
}

#[test]
fn nothing_that_a_client_says_of_itself_reaches_a_gateway() {
    for name in [
        "X-Forwarded-For",
        "x-forwarded-proto",
        "X-Forwarded-Host",
        "X-Forwarded-User",
        "X-Forwarded",
        "Forwarded",
        "Forwarded-For",
        "X-Real-IP",
        "Tailscale-User-Login",
        "Tailscale-Anything",
        "X-Tailscale-User",
        "X-Client-IP",
        "Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "Fastly-Client-IP",
        "Fly-Client-IP",
        "X-Cluster-Client-IP",
        "X-Original-URL",
        "X-Original-Forwarded-For",
        "X-Rewrite-URL",
        "X-Host",
        "X-Remote-User",
        "Remote-User",
        "X-Auth-Request-Email",
        "X-Authenticated-User",
        "X-Authentik-Username",
        "X-WEBAUTH-USER",
        "X-Goog-Authenticated-User-Email",
        "X-MS-Client-Principal",
        "X-Pomerium-Jwt-Assertion",
        "Via",
    ] {
        let header = seen(&[(name, "127.0.0.1"), (name, "evil"), ("host", "gate.test")], "10.7.7.7");
        let told: Vec<_> = header.iter().map(|(_, value)| value.to_str().unwrap()).collect();
        assert!(!told.contains(&"127.0.0.1") && !told.contains(&"evil"), "{name}: {header:?}");
    }
}

#[test]
fn a_gateway_is_told_who_the_client_is_and_how_it_came() {
    let header = seen(&[("host", "panel.example")], "::ffff:10.7.7.7");
    let text = |name: &HeaderName| header.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(text(&FORWARDED_FOR), "10.7.7.7");
    assert_eq!(text(&FORWARDED_PROTO), "http");
    assert_eq!(text(&FORWARDED_HOST), "panel.example");
    assert_eq!(text(&HOST), "panel.example");
}

#[test]
fn a_client_of_this_machine_is_one_and_whoever_comes_through_a_proxy_on_it_is_not() {
    for local in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        let header = seen(&[("host", "localhost:18700")], local);
        assert_eq!(header.len(), 1, "{local}: {header:?}");
        let header = seen(&[("host", "localhost:18700"), ("x-forwarded-for", "127.0.0.1")], local);
        assert_eq!(header.get(&FORWARDED_FOR).unwrap(), "192.0.2.1", "{local}");
    }
}

#[test]
fn what_belongs_to_one_connection_or_to_the_gate_goes_no_further() {
    let header = seen(
        &[
            ("connection", "upgrade"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("te", "trailers"),
            ("keep-alive", "x"),
            ("proxy-authorization", "x"),
            ("guardian-token", "gdn_x"),
            ("cookie", "a=b; guardian_session=secret; c=d"),
            ("accept", "*/*"),
            ("origin", "http://x"),
            ("content-length", "5"),
        ],
        "127.0.0.1",
    );
    for gone in [
        "connection",
        "upgrade",
        "http2-settings",
        "te",
        "keep-alive",
        "proxy-authorization",
        "guardian-token",
    ] {
        assert!(!header.contains_key(gone), "{gone}");
    }
    assert_eq!(header.get(COOKIE).unwrap(), "a=b; c=d");
    assert!(
        header.contains_key(ORIGIN) && header.contains_key(CONTENT_LENGTH) && header.contains_key("accept")
    );
}

#[test]
fn a_cookie_of_the_gate_alone_leaves_none_and_others_stay_as_they_are() {
    assert!(!seen(&[("cookie", "guardian_session=x")], "127.0.0.1").contains_key(COOKIE));
    assert_eq!(seen(&[("cookie", "a=b;c=d")], "127.0.0.1").get(COOKIE).unwrap(), "a=b;c=d");
}

#[test]
fn authorization_goes_on_only_where_it_is_the_gateways() {
    let mut ours = header(&[("authorization", "Bearer gdn_x")]);
    to_gateway(&mut ours, reached("127.0.0.1"), false);
    assert!(!ours.contains_key(AUTHORIZATION));
    assert!(seen(&[("authorization", "Bearer theirs")], "127.0.0.1").contains_key(AUTHORIZATION));
}

#[test]
fn a_gateway_does_not_set_the_gates_cookie_and_sets_others() {
    let mut answer = header(&[
        ("set-cookie", "a=b"),
        ("set-cookie", "guardian_session=planted"),
        ("set-cookie", " =guardian_session=planted"),
        ("set-cookie", "c=d"),
        ("service-worker-allowed", "/"),
        ("connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("x-frame-options", "DENY"),
    ]);
    to_client(&mut answer);
    let cookies: Vec<_> = answer.get_all(SET_COOKIE).iter().collect();
    assert_eq!(cookies, ["a=b", "c=d"]);
    assert!(!answer.contains_key(CONNECTION) && !answer.contains_key(TRANSFER_ENCODING));
    assert!(answer.contains_key("x-frame-options") && !answer.contains_key("service-worker-allowed"));
}
