//! Which addresses to ask for which listener, the most important first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use guardian_rules::address::unmap;
use guardian_rules::fact::{InterfaceAddress, Listener, Role};
use guardian_rules::policy::Policy;
use guardian_rules::snapshot::Snapshot;

/// Why a target is asked, the most important reason first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// On a port that the policy names.
    PolicyPort,
    /// Its process bears the marks of a gateway.
    Gateway,
    /// Its process cannot be named.
    Unnamed,
    /// Its process could carry somebody else's connection.
    Relay,
    /// Another program's, and open to other hosts.
    Beyond,
    /// Another program's, on loopback.
    Loopback,
}

impl Rank {
    /// Asked whatever it said before: a gateway belongs here.
    #[must_use]
    pub fn is_keen(self) -> bool {
        matches!(self, Self::PolicyPort | Self::Gateway)
    }

    /// How long one question may take from the first packet to the last byte.
    ///
    /// A gateway under load, or behind a proxy, may take its time; a host has many listeners that
    /// never answer, and a check must not wait for them.
    #[must_use]
    pub fn patience(self) -> Duration {
        match self {
            Self::PolicyPort | Self::Gateway | Self::Relay => Duration::from_secs(2),
            Self::Unnamed | Self::Beyond | Self::Loopback => Duration::from_millis(600),
        }
    }
}

/// An address to ask, and the listener that is expected to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The address to connect to.
    pub at: SocketAddr,
    /// The listener, as bound.
    pub bound: SocketAddr,
    /// How much the answer matters.
    pub rank: Rank,
    /// The interface that the listener is tied to. It takes connections on that interface's
    /// addresses only; where none is known, a refusal says nothing of what others get.
    pub tied_to: Option<String>,
    /// The interface by which alone a guest of this host is asked; none for this host itself.
    pub through: Option<String>,
}

impl Target {
    /// A container or a virtual machine, behind this interface.
    #[must_use]
    pub fn guest(at: SocketAddr, through: &str) -> Self {
        Self { at, bound: at, rank: Rank::Relay, tied_to: None, through: Some(through.to_owned()) }
    }

    /// An address of this host, whoever listens there.
    #[must_use]
    pub fn own(at: SocketAddr) -> Self {
        Self { at, bound: at, rank: Rank::Relay, tied_to: None, through: None }
    }
}

/// The addresses to ask, each once, the most important first.
///
/// Without any knowledge of listeners these are the policy's ports on every known address and on
/// loopback. A listener bound to an address is asked there; one bound to a wildcard on one address
/// a family, preferring one beyond the allowed networks, and on loopback where that could tell
/// something else. Programs that only other programs of this host reach and that note strangers
/// in their logs are left alone, and so are this process's own sockets on loopback.
#[must_use]
pub fn targets(policy: &Policy, snapshot: &Snapshot) -> Vec<Target> {
    let own = snapshot.interfaces.known().map_or(&[][..], Vec::as_slice);
    let targets = match snapshot.listeners.known() {
        Some(listeners) => Choice::new(policy, snapshot, listeners, own).targets(listeners),
        None => unseen(policy, own),
    };
    let mut best: BTreeMap<(SocketAddr, SocketAddr), Target> = BTreeMap::new();
    for target in targets {
        let known = best.entry((target.at, target.bound)).or_insert_with(|| target.clone());
        if target.rank < known.rank {
            *known = target;
        }
    }
    let mut targets: Vec<Target> = best.into_values().collect();
    targets.sort_by_key(|target| target.rank);
    targets
}

/// An own address as one connects to it: link-local addresses with the interface's number.
#[must_use]
pub(crate) fn reached_at(own: &InterfaceAddress, port: u16) -> SocketAddr {
    match unmap(own.address) {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, own.index.unwrap_or(0)).into()
        }
        ip => SocketAddr::new(ip, port),
    }
}

/// The policy's ports, where nobody knows who listens.
fn unseen(policy: &Policy, own: &[InterfaceAddress]) -> Vec<Target> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    policy
        .ports
        .iter()
        .flat_map(|&port| {
            let own = own.iter().map(move |own| reached_at(own, port));
            own.chain(loopback.map(|ip| SocketAddr::new(ip, port)))
        })
        .map(|at| Target { at, bound: at, rank: Rank::PolicyPort, tied_to: None, through: None })
        .collect()
}

struct Choice<'a> {
    policy: &'a Policy,
    own: &'a [InterfaceAddress],
    roles: HashMap<u32, Role>,
    /// Addresses that a socket is bound to by name: it takes connections there before a wildcard.
    specific: HashSet<(IpAddr, u16)>,
    this_process: u32,
}

impl<'a> Choice<'a> {
    fn new(
        policy: &'a Policy,
        snapshot: &Snapshot,
        listeners: &[Listener],
        own: &'a [InterfaceAddress],
    ) -> Self {
        Self {
            policy,
            own,
            roles: snapshot.owner.known().into_iter().flatten().map(|it| (it.pid, it.role)).collect(),
            specific: listeners
                .iter()
                .filter(|listener| !listener.is_wildcard())
                .map(|listener| (listener.bound.ip(), listener.bound.port()))
                .collect(),
            this_process: std::process::id(),
        }
    }

    fn targets(&self, listeners: &[Listener]) -> Vec<Target> {
        listeners.iter().flat_map(|listener| self.of(listener)).collect()
    }

    fn of(&self, listener: &Listener) -> Vec<Target> {
        if !self.is_asked(listener) {
            return Vec::new();
        }
        self.addresses(listener)
            .into_iter()
            .map(|at| Target {
                at,
                bound: listener.bound,
                rank: self.rank(listener, at),
                tied_to: listener.device.clone(),
                through: None,
            })
            .collect()
    }

    fn is_policy_port(&self, listener: &Listener) -> bool {
        self.policy.ports.contains(&listener.bound.port())
    }

    fn roles(&self, listener: &Listener) -> impl Iterator<Item = Role> {
        listener.owner.pids().iter().map(|pid| self.roles.get(pid).copied().unwrap_or(Role::Unknown))
    }

    fn is_asked(&self, listener: &Listener) -> bool {
        let pids = listener.owner.pids();
        if !listener.is_loopback_only() || self.is_policy_port(listener) || pids.is_empty() {
            return true;
        }
        !pids.contains(&self.this_process) && !self.roles(listener).all(|role| role == Role::OtherService)
    }

    fn rank(&self, listener: &Listener, at: SocketAddr) -> Rank {
        if self.is_policy_port(listener) {
            Rank::PolicyPort
        } else if self.roles(listener).any(|role| role == Role::Gateway) {
            Rank::Gateway
        } else if listener.owner.pids().is_empty() {
            Rank::Unnamed
        } else if self.roles(listener).any(Role::relays) {
            Rank::Relay
        } else if at.ip().is_loopback() {
            Rank::Loopback
        } else {
            Rank::Beyond
        }
    }

    fn addresses(&self, listener: &Listener) -> Vec<SocketAddr> {
        let port = listener.bound.port();
        if !listener.is_wildcard() {
            return vec![self.scoped(listener.bound)];
        }
        let families = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let mut chosen: Vec<SocketAddr> =
            families.into_iter().filter_map(|family| self.one_of(listener, family)).collect();
        let has_loopback = listener.device.is_none() && self.may_answer_otherwise_on_loopback(listener);
        if chosen.is_empty() || has_loopback {
            let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
            chosen.extend(
                loopback
                    .into_iter()
                    .find(|ip| listener.covers(*ip) && !self.specific.contains(&(*ip, port)))
                    .map(|ip| SocketAddr::new(ip, port)),
            );
        }
        chosen
    }

    /// The address of a family on which to ask a wildcard: one that is not allowed if there is
    /// one, the farthest reaching first.
    fn one_of(&self, listener: &Listener, family: IpAddr) -> Option<SocketAddr> {
        let port = listener.bound.port();
        let on_device =
            |own: &&InterfaceAddress| listener.device.as_ref().is_none_or(|it| *it == own.interface);
        self.own
            .iter()
            .filter(|own| unmap(own.address).is_ipv4() == family.is_ipv4())
            .filter(|own| !unmap(own.address).is_loopback() && listener.covers(own.address))
            .filter(|own| !self.specific.contains(&(unmap(own.address), port)))
            .filter(on_device)
            .min_by_key(|own| (self.policy.allows_own(own), Reverse(own.scope())))
            .map(|own| reached_at(own, port))
    }

    /// A gateway trusts loopback more than others, so its two faces are asked both.
    fn may_answer_otherwise_on_loopback(&self, listener: &Listener) -> bool {
        self.is_policy_port(listener)
            || listener.owner.pids().is_empty()
            || self
                .roles(listener)
                .any(|role| matches!(role, Role::Gateway | Role::Client | Role::Runtime | Role::Unknown))
    }

    /// A link-local address as bound, with its interface's number if the socket does not tell it.
    fn scoped(&self, bound: SocketAddr) -> SocketAddr {
        match bound {
            SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => self
                .own
                .iter()
                .find(|own| own.address == bound.ip())
                .map_or(bound, |own| reached_at(own, bound.port())),
            _ => bound,
        }
    }
}

#[cfg(test)]
mod tests;
