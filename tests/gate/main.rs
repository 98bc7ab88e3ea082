//! The real `guardian gate` against clients that mean harm, with a watcher and a gateway that the
//! test plays itself. Needs neither root nor a gateway; the lab has the real ones.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod gateway;
mod house;
mod watcher;

mod floods;
mod forged;
mod guessing;
mod leased;
mod peers;
mod revoked;
mod second;
mod smuggling;
mod streaming;
