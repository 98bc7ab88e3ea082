//! The gate: the only door to the panel, in a process of its own, without privileges.
//!
//! A request is read byte by byte ([`wire`], [`head`], [`chunk`]), let in or answered at the threshold
//! ([`threshold`], [`admit`]), and forwarded with a permit ([`forward`]). The watcher's lease ([`vouching`])
//! opens the door and shuts it; without one there is a page that says so. The gate's own pages are in [`own`].
//!
//! One thread does all of it; whatever computes or blocks has others.

pub(crate) mod access_log;
mod activation;
pub(crate) mod admit;
pub(crate) mod answering;
pub(crate) mod body;
pub(crate) mod books;
pub(crate) mod chunk;
mod connection;
pub(crate) mod counts;
pub(crate) mod crowd;
pub(crate) mod fault;
pub(crate) mod forward;
pub(crate) mod frames;
mod gather;
pub(crate) mod head;
pub(crate) mod header;
pub(crate) mod host;
mod identity;
pub(crate) mod keeper;
pub(crate) mod leave;
pub(crate) mod listen;
pub(crate) mod octet;
mod own;
pub(crate) mod page;
pub(crate) mod passphrase;
mod policy;
pub(crate) mod refusal;
pub(crate) mod relay;
mod report;
pub(crate) mod secret;
mod service;
pub(crate) mod session;
pub(crate) mod setup;
mod socket;
pub(crate) mod source;
pub(crate) mod spent;
mod standing;
mod suspicion;
mod threshold;
pub(crate) mod throttle;
pub(crate) mod tls;
pub(crate) mod token;
pub(crate) mod totp;
mod tunnel;
pub(crate) mod upstream;
pub(crate) mod vouching;
pub(crate) mod wire;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tokio::task::spawn_local;
use tokio::time::{Duration, sleep};

use crate::config::Config;
use crate::sys::paths::Paths;
use crate::sys::{clock, program};

use access_log::AccessLog;
use books::GateBooks;
use counts::Counts;
use crowd::{Crowd, Place};
use forward::Forward;
use host::Names;
use keeper::Keeper;
use listen::Listening;
use policy::PolicyFile;
use source::Allowlist;
use suspicion::Suspicions;
use upstream::Upstream;
use vouching::Vouching;

/// How long an answer may wait to be written down, and a credential or an allowance that has ended be in use.
const TURN: Duration = Duration::from_millis(200);

/// What was needed to start is not needed after this time.
const STARTED: Duration = Duration::from_millis(500);

/// A client, as the kernel names it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) remote: IpAddr,
    /// The gate's address that it reached.
    pub(crate) local: IpAddr,
    pub(crate) tls: bool,
    /// Who may come in where it came in.
    pub(crate) sources: Rc<Allowlist>,
    /// Kept for as long as anything of it is there.
    pub(crate) _place: Rc<Place>,
}

impl Client {
    /// Whether it may still come in where it came in: allowances end.
    pub(crate) fn is_allowed(&self) -> bool {
        self.sources.admits(self.remote)
    }
}

/// A running gate.
#[derive(Debug)]
pub(crate) struct Gate {
    paths: Paths,
    names: Names,
    vouching: Vouching,
    books: RefCell<GateBooks>,
    forward: Forward,
    access_log: AccessLog,
    counts: Counts,
    crowd: Rc<Crowd>,
    suspicions: RefCell<Suspicions>,
    /// Where it would listen, but no card of this host has the address.
    waiting: RefCell<Vec<SocketAddr>>,
    keeper: Keeper,
}

impl Gate {
    fn new(config: &Config, paths: &Paths, access_log: AccessLog) -> Self {
        let settings = &config.settings.gate;
        let upstream = Rc::new(Upstream::new(config.gate_upstream()));
        Self {
            names: Names::new(&settings.hosts, &settings.origins),
            books: RefCell::new(GateBooks::new(
                settings.rate.into(),
                settings.rate_of_all.into(),
                paths,
                clock::moment(),
            )),
            forward: Forward { upstream },
            vouching: Vouching::new(),
            access_log,
            counts: Counts::default(),
            crowd: Rc::default(),
            suspicions: RefCell::default(),
            waiting: RefCell::default(),
            keeper: Keeper::new(paths),
            paths: paths.clone(),
        }
    }
}

/// Runs a gate until it is told to stop, on a runtime of one thread: connections end with that, and the last of
/// what is written down is written then. `listening` has been bound before, so that a gate that cannot listen
/// says so at once.
pub(crate) async fn run(
    config: &Config,
    paths: &Paths,
    listening: Listening,
    stop: impl Future<Output = ()>,
) {
    let access_log = if config.settings.gate.access_log { AccessLog::usual() } else { AccessLog::none() };
    let gate = Rc::new(Gate::new(config, paths, access_log));
    let following = Rc::clone(&gate);
    spawn_local(async move { following.vouching.follow(&following.paths).await });
    let (turning, networks, mut policy) = (Rc::clone(&gate), listening.networks(), PolicyFile::of(config));
    spawn_local(async move {
        loop {
            sleep(TURN).await;
            turning.access_log.flush();
            let now = clock::now();
            let taken = policy.sweep(&networks, now);
            if taken | networks.sweep(now) | turning.books.borrow_mut().sweep(now.moment) {
                turning.vouching.end();
            }
        }
    });
    spawn_local(async {
        sleep(STARTED).await;
        program::give_back();
    });
    let reporting = Rc::clone(&gate);
    spawn_local(async move { report::report(&reporting).await });
    tokio::select! {
        () = listening.serve(&gate) => {}
        () = stop => {}
    }
}
