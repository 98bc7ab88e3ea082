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

use super::wall::{Stance, Wall};
use crate::sys::command::Tool;

pub(crate) mod concern;
pub(crate) mod said;
#[cfg(test)]
mod tests;

/// The name of our anchor.
pub(crate) const ANCHOR: &str = "com.guardian";

/// The rules of a wall, a line each.
pub(crate) fn rules(wall: &Wall) -> String {
    let mut rules = Rules(String::new());
    let ports: Vec<String> = spans(&wall.ports).into_iter().map(|span| format!(" port {span}")).collect();
    for port in &ports {
        // A reset that ends a connection of the gateway is welcome.
        rules.add(&format!("pass in quick proto tcp from any to any{port} flags R/R no state"));
        if wall.stance == Stance::Block {
            // Live connections end with the gateway's next packet.
            rules.add(&format!("pass out quick proto tcp from any{port} to any flags R/R no state"));
            rules.add(&format!("block return out quick proto tcp from any{port} to any"));
        } else if let Some(users) = &wall.local_users {
            for user in users {
                rules.add(&format!(
                    "pass out quick on lo0 proto tcp from any to any{port} user {user} no state"
                ));
            }
            rules.add(&format!("block return out quick on lo0 proto tcp from any to any{port}"));
        }
        rules.allowed(wall, port, "");
        rules.add(&format!("block return in quick proto tcp from any to any{port}"));
    }
    if let Some(user) = wall.gateway_user {
        // For what comes in, `user` is whoever listens. Only the first packet is looked at: the
        // answers to what the gateway has asked of others belong to its user too.
        let user = format!(" user {user} flags S/SA");
        rules.allowed(wall, "", &user);
        rules.add(&format!("block return in quick proto tcp from any to any{user}"));
    }
    rules.0
}

struct Rules(String);

impl Rules {
    fn add(&mut self, rule: &str) {
        self.0.push_str(rule);
        self.0.push('\n');
    }

    /// What comes through to a port (or to any), under a further condition (or none). Packets from
    /// this host to its own addresses come in by loopback.
    fn allowed(&mut self, wall: &Wall, port: &str, condition: &str) {
        if wall.stance == Stance::Block {
            return;
        }
        let mut pass = |on: &str, from: &str, to: &str| {
            let family = if format!("{from}{to}").contains(':') { "inet6" } else { "inet" };
            self.add(&format!(
                "pass in quick{on} {family} proto tcp from {from} to {to}{port}{condition} no state"
            ));
        };
        pass(" on lo0", "any", "127.0.0.0/8");
        pass(" on lo0", "any", "::1");
        let own = wall.own();
        let own = own.v4.iter().map(ToString::to_string).chain(own.v6.iter().map(ToString::to_string));
        for own in own {
            pass(" on lo0", "any", &own);
            for tunnel in wall.tunnels() {
                pass(&format!(" on {tunnel}"), "any", &own);
            }
        }
        let networks = wall.networks();
        let v6 = networks.v6.iter().map(ToString::to_string);
        for network in networks.v4.iter().map(ToString::to_string).chain(v6) {
            pass("", &network, "any");
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
