//! Holders on Linux: the links in /proc/PID/fd, `proc_pid_fd(5)`.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use guardian_rules::blindness::{Blindness, Cause};

use super::{Scan, Thoroughness};
use crate::listeners::socket::Socket;

/// Where processes show their descriptors.
const PROC: &str = "/proc";

/// A file descriptor of a process that is a socket looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The process.
    pub(crate) pid: u32,
    link: PathBuf,
}

impl Holder {
    /// Whether this descriptor still is that socket. Needs no look at the process: if the number
    /// has passed to another one that holds the same socket, the answer is true as it stands.
    #[must_use]
    pub(crate) fn holds(&self, socket: u64) -> bool {
        fs::read_link(&self.link).is_ok_and(|target| socket_of(&target) == Some(socket))
    }
}

/// Looks for the holders of sockets, first in the processes named, then in all.
pub(crate) fn scan(
    wanted: &[Socket],
    thoroughness: Thoroughness,
    likely: &[u32],
    until: Instant,
) -> Result<Scan, Blindness> {
    let wanted = wanted.iter().map(|socket| socket.id).collect();
    scan_table(Path::new(PROC), &wanted, thoroughness, likely, until)
}

fn scan_table(
    proc: &Path,
    wanted: &HashSet<u64>,
    thoroughness: Thoroughness,
    likely: &[u32],
    until: Instant,
) -> Result<Scan, Blindness> {
    let mut walk = Walk { wanted, until, found: Scan::default() };
    let enough =
        |walk: &Walk| thoroughness == Thoroughness::FirstHolder && walk.found.holders.len() == wanted.len();
    for pid in likely {
        walk.process(*pid, &proc.join(pid.to_string()));
    }
    if enough(&walk) {
        return Ok(walk.finish());
    }
    let mut pids = process_ids(proc)?;
    pids.retain(|pid| !likely.contains(pid));
    for pid in &pids {
        walk.process(*pid, &proc.join(pid.to_string()));
        if enough(&walk) || walk.found.cut {
            return Ok(walk.finish());
        }
    }
    Ok(walk.finish())
}

/// Looks for the holders of sockets among single threads.
pub(crate) fn scan_threads(wanted: &[Socket], until: Instant) -> Scan {
    let wanted = wanted.iter().map(|socket| socket.id).collect();
    let mut walk = Walk { wanted: &wanted, until, found: Scan::default() };
    for pid in process_ids(Path::new(PROC)).unwrap_or_default() {
        walk.threads(pid, &Path::new(PROC).join(pid.to_string()));
        if walk.found.cut {
            break;
        }
    }
    walk.finish()
}

/// The numbers of the sockets that a process holds.
pub(crate) fn sockets_of(pid: u32) -> io::Result<HashSet<u64>> {
    let mut sockets = HashSet::new();
    for entry in fs::read_dir(Path::new(PROC).join(pid.to_string()).join("fd"))? {
        sockets.extend(fs::read_link(entry?.path()).ok().and_then(|target| socket_of(&target)));
    }
    Ok(sockets)
}

struct Walk<'a> {
    wanted: &'a HashSet<u64>,
    until: Instant,
    found: Scan,
}

impl Walk<'_> {
    fn process(&mut self, pid: u32, folder: &Path) {
        self.found.cut |= Instant::now() > self.until;
        if self.found.cut {
            return;
        }
        match self.descriptors(pid, &folder.join("fd")) {
            Ok(()) => {}
            Err(error) if has_ended(&error) => {}
            Err(_) => self.found.hidden += 1,
        }
    }

    fn threads(&mut self, pid: u32, folder: &Path) {
        let Ok(threads) = process_ids(&folder.join("task")) else { return };
        for thread in threads {
            self.found.cut |= Instant::now() > self.until;
            if self.found.cut {
                return;
            }
            if thread != pid {
                // What cannot be read here was counted when its process could not be read.
                let _ = self.descriptors(pid, &folder.join("task").join(thread.to_string()).join("fd"));
            }
        }
    }

    fn descriptors(&mut self, pid: u32, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let link = entry?.path();
            let target = match fs::read_link(&link) {
                Ok(target) => target,
                Err(error) if has_ended(&error) => continue,
                Err(error) => return Err(error),
            };
            let Some(socket) = socket_of(&target).filter(|socket| self.wanted.contains(socket)) else {
                continue;
            };
            let holders = self.found.holders.entry(socket).or_default();
            if holders.iter().all(|holder| holder.pid != pid) {
                holders.push(Holder { pid, link });
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Scan {
        for holders in self.found.holders.values_mut() {
            holders.sort_unstable_by_key(|holder| holder.pid);
        }
        self.found
    }
}

/// The numbers among a folder's names.
fn process_ids(folder: &Path) -> Result<Vec<u32>, Blindness> {
    let unreadable = |error: io::Error| {
        let cause =
            if error.kind() == io::ErrorKind::PermissionDenied { Cause::Denied } else { Cause::ToolMissing };
        Blindness::new(cause, format!("the process table in {} cannot be read: {error}", folder.display()))
    };
    let mut ids = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        ids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// The process or the descriptor has gone in the meantime.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32)
}

/// The number in `socket:[4711]`.
#[must_use]
pub fn socket_of(target: &Path) -> Option<u64> {
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    fn own_socket() -> (TcpListener, u64) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
        (socket, socket_of(&link).unwrap())
    }

    #[test]
    fn a_search_for_one_holder_ends_where_it_is_found() {
        let (socket, id) = own_socket();
        let own = std::process::id();
        // A table whose other process cannot be read, which a longer search would find out.
        let here = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(format!("/proc/{own}"), here.path().join(own.to_string())).unwrap();
        fs::write(here.path().join("1"), "").unwrap();
        let found =
            scan_table(here.path(), &HashSet::from([id]), Thoroughness::FirstHolder, &[own], soon()).unwrap();
        let holder = &found.holders[&id][0];
        assert_eq!((holder.pid, found.hidden, found.cut), (own, 0, false));
        assert!(holder.holds(id) && !holder.holds(id + 1));
        drop(socket);
        assert!(!holder.holds(id));
    }

    #[test]
    fn a_search_that_runs_out_of_time_says_so() {
        let past = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let found = scan_table(Path::new("/proc"), &HashSet::from([1]), Thoroughness::EveryHolder, &[], past)
            .unwrap();
        assert!(found.cut && found.holders.is_empty());
    }

    #[test]
    fn a_host_without_a_process_table_is_blind_and_not_empty() {
        let failed =
            scan_table(Path::new("/nowhere"), &HashSet::new(), Thoroughness::EveryHolder, &[], soon());
        assert_eq!(failed.unwrap_err().cause, Cause::ToolMissing);
    }

    #[test]
    fn only_a_link_to_a_socket_has_its_number() {
        assert_eq!(socket_of(Path::new("socket:[4711]")), Some(4711));
        for other in [
            "pipe:[4711]",
            "socket:[]",
            "socket:[-1]",
            "socket:[1",
            "/socket:[1]",
            "socket:[99999999999999999999]",
        ] {
            assert_eq!(socket_of(Path::new(other)), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn links_to_anything_never_panic(target: String) {
            let _ = socket_of(Path::new(&target));
        }
    }
}
