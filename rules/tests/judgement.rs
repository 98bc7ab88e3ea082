//! What Guardian concludes from what it sees, rule by rule and sentence by sentence.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the scenery is part of the tests: a mistake in it ends the test"
)]

mod scenery;

mod announced;
mod bound_beyond_allowed;
mod config_incomplete;
mod container_published;
mod foreign_peer;
mod forwarder_attached;
mod gateway_as_root;
mod handbook;
mod home_shared;
mod nat_published;
mod open_without_credentials;
mod outspoken;
mod paired_while_exposed;
mod panel_republished;
mod probe_blind;
mod properties;
mod reachable_beyond_allowed;
mod revived_while_open;
mod router_mapped;
mod secrets_readable;
mod side_door_open;
mod suspicious_requests;
mod tunnel_published;
mod vague_proxies;
mod verdict;
mod witnesses_disagree;
