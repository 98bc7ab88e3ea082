//! Where a statement sends a connection.

use std::net::IpAddr;

use serde_json::Value;

use super::expression::{Field, Lookup, bare, network, pair, port};
use crate::redirects::condition::{Target, addresses, addresses_of};

/// The targets of `dnat` and `redirect`; none if they are not understood.
pub(super) fn of_nat(kind: &str, of: &Value, lookup: &Lookup<'_>) -> Option<Vec<Target>> {
    let places = match of.get("addr").filter(|_| kind == "dnat") {
        Some(address) => targets(address, lookup)?,
        None => vec![Target { ip: None, ports: None }],
    };
    match of.get("port") {
        Some(told) => Some(at_ports(&places, &ports(told, lookup)?)),
        None => Some(places),
    }
}

fn at_ports(places: &[Target], ports: &[(u16, u16)]) -> Vec<Target> {
    let with =
        |place: &Target| ports.iter().map(|ports| Target { ports: Some(*ports), ip: place.ip }).collect();
    places.iter().flat_map(|place| -> Vec<Target> { with(place) }).collect()
}

/// An address, several, or a map that has them; with a port where a map has both.
fn targets(value: &Value, lookup: &Lookup<'_>) -> Option<Vec<Target>> {
    match value.get("map") {
        Some(map) => mapped(map, lookup),
        None => written(value),
    }
}

/// A target without a map.
fn written(value: &Value) -> Option<Vec<Target>> {
    let at = |ip: IpAddr| Target { ip: Some(ip), ports: None };
    if let Some(parts) = value.get("concat").and_then(Value::as_array) {
        let [address, told] = parts.as_slice() else { return None };
        let places: Vec<Target> = network(address).and_then(addresses_of)?.into_iter().map(at).collect();
        return Some(at_ports(&places, &[port(told)?]));
    }
    let ips = match value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        Some([first, last]) => addresses(first.as_str()?.parse().ok()?, last.as_str()?.parse().ok()?)?,
        Some(_) => return None,
        None => network(value).and_then(addresses_of)?,
    };
    Some(ips.into_iter().map(at).collect())
}

/// The values of a map. Where it goes by the port, that is the target's too, unless the value says
/// otherwise.
fn mapped(map: &Value, lookup: &Lookup<'_>) -> Option<Vec<Target>> {
    let by_port = map.get("key").is_some_and(|key| Field::of(key) == Field::Port);
    let mut all = Vec::new();
    for element in lookup.elements(map.get("data")?)? {
        let (key, value) = pair(element)?;
        let came_to = if by_port { port(key) } else { None };
        let targets = written(bare(value))?.into_iter();
        all.extend(targets.map(|target| Target { ports: target.ports.or(came_to), ..target }));
    }
    Some(all)
}

/// A port, a range of them, or a map that has them.
fn ports(value: &Value, lookup: &Lookup<'_>) -> Option<Vec<(u16, u16)>> {
    match value.get("map") {
        Some(map) => {
            let elements = lookup.elements(map.get("data")?)?;
            elements.iter().map(|element| port(bare(pair(element)?.1))).collect()
        }
        None => port(value).map(|ports| vec![ports]),
    }
}

/// What a rule writes into packets: `ip daddr set`, `tcp dport set`.
#[derive(Debug, Default)]
pub(super) struct Rewritten<'a> {
    address: Option<&'a Value>,
    port: Option<&'a Value>,
}

impl<'a> Rewritten<'a> {
    /// Takes in a `mangle` statement.
    pub(super) fn add(&mut self, mangle: &'a Value) {
        let (Some(key), Some(value)) = (mangle.get("key"), mangle.get("value")) else { return };
        match Field::of(key) {
            Field::Address => self.address = Some(value),
            Field::Port => self.port = Some(value),
            _ => {}
        }
    }

    /// The rule writes another destination.
    pub(super) fn is_something(&self) -> bool {
        self.address.is_some() || self.port.is_some()
    }

    /// Where that sends a packet; none if it is not understood.
    pub(super) fn targets(&self, lookup: &Lookup<'_>) -> Option<Vec<Target>> {
        let places = match self.address {
            Some(address) => targets(address, lookup)?,
            None => vec![Target { ip: None, ports: None }],
        };
        match self.port {
            Some(told) => Some(at_ports(&places, &ports(told, lookup)?)),
            None => Some(places),
        }
    }
}
