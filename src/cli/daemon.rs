//! `guardian daemon`: the watcher.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{Failure, Folders, chain};
use crate::barrier::process;
use crate::breaker::state::Circuit;
use crate::control::gates::Gates;
use crate::control::server;
use crate::exit;
use crate::gate::keeper::Keeper;
use crate::journal::Journal;
use crate::lock;
use crate::memory;
use crate::memory::policy::{self, AtStart};
use crate::notify;
use crate::page;
use crate::powers::Powers;
use crate::status::{Daemon, Status};
use crate::sys::clock;
use crate::sys::durable;
use crate::sys::paths::Paths;
use crate::undo::Undo;
use crate::watch::{Beginning, Lines, Watcher};

/// Messages that may wait for the hook and the webhook.
const MESSAGES: usize = notify::CHANNEL;
/// Notices that a slow notifier may be behind.
const NOTICES: usize = 64;
/// Questions that may wait for the loop.
const REQUESTS: usize = 32;

/// The options of `guardian daemon`.
#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments, named: Option<&Path>, folders: &Folders) -> Result<u8, Failure> {
    let paths = folders.paths()?;
    paths.prepare()?;
    process::note_boot();
    // What waits shares one thread, and what blocks or computes for long (files, tables, pages) has
    // others: a look at rest wakes two threads and not six.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(16)
        .thread_stack_size(1024 * 1024)
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let outcome = runtime.block_on(watch(named.map(Path::to_owned), paths));
    // A probe that hangs in the kernel must not keep the daemon from ending.
    runtime.shutdown_background();
    outcome.map(|()| exit::OK)
}

async fn watch(config_path: Option<PathBuf>, paths: Paths) -> Result<(), Failure> {
    let AtStart { config, ways, refused } =
        policy::at_start(config_path.as_deref(), &paths, clock::now().wall);
    if let Some(why) = &refused {
        tracing::error!("{}", page::printable(why));
    }
    let (requests, asked) = mpsc::channel(REQUESTS);
    let (notices, _) = broadcast::channel(NOTICES);
    let (messages, to_deliver) = mpsc::channel(MESSAGES);
    let (lease, leases) = watch::channel(None);
    // The watcher looks them up.
    let (owners, owned_by) = watch::channel(BTreeSet::new());
    let starting = Status::new(Circuit::Open, None, config.settings.mode, Daemon::Running);
    let (status, statuses) = watch::channel(starting);
    let (reload, to_reload) = mpsc::channel(1);
    let (stop, to_stop) = oneshot::channel();
    let gates = Gates::default();

    // Whoever cannot have the socket is the second daemon on these folders, and touches nothing.
    let server = server::bind_after_rescue(&paths).await?;
    let _alone = server.alone();
    let now = clock::now();
    durable::sweep(&paths.state);
    let journal = Journal::of(&paths);
    let resumed = memory::resume(memory::recall(&paths), lock::read(&paths), now);
    if let Some(why) = &resumed.why {
        tracing::info!("{why}");
    }
    if let (true, Some(trip)) = (resumed.relock, resumed.state.trip())
        && let Err(failed) = lock::write(&paths, trip)
    {
        tracing::error!("{}", chain(&failed));
    }
    let undo = Undo::open(&paths)?;
    let passphrase = Arc::new(Keeper::new(&paths));
    let powers = Powers::look(&config, &paths).await;
    let delivery = notify::spawn(ways, to_deliver);
    let lines = Lines {
        requests: asked,
        status,
        lease,
        notices: notices.clone(),
        messages,
        owners,
        gates: gates.clone(),
        reload: to_reload,
        stop: to_stop,
    };
    let beginning = Beginning {
        config,
        config_path,
        refused,
        paths,
        powers,
        state: resumed.state,
        target: resumed.target,
        latest: resumed.latest.max(now.wall),
        past: resumed.past,
        journal,
        undo,
        why: resumed.why,
    };
    let watcher = Watcher::new(beginning, lines).map_err(Failure::Runtime)?;
    let serving = tokio::spawn(server.serve(server::Desk {
        requests,
        status: statuses,
        lease: leases,
        notices,
        owners: owned_by,
        passphrase,
        gates,
    }));
    tokio::spawn(signals(reload, stop));
    let ended = watcher.run().await;
    serving.abort();
    delivery.abort();
    Ok(ended?)
}

/// SIGHUP reads the policy again; SIGTERM and SIGINT end the watcher. What it holds stays held.
async fn signals(reload: mpsc::Sender<()>, stop: oneshot::Sender<()>) {
    let (Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::hangup()), signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be heard");
        std::future::pending::<()>().await;
        return;
    };
    loop {
        tokio::select! {
            _ = hangup.recv() => { let _ = reload.try_send(()); }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    let _ = stop.send(());
}
