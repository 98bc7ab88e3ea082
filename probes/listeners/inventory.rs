//! The listeners of this host: the system's list, with holders looked up only when it changes.

use std::collections::HashSet;
use std::ffi::CString;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Listener;
use nix::net::if_::if_indextoname;

use super::attribution::Thoroughness;
use super::canary::{self, Canary};
use super::owners::Owners;
use super::socket::Socket;
use super::table::Table;

/// How often sockets that appear during a search are searched for once more.
const SEARCHES: u32 = 3;

/// The listeners of this host, remembered between looks.
pub struct Inventory {
    table: Table,
    canary: Canary,
    owners: Owners,
    /// The last list in the system's own order, the canary included, and what became of it.
    last: Option<(Vec<Socket>, Vec<Listener>)>,
}

impl Inventory {
    /// Binds the canary. The system is asked at the first look.
    pub fn open() -> Result<Self, Blindness> {
        Ok(Self {
            table: Table::default(),
            canary: Canary::bind()?,
            owners: Owners::new(Thoroughness::EveryHolder),
            last: None,
        })
    }

    /// Every listening TCP socket of this host (Linux: of this network namespace), lowest address
    /// first.
    pub fn look(&mut self) -> Result<Vec<Listener>, Blindness> {
        let sockets = self.list()?;
        let doubtful = self.owners.doubt(&sockets);
        if let Some((last, facts)) = &self.last
            && !doubtful
            && *last == sockets
        {
            return Ok(facts.clone());
        }
        self.last = None;
        let sockets = self.settle(sockets)?;
        self.canary_is_ours(&sockets)?;
        let facts = self.facts(&sockets);
        Ok(self.last.insert((sockets, facts)).1.clone())
    }

    fn list(&mut self) -> Result<Vec<Socket>, Blindness> {
        let sockets = self.table.listeners()?;
        self.canary.find(&sockets)?;
        Ok(sockets)
    }

    /// Searches for holders until the list has not grown meanwhile. A socket that has gone before
    /// its holder was found is dropped and never called unnamed.
    fn settle(&mut self, mut sockets: Vec<Socket>) -> Result<Vec<Socket>, Blindness> {
        for _ in 0..SEARCHES {
            if sockets.iter().all(|socket| self.owners.knows(socket.id)) {
                break;
            }
            self.owners.search(&sockets, &[])?;
            let searched: HashSet<u64> = sockets.iter().map(|socket| socket.id).collect();
            sockets = self.list()?;
            let still: Vec<Socket> =
                sockets.iter().filter(|socket| searched.contains(&socket.id)).copied().collect();
            self.owners.give_up(&still);
        }
        Ok(sockets)
    }

    /// The search must find the canary where it is: with us.
    fn canary_is_ours(&self, sockets: &[Socket]) -> Result<(), Blindness> {
        let canary = self.canary.find(sockets)?;
        if self.is_ours(canary) {
            return Ok(());
        }
        Err(Blindness::new(
            Cause::Interrupted,
            format!("our own listener on {} was not found among our own descriptors", canary.local),
        ))
    }

    fn is_ours(&self, socket: &Socket) -> bool {
        self.owners.pids(socket.id).any(|pid| pid == std::process::id())
    }

    /// The listeners, without this process's canaries.
    fn facts(&self, sockets: &[Socket]) -> Vec<Listener> {
        let canaries = canary::all();
        let mut facts: Vec<Listener> = sockets
            .iter()
            .filter(|socket| !(canaries.contains(&socket.local) && self.is_ours(socket)))
            .map(|socket| Listener {
                bound: socket.local,
                dual_stack: socket.dual_stack,
                device: device_name(socket.device),
                uid: socket.uid,
                socket: socket.id,
                owner: self.owners.of(socket.id),
            })
            .collect();
        facts.sort_unstable_by_key(|listener| (listener.bound, listener.socket));
        facts.dedup();
        facts
    }
}

fn device_name(index: u32) -> Option<String> {
    if index == 0 {
        return None;
    }
    let name = if_indextoname(index).ok().and_then(|name| CString::into_string(name).ok());
    Some(name.unwrap_or_else(|| format!("interface {index}")))
}
