//! The rules for Linux: one table of our own, as the JSON that `nft -j -f -` reads.
//!
//! Names as in nft(8) and libnftables-json(5). The table is `inet guardian`; no other one is named
//! anywhere. In [`Stance::Loopback`] the sets of tunnels and of allowed networks are empty, and nothing is forwarded.
//!
//! | chain | sees | does |
//! |---|---|---|
//! | `input` → `door` | packets to the gateways' places | passes what is allowed |
//! | `output` | packets over loopback to those places | refuses users who are not listed |
//! | `output` → `answers` | SYN-ACKs of the gateway's user | refuses those that go beyond the allowed |
//! | `output` → `published` | own packets whose port has been translated | as `door` |
//! | `forward` → `translated` → `forwarded` | the same for those of others | passes what is allowed |
//! | `refuse` | whatever is not allowed | answers with a reset |
//!
//! A SYN-ACK that the kernel makes from a SYN cookie (`tcp_syncookies`, tcp(7)) belongs to no socket,
//! and so to no user. The kernel makes them once a listener's queue of half-open connections is full.
//! So the listener is told by a reset that its SYN-ACK is refused, and forgets the connection at
//! once: were it not told, a handful of attempts would fill a short queue. The ports are held in any
//! case.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::wall::{Stance, Wall};
use guardian_probes::command::Tool;

mod expression;
pub(crate) mod shown;
#[cfg(test)]
mod tests;

use expression::{
    accept, both, daddr, direction, dport, equals, family, flags, goto, iifname, jump, l4proto, matches,
    oifname, original, reject, saddr, skuid, sport, translated, unequal,
};

/// The name of our table.
pub(crate) const TABLE: &str = "guardian";

/// Before the filters of others. A packet that one chain accepts still meets the others.
const PRIORITY: i32 = -10;

/// What `nft` is to do: to replace our table, whatever it holds, in one transaction.
pub(crate) fn ruleset(wall: &Wall) -> Value {
    let mut commands = vec![add_table(), json!({"delete": table()}), add_table()];
    commands.extend(sets(wall));
    for name in ["input", "output", "forward"] {
        commands.push(base(name));
    }
    for name in ["refuse", "door", "answers", "published", "translated", "forwarded"] {
        commands.push(add("chain", json!({"name": name})));
    }
    for (chain, rules) in [
        ("refuse", refuse()),
        ("door", door(wall)),
        ("answers", answers(wall)),
        ("published", published(wall)),
        ("translated", by_translated_port(wall)),
        ("forwarded", forwarded(wall)),
        ("input", to_a_gateway(|place| [place, vec![jump("door")]].concat())),
        ("output", output(wall)),
        ("forward", vec![vec![translated(), jump("translated")]]),
    ] {
        commands.extend(rules.into_iter().map(|it| add("rule", json!({"chain": chain, "expr": it}))));
    }
    json!({"nftables": commands})
}

/// What `nft` is to do to take our table away. It is no failure if there is none.
pub(crate) fn removal() -> Value {
    json!({"nftables": [add_table(), {"delete": table()}]})
}

/// Has `nft` do it, in one transaction.
pub(crate) fn apply(commands: &Value) -> Tool {
    Tool::new("nft", ["-j", "-f", "-"]).with_input(commands.to_string())
}

/// Asks the kernel whether it would take it. Nothing is changed.
pub(crate) fn check(commands: &Value) -> Tool {
    Tool::new("nft", ["--check", "-j", "-f", "-"]).with_input(commands.to_string())
}

/// Shows our table, without what its counters have counted. As text: the JSON of nft 1.0 is silent
/// on the flags of a table, and so on whether it is dormant.
#[cfg(target_os = "linux")]
pub(crate) fn list() -> Tool {
    Tool::new("nft", ["-s", "list", "table", "inet", TABLE])
}

type Rule = Vec<Value>;

/// The sets. Those that a stance lets through nothing from are empty.
fn sets(wall: &Wall) -> Vec<Value> {
    let set = |name: &str, kind: &str, elements: Vec<Value>| {
        let mut set = json!({"name": name, "type": kind});
        if let Some(set) = set.as_object_mut() {
            // Whole networks are in these.
            if name.starts_with("networks") || name.starts_with("loopback") {
                set.insert("flags".to_owned(), json!(["interval"]));
            }
            // nft takes no empty list.
            if !elements.is_empty() {
                set.insert("elem".to_owned(), elements.into());
            }
        }
        add("set", set)
    };
    let prefix = |address: String, len: u8| json!({"prefix": {"addr": address, "len": len}});
    let (own, networks) = (wall.own(), wall.networks());
    let users = wall.local_users.iter().flatten();
    let (v4, v6) = wall.places();
    let ports = |ports: &BTreeSet<u16>| ports.iter().map(|it| json!(it)).collect();
    let exact = |address: String, port: u16| json!({"concat": [address, port]});
    vec![
        set("ports", "inet_service", ports(&wall.ports)),
        set("ports4", "inet_service", ports(&v4.ports)),
        set("ports6", "inet_service", ports(&v6.ports)),
        place_set("doors4", "ipv4_addr", v4.exact.iter().map(|it| exact(it.0.to_string(), it.1)).collect()),
        place_set("doors6", "ipv6_addr", v6.exact.iter().map(|it| exact(it.0.to_string(), it.1)).collect()),
        set("vpn", "ifname", wall.tunnels().into_iter().map(|it| json!(it)).collect()),
        // Some fields can be looked up in a set, but not compared with a value.
        set("loopback4", "ipv4_addr", vec![prefix("127.0.0.0".to_owned(), 8)]),
        set("loopback6", "ipv6_addr", vec![prefix("::1".to_owned(), 128)]),
        set("own4", "ipv4_addr", own.v4.iter().map(|it| json!(it.to_string())).collect()),
        set("own6", "ipv6_addr", own.v6.iter().map(|it| json!(it.to_string())).collect()),
        set(
            "networks4",
            "ipv4_addr",
            networks.v4.iter().map(|it| prefix(it.network().to_string(), it.prefix_len())).collect(),
        ),
        set(
            "networks6",
            "ipv6_addr",
            networks.v6.iter().map(|it| prefix(it.network().to_string(), it.prefix_len())).collect(),
        ),
        set("users", "uid", users.map(|it| json!(it)).collect()),
    ]
}

/// A set of addresses with their ports.
fn place_set(name: &str, address: &str, elements: Vec<Value>) -> Value {
    let mut set = json!({"name": name, "type": [address, "inet_service"]});
    if let (Some(set), false) = (set.as_object_mut(), elements.is_empty()) {
        set.insert("elem".to_owned(), elements.into());
    }
    add("set", set)
}

/// The ways in which something is at a gateway's place: by its port, by its port in one family, by
/// its address and port.
fn at_a_gateway(port: &Value, address: fn(&str) -> Value, rule: impl Fn(Rule) -> Rule) -> Vec<Rule> {
    vec![
        rule(vec![matches(port, "@ports")]),
        rule(vec![family("ipv4"), matches(port, "@ports4")]),
        rule(vec![family("ipv6"), matches(port, "@ports6")]),
        rule(vec![matches(&both(&address("ip"), port), "@doors4")]),
        rule(vec![matches(&both(&address("ip6"), port), "@doors6")]),
    ]
}

/// Rules for packets that go to a gateway.
fn to_a_gateway(rule: impl Fn(Rule) -> Rule) -> Vec<Rule> {
    at_a_gateway(&dport(), daddr, rule)
}

/// Rules for packets that come from one.
fn from_a_gateway(rule: impl Fn(Rule) -> Rule) -> Vec<Rule> {
    at_a_gateway(&sport(), saddr, rule)
}

/// A reset is no answer to a reset, and one that ends a connection of the gateway is welcome.
fn refuse() -> Vec<Rule> {
    vec![vec![flags(&["rst"]), accept()], vec![reject()]]
}

/// Packets to the gateways' ports. Those from this host to its own addresses come in by loopback.
fn door(wall: &Wall) -> Vec<Rule> {
    let mut rules = Vec::new();
    if wall.stance != Stance::Block {
        for (family, loopback, own, networks) in families() {
            rules.push(vec![iifname("lo"), matches(&daddr(family), loopback), accept()]);
            rules.push(vec![iifname("lo"), matches(&daddr(family), own), accept()]);
            rules.push(vec![iifname("@vpn"), matches(&daddr(family), own), accept()]);
            rules.push(vec![matches(&saddr(family), networks), accept()]);
        }
    }
    rules.push(vec![goto("refuse")]);
    rules
}

/// What this host sends.
fn output(wall: &Wall) -> Vec<Rule> {
    let mut rules = Vec::new();
    if let Some(user) = wall.gateway_user {
        rules.push(vec![equals(&skuid(), user), flags(&["syn", "ack"]), jump("answers")]);
    }
    if wall.stance == Stance::Block {
        // Connections that could not be destroyed end with their next packet.
        rules.extend(from_a_gateway(|place| [place, vec![goto("refuse")]].concat()));
    } else if wall.local_users.is_some() {
        rules.extend(to_a_gateway(|place| {
            [vec![oifname("lo")], place, vec![unequal(&skuid(), "@users"), goto("refuse")]].concat()
        }));
    }
    let published =
        |place: Rule| [vec![translated(), direction("original")], place, vec![jump("published")]].concat();
    rules.push(published(vec![l4proto(), matches(&original("proto-dst"), "@ports")]));
    if wall.stance == Stance::Block {
        rules.extend(asked_for_a_shared_port(published));
    }
    rules
}

/// SYN-ACKs of the gateway's user. Without one nobody gets in, and what the gateway asks of others
/// is not touched.
fn answers(wall: &Wall) -> Vec<Rule> {
    let mut rules = Vec::new();
    if wall.stance != Stance::Block {
        for (family, loopback, own, networks) in families() {
            rules.push(vec![oifname("lo"), matches(&saddr(family), loopback), accept()]);
            rules.push(vec![oifname("lo"), matches(&saddr(family), own), accept()]);
            rules.push(vec![oifname("@vpn"), matches(&saddr(family), own), accept()]);
            rules.push(vec![matches(&daddr(family), networks), accept()]);
        }
    }
    rules.push(vec![goto("refuse")]);
    rules
}

/// Packets of this host to a port that is translated, as container engines publish theirs. They
/// pass neither `input` nor `forward`.
fn published(wall: &Wall) -> Vec<Rule> {
    let mut rules = Vec::new();
    if wall.stance != Stance::Block {
        if wall.local_users.is_some() {
            rules.push(vec![unequal(&skuid(), "@users"), goto("refuse")]);
        }
        for (family, loopback, own, networks) in families() {
            let (to, from) = (original(&format!("{family} daddr")), original(&format!("{family} saddr")));
            rules.push(vec![matches(&to, loopback), accept()]);
            rules.push(vec![matches(&to, own), accept()]);
            rules.push(vec![matches(&from, networks), accept()]);
        }
    }
    rules.push(vec![goto("refuse")]);
    rules
}

/// Forwarded connections whose destination has been translated: to a gateway's port, or one that
/// came for it. Answers are seen too, so that live connections end.
///
/// While the circuit is open that is so for the places on shared ports as well: a container engine
/// publishes by translation what it listens for, and what answers may be a guest's own place.
fn by_translated_port(wall: &Wall) -> Vec<Rule> {
    let mut rules = vec![
        vec![direction("original"), matches(&dport(), "@ports"), goto("forwarded")],
        vec![direction("reply"), matches(&sport(), "@ports"), goto("forwarded")],
        vec![l4proto(), matches(&original("proto-dst"), "@ports"), goto("forwarded")],
    ];
    if wall.stance == Stance::Block {
        let forwarded = |place: Rule| [place, vec![goto("forwarded")]].concat();
        for (family, doors) in DOORS {
            let (to, from) = (both(&daddr(family), &dport()), both(&saddr(family), &sport()));
            rules.push(vec![direction("original"), matches(&to, doors), goto("forwarded")]);
            rules.push(vec![direction("reply"), matches(&from, doors), goto("forwarded")]);
        }
        rules.extend(asked_for_a_shared_port(forwarded));
    }
    rules
}

/// The places on shared ports, by family.
const DOORS: [(&str, &str); 2] = [("ip", "@doors4"), ("ip6", "@doors6")];

/// Rules for connections that came for a place on a shared port, whatever that was translated to.
fn asked_for_a_shared_port(rule: impl Fn(Rule) -> Rule) -> Vec<Rule> {
    let mut rules = vec![
        rule(vec![family("ipv4"), l4proto(), matches(&original("proto-dst"), "@ports4")]),
        rule(vec![family("ipv6"), l4proto(), matches(&original("proto-dst"), "@ports6")]),
    ];
    for (family, doors) in DOORS {
        let place = both(&original(&format!("{family} daddr")), &original("proto-dst"));
        rules.push(rule(vec![l4proto(), matches(&place, doors)]));
    }
    rules
}

/// Connections of others through this host.
fn forwarded(wall: &Wall) -> Vec<Rule> {
    let mut rules = Vec::new();
    if wall.stance == Stance::Seal {
        for (family, _, _, networks) in families() {
            rules.push(vec![matches(&original(&format!("{family} saddr")), networks), accept()]);
        }
        rules.push(vec![direction("original"), iifname("@vpn"), accept()]);
        rules.push(vec![direction("reply"), oifname("@vpn"), accept()]);
    }
    rules.push(vec![goto("refuse")]);
    rules
}

/// The families, and the sets of each: loopback, own addresses, networks.
fn families() -> [(&'static str, &'static str, &'static str, &'static str); 2] {
    [("ip", "@loopback4", "@own4", "@networks4"), ("ip6", "@loopback6", "@own6", "@networks6")]
}

fn table() -> Value {
    json!({"table": {"family": "inet", "name": TABLE}})
}

fn add_table() -> Value {
    json!({"add": table()})
}

/// A chain that the kernel asks.
fn base(hook: &str) -> Value {
    add("chain", json!({"name": hook, "type": "filter", "hook": hook, "prio": PRIORITY, "policy": "accept"}))
}

/// Adds something to our table.
fn add(kind: &str, mut what: Value) -> Value {
    if let Some(what) = what.as_object_mut() {
        what.insert("family".to_owned(), "inet".into());
        what.insert("table".to_owned(), TABLE.into());
    }
    json!({"add": {kind: what}})
}
