//! The lab: real gateways, real proxies and forwarders, on hosts made of namespaces.
//!
//! Every test builds a situation that happens to people, proves that it is up, runs the real
//! `guardian check --json` in it and compares what it says with what is known. It needs Linux, root
//! and what `tests/lab/install.sh` installs. Where something is missing a test prints one line that
//! begins with `skipped:` and passes; with `GUARDIAN_LAB=required` it fails instead, and with
//! `GUARDIAN_LAB=off` nothing is tried.
//!
//! Gateways take half a minute to start, so tests that need the same gateway share one host, one
//! test at a time.

#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod daemon;
mod decoy;
mod gate;
mod gateway;
mod host;
mod http;
mod knocking;
mod leases;
mod place;
mod processes;
mod ready;
mod relay;
mod report;
mod running;
mod seccomp;
mod session;
mod transcript;

mod activated;
mod addresses;
mod allowed;
mod announced;
mod blind;
mod browser;
mod bulkhead;
mod containers;
mod crashed;
mod cut_off;
mod decoys;
mod elsewhere;
mod encrypted;
mod formula;
mod forwarded;
mod gated;
mod harmless;
mod holding;
mod hostile;
mod installed;
mod lan;
mod meddling;
mod monitored;
mod noise;
mod notified;
mod open;
mod ordinary;
mod packaged;
mod paired;
mod precise;
mod redirected;
mod republished;
mod resting;
mod revived;
mod router;
mod safe;
mod sealed;
mod side_door;
mod speed;
mod supervised;
mod suspected;
mod timing;
mod told;
mod trips;
mod tunnels;
mod unsealed;
