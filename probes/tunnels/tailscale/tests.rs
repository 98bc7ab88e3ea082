use super::*;

fn told(body: &str) -> Told {
    serve_config(body.as_bytes(), &Host::default()).unwrap()
}

fn shown(body: &str) -> Vec<String> {
    let told = told(body);
    assert_eq!(told.unclear, None, "{body}");
    let line =
        |it: &guardian_rules::fact::Publication| format!("{} {} -> {}", it.path, it.public, it.to_port);
    told.publications.iter().map(line).collect()
}

#[test]
fn nothing_is_served() {
    for body in ["null", "null\n", "{}", r#"{"TCP":null,"Web":{},"Foreground":null}"#] {
        assert_eq!(told(body), Told::default(), "{body}");
    }
}

#[test]
fn what_is_served_within_the_vpn_is_told() {
    assert_eq!(
        shown(include_str!("../../../fixtures/tailscale/serve.json")),
        [
            "tailscale-serve tcp://box.tail1234.ts.net:2222 -> 22",
            "tailscale-serve https://box.tail1234.ts.net:443/ -> 18789",
            "tailscale-serve https://box.tail1234.ts.net:443/bare -> 3030",
            "tailscale-serve http://box.tail1234.ts.net:80/ -> 3000",
            "tailscale-serve https://svc.tail1234.ts.net:443/ -> 4000",
        ]
    );
}

#[test]
fn a_funnel_in_the_background_is_the_internet() {
    assert_eq!(
        shown(include_str!("../../../fixtures/tailscale/funnel.json")),
        [
            "tailscale-funnel tcp://box.tail1234.ts.net:10000 -> 18790",
            "tailscale-funnel https://box.tail1234.ts.net:443/ -> 18789",
            "tailscale-serve https://box.tail1234.ts.net:8443/ -> 3000",
        ]
    );
}

#[test]
fn a_funnel_of_a_command_in_the_foreground_is_the_internet() {
    assert_eq!(
        shown(include_str!("../../../fixtures/tailscale/funnel-foreground.json")),
        ["tailscale-funnel https://box.tail1234.ts.net:443/ -> 18789"]
    );
}

#[test]
fn a_funnel_that_a_session_allows_leads_to_what_is_served_in_the_background() {
    let body = r#"{"Web":{"b.ts.net:443":{"Handlers":{"/":{"Proxy":"3000"}}}},
                   "Foreground":{"1":{"AllowFunnel":{"b.ts.net:443":true}}}}"#;
    assert_eq!(shown(body), ["tailscale-funnel https://b.ts.net:443/ -> 3000"]);
}

#[test]
fn a_funnel_that_is_switched_off_is_none() {
    let body = r#"{"Web":{"b.ts.net:443":{"Handlers":{"/":{"Proxy":"http://localhost:1"}}}},
                   "AllowFunnel":{"b.ts.net:443":false}}"#;
    assert_eq!(shown(body), ["tailscale-serve https://b.ts.net:443/ -> 1"]);
}

#[test]
fn what_is_carried_elsewhere_or_served_from_files_is_no_port_of_this_host() {
    let body = r#"{"TCP":{"443":{"HTTPS":true},"22":{"TCPForward":"192.0.2.8:22"}},
                   "Web":{"b.ts.net:443":{"Handlers":{"/":{"Path":"/srv"},"/t":{"Text":"hi"},
                   "/x":{"Proxy":"http://192.0.2.8:18789"},"/u":{"Proxy":"unix:/run/x"}}}}}"#;
    assert_eq!(shown(body), [""; 0]);
}

#[test]
fn what_is_not_understood_is_unknown() {
    for body in [
        "",
        "[]",
        "true",
        r#"{"Web":{"x:1":[]}}"#,
        r#"{"Foreground":{"1":[]}}"#,
        r#"{"TCP":[]}"#,
        r#"{"Web":{"x:1":{"Handlers":{"/":{"Proxy":1}}}}}"#,
    ] {
        assert!(serve_config(body.as_bytes(), &Host::default()).is_err(), "{body}");
    }
    for body in [
        r#"{"Web":{"b.ts.net:443":{"Handlers":{"/":{"Proxy":"somewhere"}}}}}"#,
        r#"{"AllowFunnel":{"b.ts.net":true}}"#,
    ] {
        assert!(told(body).unclear.is_some(), "{body}");
    }
}

#[test]
fn a_deep_answer_ends_in_time_and_memory() {
    let deep = format!("{}1{}", r#"{"Foreground":{"a":"#.repeat(100_000), "}}".repeat(100_000));
    assert!(serve_config(deep.as_bytes(), &Host::default()).is_err());
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_borne(text in r#"(\{|\}|"TCP":|"Web":|"Foreground":|"AllowFunnel":|"Services":|"Handlers":|"Proxy":|"x:443"|:|,|true|null|"3000"|é){0,40}"#) {
        let _ = serve_config(text.as_bytes(), &Host::default());
    }
}
