//! Ports that container engines publish on this host.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::blindness::Blindness;
use crate::fact::Access;

/// A container engine of this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Engine {
    /// Its name: "docker", "podman".
    pub name: String,
    /// The socket on which it was asked.
    pub socket: PathBuf,
    /// It answers where root alone can put a socket: what it says may also excuse.
    pub is_roots: bool,
    /// What it publishes, or why it does not tell.
    pub ports: Result<Vec<ContainerPort>, Blindness>,
}

/// A port of a container that is published on this host. The packet filter may do that without
/// any listening socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerPort {
    /// The container's name.
    pub container: String,
    /// Its image.
    pub image: String,
    /// Its image, its name or its command bears the name of a gateway.
    pub is_named_like_a_gateway: bool,
    /// Where it is published on this host.
    pub on: SocketAddr,
    /// The container's own end, where it has an address of its own.
    pub to: Option<SocketAddr>,
    /// What answers there without credentials.
    pub access: Access,
}
