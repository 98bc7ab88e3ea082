//! The vocabulary of facts: what a probe may report, one file a subject.

mod answer;
mod gateway;
mod interface;
mod listener;
mod peer;
mod process;
mod route;
mod stopped;
mod suspicion;

pub use answer::{
    Access, AccessAnswer, Challenge, HandshakeAnswer, Page, PanelAnswer, ReachAnswer, Reached, Reply,
    SideDoor, Transport,
};
pub use gateway::{
    ConfigFile, ConfigState, GatewayConfig, GatewayProcess, Manager, PrivatePath, Product, Service, Tailscale,
};
pub use interface::InterfaceAddress;
pub use listener::{Attribution, Listener, Witness};
pub use peer::{Flow, Origin, Peer};
pub use process::{Process, Role};
pub use route::{Route, RouteSource};
pub use stopped::Stopped;
pub use suspicion::{Intent, Suspicion};
