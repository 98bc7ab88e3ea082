//! What Caddy runs by, as it says itself: `GET /config/` of its admin API, which is on by default and on
//! loopback alone (caddyserver.com/docs/api). A site within TLS answers to nobody who does not name it, so
//! that this is all that tells what is behind.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Listener;
use guardian_rules::observation::Observation;
use serde_json::{Map, Value};

use crate::api::{self, doors::doors};
use crate::routes::Understood;
use crate::routes::argument::Instruction;
use crate::routes::target::Target;

/// Where the API is unless told otherwise.
const USUAL: u16 = 2019;

/// Handlers that answer by themselves or change what others do. In those that hold routes, the routes are read.
const STAYS_HERE: [&str; 20] = [
    "acme_server",
    "authentication",
    "copy_response",
    "copy_response_headers",
    "encode",
    "error",
    "file_server",
    "headers",
    "intercept",
    "invoke",
    "log_append",
    "map",
    "metrics",
    "push",
    "request_body",
    "rewrite",
    "static_response",
    "subroute",
    "templates",
    "vars",
];

/// What a process says of itself; none where it does not, or another could have answered.
pub(crate) async fn ask(pid: u32, listeners: &Observation<Vec<Listener>>) -> Option<Understood> {
    let doors = doors(listeners, &BTreeSet::from([pid]), USUAL..=USUAL);
    let at = doors.proven.into_iter().find(|at| at.port() == USUAL && at.ip().is_loopback())?;
    let not_told = |why: &Blindness| tracing::debug!(pid, %why, "does not tell what it runs by");
    let heard = api::ask(at, "/config/").await.inspect_err(not_told).ok()?;
    Some(interpret(&String::from_utf8_lossy(&heard)))
}

/// What a running configuration (JSON) says.
#[must_use]
pub fn interpret(text: &str) -> Understood {
    let mut told = Understood { instructions: Vec::new(), whole: true };
    match serde_json::from_str(text) {
        Ok(Value::Object(config)) => {
            for (key, value) in &config {
                match (key.as_str(), value) {
                    ("admin" | "logging" | "storage", _) => {}
                    ("apps", Value::Object(apps)) => read_apps(apps, &mut told),
                    _ => told.whole = false,
                }
            }
        }
        // It runs by nothing.
        Ok(Value::Null) => {}
        _ => told.whole = false,
    }
    told
}

fn read_apps(apps: &Map<String, Value>, told: &mut Understood) {
    for (name, app) in apps {
        match (name.as_str(), app) {
            ("tls" | "pki" | "events", _) => {}
            ("http", Value::Object(http)) => {
                for server in http.get("servers").and_then(Value::as_object).into_iter().flat_map(Map::values)
                {
                    let listens = listens(server, told);
                    read(server, &listens, told);
                }
            }
            _ => told.whole = false,
        }
    }
}

/// Where a server takes connections.
fn listens(server: &Value, told: &mut Understood) -> Vec<SocketAddr> {
    let Some(addresses) = server.get("listen").and_then(Value::as_array) else {
        told.whole = false;
        return Vec::new();
    };
    let read: Vec<_> = addresses.iter().filter_map(|it| address(it.as_str()?)).collect();
    told.whole &= read.len() == addresses.len();
    read
}

/// `:443`, `127.0.0.1:80`, `tcp/[::]:8443`.
fn address(text: &str) -> Option<SocketAddr> {
    let text = text.strip_prefix("tcp/").unwrap_or(text);
    match text.strip_prefix(':') {
        Some(port) => Some(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port.parse().ok()?)),
        None => text.replace("localhost:", "127.0.0.1:").parse().ok(),
    }
}

/// Everything below a server, however deep. The parser has bounded the depth.
fn read(value: &Value, listens: &[SocketAddr], told: &mut Understood) {
    match value {
        Value::Object(object) => {
            match object.get("handler").map(Value::as_str) {
                None => {}
                Some(Some("reverse_proxy")) => proxy(object, listens, told),
                Some(Some(handler)) if STAYS_HERE.contains(&handler) => {}
                Some(_) => told.whole = false,
            }
            let wrapper = object.get("wrapper").map(Value::as_str);
            if wrapper.is_some_and(|it| !matches!(it, Some("tls" | "http_redirect" | "proxy_protocol"))) {
                told.whole = false;
            }
            object.values().for_each(|value| read(value, listens, told));
        }
        Value::Array(values) => values.iter().for_each(|value| read(value, listens, told)),
        _ => {}
    }
}

fn proxy(proxy: &Map<String, Value>, listens: &[SocketAddr], told: &mut Understood) {
    let transport = proxy.get("transport").and_then(Value::as_object);
    let by = transport.and_then(|it| it.get("protocol")).and_then(Value::as_str);
    if by == Some("fastcgi") {
        // No gateway speaks it.
        return;
    }
    let around =
        |it: &Map<String, Value>| it.contains_key("forward_proxy_url") || it.contains_key("network_proxy");
    let plain = by.is_none_or(|it| it == "http") && !transport.is_some_and(around);
    told.whole &= plain && !proxy.contains_key("dynamic_upstreams");
    let upstreams = proxy.get("upstreams").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for upstream in upstreams {
        let dial = upstream.get("dial").and_then(Value::as_str).unwrap_or_default();
        match target(dial) {
            Some(target) => {
                let text = format!("reverse_proxy {dial}");
                told.instructions.push(Instruction { listens: listens.to_vec(), target, text });
            }
            None => told.whole = false,
        }
    }
}

/// Where a dial leads, if that is an address or a name of loopback: any other name may lead here, too.
fn target(dial: &str) -> Option<Target> {
    let target = Target::parse(dial.strip_prefix("tcp/").unwrap_or(dial))?;
    let named = target.is_here(&BTreeSet::new()) || target.host.parse::<IpAddr>().is_ok();
    named.then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str = include_str!("../../../fixtures/caddy/running.json");

    fn told(text: &str) -> (Vec<String>, bool) {
        let told = interpret(text);
        let instruction = |it: Instruction| {
            let listens: Vec<String> = it.listens.iter().map(ToString::to_string).collect();
            format!("{} -> {}:{}", listens.join(" "), it.target.host, it.target.port)
        };
        (told.instructions.into_iter().map(instruction).collect(), told.whole)
    }

    #[test]
    fn every_upstream_of_every_site_is_read_however_deep_it_stands() {
        let (instructions, whole) = told(RUNNING);
        assert_eq!(
            instructions,
            [
                "0.0.0.0:8443 -> localhost:4000",
                "0.0.0.0:8443 -> 10.0.0.5:80",
                "0.0.0.0:8443 -> 127.0.0.1:3000"
            ]
        );
        assert!(whole);
        assert_eq!(told("null"), (Vec::new(), true));
        assert_eq!(told("{}"), (Vec::new(), true));
    }

    #[test]
    fn what_is_not_understood_leaves_something_out() {
        for (was, is) in [
            (r#""dial":"127.0.0.1:3000""#, r#""dial":"{env.APP}:3000""#),
            (r#""dial":"127.0.0.1:3000""#, r#""dial":"unix//run/app.sock""#),
            (r#""dial":"127.0.0.1:3000""#, r#""dial":"my-own-name:3000""#),
            (r#""dial":"127.0.0.1:3000""#, r#""dial":7"#),
            (r#""handler":"static_response""#, r#""handler":"forward_proxy""#),
            (r#""handler":"static_response""#, r#""handler":null"#),
            (r#""handler":"reverse_proxy","#, r#""handler":"reverse_proxy","dynamic_upstreams":{},"#),
            (r#""handler":"reverse_proxy","#, r#""handler":"reverse_proxy","transport":{"protocol":"x"},"#),
            (
                r#""handler":"reverse_proxy","#,
                r#""handler":"reverse_proxy","transport":{"forward_proxy_url":"http://127.0.0.1:8118"},"#,
            ),
            (r#"":8443""#, r#"":8000-9000""#),
            (r#""listen":[":8443"],"#, ""),
            (r#""listen":[":8443"],"#, r#""listen":[":8443"],"listener_wrappers":[{"wrapper":"layer4"}],"#),
            (r#""apps":{"#, r#""apps":{"layer4":{},"#),
            (r#"{"apps""#, r#"{"plugins":{},"apps""#),
        ] {
            assert!(RUNNING.contains(was), "{was}");
            assert!(!told(&RUNNING.replacen(was, is, 1)).1, "{is}");
        }
        assert!(!told("").1 && !told("[]").1 && !told("<html>").1);
        assert!(!told(&format!("{}{}", "[".repeat(1000), "]".repeat(1000))).1);
    }

    #[test]
    fn what_speaks_another_protocol_is_no_way_to_a_gateway() {
        let php = RUNNING.replacen(
            r#""handler":"reverse_proxy","upstreams":[{"dial":"127.0.0.1:3000"}]"#,
            r#""handler":"reverse_proxy","transport":{"protocol":"fastcgi"},"upstreams":[{"dial":"unix//run/php.sock"}]"#,
            1,
        );
        let (instructions, whole) = told(&php);
        assert_eq!((instructions.len(), whole), (2, true));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_borne(
            text in r#"(\{|\}|\[|\]|,|:|"(apps|http|servers|listen|routes|handle|handler|reverse_proxy|upstreams|dial|localhost:1|:80)"|7|null|é){0,60}"#
        ) {
            let _ = interpret(&text);
        }
    }
}
