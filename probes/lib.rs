//! Looks at the host and at what answers on it, and never changes anything.
//!
//! A [`Probe`](probe::Probe) brings back facts of `guardian-rules` or says why it could not. Each
//! runs in a task of its own behind [`Isolated`](probe::Isolated): one that hangs or panics is one
//! blind probe and nothing more.

pub mod access;
pub mod announcements;
mod api;
pub mod ask;
pub mod command;
pub mod containers;
pub mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gateway;
pub mod guests;
pub mod handshake;
pub mod interfaces;
pub mod line;
pub mod listeners;
pub mod marks;
pub mod owner;
pub mod panel;
pub mod peers;
pub mod probe;
pub mod reach;
pub mod redirects;
pub mod router;
pub mod routes;
pub mod tunnels;

/// What every question says of who asks.
pub const USER_AGENT: &str = concat!("guardian/", env!("CARGO_PKG_VERSION"));
