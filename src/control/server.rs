//! The daemon's side of the control socket.

mod connection;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::alone::{Alone, Who};
use super::gates::Gates;
use super::protocol::{Failure, Kind, NoticeLine, Request};
use super::seats::Seats;
use super::{ControlError, peer};
use crate::gate::keeper::Keeper;
use crate::lease::Lease;
use crate::status::Status;
use crate::sys::paths::Paths;

use connection::Connection;

/// A rescue takes this long as a rule; then whoever starts the daemon is told of it.
const RESCUE: Duration = Duration::from_secs(10);
/// After a failure to accept, such as too many open files, and between two tries to be the only one.
const PAUSE: Duration = Duration::from_millis(100);

/// What the server has from the daemon's loop, and what it gives it.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    /// Where requests go. It may be short: who asks waits.
    pub(crate) requests: mpsc::Sender<Request>,
    /// The status as it is.
    pub(crate) status: watch::Receiver<Status>,
    /// The lease as it is.
    pub(crate) lease: watch::Receiver<Option<Lease>>,
    /// Notices as they come.
    pub(crate) notices: broadcast::Sender<NoticeLine>,
    /// The users whom the policy names as owners.
    pub(crate) owners: watch::Receiver<BTreeSet<u32>>,
    /// The owner's passphrase, for whoever asks in the owner's name.
    pub(crate) passphrase: Arc<Keeper>,
    /// The gates that take leases.
    pub(crate) gates: Gates,
}

/// The socket, bound, and the right to be the only daemon of these folders.
#[derive(Debug)]
pub(crate) struct Server {
    listener: UnixListener,
    socket: PathBuf,
    state_owner: u32,
    alone: Arc<Alone>,
}

/// Binds the socket, within a runtime. A second daemon on the same folders is refused, and so is a
/// place where something of somebody else's lies; a socket that was left by a daemon that died is
/// removed.
pub(crate) fn bind(paths: &Paths) -> Result<Server, ControlError> {
    paths.prepare()?;
    let state_owner = paths.trusted_state()?.uid();
    let socket = paths.control();
    let unmade = ControlError::unmade(&socket);
    // Every local user may come to the socket, whatever the umask was.
    if fs::symlink_metadata(&paths.runtime).map_err(&unmade)?.uid() == Uid::effective().as_raw() {
        fs::set_permissions(&paths.runtime, Permissions::from_mode(0o755)).map_err(&unmade)?;
    }
    let alone = Arc::new(Alone::take(paths, Who::Daemon)?);
    clear(&socket)?;
    let listener = UnixListener::bind(&socket).map_err(&unmade)?;
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).map_err(&unmade)?;
    Ok(Server { listener, socket, state_owner, alone })
}

/// The same; a rescue that is under way is waited for a little.
pub(crate) async fn bind_after_rescue(paths: &Paths) -> Result<Server, ControlError> {
    let until = Instant::now() + RESCUE;
    loop {
        match bind(paths) {
            Err(ControlError::Rescuing(_)) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            other => return other,
        }
    }
}

impl Server {
    /// The right to be the only daemon, to be kept for as long as anything is done to the host.
    pub(crate) fn alone(&self) -> Arc<Alone> {
        self.alone.clone()
    }

    /// Serves until it is dropped; the connections go with it.
    pub(crate) async fn serve(self, desk: Desk) {
        let seats = Seats::default();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        if let Some(connection) = self.admit(stream, &seats, &desk) {
                            connections.spawn(connection.serve());
                        }
                    }
                    Err(cause) => {
                        tracing::warn!(%cause, "a connection to the control socket was not accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn admit(&self, stream: UnixStream, seats: &Seats, desk: &Desk) -> Option<Connection> {
        // Whom the kernel does not name is not served.
        let uid = stream.peer_cred().ok()?.uid();
        let owner = peer::is_owner(uid, self.state_owner, &desk.owners.borrow());
        let Some(seat) = seats.take(uid, owner) else {
            // It goes into the buffer of a new connection, or nowhere.
            let _ = stream.try_write(&Failure::new(Kind::Busy, "too many connections").line());
            return None;
        };
        Some(Connection::new(stream, seat, desk.clone(), uid, self.state_owner))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is this daemon's own while the lock is held. What stays is removed by the next one.
        let _ = fs::remove_file(&self.socket);
    }
}

/// Removes a socket at which nobody answers.
fn clear(socket: &Path) -> Result<(), ControlError> {
    let unmade = ControlError::unmade(socket);
    let metadata = match fs::symlink_metadata(socket) {
        Ok(metadata) => metadata,
        Err(none) if none.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(unmade(cause)),
    };
    if !metadata.file_type().is_socket() || metadata.uid() != Uid::effective().as_raw() {
        return Err(ControlError::InTheWay(socket.to_owned()));
    }
    // It waits for nobody but a program of this very user whose queue is full.
    match Blocking::connect(socket) {
        Err(nobody) if nobody.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(socket).map_err(unmade)
        }
        _ => Err(ControlError::InTheWay(socket.to_owned())),
    }
}
