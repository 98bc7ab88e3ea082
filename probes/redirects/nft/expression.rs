//! Matches: what a packet is compared with.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::Place;
use crate::redirects::condition::{Conditions, addresses_of};

/// What a match says of the rest of its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matched {
    /// It may apply to connections of TCP.
    Applies,
    /// It applies to other protocols only.
    OtherProtocol,
}

/// Where named sets are found.
pub(super) struct Lookup<'a> {
    pub(super) family: &'a str,
    pub(super) table: &'a str,
    pub(super) elements: &'a BTreeMap<Place, Vec<Value>>,
}

impl<'a> Lookup<'a> {
    /// The elements of a set: by its name, as `{"set": [...]}`, or a single value.
    pub(super) fn elements(&self, set: &'a Value) -> Option<&'a [Value]> {
        if let Some(name) = set.as_str().and_then(|name| name.strip_prefix('@')) {
            let place = (self.family.to_owned(), self.table.to_owned(), name.to_owned());
            return self.elements.get(&place).map(Vec::as_slice);
        }
        match set.get("set") {
            Some(Value::Array(elements)) => Some(elements),
            Some(one) => Some(std::slice::from_ref(one)),
            None => Some(std::slice::from_ref(set)),
        }
    }
}

/// An element without what it carries beside its value: a time, a counter, a comment.
pub(super) fn bare(element: &Value) -> &Value {
    element.get("elem").and_then(|elem| elem.get("val")).unwrap_or(element)
}

/// An element of a map.
pub(super) fn pair(element: &Value) -> Option<(&Value, &Value)> {
    match element.as_array().map(Vec::as_slice) {
        Some([key, value]) => Some((bare(key), value)),
        _ => None,
    }
}

/// Takes a comparison of a field with a value or a set into the conditions.
pub(super) fn narrow(
    field: &Value,
    with: &Value,
    lookup: &Lookup<'_>,
    conditions: &mut Conditions,
) -> Matched {
    let field = Field::of(field);
    if field == Field::OtherProtocol {
        return Matched::OtherProtocol;
    }
    let elements = lookup.elements(with).unwrap_or_default();
    match field {
        Field::Port => take(&mut conditions.ports, all(elements, port)),
        Field::Interface => take(&mut conditions.on, all(elements, interface)),
        Field::Source => take(&mut conditions.from, all(elements, network)),
        Field::Address => {
            let few = all(elements, |it| network(it).and_then(addresses_of));
            take(&mut conditions.at, few.map(|it| it.concat()));
        }
        Field::Protocol => {
            let mut protocols = elements.iter().map(|it| is_tcp(bare(it)));
            if !elements.is_empty() && protocols.all(|it| it == Some(false)) {
                return Matched::OtherProtocol;
            }
        }
        Field::OtherProtocol | Field::Other => {}
    }
    Matched::Applies
}

fn take<T>(place: &mut Vec<T>, understood: Option<Vec<T>>) {
    if let Some(values) = understood {
        *place = values;
    }
}

/// Every element, if all are understood and there are any.
fn all<T>(elements: &[Value], read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    let all: Option<Vec<T>> = elements.iter().map(|it| read(bare(it))).collect();
    all.filter(|all| !all.is_empty())
}

/// What a field says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// The port to which a connection of TCP goes.
    Port,
    Protocol,
    Interface,
    Source,
    /// The address to which it goes.
    Address,
    /// A field that no packet of TCP has.
    OtherProtocol,
    Other,
}

impl Field {
    pub(super) fn of(field: &Value) -> Self {
        let part = |of: &str, key: &str| field.get(of).and_then(|it| it.get(key)).and_then(Value::as_str);
        match (part("payload", "protocol"), part("payload", "field"), part("meta", "key")) {
            (Some("tcp" | "th"), Some("dport"), _) => Self::Port,
            (Some("udp" | "sctp" | "dccp" | "udplite"), Some(_), _) => Self::OtherProtocol,
            (Some("ip"), Some("protocol"), _) | (Some("ip6"), Some("nexthdr"), _) => Self::Protocol,
            (Some("ip" | "ip6"), Some("saddr"), _) => Self::Source,
            (Some("ip" | "ip6"), Some("daddr"), _) => Self::Address,
            (_, _, Some("l4proto")) => Self::Protocol,
            (_, _, Some("iifname" | "iif")) => Self::Interface,
            _ => Self::Other,
        }
    }
}

/// Whether a protocol is TCP, if that is understood.
fn is_tcp(value: &Value) -> Option<bool> {
    match value {
        Value::String(name) => Some(name == "tcp" || name == "6"),
        value => value.as_u64().map(|number| number == 6),
    }
}

/// A whole name: `eth*` names many.
fn interface(value: &Value) -> Option<String> {
    value.as_str().filter(|name| !name.ends_with('*')).map(str::to_owned)
}

/// A port or a range of them.
pub(super) fn port(value: &Value) -> Option<(u16, u16)> {
    let one = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|it| u16::try_from(it).ok()),
    };
    let (first, last) = match value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        Some([first, last]) => (one(first)?, one(last)?),
        _ => one(value).map(|port| (port, port))?,
    };
    (first <= last).then_some((first, last))
}

/// An address or a network.
pub(super) fn network(value: &Value) -> Option<IpNet> {
    if let Some(prefix) = value.get("prefix") {
        let address: IpAddr = prefix.get("addr")?.as_str()?.parse().ok()?;
        let length = u8::try_from(prefix.get("len")?.as_u64()?).ok()?;
        return IpNet::new(address, length).ok();
    }
    value.as_str()?.parse::<IpAddr>().ok().map(IpNet::from)
}
