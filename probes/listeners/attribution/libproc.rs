//! Holders on macOS: the descriptors of all processes, libproc(3).

use std::io;
use std::time::Instant;

use guardian_rules::blindness::{Blindness, Cause};

use super::{Scan, Thoroughness};
use crate::listeners::libproc::{has_ended, process_ids, socket_info, sockets};
use crate::listeners::matching::{Seen, matched};
use crate::listeners::socket::Socket;
use crate::listeners::socket_fdinfo;

/// A descriptor of a process that is a socket looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The process.
    pub(crate) pid: u32,
    fd: i32,
    /// The socket as the descriptor shows it.
    socket: Socket,
}

impl Holder {
    /// Whether this descriptor still is that socket.
    pub(crate) fn holds(&self, _: u64) -> bool {
        socket_info(self.pid, self.fd).is_ok_and(|bytes| {
            socket_fdinfo::read(&bytes).is_ok_and(|now| now.is_some_and(|now| now.id == self.socket.id))
        })
    }
}

impl Seen for Holder {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

/// Looks for the holders of sockets, first in the processes named, then in all.
pub(crate) fn scan(
    wanted: &[Socket],
    thoroughness: Thoroughness,
    likely: &[u32],
    until: Instant,
) -> Result<Scan, Blindness> {
    let mut pids = process_ids().map_err(|error| {
        let cause = match error.kind() {
            io::ErrorKind::PermissionDenied => Cause::Denied,
            _ => Cause::Interrupted,
        };
        Blindness::new(cause, format!("the processes cannot be listed: {error}"))
    })?;
    pids.retain(|pid| !likely.contains(pid));
    let mut scan = Scan::default();
    let mut seen = Vec::new();
    for pid in likely.iter().chain(&pids) {
        if Instant::now() > until {
            scan.cut = true;
            break;
        }
        match holders_of(*pid) {
            Ok(holders) => seen.extend(holders),
            Err(error) if has_ended(&error) => {}
            Err(_) => scan.hidden += 1,
        }
        let found = |socket: &Socket| seen.iter().any(|holder| holder.socket.id == socket.id);
        if thoroughness == Thoroughness::FirstHolder && wanted.iter().all(found) {
            break;
        }
    }
    scan.holders = matched(wanted, seen);
    Ok(scan)
}

/// Threads have no tables of their own here: nothing more is found than by [`scan`].
pub(crate) fn scan_threads(_: &[Socket], _: Instant) -> Scan {
    Scan::default()
}

/// The TCP sockets that a process holds.
pub(crate) fn sockets_of(pid: u32) -> io::Result<Vec<Socket>> {
    Ok(holders_of(pid)?.into_iter().map(|holder| holder.socket).collect())
}

fn holders_of(pid: u32) -> io::Result<Vec<Holder>> {
    let mut holders = Vec::new();
    for fd in sockets(pid)? {
        let bytes = match socket_info(pid, fd) {
            Ok(bytes) => bytes,
            Err(error) if has_ended(&error) => continue,
            Err(error) => return Err(error),
        };
        if let Ok(Some(socket)) = socket_fdinfo::read(&bytes) {
            holders.push(Holder { pid, fd, socket });
        }
    }
    Ok(holders)
}
