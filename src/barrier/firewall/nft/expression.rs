//! The parts of a rule, as libnftables-json(5) has them.

use serde_json::{Value, json};

/// Field is in a set (`@name`).
pub(super) fn matches(field: &Value, set: &str) -> Value {
    json!({"match": {"op": "==", "left": field, "right": set}})
}

/// Field is a value.
pub(super) fn equals(field: &Value, value: impl Into<Value>) -> Value {
    json!({"match": {"op": "==", "left": field, "right": value.into()}})
}

/// Field is known, and not in a set (`@name`).
pub(super) fn unequal(field: &Value, set: &str) -> Value {
    json!({"match": {"op": "!=", "left": field, "right": set}})
}

/// All of these TCP flags are set, whatever the others.
pub(super) fn flags(set: &[&str]) -> Value {
    let field = payload("tcp", "flags");
    match set {
        [one] => json!({"match": {"op": "==", "left": {"&": [field, one]}, "right": one}}),
        _ => json!({"match": {"op": "==", "left": {"&": [field, set]}, "right": set}}),
    }
}

/// The interface it came in by: a name, or a set of names.
pub(super) fn iifname(name: &str) -> Value {
    json!({"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": name}})
}

/// The interface it goes out by: a name, or a set of names.
pub(super) fn oifname(name: &str) -> Value {
    json!({"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": name}})
}

/// It is TCP. `nft` has to be told before it takes a port of a connection for one.
pub(super) fn l4proto() -> Value {
    json!({"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}})
}

/// The destination of its connection has been translated.
pub(super) fn translated() -> Value {
    json!({"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}})
}

/// Which way it goes in its connection: `original` or `reply`.
pub(super) fn direction(way: &str) -> Value {
    json!({"match": {"op": "==", "left": {"ct": {"key": "direction"}}, "right": way}})
}

/// A field of its connection as it was asked for, before any translation.
pub(super) fn original(key: &str) -> Value {
    json!({"ct": {"key": key, "dir": "original"}})
}

/// The user who made the socket it belongs to.
pub(super) fn skuid() -> Value {
    json!({"meta": {"key": "skuid"}})
}

/// It is of a family (`ipv4`, `ipv6`).
pub(super) fn family(name: &str) -> Value {
    json!({"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": name}})
}

/// An address and a port together, as sets of both have them.
pub(super) fn both(address: &Value, port: &Value) -> Value {
    json!({"concat": [address, port]})
}

/// The port it goes to.
pub(super) fn dport() -> Value {
    payload("tcp", "dport")
}

/// The port it comes from.
pub(super) fn sport() -> Value {
    payload("tcp", "sport")
}

/// The address it goes to, of a family (`ip`, `ip6`).
pub(super) fn daddr(family: &str) -> Value {
    payload(family, "daddr")
}

/// The address it comes from, of a family.
pub(super) fn saddr(family: &str) -> Value {
    payload(family, "saddr")
}

fn payload(protocol: &str, field: &str) -> Value {
    json!({"payload": {"protocol": protocol, "field": field}})
}

/// No more of our rules for it; those of others still apply.
pub(super) fn accept() -> Value {
    json!({"accept": null})
}

/// Whoever sent it is told that nobody listens.
pub(super) fn reject() -> Value {
    json!({"reject": {"type": "tcp reset"}})
}

/// Goes on in another chain, and comes back at its end.
pub(super) fn jump(chain: &str) -> Value {
    json!({"jump": {"target": chain}})
}

/// Goes on in another chain, and does not come back.
pub(super) fn goto(chain: &str) -> Value {
    json!({"goto": {"target": chain}})
}
