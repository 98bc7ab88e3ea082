//! Listening sockets that a supervisor has opened and hands over: systemd's socket units, launchd's
//! `Sockets` key.

#[cfg(target_os = "linux")]
#[path = "activation/linux.rs"]
mod platform;
#[cfg(target_os = "macos")]
#[path = "activation/macos.rs"]
mod platform;

use std::io;
use std::os::fd::{FromRawFd as _, RawFd};

use socket2::Socket;
use tokio::net::TcpListener;

/// The sockets that were handed over to this process; none where nobody did. To be called once.
pub(super) fn sockets() -> io::Result<Vec<TcpListener>> {
    platform::descriptors()?.into_iter().map(adopt).collect()
}

fn adopt(descriptor: RawFd) -> io::Result<TcpListener> {
    // SAFETY: the supervisor has opened it for this process, which is told its number here and
    // nowhere else; `sockets` is called once, so nobody else in this process owns it.
    let socket = unsafe { Socket::from_raw_fd(descriptor) };
    if !platform::listens(&socket)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}
