//! How a listener is asked: which addresses, in what order, within what bounds, and what to make
//! of the answer.
//!
//! A question is one HTTP request on one connection, to an address of this host. It names no host
//! that would have to be resolved, follows nothing, knows no proxy, and goes out from the very
//! address it goes to, so that it cannot leave this host even if the address has just moved to
//! another one.

pub mod targets;

mod budget;
mod client;
mod heard;
#[cfg(test)]
pub(crate) mod stage;
pub(crate) mod tls;

pub(crate) use budget::{Turn, each};
pub(crate) use client::{Question, ask, ask_by, source, upgrade};
pub(crate) use heard::{Answer, Heard};
