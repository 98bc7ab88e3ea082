//! Whether a proxy fails because Guardian's own packet filter keeps it from the gateway: then nobody gets in by it,
//! whatever it will answer once that filter is gone.
//!
//! Its failure proves nothing, for anybody may fail on purpose. What counts is the filter, which was read back: that it
//! holds the ports to which this door leads, that none of the users who carry there is admitted, and that none of them is
//! connected already. Whatever of it is not known is a no.

use super::{Door, Part, Scene};
use crate::blindness::Cause;
use crate::fact::{Access, Origin, Process, Reply, Role, Route, Seal};

impl Scene<'_> {
    /// Whether a door that carries a gateway, by the owner's leave, is kept from it for now.
    #[must_use]
    pub fn is_kept_away(&self, door: &Door<'_>) -> bool {
        let Some(seal) = &self.snapshot.seal else { return false };
        matches!(door.part, Part::Carries(_))
            && fails(door)
            && self.is_of_outsiders(seal, door)
            && self.leads_to_sealed_ports(seal, door)
            && !self.is_attached(door)
    }

    /// It is held by a proxy that the owner allows and root has started, a master who opens the socket and carries nothing,
    /// and by its workers, of whom none is admitted. What anybody else starts under that name is not excused.
    fn is_of_outsiders(&self, seal: &Seal, door: &Door<'_>) -> bool {
        let holders: Option<Vec<&Process>> =
            door.listener.owner.pids().iter().map(|pid| self.process(*pid)).collect();
        let Some(holders) = holders else { return false };
        let is_outside = |it: &Process| it.uid.is_some_and(|uid| uid != 0 && !seal.admitted.contains(&uid));
        let (masters, workers): (Vec<&Process>, Vec<&Process>) =
            holders.iter().partition(|it| it.uid == Some(0));
        let [master] = masters.as_slice() else { return false };
        holders.iter().all(|it| it.role == Role::Proxy && self.allows_process(it.pid))
            && !workers.is_empty()
            && workers.iter().all(|it| it.parent == Some(master.pid) && is_outside(it))
    }

    /// Wherever its own holder is told to lead, all of it known, are ports that the filter holds, and it is told something.
    /// A socket of a file, another host or a container's address is no such port, nor is what nobody could read.
    fn leads_to_sealed_ports(&self, seal: &Seal, door: &Door<'_>) -> bool {
        let Some(told) = self.snapshot.routes.seen() else { return false };
        let port = door.listener.bound.port();
        let is_here = |route: &&Route| route.listens.iter().any(|listens| listens.port() == port);
        let mut routes = told.routes.iter().filter(is_here);
        door.listener.owner.pids().iter().any(|pid| told.accounted.contains(&(*pid, port)))
            && routes.clone().next().is_some()
            && routes.all(|route| seal.ports.contains(&route.to_port))
    }

    /// A connection from before the filter may live on.
    fn is_attached(&self, door: &Door<'_>) -> bool {
        let Some(peers) = self.snapshot.peers.seen() else { return true };
        let pids = door.listener.owner.pids();
        peers.iter().any(|peer| match &peer.origin {
            Origin::Here { owner, .. } => {
                owner.pids().is_empty() || owner.pids().iter().any(|pid| pids.contains(pid))
            }
            Origin::Elsewhere => false,
        })
    }
}

/// It was asked, and said every time what a proxy says that does not reach what is behind it.
fn fails(door: &Door<'_>) -> bool {
    let is_error = |access: &Access| matches!(access, Access::Unknown(why) if why.cause == Cause::Malformed);
    !door.panel.is_empty()
        && !door.access.is_empty()
        && door
            .panel
            .iter()
            .all(|it| matches!(&it.reply, Reply::Http(page) if (502..=504).contains(&page.status)))
        && door.access.iter().all(|it| is_error(&it.access))
        && door.handshake.iter().all(|it| is_error(&it.access))
}
