//! The connections at a gateway's ports, with holders looked up for what is new.

use std::collections::BTreeSet;

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{Attribution, Origin, Peer};

use super::flows::Flows;
use super::pairing::{Link, is_local, pair};
use super::{Question, no_other_end};
use crate::listeners::attribution::Thoroughness;
use crate::listeners::owners::Owners;
use crate::listeners::socket::Socket;
use crate::listeners::table::Table;

/// Remembers who holds the other ends. One holder of each suffices: processes seldom share a
/// connection, and a search for all of them would have to look at every process for each new one.
pub struct Watch {
    table: Table,
    owners: Owners,
}

impl Default for Watch {
    fn default() -> Self {
        Self { table: Table::default(), owners: Owners::new(Thoroughness::FirstHolder) }
    }
}

impl Watch {
    /// The connections at the gateways' ports, other hosts' first, ours left out.
    pub fn look(&mut self, question: &Question) -> Result<Vec<Peer>, Blindness> {
        let mut links = self.links(question)?;
        self.owners.doubt(&others(&links));
        self.search(&links)?;
        if links.iter().any(|link| self.is_open(link)) {
            // Gone since, or only half made when it was seen: what counts is what still is so. The
            // kernel does not stand still while it is read, so one end of what comes or goes just
            // then may be in the list without the other; what stays is there the next time too.
            let before: BTreeSet<_> =
                links.extract_if(.., |link| self.is_open(link)).map(|link| link.ends()).collect();
            let now = self.links(question)?;
            links.extend(now.into_iter().filter(|link| {
                self.is_open(link) && (link.other.is_some() || before.contains(&link.ends()))
            }));
            self.search(&links)?;
            self.owners.give_up(&others(&links));
        }
        let own = std::process::id();
        links.retain(|link| !self.holders(link).any(|pid| pid == own));
        let flows = self.flows(&links, question)?;
        Ok(links.iter().map(|link| self.peer(link, &flows)).collect())
    }

    fn links(&mut self, question: &Question) -> Result<Vec<Link>, Blindness> {
        let sockets = self.table.connections(&question.ports)?;
        Ok(pair(&sockets, &question.ports, &question.own))
    }

    /// Looks for the holders that are not known, first with us and with the holders known.
    fn search(&mut self, links: &[Link]) -> Result<(), Blindness> {
        let mut likely: BTreeSet<u32> = links.iter().flat_map(|link| self.holders(link)).collect();
        likely.insert(std::process::id());
        self.owners.search(&others(links), &likely.into_iter().collect::<Vec<_>>())
    }

    /// Of this host, and it is not settled who holds it.
    fn is_open(&self, link: &Link) -> bool {
        link.here && link.other.is_none_or(|other| !self.owners.knows(other.id))
    }

    fn holders(&self, link: &Link) -> impl Iterator<Item = u32> {
        link.other.into_iter().flat_map(|other| self.owners.pids(other.id))
    }

    /// What the local peers have to do with other hosts. The gateways' own processes are left out.
    fn flows<'a>(&mut self, links: &[Link], question: &'a Question) -> Result<Flows<'a>, Blindness> {
        let mut flows = Flows::new(question);
        let gateways = question.gateways();
        let peers: BTreeSet<u32> =
            links.iter().flat_map(|link| self.holders(link)).filter(|pid| !gateways.contains(pid)).collect();
        if peers.is_empty() {
            return Ok(flows);
        }
        let foreign = |socket: &Socket| !is_local(socket.remote.ip(), &question.own);
        for (pid, socket) in self.table.connections_of(&peers, foreign)? {
            flows.note(pid, &socket);
        }
        Ok(flows)
    }

    fn peer(&self, link: &Link, flows: &Flows<'_>) -> Peer {
        let origin = if link.here {
            let owner = match link.other {
                Some(other) => self.owners.of(other.id),
                None => Attribution::Unnamed(no_other_end()),
            };
            let flows = flows.of(owner.pids());
            Origin::Here { owner, flows }
        } else {
            Origin::Elsewhere
        };
        Peer { gateway: link.gateway, remote: link.remote, origin }
    }
}

fn others(links: &[Link]) -> Vec<Socket> {
    links.iter().filter_map(|link| link.other).collect()
}
