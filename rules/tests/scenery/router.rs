//! Routers of the local network.

use guardian_rules::fact::{Mapping, Router};

use super::{at, denied, ip};

/// A router that carries port 4711 of the internet to an address.
pub(crate) fn router_to(address: &str) -> Router {
    let mapping = Mapping { external: 4711, to: at(address), text: "\"game\"".to_owned() };
    Router { mappings: Ok(vec![mapping]), public: Some(ip("198.51.100.1")), ..idle_router() }
}

/// A router that carries nothing to this host.
pub(crate) fn idle_router() -> Router {
    Router { at: at("192.168.1.1:5000"), is_the_way_out: true, public: None, mappings: Ok(Vec::new()) }
}

/// A router that keeps what it carries to itself.
pub(crate) fn router_that_does_not_tell() -> Router {
    Router { mappings: Err(denied()), ..idle_router() }
}
