//! The daemon's side of the control socket.

mod connection;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::Uid;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::protocol::{Failure, Kind, NoticeLine, Request};
use super::seats::Seats;
use super::{ControlError, peer};
use crate::lease::Lease;
use crate::status::Status;
use crate::sys::paths::Paths;

use connection::Connection;

/// After a failure to accept, such as too many open files.
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
}

/// The socket, bound, and the right to be the only daemon of these folders.
#[derive(Debug)]
pub(crate) struct Server {
    listener: UnixListener,
    socket: PathBuf,
    state_owner: u32,
    /// Held as long as this lives.
    _lock: File,
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
    let lock = only_one(&paths.runtime.join("daemon.lock"))?;
    clear(&socket)?;
    let listener = UnixListener::bind(&socket).map_err(&unmade)?;
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).map_err(&unmade)?;
    Ok(Server { listener, socket, state_owner, _lock: lock })
}

impl Server {
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

/// Takes the lock that the only daemon holds.
fn only_one(path: &Path) -> Result<File, ControlError> {
    let unmade = ControlError::unmade(path);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits())
        .open(path)
        .map_err(&unmade)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ControlError::AlreadyRunning(path.to_owned())),
        Err(TryLockError::Error(cause)) => Err(unmade(cause)),
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
