//! Proxies of which it is not wholly known where they lead. A proxy answers by the name that it is asked for: what it says to
//! a bare address tells nothing of its other sites.
//!
//! While Guardian's own packet filter keeps a proxy from every way to a gateway, it leads to none, whatever it is told.

use std::collections::{BTreeMap, BTreeSet};

use super::{Door, Part};
use crate::fact::{Instructions, Origin, Process, Reply, Role, Seal};
use crate::snapshot::Snapshot;

const WHY: &str = "its program is a proxy, and where it leads by other names or paths cannot all be told: its \
                   configuration is not read, or was changed since";

/// Makes doubtful what may carry a gateway beyond the allowed networks. All ports of such proxies, those on loopback
/// included.
pub(super) fn doubt(
    snapshot: &Snapshot,
    processes: &BTreeMap<u32, &Process>,
    doors: &[Door<'_>],
    parts: &mut [Part],
    leading: &BTreeSet<u16>,
) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    let is_gateway = |part: &Part| matches!(part, Part::Gateway | Part::PerhapsGateway(_));
    let Some(told) = snapshot.routes.known().filter(|_| parts.iter().any(is_gateway)) else { return ports };
    for (door, part) in doors.iter().zip(parts) {
        let proxy = Proxy { snapshot, processes, door };
        if *part == Part::Unrelated && proxy.is_vague(told) && !proxy.is_kept_from(leading) {
            ports.insert(door.listener.bound.port());
            if !door.beyond.is_none() {
                *part = Part::Doubtful(WHY.to_owned());
            }
        }
    }
    ports
}

struct Proxy<'s, 'a> {
    snapshot: &'s Snapshot,
    processes: &'s BTreeMap<u32, &'a Process>,
    door: &'s Door<'a>,
}

impl Proxy<'_, '_> {
    fn pids(&self) -> &[u32] {
        self.door.listener.owner.pids()
    }

    /// It speaks HTTP, or hangs up on who names no site.
    fn is_vague(&self, told: &Instructions) -> bool {
        let port = self.door.listener.bound.port();
        let vague =
            |pid: &u32| told.vague.contains(&(*pid, None)) || told.vague.contains(&(*pid, Some(port)));
        let outspoken = self.snapshot.routes.seen().is_some()
            && self.pids().iter().all(|pid| told.outspoken.contains(pid));
        let may_carry = |reply: &Reply| matches!(reply, Reply::Http(_) | Reply::Closed);
        self.pids().iter().any(vague)
            && !outspoken
            && self.door.panel.iter().any(|answer| may_carry(&answer.reply))
    }

    /// Nobody who carries here gets to any port by which one comes to a gateway.
    fn is_kept_from(&self, leading: &BTreeSet<u16>) -> bool {
        let (Some(seal), Some(peers)) = (&self.snapshot.seal, self.snapshot.peers.seen()) else {
            return false;
        };
        let guests = self.snapshot.routes.known().into_iter().flat_map(|told| &told.to_guests);
        let is_attached = |origin: &Origin| match origin {
            Origin::Here { owner, .. } => {
                owner.pids().is_empty() || owner.pids().iter().any(|pid| self.pids().contains(pid))
            }
            Origin::Elsewhere => false,
        };
        leading.is_subset(&seal.ports)
            && self.is_of_outsiders(seal)
            && !peers.iter().any(|peer| is_attached(&peer.origin))
            && !guests.into_iter().any(|(_, guest)| guest.is_gateway())
    }

    /// None of its processes is admitted; a master of root's opens the socket for workers, and carries nothing itself.
    fn is_of_outsiders(&self, seal: &Seal) -> bool {
        let holders: Option<Vec<&Process>> =
            self.pids().iter().map(|pid| self.processes.get(pid).copied()).collect();
        let Some(holders) = holders else { return false };
        let (masters, workers): (Vec<&Process>, Vec<&Process>) =
            holders.iter().partition(|it| it.uid == Some(0));
        let is_outside = |it: &Process| it.uid.is_some_and(|uid| !seal.admitted.contains(&uid));
        let is_masters = |it: &Process| match masters.as_slice() {
            [] => true,
            [master] => it.parent == Some(master.pid),
            _ => false,
        };
        !workers.is_empty()
            && holders.iter().all(|it| it.role == Role::Proxy)
            && workers.iter().all(|it| is_outside(it) && is_masters(it))
    }
}
