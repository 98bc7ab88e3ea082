//! The answer to `GET /containers/json`: Docker Engine API, `ContainerList`, which podman has too.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Product;
use serde::Deserialize;

use crate::line::line;

/// A port of a container that is published on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The container's name.
    pub container: String,
    /// Its image.
    pub image: String,
    /// Its image, its name or its command bears the name of a gateway.
    pub is_named_like_a_gateway: bool,
    /// Where it is published on this host.
    pub on: SocketAddr,
    /// The container's own ends, where it has addresses of its own.
    pub ends: Vec<SocketAddr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: Option<String>,
    names: Option<Vec<String>>,
    image: Option<String>,
    command: Option<Command>,
    ports: Option<Vec<Port>>,
    network_settings: Option<NetworkSettings>,
}

/// Docker tells one text, podman's own API a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    Text(String),
    Words(Vec<String>),
}

#[derive(Deserialize)]
struct Port {
    #[serde(rename = "IP")]
    ip: Option<String>,
    #[serde(rename = "PrivatePort")]
    private: Option<u16>,
    #[serde(rename = "PublicPort")]
    public: Option<u16>,
    #[serde(rename = "Type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    networks: Option<std::collections::BTreeMap<String, Option<Network>>>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(rename = "IPAddress")]
    v4: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    v6: Option<String>,
}

/// The TCP ports that are published on this host.
pub fn read(answer: &[u8]) -> Result<Vec<Published>, Blindness> {
    let containers: Vec<Container> = serde_json::from_slice(answer)
        .map_err(|why| Blindness::malformed(format!("its list of containers cannot be read: {why}")))?;
    Ok(containers.iter().flat_map(published).collect())
}

fn published(container: &Container) -> Vec<Published> {
    let names = container.names.as_deref().unwrap_or_default();
    let name = names.first().map(|name| name.trim_start_matches('/')).filter(|name| !name.is_empty());
    let id = container.id.as_deref().unwrap_or_default();
    let shown = name.map_or_else(|| id.chars().take(12).collect(), str::to_owned);
    let image = container.image.as_deref().unwrap_or_default();
    let command = match &container.command {
        Some(Command::Text(text)) => std::slice::from_ref(text),
        Some(Command::Words(words)) => words,
        None => &[],
    };
    let is_named_like_a_gateway =
        names.iter().chain([&image.to_owned()]).chain(command).any(|text| bears_a_name(text));
    let ips = addresses(container);
    let ports = container.ports.as_deref().unwrap_or_default().iter();
    ports
        .filter_map(|port| {
            let is_tcp = port.kind.as_deref().is_none_or(|kind| kind == "tcp");
            let public = port.public.filter(|port| *port > 0 && is_tcp)?;
            let private = port.private?;
            Some(Published {
                container: line(&shown),
                image: line(image),
                is_named_like_a_gateway,
                on: SocketAddr::new(address(port.ip.as_deref()), public),
                ends: ips.iter().map(|ip| SocketAddr::new(*ip, private)).collect(),
            })
        })
        .collect()
}

/// Where a port is published: on every address if nothing is said that is one.
fn address(text: Option<&str>) -> IpAddr {
    text.and_then(|text| text.parse().ok()).unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

fn addresses(container: &Container) -> Vec<IpAddr> {
    let networks = container.network_settings.as_ref().and_then(|it| it.networks.as_ref());
    networks
        .into_iter()
        .flat_map(std::collections::BTreeMap::values)
        .flatten()
        .flat_map(|network| [network.v4.as_deref(), network.v6.as_deref()])
        .filter_map(|ip| ip?.parse().ok())
        .collect()
}

fn bears_a_name(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [Product::Clawdbot, Product::Moltbot, Product::Openclaw]
        .iter()
        .any(|product| text.contains(&product.to_string()))
}

#[cfg(test)]
mod tests;
