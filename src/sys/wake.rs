//! Wakes the watcher when the network of this host changes.
//!
//! What comes over the socket is not looked at: that something came is enough, for the probes read
//! the addresses themselves, and do so at their cadence even if nothing ever comes.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A socket over which the kernel tells of changes.
pub(crate) struct Wake(AsyncFd<OwnedFd>);

impl Wake {
    /// Asks the kernel to tell.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is owned, and is neither replaced nor closed before the value is dropped.
        let socket = unsafe { AsyncFd::register_with_interest(open()?, Interest::READABLE) };
        Ok(Self(socket?))
    }

    /// Waits until something has changed, and takes in all that has been told.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        let mut told = [0; 8192];
        for _ in 0..64 {
            match recv(std::os::fd::AsRawFd::as_raw_fd(self.0.get_ref()), &mut told, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => {
                    ready.clear_ready();
                    break;
                }
                // More was told than the socket could keep: something has changed, then.
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                Err(failed) => return Err(failed.into()),
            }
        }
        Ok(())
    }
}

/// rtnetlink(7): links and addresses of both families.
#[cfg(target_os = "linux")]
fn open() -> io::Result<OwnedFd> {
    use nix::sys::socket::{NetlinkAddr, SockProtocol, bind, socket};
    /// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR` of `linux/rtnetlink.h`.
    const GROUPS: u32 = 0x1 | 0x10 | 0x100;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &NetlinkAddr::new(0, GROUPS))?;
    Ok(socket)
}

/// route(4).
#[cfg(not(target_os = "linux"))]
fn open() -> io::Result<OwnedFd> {
    use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
    use nix::sys::socket::socket;
    let socket = socket(AddressFamily::Route, SockType::Raw, SockFlag::empty(), None)?;
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(socket)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use nix::sched::{CloneFlags, unshare};
    use nix::unistd::Uid;

    use super::*;

    #[test]
    fn a_new_address_wakes() {
        if !Uid::effective().is_root() {
            eprintln!("left out: a_new_address_wakes: a network namespace needs root");
            return;
        }
        let own_network = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let wake = Wake::new().unwrap();
                let short = Duration::from_millis(100);
                assert!(tokio::time::timeout(short, wake.changed()).await.is_err(), "nothing has changed");
                assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
                tokio::time::timeout(Duration::from_secs(5), wake.changed()).await.unwrap().unwrap();
            });
        };
        std::thread::spawn(own_network).join().unwrap();
    }
}
