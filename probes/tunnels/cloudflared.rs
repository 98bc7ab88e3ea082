//! What cloudflared says it publishes: `/config` and `/quicktunnel` of its metrics server (package
//! metrics and orchestration of cloudflare/cloudflared). The configuration there is the one in
//! force, whether it comes from a file, from arguments or from Cloudflare.

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Audience;
use serde::Deserialize;

use super::object::Object;
use super::told::Told;
use super::upstream::{Host, Upstream};

/// Where the metrics server is unless it is told otherwise: the first port that is free.
pub const USUAL: std::ops::RangeInclusive<u16> = 20241..=20245;

/// Asks for the configuration.
pub const CONFIG: &str = "/config";

/// Asks for the name of a quick tunnel.
pub const QUICK: &str = "/quicktunnel";

/// The name that an allowance has.
const PATH: &str = "cloudflared";

#[derive(Deserialize)]
struct Answer {
    config: Object<Config>,
}

#[derive(Deserialize)]
struct Config {
    /// Null where there are no rules.
    ingress: Option<Vec<Object<Rule>>>,
}

#[derive(Deserialize)]
struct Rule {
    /// Empty for the rule that takes the rest.
    #[serde(default)]
    hostname: String,
    service: String,
}

#[derive(Deserialize)]
struct Quick {
    #[serde(default)]
    hostname: String,
}

/// The answer to [`CONFIG`]; `quick` is the name of the quick tunnel, if it is one.
pub fn config(body: &[u8], quick: Option<&str>, host: &Host) -> Result<Told, Blindness> {
    let malformed = |_| Blindness::malformed("cloudflared's configuration is not understood");
    let answer: Object<Answer> = serde_json::from_slice(body).map_err(malformed)?;
    let mut told = Told::default();
    for rule in answer.config.ingress.iter().flatten() {
        let name = if rule.hostname.is_empty() { quick.unwrap_or("*") } else { &rule.hostname };
        let public = format!("https://{name}");
        match host.upstream(&rule.service) {
            Upstream::Here(port) => told.publish(PATH, Audience::Internet, &public, port),
            Upstream::Guest(at) => told.publish_guest(PATH, Audience::Internet, &public, at),
            Upstream::Elsewhere => {}
            Upstream::Anywhere => {
                told.doubt(Blindness::malformed("cloudflared carries its visitors wherever they want"));
            }
            Upstream::Unclear => {
                told.doubt(Blindness::malformed("where cloudflared carries a name is not understood"));
            }
        }
    }
    Ok(told)
}

/// The answer to [`QUICK`].
#[must_use]
pub fn quick(body: &[u8]) -> Option<String> {
    let answer: Object<Quick> = serde_json::from_slice(body).ok()?;
    Some(answer.0.hostname).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(told: &Told) -> Vec<String> {
        told.publications.iter().map(|it| format!("{} -> {}", it.public, it.to_port)).collect()
    }

    #[test]
    fn the_rules_that_lead_to_this_host_are_told() {
        let body = include_bytes!("../../fixtures/cloudflared/config.json");
        let told = config(body, None, &Host::default()).unwrap();
        assert_eq!(shown(&told), ["https://panel.example -> 18789", "https://ssh.example -> 22"]);
        assert_eq!(told.unclear, None);
    }

    #[test]
    fn a_quick_tunnel_has_its_name_elsewhere() {
        let body = include_bytes!("../../fixtures/cloudflared/config-quick.json");
        let name = quick(br#"{"hostname":"four-words-a-quick.trycloudflare.example"}"#);
        let told = config(body, name.as_deref(), &Host::default()).unwrap();
        assert_eq!(shown(&told), ["https://four-words-a-quick.trycloudflare.example -> 18789"]);
        assert_eq!(shown(&config(body, None, &Host::default()).unwrap()), ["https://* -> 18789"]);
        assert_eq!(quick(br#"{"hostname":""}"#), None);
    }

    #[test]
    fn a_tunnel_that_has_no_configuration_yet_publishes_nothing() {
        let body = br#"{"version":-1,"config":{"ingress":[{"hostname":"","path":null,"service":"http_status:503","Handlers":null}],"warp-routing":{},"originRequest":{}}}"#;
        assert_eq!(config(body, None, &Host::default()), Ok(Told::default()));
        let body = br#"{"version":0,"config":{"ingress":null}}"#;
        assert_eq!(config(body, None, &Host::default()), Ok(Told::default()));
    }

    #[test]
    fn a_rule_for_every_destination_leaves_it_unknown() {
        let body =
            br#"{"version":0,"config":{"ingress":[{"hostname":"x.example","service":"socks-proxy"}]}}"#;
        assert!(config(body, None, &Host::default()).unwrap().unclear.is_some());
    }

    #[test]
    fn another_answer_is_not_understood() {
        for body in [
            "",
            "{}",
            "null",
            "[[[]]]",
            r#"{"config":[[]]}"#,
            r#"{"config":{"ingress":{}}}"#,
            r#"{"config":{"ingress":[{}]}}"#,
            "404",
        ] {
            assert!(config(body.as_bytes(), None, &Host::default()).is_err(), "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_borne(text in r#"(\{|\}|\[|\]|"|:|,|config|ingress|hostname|service|null|[0-9]{1,3}|é){0,60}"#) {
            let _ = (config(text.as_bytes(), None, &Host::default()), quick(text.as_bytes()));
        }
    }
}
