//! The road to the kernel's socket table: one netlink socket.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send, setsockopt,
    socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::dump::Transport;

/// A `NETLINK_SOCK_DIAG` socket.
pub struct Netlink(OwnedFd);

impl Netlink {
    /// Opens one, connected to the kernel: whatever others send to it is refused.
    pub fn open() -> io::Result<Self> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        connect(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&fd, ReceiveTimeout, &TimeVal::milliseconds(500))?;
        Ok(Self(fd))
    }
}

impl Transport for Netlink {
    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let sent = again(|| send(self.0.as_raw_fd(), request, MsgFlags::empty()))?;
        if sent == request.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // With MSG_TRUNC the kernel tells the true length of a batch that does not fit.
        again(|| recv(self.0.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC))
    }
}

/// Signals may break into any call.
fn again(mut call: impl FnMut() -> nix::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(nix::errno::Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}
