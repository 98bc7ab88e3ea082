//! Somebody from outside the allowed networks is connected to a gateway.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::address::unmap;
use crate::catalog::Rule;
use crate::fact::{Origin, Peer};
use crate::finding::Finding;
use crate::scene::{Part, Scene};

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let mut foreign: BTreeMap<IpAddr, Vec<SocketAddr>> = BTreeMap::new();
    let mut doubtful = BTreeMap::new();
    for peer in scene.peers() {
        if peer.origin != Origin::Elsewhere || allowed(scene, peer) || is_anothers(scene, peer) {
            continue;
        }
        match scene.arrives_at(peer.gateway) {
            // What is left of a VPN that is down: nothing that is sent there arrives.
            Some(false) => {}
            Some(true) => foreign.entry(peer.remote.ip()).or_default().push(peer.gateway),
            None => {
                doubtful.insert(peer.remote.ip(), peer.gateway);
            }
        }
    }
    doubtful.retain(|remote, _| !foreign.contains_key(remote));
    let proven = foreign.into_iter().map(|(remote, gateways)| {
        let count = gateways.len();
        let at = gateways.first().map(SocketAddr::to_string).unwrap_or_default();
        let connections =
            if count == 1 { "one connection".to_owned() } else { format!("{count} connections") };
        rule.yes(&remote, vec![format!("{remote} has {connections} to the gateway's port at {at}")])
    });
    let perhaps = doubtful.into_iter().map(|(remote, at)| {
        let connected = format!("{remote} was connected to the gateway's port at {at}");
        rule.unknown(
            &remote,
            vec![connected, "whether this host still has that address is not known".to_owned()],
        )
    });
    proven.chain(perhaps).collect()
}

/// Within a VPN, when the gateway's end is an address of the VPN and the other end is no neighbour on a
/// card's network; else when the owner has named the network. A stranger at a loopback address came through a redirect, which lets in whomever
/// it lets in: never allowed.
fn allowed(scene: &Scene<'_>, peer: &Peer) -> bool {
    let own = peer.gateway.ip();
    let remote = peer.remote.ip();
    !unmap(own).is_loopback() && (scene.comes_by_vpn(own, remote) || scene.policy.names(remote))
}

/// The port is one that the policy names, and a program holds it that is no gateway. A connection
/// whose listener is gone may have been made to a gateway.
fn is_anothers(scene: &Scene<'_>, peer: &Peer) -> bool {
    let doors = scene.doors_at(peer.gateway);
    !doors.is_empty() && doors.iter().all(|door| door.part == Part::Unrelated)
}
