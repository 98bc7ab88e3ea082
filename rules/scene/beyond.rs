//! Where a socket is open to more than the allowed networks.

use std::net::SocketAddr;

use crate::address::{Scope, without_alias};
use crate::fact::{Attribution, InterfaceAddress, Listener, ReachAnswer, Reached};
use crate::policy::Policy;
use crate::snapshot::Snapshot;

/// The addresses outside the allowed networks on which a socket takes connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beyond {
    /// These, with how far each reaches; none if all is allowed.
    Addresses(Vec<(InterfaceAddress, Scope)>),
    /// It cannot be told; why.
    Unknown(String),
}

impl Beyond {
    /// It is known that every address is allowed.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Addresses(addresses) if addresses.is_empty())
    }

    /// This address is among them, or could be.
    #[must_use]
    pub fn may_have(&self, own: &InterfaceAddress) -> bool {
        match self {
            Self::Addresses(addresses) => addresses.iter().any(|(address, _)| address == own),
            Self::Unknown(_) => true,
        }
    }
}

/// Where a socket is open beyond what the policy allows.
pub(super) fn beyond(policy: &Policy, snapshot: &Snapshot, listener: &Listener) -> Beyond {
    let own = snapshot.interfaces.known().map(Vec::as_slice);
    if listener.is_wildcard() {
        of_wildcard(policy, own, listener)
    } else {
        of_address(policy, snapshot, own, listener)
    }
}

/// Whether an address that no interface has takes anything that is sent there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is none of this host's: a VPN that is down has taken its address along.
    Absent,
    /// It may be one: whoever binds with `IP_FREEBIND` waits for it.
    Perhaps,
    /// Nobody has looked.
    Unknown,
}

/// Seen now, an absent address clears; seen earlier, it leaves open what is there by now.
pub(super) fn presence(snapshot: &Snapshot, at: SocketAddr) -> Presence {
    let is_absent = |answers: &Vec<ReachAnswer>| {
        answers.iter().any(|answer| answer.at == at && answer.reached == Reached::Absent)
    };
    match (snapshot.reach.seen(), snapshot.reach.known()) {
        (Some(answers), _) if is_absent(answers) => Presence::Absent,
        (None, Some(answers)) if is_absent(answers) => Presence::Unknown,
        (_, None) => Presence::Unknown,
        _ => Presence::Perhaps,
    }
}

/// Where a socket on this address would be open beyond what the policy allows.
pub(super) fn of_bound(policy: &Policy, snapshot: &Snapshot, bound: SocketAddr) -> Beyond {
    let nobody = Attribution::Named(Vec::new());
    let listener = Listener { bound, dual_stack: false, device: None, uid: None, socket: 0, owner: nobody };
    beyond(policy, snapshot, &listener)
}

/// How far a gateway would be open on the wildcard: on every address of the host.
pub(super) fn of_every_address(policy: &Policy, snapshot: &Snapshot) -> Beyond {
    match snapshot.interfaces.known() {
        Some(own) => outside(policy, own.iter()),
        None => unknown_addresses(),
    }
}

fn of_wildcard(policy: &Policy, own: Option<&[InterfaceAddress]>, listener: &Listener) -> Beyond {
    let Some(own) = own else { return unknown_addresses() };
    if let Some(device) = &listener.device
        && !own.iter().any(|address| is_on(address, device))
    {
        // A bridge or a VRF takes the packets of other interfaces.
        return Beyond::Unknown(format!("no address of {device}, to which it is tied, is known"));
    }
    outside(
        policy,
        own.iter().filter(|address| listener.covers(address.address) && may_enter(listener, address)),
    )
}

fn of_address(
    policy: &Policy,
    snapshot: &Snapshot,
    own: Option<&[InterfaceAddress]>,
    listener: &Listener,
) -> Beyond {
    let held: Vec<&InterfaceAddress> = own
        .into_iter()
        .flatten()
        .filter(|address| address.is_at(listener.bound) && may_enter(listener, address))
        .collect();
    if !held.is_empty() {
        return outside(policy, held.into_iter());
    }
    let ip = listener.bound.ip();
    // An address that no interface has (freshly removed, or bound with IP_FREEBIND) is judged by
    // itself, as on an ordinary interface.
    let lone = InterfaceAddress {
        interface: listener.device.clone().unwrap_or_default(),
        index: None,
        address: ip,
        prefix: if ip.is_ipv4() { 32 } else { 128 },
        tunnel: false,
    };
    if own.is_none() && lone.scope() < Scope::Global && !policy.allows_own(&lone) {
        return Beyond::Unknown(format!("which interface has {ip} is not known: it may be a VPN's"));
    }
    match outside(policy, std::iter::once(&lone)) {
        allowed if allowed.is_none() => allowed,
        outside => match presence(snapshot, listener.bound) {
            Presence::Absent => Beyond::Addresses(Vec::new()),
            Presence::Perhaps => outside,
            Presence::Unknown => Beyond::Unknown(format!("whether this host still has {ip} is not known")),
        },
    }
}

fn outside<'a>(policy: &Policy, addresses: impl Iterator<Item = &'a InterfaceAddress>) -> Beyond {
    let mut addresses: Vec<(InterfaceAddress, Scope)> = addresses
        .filter(|address| !policy.allows_own(address))
        .map(|address| (address.clone(), address.scope()))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Beyond::Addresses(addresses)
}

fn unknown_addresses() -> Beyond {
    Beyond::Unknown("the addresses of this host are not known".to_owned())
}

/// The socket is not tied to another interface.
fn may_enter(listener: &Listener, address: &InterfaceAddress) -> bool {
    listener.device.as_ref().is_none_or(|device| is_on(address, device))
}

/// An alias, `eth0:1`, is a second address of its interface.
fn is_on(address: &InterfaceAddress, device: &str) -> bool {
    address.interface == device || without_alias(&address.interface) == device
}
