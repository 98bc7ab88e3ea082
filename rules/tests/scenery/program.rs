//! What runs on a host.

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{
    Access, Attribution, Audience, ConfigFile, ConfigState, Flow, GatewayConfig, GatewayProcess, Guest,
    Listener, Manager, PrivatePath, Process, Product, Publication, Role, Route, RouteSource, Service, Tunnel,
    TunnelKind,
};

use super::{Manner, at};

/// A process with its sockets, connections and instructions.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a peculiarity of its own")]
pub(crate) struct Program {
    pub(crate) process: Process,
    pub(crate) marks: Option<GatewayProcess>,
    pub(crate) sockets: Vec<(Listener, Manner)>,
    /// Connections to gateways of this host.
    pub(crate) connected_to: Vec<&'static str>,
    pub(crate) flows: Vec<Flow>,
    pub(crate) routes: Vec<Route>,
    /// Those that lead to guests of this host.
    pub(crate) to_guests: Vec<(Route, Guest)>,
    /// It says itself that these are all.
    pub(crate) outspoken: bool,
    /// It may be told anything.
    pub(crate) vague: bool,
    /// It is told something that leads nobody knows where.
    pub(crate) strays: bool,
    pub(crate) tunnel: Option<Tunnel>,
    pub(crate) unnamed: Option<Blindness>,
    pub(crate) undescribed: bool,
}

/// A program by its name, of user 1000.
pub(crate) fn program(name: &str, pid: u32, role: Role) -> Program {
    Program {
        process: Process {
            pid,
            parent: Some(1),
            started: 1_780_000_000,
            uid: Some(1000),
            user: Some("ana".to_owned()),
            name: name.to_owned(),
            exe: Some(format!("/usr/bin/{name}").into()),
            argv: vec![name.to_owned()],
            role,
        },
        marks: None,
        sockets: Vec::new(),
        connected_to: Vec::new(),
        flows: Vec::new(),
        routes: Vec::new(),
        to_guests: Vec::new(),
        outspoken: false,
        vague: false,
        strays: false,
        tunnel: None,
        unnamed: None,
        undescribed: false,
    }
}

/// A sound gateway of user ana: bound to loopback by its configuration, with a token, its secrets
/// for its user alone.
pub(crate) fn gateway(pid: u32) -> Program {
    let mut gateway = program("openclaw-gateway", pid, Role::Gateway);
    gateway.process.exe = Some("/usr/bin/node".into());
    gateway.marks = Some(GatewayProcess {
        pid,
        product: Some(Product::Openclaw),
        marks: vec!["its title is openclaw-gateway".to_owned()],
        service: Some(Service { name: "openclaw-gateway.service".to_owned(), manager: Manager::User(1000) }),
        config: ConfigFile {
            path: Some(format!("/home/ana/.openclaw-{pid}/openclaw.json").into()),
            state: ConfigState::Read(sound_config()),
        },
        private_paths: vec![private(&format!("/home/ana/.openclaw-{pid}"), 0o700)],
        state: None,
        within_reach: Ok(Vec::new()),
        devices: Ok(Vec::new()),
    });
    gateway
}

/// Loopback, with a token.
pub(crate) fn sound_config() -> GatewayConfig {
    GatewayConfig {
        bind: Some("loopback".to_owned()),
        port: Some(18789),
        auth_mode: Some("token".to_owned()),
        has_secret: true,
        ..GatewayConfig::default()
    }
}

/// A path of user 1000 with its permissions.
pub(crate) fn private(path: &str, mode: u32) -> PrivatePath {
    PrivatePath { path: path.into(), mode, uid: 1000 }
}

pub(crate) fn nginx(pid: u32) -> Program {
    program("nginx", pid, Role::Proxy)
}

pub(crate) fn socat(pid: u32) -> Program {
    program("socat", pid, Role::Forwarder)
}

/// The SSH server's side of a session.
pub(crate) fn sshd(pid: u32) -> Program {
    program("sshd", pid, Role::Session)
}

/// A program of which nothing is known but its name.
pub(crate) fn unknown_program(pid: u32) -> Program {
    program("helper", pid, Role::Unknown)
}

impl Program {
    /// Listens there and answers so.
    pub(crate) fn on(self, bound: &str, manner: Manner) -> Self {
        self.on_socket(bound, manner, |_| {})
    }

    /// Listens on a socket that is in some way peculiar.
    pub(crate) fn on_socket(
        mut self,
        bound: &str,
        manner: Manner,
        peculiar: impl FnOnce(&mut Listener),
    ) -> Self {
        let mut listener = Listener {
            bound: at(bound),
            dual_stack: false,
            device: None,
            uid: self.process.uid,
            socket: u64::from(self.process.pid) * 100 + self.sockets.len() as u64,
            owner: Attribution::Named(vec![self.process.pid]),
        };
        peculiar(&mut listener);
        self.sockets.push((listener, manner));
        self
    }

    /// The same with another process id.
    pub(crate) fn numbered(mut self, pid: u32) -> Self {
        self.process.pid = pid;
        for (listener, _) in &mut self.sockets {
            listener.owner = Attribution::Named(vec![pid]);
            listener.socket += u64::from(pid) * 100;
        }
        for route in &mut self.routes {
            route.pid = pid;
        }
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.pid = pid;
        }
        if let Some(marks) = &mut self.marks {
            marks.pid = pid;
            marks.config.path = Some(format!("/home/ana/.openclaw-{pid}/openclaw.json").into());
        }
        self
    }

    /// Its configuration is another.
    pub(crate) fn configured(mut self, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let mut config = sound_config();
        change(&mut config);
        self.marks.as_mut().expect("a gateway").config.state = ConfigState::Read(config);
        self
    }

    /// Its marks are others.
    pub(crate) fn marked(mut self, change: impl FnOnce(&mut GatewayProcess)) -> Self {
        change(self.marks.as_mut().expect("a gateway"));
        self
    }

    /// Nothing marks it as a gateway.
    pub(crate) fn unmarked(mut self) -> Self {
        self.marks = None;
        self.process.role = Role::Runtime;
        self
    }

    pub(crate) fn of_user(mut self, uid: u32, name: &str) -> Self {
        self.process.uid = Some(uid);
        self.process.user = Some(name.to_owned());
        for (listener, _) in &mut self.sockets {
            listener.uid = Some(uid);
        }
        self
    }

    /// Its sockets cannot be attributed, and nothing else is known of it: a process of another user,
    /// seen without privileges.
    pub(crate) fn unnamed(mut self) -> Self {
        self.unnamed = Some(super::denied());
        self.undescribed = true;
        self.marks = None;
        self
    }

    /// It was gone before it could be described.
    pub(crate) fn undescribed(mut self) -> Self {
        self.undescribed = true;
        self
    }

    /// Has a connection to a gateway of this host.
    pub(crate) fn connected_to(mut self, gateway: &'static str) -> Self {
        self.connected_to.push(gateway);
        self
    }

    /// Has a connection with another host.
    pub(crate) fn with_flow(mut self, flow: Flow) -> Self {
        self.flows.push(flow);
        self
    }

    /// Is told to carry what comes in at `listens` to a port of this host.
    pub(crate) fn told_to_carry(mut self, listens: &[&str], to_port: u16) -> Self {
        self.routes.push(Route {
            pid: self.process.pid,
            program: self.process.name.clone(),
            listens: listens.iter().map(|listens| at(listens)).collect(),
            to_port,
            source: RouteSource::Arguments,
            text: format!("carry to 127.0.0.1:{to_port}"),
        });
        self
    }

    /// Is told to carry what comes in at `listens` to a guest of this host, who answers so.
    pub(crate) fn told_to_carry_a_guest(mut self, listens: &[&str], guest: &str, access: Access) -> Self {
        let at = at(guest);
        self = self.told_to_carry(listens, at.port());
        let route = self.routes.pop().expect("it was pushed");
        self.to_guests.push((Route { text: format!("carry to {guest}"), ..route }, Guest { at, access }));
        self
    }

    /// Says that it publishes a guest of this host, who answers so.
    pub(crate) fn publishing_a_guest(mut self, guest: &str, access: Access) -> Self {
        let at = at(guest);
        self = self.publishing("ngrok", Audience::Internet, at.port());
        if let Ok([.., publication]) = self.tunnel_mut().publishes.as_deref_mut() {
            publication.guest = Some(Guest { at, access });
        }
        self
    }

    /// May be told to carry what comes in anywhere.
    pub(crate) fn vague(mut self) -> Self {
        self.vague = true;
        self
    }

    /// Says itself all that it runs by.
    pub(crate) fn outspoken(mut self) -> Self {
        self.outspoken = true;
        self
    }

    /// Says that it publishes a port of this host.
    pub(crate) fn publishing(mut self, path: &str, audience: Audience, to_port: u16) -> Self {
        let public = "https://x.example".to_owned();
        let publication = Publication { path: path.to_owned(), audience, public, to_port, guest: None };
        match &mut self.tunnel_mut().publishes {
            Ok(publications) => publications.push(publication),
            Err(_) => unreachable!("it tells nothing"),
        }
        self
    }

    /// Says that it publishes nothing.
    pub(crate) fn publishing_nothing(mut self) -> Self {
        self.tunnel_mut();
        self
    }

    /// Serves its owner's account unless told otherwise.
    pub(crate) fn serving(mut self, kind: TunnelKind) -> Self {
        self.tunnel_mut().kind = kind;
        self
    }

    /// Does not tell what it publishes.
    pub(crate) fn keeping_silent(mut self) -> Self {
        self.tunnel_mut().publishes = Err(super::denied());
        self
    }

    fn tunnel_mut(&mut self) -> &mut Tunnel {
        let process = &self.process;
        self.tunnel.get_or_insert_with(|| Tunnel {
            pid: process.pid,
            program: process.name.clone(),
            kind: if process.role == Role::Vpn { TunnelKind::Vpn } else { TunnelKind::Public },
            publishes: Ok(Vec::new()),
        })
    }
}
