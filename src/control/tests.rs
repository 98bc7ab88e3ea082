//! Server and client against each other, and each against somebody hostile.

mod client;
mod server;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;

use super::client::Client;
use super::gates::Gates;
use super::protocol::{Ask, NoticeLine, Reply, Request};
use super::server::{self as serving, Desk};
use super::*;
use crate::breaker::event::Asker;
use crate::breaker::state::Circuit;
use crate::config::Mode;
use crate::gate::keeper::Keeper;
use crate::lease::Lease;
use crate::status::{Daemon, Status};
use crate::sys::paths::Paths;

/// A daemon without a watcher: the socket, and the ends that a loop would hold.
struct Fake {
    paths: Paths,
    requests: mpsc::Receiver<Request>,
    status: watch::Sender<Status>,
    lease: watch::Sender<Option<Lease>>,
    notices: broadcast::Sender<NoticeLine>,
    owners: watch::Sender<BTreeSet<u32>>,
    gates: Gates,
    serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn closed() -> Status {
    Status::new(Circuit::Closed, Some(Timestamp::UNIX_EPOCH), Mode::Enforce, Daemon::Running)
}

fn folders() -> (tempfile::TempDir, Paths) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    (folder, Paths { runtime: state.join("run"), state })
}

impl Fake {
    fn start() -> Self {
        let (folder, paths) = folders();
        let server = serving::bind(&paths).unwrap();
        let (to_loop, requests) = mpsc::channel(4);
        let (status, statuses) = watch::channel(closed());
        let (lease, leases) = watch::channel(None);
        let (notices, _) = broadcast::channel(16);
        let (owners, owned_by) = watch::channel(BTreeSet::new());
        let gates = Gates::default();
        let desk = Desk {
            requests: to_loop,
            status: statuses,
            lease: leases,
            notices: notices.clone(),
            owners: owned_by,
            passphrase: Arc::new(Keeper::new(&paths)),
            gates: gates.clone(),
        };
        let serving = tokio::spawn(server.serve(desk));
        Self { paths, requests, status, lease, notices, owners, gates, serving, _folder: folder }
    }

    async fn client(&self) -> Client {
        Client::connect_to(&self.paths).await.unwrap()
    }

    /// Takes the next request and answers it.
    async fn reply(&mut self, reply: Reply) -> (Asker, Ask) {
        let Request { asker, ask, reply: to } = self.requests.recv().await.unwrap();
        // Whoever asked may have gone, which is what some tests are about.
        let _ = to.send(reply);
        (asker, ask)
    }
}

/// A test that hangs fails.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it does not hang")
}

/// Says what is not tried here; where everything has to be tried, that is a failure.
fn left_out(why: &str) {
    assert_ne!(std::env::var("GUARDIAN_LAB").as_deref(), Ok("required"), "{why}");
    eprintln!("left out: {why}");
}
