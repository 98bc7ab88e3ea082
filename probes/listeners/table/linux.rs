use std::collections::{BTreeSet, HashMap};

use guardian_rules::blindness::Blindness;

use crate::listeners::attribution::sockets_of;
use crate::listeners::dump::Reader;
use crate::listeners::netlink::Netlink;
use crate::listeners::sock_diag::States;
use crate::listeners::socket::Socket;
use crate::peers::port_filter::port_filter;

/// The table, read over one netlink socket.
pub struct Table(Reader<Netlink>);

impl Default for Table {
    fn default() -> Self {
        Self(Reader::new(Netlink::open))
    }
}

impl Table {
    /// Every listener of this network namespace.
    pub fn listeners(&mut self) -> Result<Vec<Socket>, Blindness> {
        self.0.dump(States::LISTEN, &[], |_| true)
    }

    /// Connections that have one of these ports at either end, and those their owners have let go of.
    pub fn connections(&mut self, ports: &BTreeSet<u16>) -> Result<Vec<Socket>, Blindness> {
        // The kernel filters; what it lets pass beyond that is not wanted either.
        let concerns =
            |socket: &Socket| ports.contains(&socket.local.port()) || ports.contains(&socket.remote.port());
        self.0.dump(States::CONNECTED, &port_filter(ports), concerns)
    }

    /// Connections of some processes, those that `keep` wants.
    pub fn connections_of(
        &mut self,
        pids: &BTreeSet<u32>,
        mut keep: impl FnMut(&Socket) -> bool,
    ) -> Result<Vec<(u32, Socket)>, Blindness> {
        let mut holders: HashMap<u64, Vec<u32>> = HashMap::new();
        for pid in pids {
            // Whoever has ended in the meantime has no connections.
            for socket in sockets_of(*pid).unwrap_or_default() {
                holders.entry(socket).or_default().push(*pid);
            }
        }
        if holders.is_empty() {
            return Ok(Vec::new());
        }
        let sockets =
            self.0.dump(States::CONNECTED, &[], |socket| holders.contains_key(&socket.id) && keep(socket))?;
        let held =
            |socket: Socket| holders.get(&socket.id).into_iter().flatten().map(move |pid| (*pid, socket));
        Ok(sockets.into_iter().flat_map(held).collect())
    }
}
