//! What kind of address the gate is to listen at: only some are ever allowed.

use std::net::SocketAddr;

use guardian_probes::interfaces;
use guardian_rules::address::{Scope, scope};
use guardian_rules::fact::InterfaceAddress;

use super::ListenError;
use crate::gate::leave::Leaves;

/// What kind of address it is to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Loopback,
    /// Of a VPN's card: its name, and its number.
    Vpn(String, Option<u32>),
    /// Of another card, but allowed in the policy.
    Allowed,
}

/// What kind of address it is, none while no card has it; an error where others could reach it and nothing allows
/// them to.
pub(super) fn place(at: SocketAddr, networks: &Leaves) -> Result<Option<Place>, ListenError> {
    let ip = at.ip().to_canonical();
    if ip.is_unspecified() || ip.is_loopback() {
        return place_on(at, &[], networks);
    }
    let cards = interfaces::read().map_err(|why| ListenError::Blind { at, why: why.to_string() })?;
    place_on(at, &cards, networks)
}

/// The same of a host that has these cards.
pub(super) fn place_on(
    at: SocketAddr,
    cards: &[InterfaceAddress],
    networks: &Leaves,
) -> Result<Option<Place>, ListenError> {
    let ip = at.ip().to_canonical();
    if ip.is_unspecified() {
        return Err(ListenError::Wildcard(at));
    }
    if ip.is_loopback() {
        return Ok(Some(Place::Loopback));
    }
    match cards.iter().find(|card| card.is_at(at)) {
        Some(card) if card.scope() == Scope::Vpn => Ok(Some(Place::Vpn(card.interface.clone(), card.index))),
        Some(_) if networks.cover(ip) => Ok(Some(Place::Allowed)),
        None if networks.cover(ip) => Ok(None),
        // On no card whatever would such a one be a VPN's.
        None if scope("", ip) != Scope::Global => Ok(None),
        _ => Err(ListenError::Beyond(at)),
    }
}
