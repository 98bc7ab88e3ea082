//! More connections than are reported one by one.

use std::collections::BTreeSet;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Origin, Peer};

use super::admission::Admission;

/// As many connections as a gateway may have.
pub(super) const MAX_PEERS: usize = 4096;

/// The peers within the limit.
///
/// Beyond it, connections from one host, and here from one process, to one address of a gateway
/// count once. If that does not help, a list that accuses somebody is handed over cut, the accused first: whoever is
/// left out could only have made the verdict worse than the worst. A list that accuses nobody is
/// not: whoever is left out could have.
pub(super) fn within_limit(mut peers: Vec<Peer>, admission: &Admission) -> Result<Vec<Peer>, Blindness> {
    if peers.len() <= MAX_PEERS {
        return Ok(peers);
    }
    let total = peers.len();
    let mut seen = BTreeSet::new();
    peers.retain(|peer| {
        let holders = match &peer.origin {
            Origin::Elsewhere => Vec::new(),
            Origin::Here { owner, .. } => owner.pids().to_vec(),
        };
        seen.insert((peer.gateway, peer.remote.ip(), holders))
    });
    let accuses = |peer: &Peer| {
        peer.origin == Origin::Elsewhere && !admission.admits(peer.gateway.ip(), peer.remote.ip())
    };
    peers.sort_by_key(|peer| !accuses(peer));
    if peers.len() > MAX_PEERS && !peers.first().is_some_and(accuses) {
        return Err(Blindness::new(
            Cause::TooMuch,
            format!("{total} connections to gateways are more than can be looked at"),
        ));
    }
    peers.truncate(MAX_PEERS);
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use guardian_rules::policy::{AllowedNetwork, Policy};

    use super::*;

    /// Admits 10.0.0.0/8.
    fn admission() -> Admission {
        let allowed = AllowedNetwork { network: "10.0.0.0/8".parse().unwrap(), reason: "kiosks".into() };
        let policy = Policy { networks: vec![allowed], ..Policy::default() };
        Admission::new(Arc::new(policy), &[])
    }

    fn peer(remote: &str) -> Peer {
        Peer {
            gateway: "10.0.0.1:18789".parse().unwrap(),
            remote: remote.parse().unwrap(),
            origin: Origin::Elsewhere,
        }
    }

    fn hosts(count: u32) -> Vec<Peer> {
        (0..count).map(|n| peer(&format!("{}:1000", std::net::Ipv4Addr::from(0x0a01_0000 + n)))).collect()
    }

    #[test]
    fn a_host_with_thousands_of_connections_hides_nobody() {
        let mut peers: Vec<Peer> = (1..=5000).map(|port| peer(&format!("10.0.0.7:{port}"))).collect();
        peers.push(peer("192.0.2.1:1"));
        let kept = within_limit(peers, &admission()).unwrap();
        assert_eq!(
            kept.iter().map(|peer| peer.remote.ip().to_string()).collect::<Vec<_>>(),
            ["192.0.2.1", "10.0.0.7"]
        );
    }

    #[test]
    fn an_accused_host_is_never_cut_off() {
        let mut peers = hosts(5000);
        peers.push(peer("192.0.2.1:1"));
        let kept = within_limit(peers, &admission()).unwrap();
        assert_eq!(kept.len(), MAX_PEERS);
        assert_eq!(kept[0].remote.ip().to_string(), "192.0.2.1");
    }

    #[test]
    fn a_crowd_that_accuses_nobody_is_too_much() {
        assert_eq!(within_limit(hosts(5000), &admission()).unwrap_err().cause, Cause::TooMuch);
    }

    #[test]
    fn a_list_within_the_limit_is_left_alone() {
        assert_eq!(within_limit(hosts(10), &admission()).unwrap(), hosts(10));
    }
}
