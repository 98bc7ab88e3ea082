//! What tailscaled says it serves: `serve-config` of its local API (type `ServeConfig` in ipn/serve.go
//! of tailscale/tailscale).

use std::collections::{BTreeMap, BTreeSet};

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Audience;
use guardian_rules::way;
use serde::Deserialize;

use super::object::Object;
use super::told::Told;
use super::upstream::{Host, Upstream};

pub(super) mod local_api;

/// Asks for what is served.
pub const SERVE_CONFIG: &str = "/localapi/v0/serve-config";

/// What is served, in the background or as long as a command runs; Go leaves out what is empty, and
/// writes null for what is not there.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    #[serde(rename = "TCP")]
    tcp: Option<BTreeMap<String, Option<Object<Port>>>>,
    web: Option<BTreeMap<String, Option<Object<Site>>>>,
    /// Names of their own within the VPN, which no funnel leads to.
    services: Option<BTreeMap<String, Option<Object<Config>>>>,
    allow_funnel: Option<BTreeMap<String, bool>>,
    /// What commands in the foreground serve, by their session.
    foreground: Option<BTreeMap<String, Option<Object<Config>>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Port {
    #[serde(rename = "HTTP")]
    http: bool,
    #[serde(rename = "TCPForward")]
    forward: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Site {
    /// By mount point.
    handlers: Option<BTreeMap<String, Option<Object<Handler>>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Handler {
    proxy: String,
}

/// The answer to [`SERVE_CONFIG`].
pub fn serve_config(body: &[u8], host: &Host) -> Result<Told, Blindness> {
    let malformed = |_| Blindness::malformed("what tailscaled serves is not understood");
    let config: Option<Object<Config>> = serde_json::from_slice(body).map_err(malformed)?;
    let mut reading = Reading { host, funnels: BTreeSet::new(), name: None, told: Told::default() };
    if let Some(config) = &config {
        reading.survey(config);
        reading.read(config, true);
    }
    Ok(reading.told)
}

struct Reading<'a> {
    host: &'a Host,
    /// Ports that the internet may come to. What a session allows, tailscaled allows for all.
    funnels: BTreeSet<u16>,
    /// A name of this host in the VPN.
    name: Option<String>,
    told: Told,
}

impl Reading<'_> {
    fn survey(&mut self, config: &Config) {
        for (place, allowed) in config.allow_funnel.iter().flatten() {
            if !allowed {
                continue;
            }
            if let Some(port) = port(place) {
                self.funnels.insert(port);
            } else {
                self.told.doubt(Blindness::malformed("which port a funnel leads to is not understood"));
            }
        }
        let places = config.web.iter().flatten().map(|(place, _)| place);
        let places = places.chain(config.allow_funnel.iter().flatten().map(|(place, _)| place));
        if let Some((name, _)) = places.map(String::as_str).find_map(|place| place.rsplit_once(':')) {
            self.name.get_or_insert_with(|| name.to_owned());
        }
        for session in config.foreground.iter().flat_map(BTreeMap::values).flatten() {
            self.survey(session);
        }
    }

    /// `funnels`: a funnel may lead here.
    fn read(&mut self, config: &Config, funnels: bool) {
        let http = |port: u16| {
            let told = config.tcp.as_ref().and_then(|tcp| tcp.get(&port.to_string())?.as_ref());
            told.is_some_and(|port| port.http)
        };
        for (port, told) in config.tcp.iter().flatten() {
            let Some(told) = told.as_ref().filter(|told| !told.forward.is_empty()) else { continue };
            let name = self.name.as_deref().unwrap_or("this-host.ts.net");
            let public = format!("tcp://{name}:{port}");
            self.carries(port.parse().ok(), &public, &told.forward, funnels);
        }
        for (place, site) in config.web.iter().flatten() {
            let at = port(place);
            let scheme = if at.is_some_and(http) { "http" } else { "https" };
            let handlers = site.iter().filter_map(|site| site.handlers.as_ref()).flatten();
            for (mount, handler) in handlers {
                let Some(handler) = handler.as_ref().filter(|handler| !handler.proxy.is_empty()) else {
                    continue;
                };
                self.carries(at, &format!("{scheme}://{place}{mount}"), &handler.proxy, funnels);
            }
        }
        for service in config.services.iter().flat_map(BTreeMap::values).flatten() {
            self.read(service, false);
        }
        for session in config.foreground.iter().flat_map(BTreeMap::values).flatten() {
            self.read(session, funnels);
        }
    }

    fn carries(&mut self, at: Option<u16>, public: &str, to: &str, funnels: bool) {
        // A port that is not understood may be the one of a funnel.
        let funnel = funnels && at.map_or(!self.funnels.is_empty(), |at| self.funnels.contains(&at));
        let (path, audience) = if funnel {
            (way::TAILSCALE_FUNNEL, Audience::Internet)
        } else {
            (way::TAILSCALE_SERVE, Audience::Vpn)
        };
        match self.host.upstream(to) {
            Upstream::Here(port) => self.told.publish(path, audience, public, port),
            Upstream::Guest(at) => self.told.publish_guest(path, audience, public, at),
            Upstream::Elsewhere => {}
            Upstream::Anywhere | Upstream::Unclear => {
                self.told.doubt(Blindness::malformed("where tailscaled carries a name is not understood"));
            }
        }
    }
}

/// The port of `name:port`.
fn port(place: &str) -> Option<u16> {
    place.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests;
