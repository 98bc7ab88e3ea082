//! The road to the kernel's tables: one netlink socket, `netlink(7)`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send, setsockopt,
    socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::dump::Transport;

/// A netlink socket that talks with the kernel alone.
pub struct Netlink(OwnedFd);

impl Netlink {
    /// Opens one to the table of sockets (`NETLINK_SOCK_DIAG`).
    pub fn open() -> io::Result<Self> {
        Self::to(SockProtocol::NetlinkSockDiag)
    }

    /// Opens one to the packet filter (`NETLINK_NETFILTER`).
    pub fn to_packet_filter() -> io::Result<Self> {
        Self::to(SockProtocol::NetlinkNetFilter)
    }

    /// Opens one to the list of interfaces (`NETLINK_ROUTE`).
    pub fn to_interfaces() -> io::Result<Self> {
        Self::to(SockProtocol::NetlinkRoute)
    }

    /// Connected to the kernel: whatever others send is refused.
    fn to(protocol: SockProtocol) -> io::Result<Self> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
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
