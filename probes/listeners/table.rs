//! The system's table of TCP sockets.
//!
//! Linux: `NETLINK_SOCK_DIAG`. macOS: the list of protocol control blocks, or, for root, what all
//! processes hold if that list is not to be had.

#[cfg(target_os = "linux")]
#[path = "table/linux.rs"]
mod imp;
#[cfg(target_os = "macos")]
#[path = "table/macos.rs"]
mod imp;

pub use imp::Table;
