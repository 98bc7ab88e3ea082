//! What a connection must be like for a rule to apply, as far as that is understood for certain.
//!
//! Whatever is not understood, and whatever says what a connection must not be like, is left out:
//! the rule is then taken to apply to more than it does.

use std::net::{IpAddr, Ipv4Addr};

use guardian_rules::fact::{Destination, Redirect};
use ipnet::IpNet;

use crate::line::line;

/// Every port that a connection can go to.
pub(super) const ANY_PORT: (u16, u16) = (1, u16::MAX);

/// More addresses than this are not told apart.
const MAX_RANGE: u32 = 64;

/// The conditions of a rule, and of the jumps that lead to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    /// Interfaces; any if empty.
    pub(super) on: Vec<String>,
    /// Addresses to which the connection comes; any if empty.
    pub(super) at: Vec<IpAddr>,
    /// Networks from which it comes; any if empty.
    pub(super) from: Vec<IpNet>,
    /// Ports to which it comes; any if empty.
    pub(super) ports: Vec<(u16, u16)>,
}

impl Conditions {
    /// These, and those of the rule that a jump leads to. Of two of a kind the inner one is kept:
    /// what satisfies both satisfies it.
    pub(super) fn and(&self, inner: Self) -> Self {
        fn either<T: Clone>(inner: Vec<T>, outer: &[T]) -> Vec<T> {
            if inner.is_empty() { outer.to_vec() } else { inner }
        }
        Self {
            on: either(inner.on, &self.on),
            at: either(inner.at, &self.at),
            from: either(inner.from, &self.from),
            ports: either(inner.ports, &self.ports),
        }
    }

    /// What a rule with these conditions does, target by target.
    pub(super) fn redirects(&self, targets: Option<Vec<Target>>, text: &str) -> Vec<Redirect> {
        let redirect = |to| Redirect {
            to,
            arriving_at: self.at.clone(),
            arriving_on: self.on.clone(),
            from: self.from.clone(),
            guest: None,
            text: line(text),
        };
        let Some(targets) = targets else { return vec![redirect(None)] };
        let mut destinations: Vec<Destination> = targets
            .into_iter()
            .flat_map(|target| {
                let ip = target.ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
                let ports = match target.ports {
                    Some(ports) => vec![ports],
                    None if self.ports.is_empty() => vec![ANY_PORT],
                    None => self.ports.clone(),
                };
                ports.into_iter().map(move |ports| Destination { ip, ports })
            })
            .collect();
        destinations.sort_unstable();
        destinations.dedup();
        destinations.into_iter().map(|to| redirect(Some(to))).collect()
    }
}

/// Where a rule sends connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// The address; none for the one that they come to, which is then this host's.
    pub(super) ip: Option<IpAddr>,
    /// The ports; none for the one that they come to.
    pub(super) ports: Option<(u16, u16)>,
}

/// The addresses from one to another, if they are few.
pub(super) fn addresses(first: IpAddr, last: IpAddr) -> Option<Vec<IpAddr>> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let few = last.to_bits().checked_sub(first.to_bits())? < MAX_RANGE;
            few.then(|| (first.to_bits()..=last.to_bits()).map(|it| Ipv4Addr::from_bits(it).into()).collect())
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let few = last.to_bits().checked_sub(first.to_bits())? < u128::from(MAX_RANGE);
            few.then(|| {
                (first.to_bits()..=last.to_bits())
                    .map(|it| std::net::Ipv6Addr::from_bits(it).into())
                    .collect()
            })
        }
        _ => None,
    }
}

/// The addresses of a network, if they are few.
pub(super) fn addresses_of(network: IpNet) -> Option<Vec<IpAddr>> {
    addresses(network.network(), network.broadcast())
}

/// Ports as people and programs write ranges: `80`, `80-90`, `80:90`.
pub(super) fn ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once(['-', ':']).unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}
