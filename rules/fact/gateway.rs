//! Gateways: processes and their configuration.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::blindness::Blindness;
use crate::fact::{Device, Secret};

/// The name under which the product runs. All are one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// Up to January 2026.
    Clawdbot,
    /// A few days in January 2026; never published to npm as a gateway.
    Moltbot,
    /// Since 2026.1.29.
    Openclaw,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clawdbot => "clawdbot",
            Self::Moltbot => "moltbot",
            Self::Openclaw => "openclaw",
        })
    }
}

/// A process with the marks of a gateway, in this network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayProcess {
    /// Process id. A wrapper and its child are two of these; only the child holds sockets.
    pub pid: u32,
    /// Under which name it runs, if the marks tell.
    pub product: Option<Product>,
    /// What was seen, one short sentence each: "its title is openclaw-gateway".
    pub marks: Vec<String>,
    /// The supervisor that starts it, as the process shows it. A claim: whoever starts a process
    /// chooses what it shows, so nothing is done to a service before its supervisor has confirmed it.
    pub service: Option<Service>,
    /// Its configuration file.
    pub config: ConfigFile,
    /// State folder, configuration and credentials, as the file system shows them.
    pub private_paths: Vec<PrivatePath>,
    /// The folder in which it keeps its state, if that could be found out.
    pub state: Option<PathBuf>,
    /// What it can read of people's secrets, its own state aside, or why that cannot be told.
    pub within_reach: Result<Vec<Secret>, Blindness>,
    /// Who is paired with it, the latest first, or why that cannot be told. Nobody, where it was never exposed:
    /// then nobody asks.
    pub devices: Result<Vec<Device>, Blindness>,
}

/// A service by which a supervisor starts a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Service {
    /// The systemd unit or launchd label.
    pub name: String,
    /// Whose it is.
    pub manager: Manager,
}

/// Who runs a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// The system's supervisor.
    System,
    /// The supervisor of a user, by number.
    User(u32),
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.manager {
            Manager::System => f.write_str(&self.name),
            Manager::User(uid) => write!(f, "{} of user {uid}", self.name),
        }
    }
}

/// A configuration file and what could be read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where it is, if that could be found out.
    pub path: Option<PathBuf>,
    /// What it says.
    pub state: ConfigState,
}

/// The content of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigState {
    /// Read and understood.
    Read(GatewayConfig),
    /// There is no such file: the gateway runs on its defaults.
    Absent,
    /// It could not be found, read or understood.
    Unreadable(Blindness),
}

/// The settings that matter for exposure. `None` is "not set".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayConfig {
    /// `gateway.bind`: loopback, lan, auto, tailnet, custom.
    pub bind: Option<String>,
    /// `gateway.customBindHost`.
    pub custom_bind_host: Option<IpAddr>,
    /// `gateway.port`.
    pub port: Option<u16>,
    /// `gateway.auth.mode`: token, password, none, trusted-proxy.
    pub auth_mode: Option<String>,
    /// A token or password is set here, as text or as a reference.
    pub has_secret: bool,
    /// `gateway.tailscale.mode`.
    pub tailscale: Tailscale,
    /// `gateway.controlUi.allowedOrigins` has `*`.
    pub any_origin: bool,
    /// Names of switches set that weaken the panel: `allowInsecureAuth` and the like.
    pub weakened_by: Vec<String>,
    /// `gateway.trustedProxies`.
    pub trusted_proxies: Vec<String>,
}

/// `gateway.tailscale.mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tailscale {
    /// Not set, or off.
    #[default]
    Off,
    /// Serves within the tailnet.
    Serve,
    /// Publishes to the internet.
    Funnel,
}

/// A file or folder that only the gateway's user should read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivatePath {
    /// Where it is.
    pub path: PathBuf,
    /// Permission bits, the lowest nine.
    pub mode: u32,
    /// Who owns it.
    pub uid: u32,
}
