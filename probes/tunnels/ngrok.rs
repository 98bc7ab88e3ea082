//! What an ngrok agent says it publishes: its API on the web interface (ngrok.com/docs/agent/api).

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Audience;
use serde::Deserialize;

use super::object::Object;
use super::told::Told;
use super::upstream::{Host, Upstream};

/// Where the API is unless it is told otherwise: the first port that is free.
pub const USUAL: std::ops::RangeInclusive<u16> = 4040..=4049;

/// The questions: agents before version 3 know tunnels, later ones endpoints too.
pub const TUNNELS: &str = "/api/tunnels";
/// See [`TUNNELS`].
pub const ENDPOINTS: &str = "/api/endpoints";

/// The name that an allowance has.
const PATH: &str = "ngrok";

#[derive(Deserialize)]
struct Tunnels {
    tunnels: Vec<Object<Tunnel>>,
}

#[derive(Deserialize)]
struct Tunnel {
    #[serde(default)]
    public_url: String,
    config: Object<Config>,
}

#[derive(Deserialize)]
struct Config {
    addr: String,
}

#[derive(Deserialize)]
struct Endpoints {
    endpoints: Vec<Object<Endpoint>>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    url: String,
    /// As older agents call it.
    #[serde(default)]
    public_url: String,
    upstream: Object<Origin>,
}

#[derive(Deserialize)]
struct Origin {
    url: String,
}

/// The answer to [`TUNNELS`].
pub fn tunnels(body: &[u8], host: &Host) -> Result<Told, Blindness> {
    let answer: Object<Tunnels> = serde_json::from_slice(body).map_err(|_| malformed("tunnels"))?;
    Ok(told(answer.tunnels.iter().map(|it| (it.public_url.as_str(), it.config.addr.as_str())), host))
}

/// The answer to [`ENDPOINTS`].
pub fn endpoints(body: &[u8], host: &Host) -> Result<Told, Blindness> {
    let answer: Object<Endpoints> = serde_json::from_slice(body).map_err(|_| malformed("endpoints"))?;
    let public =
        |it: &Object<Endpoint>| if it.url.is_empty() { it.public_url.clone() } else { it.url.clone() };
    let all: Vec<(String, &str)> =
        answer.endpoints.iter().map(|it| (public(it), it.upstream.url.as_str())).collect();
    Ok(told(all.iter().map(|(public, to)| (public.as_str(), *to)), host))
}

fn malformed(what: &str) -> Blindness {
    Blindness::malformed(format!("ngrok's list of {what} is not understood"))
}

fn told<'a>(all: impl Iterator<Item = (&'a str, &'a str)>, host: &Host) -> Told {
    let mut told = Told::default();
    for (public, to) in all {
        match host.upstream(to) {
            Upstream::Here(port) => told.publish(PATH, Audience::Internet, public, port),
            Upstream::Guest(at) => told.publish_guest(PATH, Audience::Internet, public, at),
            Upstream::Elsewhere => {}
            Upstream::Anywhere | Upstream::Unclear => {
                told.doubt(Blindness::malformed("where ngrok carries one of its tunnels is not understood"));
            }
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(told: &Told) -> Vec<String> {
        told.publications.iter().map(|it| format!("{} -> {}", it.public, it.to_port)).collect()
    }

    #[test]
    fn the_tunnels_to_this_host_are_told() {
        let told = tunnels(include_bytes!("../../fixtures/ngrok/tunnels.json"), &Host::default()).unwrap();
        assert_eq!(
            shown(&told),
            [
                "https://panel.ngrok.example -> 18789",
                "tcp://0.tcp.ngrok.example:12345 -> 22",
                "https://plain.ngrok.example -> 80"
            ]
        );
        assert_eq!(told.unclear, None);
        assert!(told.publications.iter().all(|it| it.audience == Audience::Internet && it.path == "ngrok"));
    }

    #[test]
    fn the_endpoints_of_version_3_are_told() {
        let told =
            endpoints(include_bytes!("../../fixtures/ngrok/endpoints.json"), &Host::default()).unwrap();
        assert_eq!(shown(&told), ["https://panel.ngrok.example -> 18789"]);
        assert_eq!(told.unclear, None);
    }

    #[test]
    fn no_tunnels_are_nothing() {
        assert_eq!(tunnels(br#"{"tunnels":[],"uri":"/api/tunnels"}"#, &Host::default()), Ok(Told::default()));
    }

    #[test]
    fn another_answer_is_not_understood() {
        for body in ["", "{}", "null", "[]", "[[]]", r#"{"tunnels":null}"#, r#"{"tunnels":[{}]}"#, "<html>"] {
            assert!(tunnels(body.as_bytes(), &Host::default()).is_err(), "{body}");
            assert!(endpoints(body.as_bytes(), &Host::default()).is_err(), "{body}");
        }
        let odd = br#"{"tunnels":[{"public_url":"x","config":{"addr":"somewhere"}}]}"#;
        assert!(tunnels(odd, &Host::default()).unwrap().unclear.is_some());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_borne(text in r#"(\{|\}|\[|\]|"|:|,|tunnels|endpoints|public_url|config|addr|upstream|[0-9]{1,3}|é){0,60}"#) {
            let _ = (tunnels(text.as_bytes(), &Host::default()), endpoints(text.as_bytes(), &Host::default()));
        }
    }
}
