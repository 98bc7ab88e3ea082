use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use guardian_rules::blindness::{Blindness, Cause};
use nix::unistd::geteuid;

use crate::listeners::attribution::sockets_of;
use crate::listeners::libproc::{has_ended, process_ids, sysctl};
use crate::listeners::pcblist::{Fault, read};
use crate::listeners::socket::{Socket, State};

/// Time for one walk through all processes.
const WALK: Duration = Duration::from_secs(2);

/// The table. Nothing is kept between looks.
#[derive(Default)]
pub struct Table(());

impl Table {
    /// Every listener of this Mac.
    pub fn listeners(&mut self) -> Result<Vec<Socket>, Blindness> {
        let mut sockets = sockets()?;
        sockets.retain(|socket| socket.state == State::Listen);
        Ok(sockets)
    }

    /// Connections that have one of these ports at either end, and those their owners have let go of.
    pub fn connections(&mut self, ports: &BTreeSet<u16>) -> Result<Vec<Socket>, Blindness> {
        let mut sockets = sockets()?;
        sockets.retain(|socket| {
            (socket.is_connected() || socket.is_abandoned())
                && (ports.contains(&socket.local.port()) || ports.contains(&socket.remote.port()))
        });
        Ok(sockets)
    }

    /// Connections of some processes, those that `keep` wants.
    pub fn connections_of(
        &mut self,
        pids: &BTreeSet<u32>,
        mut keep: impl FnMut(&Socket) -> bool,
    ) -> Result<Vec<(u32, Socket)>, Blindness> {
        let mut found = Vec::new();
        for pid in pids {
            // Whoever has ended in the meantime has no connections.
            let sockets = sockets_of(*pid).unwrap_or_default();
            found.extend(sockets.into_iter().filter(|socket| keep(socket)).map(|socket| (*pid, socket)));
        }
        Ok(found)
    }
}

/// All TCP sockets: the kernel's list, or for root what the processes hold.
fn sockets() -> Result<Vec<Socket>, Blindness> {
    let user = geteuid();
    match list() {
        Ok(sockets) if user.is_root() => Ok(sockets),
        // From macOS 27 on the kernel may keep other users' sockets from those who are not root,
        // and does not say so. On a Mac root always has some.
        Ok(sockets) if sockets.iter().any(|socket| socket.uid != Some(user.as_raw())) => Ok(sockets),
        Ok(_) => Err(Blindness::denied(
            "the system shows this user no sockets of other users; run as root to see them",
        )),
        Err(why) if user.is_root() => walk(&why),
        Err(why) => Err(why),
    }
}

fn list() -> Result<Vec<Socket>, Blindness> {
    let bytes = sysctl(c"net.inet.tcp.pcblist_n").map_err(|error| {
        let cause = match error.kind() {
            io::ErrorKind::PermissionDenied => Cause::Denied,
            io::ErrorKind::NotFound => Cause::ToolMissing,
            io::ErrorKind::OutOfMemory => Cause::TooMuch,
            _ => Cause::Interrupted,
        };
        Blindness::new(cause, format!("the system's list of sockets cannot be read: {error}"))
    })?;
    read(&bytes).map_err(|fault| match fault {
        Fault::Cut => Blindness::new(Cause::Interrupted, "the system's list of sockets is cut short"),
        Fault::Malformed(what) => Blindness::malformed(format!("the system's list of sockets has {what}")),
    })
}

/// What all processes hold. Whole only if every process shows it.
fn walk(why: &Blindness) -> Result<Vec<Socket>, Blindness> {
    let until = Instant::now() + WALK;
    let unreadable = |error: &io::Error| {
        Blindness::new(why.cause, format!("{}, and the processes cannot be read: {error}", why.detail))
    };
    let mut sockets = Vec::new();
    for pid in process_ids().map_err(|error| unreadable(&error))? {
        if Instant::now() > until {
            return Err(Blindness::timed_out(format!("{}, and the processes took too long", why.detail)));
        }
        match sockets_of(pid) {
            Ok(held) => sockets.extend(held),
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
    // Processes share sockets.
    sockets.sort_unstable();
    sockets.dedup();
    Ok(sockets)
}
