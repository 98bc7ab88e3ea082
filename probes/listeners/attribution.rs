//! Who holds a socket.

use std::collections::HashMap;

#[cfg(target_os = "macos")]
#[path = "attribution/libproc.rs"]
mod imp;
#[cfg(target_os = "linux")]
#[path = "attribution/procfs.rs"]
mod imp;

#[cfg(target_os = "linux")]
pub use imp::socket_of;
pub(crate) use imp::{Holder, scan, scan_threads, sockets_of};

/// How many holders of a socket to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thoroughness {
    /// Stop as soon as each socket has a holder.
    FirstHolder,
    /// Every process: forked workers share sockets.
    EveryHolder,
}

/// What a walk through all processes found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Holders by socket, lowest process id first.
    pub(crate) holders: HashMap<u64, Vec<Holder>>,
    /// Processes that did not show what they hold.
    pub(crate) hidden: usize,
    /// Time ran out before the walk was over.
    pub(crate) cut: bool,
}
