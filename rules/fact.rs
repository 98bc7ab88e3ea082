//! The vocabulary of facts: what a probe may report, one file a subject.

mod announcement;
mod answer;
mod container;
mod device;
mod exposure;
mod gateway;
mod guest;
mod interface;
mod listener;
mod peer;
mod process;
mod redirect;
mod route;
mod router;
mod seal;
mod secret;
mod stopped;
mod suspicion;
mod tunnel;

pub use announcement::{Announcement, Heard};
pub use answer::{
    Access, AccessAnswer, Challenge, HandshakeAnswer, Page, PanelAnswer, ReachAnswer, Reached, Reply,
    SideDoor, Transport,
};
pub use container::{ContainerPort, Engine};
pub use device::Device;
pub use exposure::Exposure;
pub use gateway::{
    ConfigFile, ConfigState, GatewayConfig, GatewayProcess, Manager, PrivatePath, Product, Service, Tailscale,
};
pub use guest::Guest;
pub use interface::InterfaceAddress;
pub use listener::{Attribution, Listener, Witness};
pub use peer::{Flow, Origin, Peer};
pub use process::{Process, Role};
pub use redirect::{Destination, Redirect, Redirects};
pub use route::{Instructions, Route, RouteSource};
pub use router::{Mapping, Router};
pub use seal::Seal;
pub use secret::Secret;
pub use stopped::Stopped;
pub use suspicion::{Intent, Suspicion};
pub use tunnel::{Audience, Publication, Tunnel, TunnelKind};
