//! Processes that matter: holders of sockets, their peers and their parents.

use std::path::PathBuf;

/// What a program is for, judged by its executable and its arguments against `roles.toml`.
///
/// A role is a hint, never a proof: names can be changed. Rules let a role accuse (a forwarder is
/// a door) and let it excuse only where nothing else could be the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Bears the marks of a gateway: its title, its lock file, its environment.
    Gateway,
    /// Bears a product's name but serves no gateway: its command line client, app or helper.
    Client,
    /// A reverse proxy or web server that can forward: nginx, caddy, haproxy.
    Proxy,
    /// Relays connections as they are: socat, ssh, kubectl.
    Forwarder,
    /// Carries connections to a service elsewhere: cloudflared, ngrok, frpc.
    Tunnel,
    /// A VPN's own daemon, which may serve within the VPN: tailscaled.
    Vpn,
    /// The server side of an authenticated user's session: sshd.
    Session,
    /// Publishes ports of containers: docker-proxy, rootlessport.
    ContainerEngine,
    /// A web browser.
    Browser,
    /// Guardian itself.
    Guardian,
    /// Speaks another protocol and notes strangers in its log: databases, mail, name service.
    /// Not asked on loopback.
    OtherService,
    /// Runs JavaScript: what a gateway runs on, and much else.
    Runtime,
    /// None of these.
    Unknown,
}

impl Role {
    /// Could carry somebody else's connection to a gateway.
    #[must_use]
    pub fn relays(self) -> bool {
        matches!(self, Self::Proxy | Self::Forwarder | Self::Tunnel | Self::ContainerEngine | Self::Vpn)
    }

    /// The role with its article, for a sentence.
    #[must_use]
    pub fn as_a(self) -> &'static str {
        match self {
            Self::Gateway => "a gateway",
            Self::Client => "a gateway's client",
            Self::Proxy => "a proxy",
            Self::Forwarder => "a forwarder",
            Self::Tunnel => "a tunnel",
            Self::Vpn => "a VPN's daemon",
            Self::Session => "an SSH session",
            Self::ContainerEngine => "a container engine",
            Self::Browser => "a browser",
            Self::Guardian => "guardian",
            Self::OtherService => "another service",
            Self::Runtime => "a JavaScript runtime",
            Self::Unknown => "an unknown program",
        }
    }
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Parent's process id.
    pub parent: Option<u32>,
    /// Start time in seconds since the epoch; with the pid, its identity.
    pub started: u64,
    /// Numeric user, if the system tells.
    pub uid: Option<u32>,
    /// The user's name, or the number where it has none.
    pub user: Option<String>,
    /// Short name as the kernel keeps it (Linux: up to 15 bytes).
    pub name: String,
    /// Executable file.
    pub exe: Option<PathBuf>,
    /// Arguments as the process shows them; it may have changed them.
    pub argv: Vec<String>,
    /// What the program is for.
    pub role: Role,
}

impl Process {
    /// The program that runs: the executable's file name, else the short name.
    #[must_use]
    pub fn program(&self) -> &str {
        self.exe
            .as_deref()
            .and_then(|exe| exe.file_name())
            .and_then(|name| name.to_str())
            .unwrap_or(&self.name)
    }

    /// How a person would name it: the name it shows, and the program where they differ.
    #[must_use]
    pub fn label(&self) -> String {
        let program = self.program();
        // The kernel cuts short names; the rest may stand in the arguments, or the name be the
        // program's.
        let shown = self.argv.first().filter(|first| first.starts_with(&self.name)).unwrap_or(&self.name);
        if program.starts_with(&self.name) { program.to_owned() } else { format!("{shown} [{program}]") }
    }
}
