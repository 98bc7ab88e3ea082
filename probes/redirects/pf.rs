//! What `pfctl -s nat` prints on macOS: pfctl(8), pf.conf(5).
//!
//! ```text
//! rdr pass on en0 inet proto tcp from any to any port = 8080 -> 127.0.0.1 port 18789
//! ```
//!
//! pfctl spells out lists: a rule for two interfaces is two rules here.

use std::net::IpAddr;

use guardian_rules::fact::Redirect;
use ipnet::IpNet;

use super::condition::{Conditions, Target, addresses_of};

/// Anchors looked into; more is blind.
pub const MAX_ANCHORS: usize = 128;

/// `pfctl -s info`: pf is off, and its rules without effect. None if it does not say.
#[must_use]
pub fn is_off(info: &str) -> Option<bool> {
    let status = info.lines().find_map(|line| line.trim().strip_prefix("Status: "))?;
    match status.split_whitespace().next()? {
        "Enabled" => Some(false),
        "Disabled" => Some(true),
        _ => None,
    }
}

/// `pfctl -v -s Anchors`: every anchor by its path.
#[must_use]
pub fn anchors(listed: &str) -> Vec<String> {
    let is_path = |name: &&str| !name.is_empty() && !name.starts_with('-') && !name.contains('*');
    listed.lines().map(str::trim).filter(is_path).map(str::to_owned).collect()
}

/// The redirects among the translation rules of an anchor; the main ruleset's has no name.
#[must_use]
pub fn redirects(anchor: &str, rules: &str) -> Vec<Redirect> {
    rules.lines().flat_map(|line| redirect(anchor, line.trim())).collect()
}

fn redirect(anchor: &str, rule: &str) -> Vec<Redirect> {
    let words: Vec<&str> = rule.split_whitespace().collect();
    let Some(kind @ ("rdr" | "binat")) = words.first().copied() else { return Vec::new() };
    let arrow = words.iter().position(|word| *word == "->");
    let (given, to) = words.split_at(arrow.unwrap_or(words.len()));
    let after = |name: &str| {
        let place = given.iter().position(|word| *word == name)?;
        given.get(place + 1).copied()
    };
    if after("proto").is_some_and(|protocol| !matches!(protocol, "tcp" | "6")) {
        return Vec::new();
    }
    let mut conditions = Conditions::default();
    conditions.on.extend(after("on").filter(|name| *name != "!").map(str::to_owned));
    let network = |name: &str| {
        let text = after(name)?;
        text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    let targets = if kind == "rdr" {
        conditions.from.extend(network("from"));
        conditions.at = network("to").and_then(addresses_of).unwrap_or_default();
        conditions.ports.extend(arriving_port(given));
        arrow.and_then(|_| rdr_targets(to))
    } else {
        // What comes to the address behind the arrow is sent to the one that it stands for.
        let inside = network("from").and_then(addresses_of);
        inside.map(|ips| ips.into_iter().map(|ip| Target { ip: Some(ip), ports: None }).collect())
    };
    let place = if anchor.is_empty() { "pf".to_owned() } else { format!("pf {anchor}") };
    conditions.redirects(targets, &format!("{place}: {rule}"))
}

/// `to any port = 8080`, `to any port 8000:8010`; none for any, or what is not understood.
fn arriving_port(given: &[&str]) -> Option<(u16, u16)> {
    let to = given.iter().position(|word| *word == "to")?;
    let behind = given.get(to..)?;
    let at = behind.iter().position(|word| *word == "port")?;
    match behind.get(at + 1..)? {
        ["=", port, ..] => port.parse().ok().map(|port| (port, port)),
        [range, ..] if range.contains(':') => super::condition::ports(range),
        _ => None,
    }
}

/// `-> 127.0.0.1 port 18789`, `-> { 10.0.0.1, 10.0.0.2 } port 80 round-robin`, `-> 10.0.0.0/30`.
fn rdr_targets(to: &[&str]) -> Option<Vec<Target>> {
    let behind = to.get(1..)?;
    let (told, rest) = match behind {
        ["{", rest @ ..] => {
            let end = rest.iter().position(|word| *word == "}")?;
            rest.split_at(end)
        }
        [one, rest @ ..] => (std::slice::from_ref(one), rest),
        [] => return None,
    };
    let mut ips = Vec::new();
    for text in told {
        let text = text.trim_end_matches(',');
        // `(en0)`: whatever address that interface has.
        if text.starts_with('(') {
            ips.push(None);
            continue;
        }
        let network: IpNet = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
        ips.extend(addresses_of(network)?.into_iter().map(Some));
    }
    let ports = match rest.iter().position(|word| *word == "port") {
        None => None,
        Some(at) => {
            let text = rest.get(at + 1)?;
            // `18000:*` is shifted from where the range begins, as far as that goes.
            Some(match text.strip_suffix(":*") {
                Some(first) => (first.parse().ok()?, u16::MAX),
                None => super::condition::ports(text)?,
            })
        }
    };
    Some(ips.into_iter().map(|ip| Target { ip, ports }).collect())
}

#[cfg(test)]
mod tests;
