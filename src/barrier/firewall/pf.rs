//! The rules for macOS: an anchor of our own, as the text that `pfctl -f -` reads.
//!
//! Grammar as in pf.conf(5). The anchor is `com.guardian`; no other one is named anywhere. Lists
//! are written out, a rule a line, so that as many rules are read back as were sent.
//!
//! What differs from Linux: pf matches interfaces by their whole name alone, so every rule that
//! names tunnels is made anew when they change; packets that this Mac forwards to a port of the
//! same number on another host are refused too, for `self` would leave out addresses that come
//! later. Rules keep no state: the next application then holds for live connections as well.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::wall::{Stance, Wall};
use guardian_probes::command::Tool;

pub(crate) mod concern;
pub(crate) mod said;
#[cfg(test)]
mod tests;

/// The name of our anchor.
pub(crate) const ANCHOR: &str = "com.guardian";

/// The rules of a wall, a line each.
pub(crate) fn rules(wall: &Wall) -> String {
    let mut rules = Rules(String::new());
    for place in places(wall) {
        let Place { family, port, .. } = &place;
        let at = place.address();
        let (to, from) = (format!("from any to {at}{port}"), format!("from {at}{port} to any"));
        // A reset that ends a connection of the gateway is welcome.
        rules.add(&format!("pass in quick{family} proto tcp {to} flags R/R no state"));
        if wall.stance == Stance::Block {
            // Live connections end with the gateway's next packet.
            rules.add(&format!("pass out quick{family} proto tcp {from} flags R/R no state"));
            rules.add(&format!("block return out quick{family} proto tcp {from}"));
        } else if let Some(users) = &wall.local_users {
            for user in users {
                rules.add(&format!("pass out quick on lo0{family} proto tcp {to} user {user} no state"));
            }
            // Nothing here ends a connection at the gateway's end too: one that the seal refused
            // halfway would leave the gateway connected with nobody. After a block none is left.
            let first = if wall.stance == Stance::Seal { " flags S/SA" } else { "" };
            rules.add(&format!("block return out quick on lo0{family} proto tcp {to}{first}"));
        }
        rules.allowed(wall, &place, "");
        rules.add(&format!("block return in quick{family} proto tcp {to}"));
    }
    if let Some(user) = wall.gateway_user {
        // For what comes in, `user` is whoever listens. Only the first packet is looked at: the
        // answers to what the gateway has asked of others belong to its user too.
        let user = format!(" user {user} flags S/SA");
        rules.allowed(wall, &Place { family: "", at: None, port: String::new() }, &user);
        rules.add(&format!("block return in quick proto tcp from any to any{user}"));
    }
    rules.0
}

/// A gateway's place, in the words of pf.conf(5).
struct Place {
    /// ` inet` or ` inet6`, if it is of one family.
    family: &'static str,
    /// Its address; none for any.
    at: Option<IpAddr>,
    /// ` port = 80`, or nothing.
    port: String,
}

impl Place {
    fn address(&self) -> String {
        self.at.map_or_else(|| "any".to_owned(), |at| at.to_string())
    }
}

fn places(wall: &Wall) -> Vec<Place> {
    let every = |ports: &BTreeSet<u16>, family| {
        let spans = spans(ports).into_iter();
        spans.map(move |span| Place { family, at: None, port: format!(" port {span}") })
    };
    let exact =
        |at: IpAddr, port: u16, family| Place { family, at: Some(at), port: format!(" port = {port}") };
    let (v4, v6) = wall.places();
    every(&wall.ports, "")
        .chain(every(&v4.ports, " inet"))
        .chain(every(&v6.ports, " inet6"))
        .chain(v4.exact.iter().map(|(at, port)| exact((*at).into(), *port, " inet")))
        .chain(v6.exact.iter().map(|(at, port)| exact((*at).into(), *port, " inet6")))
        .collect()
}

struct Rules(String);

impl Rules {
    fn add(&mut self, rule: &str) {
        self.0.push_str(rule);
        self.0.push('\n');
    }

    /// What comes through to a place, under a further condition (or none). Packets from this host to
    /// its own addresses come in by loopback.
    fn allowed(&mut self, wall: &Wall, place: &Place, condition: &str) {
        if wall.stance == Stance::Block {
            return;
        }
        let Place { family: only, at, port } = place;
        let mut pass = |on: &str, from: &str, to: &str, v6: bool| {
            let family = if v6 { " inet6" } else { " inet" };
            if only.is_empty() || family == *only {
                self.add(&format!(
                    "pass in quick{on}{family} proto tcp from {from} to {to}{port}{condition} no state"
                ));
            }
        };
        match at {
            None => {
                pass(" on lo0", "any", "127.0.0.0/8", false);
                pass(" on lo0", "any", "::1", true);
            }
            Some(at) if at.is_loopback() => pass(" on lo0", "any", &at.to_string(), at.is_ipv6()),
            Some(_) => {}
        }
        let own = wall.own();
        let own = own.v4.into_iter().map(IpAddr::V4).chain(own.v6.into_iter().map(IpAddr::V6));
        for own in own.filter(|own| at.is_none_or(|at| at == *own)) {
            let (to, v6) = (own.to_string(), own.is_ipv6());
            pass(" on lo0", "any", &to, v6);
            for tunnel in wall.tunnels() {
                pass(&format!(" on {tunnel}"), "any", &to, v6);
            }
        }
        let networks = wall.networks();
        for network in networks.v4 {
            pass("", &network.to_string(), &place.address(), false);
        }
        for network in networks.v6 {
            pass("", &network.to_string(), &place.address(), true);
        }
    }
}

/// Ports as pf.conf(5) writes them, neighbours together: `80`, `1000:1999`.
fn spans(ports: &BTreeSet<u16>) -> Vec<String> {
    let mut spans: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match spans.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*port) => *last = *port,
            _ => spans.push((*port, *port)),
        }
    }
    spans.iter().map(|(a, b)| if a == b { format!("= {a}") } else { format!("{a}:{b}") }).collect()
}

/// Puts rules into our anchor, in place of what it holds. They are not to be rearranged.
pub(crate) fn load(rules: &str) -> Tool {
    pfctl(&["-a", ANCHOR, "-o", "none", "-f", "-"]).with_input(with_an_end(rules))
}

/// Only reads rules. Nothing is changed.
pub(crate) fn check(rules: &str) -> Tool {
    pfctl(&["-n", "-a", ANCHOR, "-o", "none", "-f", "-"]).with_input(with_an_end(rules))
}

/// An anchor without rules is loaded from an empty line: a tool without input is given none at all.
fn with_an_end(rules: &str) -> String {
    if rules.is_empty() { "\n".to_owned() } else { rules.to_owned() }
}

/// Shows the rules in our anchor.
pub(crate) fn list() -> Tool {
    pfctl(&["-a", ANCHOR, "-s", "rules"])
}

/// Takes the rules out of our anchor.
pub(crate) fn flush() -> Tool {
    pfctl(&["-a", ANCHOR, "-F", "rules"])
}

/// Shows the main ruleset, where anchors are attached.
pub(crate) fn list_main() -> Tool {
    pfctl(&["-s", "rules"])
}

/// Shows whether pf is enabled.
pub(crate) fn info() -> Tool {
    pfctl(&["-s", "info"])
}

/// Enables pf by a reference, and prints its token.
pub(crate) fn enable() -> Tool {
    pfctl(&["-E"])
}

/// Shows the references by which pf is enabled.
pub(crate) fn references() -> Tool {
    pfctl(&["-s", "References"])
}

/// Gives a reference back. With the last one pf stops.
pub(crate) fn release(token: &str) -> Tool {
    pfctl(&["-X", token])
}

fn pfctl(arguments: &[&str]) -> Tool {
    Tool::new("/sbin/pfctl", arguments.iter().copied())
}
