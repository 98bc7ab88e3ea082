//! `sd_listen_fds(3)`.

use std::io;
use std::os::fd::RawFd;

use socket2::Socket;

pub(super) fn descriptors() -> io::Result<Vec<RawFd>> {
    Ok(sd_notify::listen_fds()?.collect())
}

pub(super) fn listens(socket: &Socket) -> io::Result<bool> {
    socket.is_listener()
}
