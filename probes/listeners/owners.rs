//! Who holds the sockets of a list, remembered between looks.
//!
//! To search all processes for holders is what costs; it happens for sockets that are new, and for
//! all of them now and then. In between a holder found is only asked whether it still holds on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Attribution;
use nix::unistd::geteuid;

use super::attribution::{Holder, Thoroughness, scan, scan_threads};
use super::passwd;
use super::socket::Socket;
use super::unnamed::{View, unsettled};

/// Time for one search through all processes, and as much again through their threads.
const SEARCH: Duration = Duration::from_secs(2);

/// What was found is searched for again after this time, for a worker forked later shares a
/// listener that is known already.
const FRESH: Duration = Duration::from_secs(5);
/// Where a search is slow it may take this part of the time,
const SHARE: u32 = 1000;
/// but is not put off for longer than this.
const STALE: Duration = Duration::from_mins(1);

/// Threads are searched for one socket no more often than this.
const DEEP: Duration = Duration::from_mins(1);

/// As many holders are asked at one look; the others at the next ones.
const ASKED: usize = 256;

/// The memory.
pub(crate) struct Owners {
    thoroughness: Thoroughness,
    known: BTreeMap<u64, Known>,
    /// Sockets that no thread held either, and when that was found out.
    deep: HashMap<u64, Instant>,
    searched: Instant,
    took: Duration,
    /// The socket whose holders are asked next.
    next: u64,
    hidden: usize,
    cut: bool,
}

enum Known {
    /// Held by these, lowest process id first.
    Held(Vec<Holder>),
    /// Held by nobody in sight; why.
    Nobody(Blindness),
}

impl Owners {
    /// Nothing is known yet.
    pub(crate) fn new(thoroughness: Thoroughness) -> Self {
        Self {
            thoroughness,
            known: BTreeMap::new(),
            deep: HashMap::new(),
            searched: Instant::now(),
            took: Duration::ZERO,
            next: 0,
            hidden: 0,
            cut: false,
        }
    }

    /// Whether it is settled who holds a socket.
    pub(crate) fn knows(&self, socket: u64) -> bool {
        self.known.contains_key(&socket)
    }

    /// Who holds a socket.
    pub(crate) fn of(&self, socket: u64) -> Attribution {
        match self.known.get(&socket) {
            Some(Known::Held(holders)) => {
                Attribution::Named(holders.iter().map(|holder| holder.pid).collect())
            }
            Some(Known::Nobody(why)) => Attribution::Unnamed(why.clone()),
            None => Attribution::Unnamed(unsettled()),
        }
    }

    /// The processes that hold a socket.
    pub(crate) fn pids(&self, socket: u64) -> impl Iterator<Item = u32> {
        let holders = match self.known.get(&socket) {
            Some(Known::Held(holders)) => holders.as_slice(),
            Some(Known::Nobody(_)) | None => &[],
        };
        holders.iter().map(|holder| holder.pid)
    }

    /// Forgets what has become doubtful: sockets that are gone, holders that have let go, and from
    /// time to time everything that only a new search can tell. Answers whether anything was
    /// forgotten.
    pub(crate) fn doubt(&mut self, listed: &[Socket]) -> bool {
        let before = self.known.len();
        if self.searched.elapsed() > (self.took * SHARE).clamp(FRESH, STALE) {
            self.known.retain(|_, known| match known {
                Known::Held(_) => self.thoroughness == Thoroughness::FirstHolder,
                Known::Nobody(_) => false,
            });
            self.searched = Instant::now();
        }
        // Most looks find the very sockets of the last one.
        if self.known.len() != listed.len() || !listed.iter().all(|socket| self.knows(socket.id)) {
            let listed: HashSet<u64> = listed.iter().map(|socket| socket.id).collect();
            self.known.retain(|id, _| listed.contains(id));
            self.deep.retain(|id, since| listed.contains(id) && since.elapsed() < DEEP);
        }
        for id in self.let_go() {
            self.known.remove(&id);
        }
        self.known.len() != before
    }

    /// Asks some holders whether they still hold on: sockets that one of them has let go.
    fn let_go(&mut self) -> Vec<u64> {
        let mut lost = Vec::new();
        let mut asked = 0;
        let mut last = None;
        for (id, known) in self.known.range(self.next..).chain(self.known.range(..self.next)) {
            let Known::Held(holders) = known else { continue };
            if asked >= ASKED {
                break;
            }
            asked += holders.len();
            last = Some(*id);
            if !holders.iter().all(|holder| holder.holds(*id)) {
                lost.push(*id);
            }
        }
        self.next = last.map_or(0, |id| id.wrapping_add(1));
        lost
    }

    /// Searches for the holders of those sockets that nothing is known of, first with the likely
    /// ones. What is not found stays unknown.
    pub(crate) fn search(&mut self, sockets: &[Socket], likely: &[u32]) -> Result<(), Blindness> {
        let wanted = self.unknown(sockets);
        if wanted.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let found = scan(&wanted, self.thoroughness, likely, started + SEARCH)?;
        self.took = started.elapsed();
        (self.hidden, self.cut) = (found.hidden, found.cut);
        self.learn(found.holders);
        Ok(())
    }

    /// Gives up those sockets that a search has not found, but not before looking at single
    /// threads: one may have a table of its own, and a process whose first thread has ended shows
    /// none.
    pub(crate) fn give_up(&mut self, sockets: &[Socket]) {
        let mut lost = self.unknown(sockets);
        lost.retain(|socket| !self.deep.contains_key(&socket.id));
        if !lost.is_empty() {
            let found = scan_threads(&lost, Instant::now() + SEARCH);
            self.learn(found.holders);
            self.deep.extend(lost.iter().map(|socket| (socket.id, Instant::now())));
        }
        let lost = self.unknown(sockets);
        if lost.is_empty() {
            return;
        }
        let passwd = passwd::read();
        let view = View { uid: geteuid().as_raw(), hidden: self.hidden, cut: self.cut, passwd: &passwd };
        self.known.extend(lost.iter().map(|socket| (socket.id, Known::Nobody(view.reason(socket.uid)))));
    }

    fn unknown(&self, sockets: &[Socket]) -> Vec<Socket> {
        sockets.iter().filter(|socket| !self.knows(socket.id)).copied().collect()
    }

    fn learn(&mut self, holders: HashMap<u64, Vec<Holder>>) {
        self.known.extend(holders.into_iter().map(|(id, holders)| (id, Known::Held(holders))));
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use guardian_rules::blindness::Cause;

    use super::*;
    use crate::listeners::table::Table;

    fn listed(sockets: &[TcpListener]) -> Vec<Socket> {
        let addresses: HashSet<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let mut list = Table::default().listeners().unwrap();
        list.retain(|socket| addresses.contains(&socket.local));
        assert_eq!(list.len(), sockets.len());
        list
    }

    fn bind(count: usize) -> Vec<TcpListener> {
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect()
    }

    fn found(list: &[Socket]) -> Owners {
        let mut owners = Owners::new(Thoroughness::EveryHolder);
        owners.search(list, &[]).unwrap();
        assert!(list.iter().all(|socket| owners.pids(socket.id).any(|pid| pid == std::process::id())));
        owners
    }

    #[test]
    fn nothing_is_doubted_while_nothing_changes() {
        let sockets = bind(3);
        let list = listed(&sockets);
        let mut owners = found(&list);
        // A process that another test was starting may have held them for a moment.
        assert!((0..3).any(|_| !owners.doubt(&list)));
    }

    #[test]
    fn a_holder_that_lets_go_is_noticed_however_many_there_are() {
        let mut sockets = bind(600);
        let list = listed(&sockets);
        let mut owners = found(&list);
        sockets.pop();
        // 600 holders, 256 a look.
        let gone = list
            .iter()
            .find(|socket| sockets.iter().all(|other| other.local_addr().unwrap() != socket.local));
        assert!((0..3).any(|_| {
            owners.doubt(&list);
            !owners.knows(gone.unwrap().id)
        }));
    }

    #[test]
    fn a_process_that_comes_to_share_a_socket_is_noticed_in_time() {
        let sockets = bind(1);
        let list = listed(&sockets);
        let mut owners = found(&list);
        let shared = std::os::fd::OwnedFd::from(sockets[0].try_clone().unwrap());
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::from(shared)).spawn().unwrap();
        owners.searched = Instant::now().checked_sub(STALE).unwrap();
        assert!(owners.doubt(&list));
        owners.search(&list, &[]).unwrap();
        let holders: HashSet<u32> = owners.pids(list[0].id).collect();
        assert!(holders.is_superset(&[std::process::id(), child.id()].into()), "{holders:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_socket_that_nobody_holds_is_unsettled_and_then_given_up_with_a_reason() {
        let sockets = bind(1);
        let mut list = listed(&sockets);
        list[0].id = u64::MAX;
        list[0].local.set_port(1);
        let mut owners = Owners::new(Thoroughness::EveryHolder);
        let cause = |owners: &Owners| match owners.of(u64::MAX) {
            Attribution::Unnamed(why) => why.cause,
            Attribution::Named(pids) => panic!("{pids:?}"),
        };
        owners.search(&list, &[]).unwrap();
        assert!(!owners.knows(u64::MAX));
        assert_eq!(cause(&owners), Cause::Interrupted);
        owners.give_up(&list);
        assert!(owners.knows(u64::MAX));
        assert_eq!(cause(&owners), Cause::Denied);
        assert!(!owners.doubt(&list), "and is not searched for again at every look");
    }
}
