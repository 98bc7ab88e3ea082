//! The commands that work on the circuit, with the real binary and folders of their own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod allow;
mod at_rest;
mod circuit;
mod config;
mod install;
mod json;
mod place;
mod rescue;
mod run;
mod shell;
mod status;
mod token;
