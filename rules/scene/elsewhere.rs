//! Gateways that are in none of this host's processes: in a container, a virtual machine, on another machine.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::{Door, Scene};
use crate::fact::{Access, Role};
use crate::snapshot::Snapshot;

impl Scene<'_> {
    /// Where one comes to such a gateway: what carries one though none that is seen here could be behind it, and what
    /// container engines and the packet filter hand on to a guest.
    #[must_use]
    pub fn ways_elsewhere(&self) -> BTreeSet<SocketAddr> {
        let explained = self.a_gateway_answers();
        let leads_elsewhere =
            |door: &&Door<'_>| self.publishes(door) || (!explained && door.speaks_gateway());
        let carried = self.carriers().filter(leads_elsewhere).flat_map(|door| door.listener.as_bound());
        carried.chain(guests(self.snapshot)).collect()
    }

    /// Its program publishes ports of containers: nothing of this host is behind it.
    fn publishes(&self, door: &Door<'_>) -> bool {
        let is_engines = |pid: &u32| self.process(*pid).is_some_and(|it| it.role == Role::ContainerEngine);
        door.listener.owner.pids().iter().any(is_engines)
    }
}

/// Where guests of this host in which a gateway answers are published, and their own places: by the word of root's own
/// engine, and of the packet filter. An engine of a user's may name any place as its guest's, ssh's among them; what it
/// publishes are sockets, which are judged by what they answer themselves.
#[must_use]
pub fn guests(snapshot: &Snapshot) -> BTreeSet<SocketAddr> {
    let engines = snapshot.containers.known().into_iter().flatten().filter(|engine| engine.is_roots);
    let ports = engines.filter_map(|engine| engine.ports.as_ref().ok()).flatten();
    let ports = ports.filter(|port| port.access.is_gateway());
    let published = ports.flat_map(|port| std::iter::once(port.on).chain(port.to));
    let rules = snapshot.redirects.known().and_then(|it| it.rules.as_ref().ok()).into_iter().flatten();
    let redirects = rules.filter(|it| it.guest.as_ref().is_some_and(Access::is_gateway));
    published.chain(redirects.filter_map(|it| it.to?.only())).collect()
}
