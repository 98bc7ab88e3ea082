//! Real gateways.

use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::host::{Host, User};
use crate::http;
use crate::place::{LOOPBACK, Place, at};
use crate::ready::Lab;
use crate::running::Running;

/// The port of the product unless told otherwise.
pub(crate) const PORT: u16 = 18789;
/// The credential of every gateway in the lab that has one.
pub(crate) const TOKEN: &str = "right-token-0123456789abcdef0123";

/// The versions that the lab knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// Clawdbot, the last of that name: without a secret it is open.
    V2026_1_24,
    /// The first that is called `OpenClaw`: refuses to run without a secret.
    V2026_1_29,
    /// A late one: one process, open only when told to.
    V2026_9_6,
}

impl Version {
    fn package(self) -> &'static str {
        match self {
            Self::V2026_1_24 => "clawdbot@2026.1.24-3",
            Self::V2026_1_29 => "openclaw@2026.1.29",
            Self::V2026_9_6 => "openclaw@2026.9.6",
        }
    }

    pub(crate) fn product(self) -> &'static str {
        self.package().split('@').next().expect("a name")
    }

    /// Ports that it opens beside its own, counted from there. They come a little later.
    fn side_ports(self) -> &'static [u16] {
        match self {
            Self::V2026_1_24 => &[2, 3],
            Self::V2026_1_29 => &[3],
            Self::V2026_9_6 => &[],
        }
    }
}

/// What a gateway is told.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) version: Version,
    pub(crate) user: User,
    pub(crate) port: u16,
    /// The address on which it can be asked.
    pub(crate) face: SocketAddr,
    pub(crate) config: Value,
    /// Bind there, whatever the configuration says: addresses for which it has no setting.
    pub(crate) bind: Option<&'static str>,
}

impl Setup {
    /// On loopback and with a token: as it should be.
    pub(crate) fn sound(version: Version) -> Self {
        Self {
            version,
            user: User::Ana,
            port: PORT,
            face: at(LOOPBACK, PORT),
            config: json!({"gateway": {"bind": "loopback", "auth": {"mode": "token", "token": TOKEN}}}),
            bind: None,
        }
    }

    /// On loopback, and open to whoever connects.
    pub(crate) fn open(version: Version) -> Self {
        let auth = if version == Version::V2026_1_24 { json!({}) } else { json!({"mode": "none"}) };
        Self { config: json!({"gateway": {"bind": "loopback", "auth": auth}}), ..Self::sound(version) }
    }

    /// Sound, and told what `guardian gate setup` prints.
    pub(crate) fn behind_a_gate(version: Version) -> Self {
        let setup = Self::sound(version).with("trustedProxies", json!(["127.0.0.1"]));
        if version != Version::V2026_9_6 {
            return setup;
        }
        let origins = json!(["http://127.0.0.1:18700", "http://localhost:18700"]);
        setup.with("controlUi", json!({ "allowedOrigins": origins }))
    }

    /// On every address, with a token.
    pub(crate) fn lan(version: Version) -> Self {
        Self::sound(version).with("bind", json!("lan"))
    }

    /// On one address of the host, with a token.
    pub(crate) fn custom(version: Version, address: SocketAddr) -> Self {
        let sound = Self { port: address.port(), face: address, ..Self::sound(version) };
        sound.with("bind", json!("custom")).with("customBindHost", json!(address.ip().to_string()))
    }

    /// The same with one more setting under `gateway`.
    pub(crate) fn with(mut self, setting: &str, value: Value) -> Self {
        self.config["gateway"][setting] = value;
        self
    }

    pub(crate) fn on_port(self, port: u16) -> Self {
        Self { port, face: SocketAddr::new(self.face.ip(), port), ..self }
    }

    pub(crate) fn of(self, user: User) -> Self {
        Self { user, ..self }
    }

    /// The same gateway, made to listen on an address for which it has no setting.
    pub(crate) fn bound_to(self, address: &'static str, face: SocketAddr) -> Self {
        Self { bind: Some(address), face, ..self }
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&self, host: &Host) -> Gateway {
        self.start_by(host, &[])
    }

    /// The same, started by another program: its own arguments are followed by the gateway's command.
    pub(crate) fn start_by(&self, host: &Host, starter: &[&str]) -> Gateway {
        let _turn = Turn::take();
        let script = "/mnt/scripts/start-gateway.sh";
        let mut command = Host::command(starter.first().copied().unwrap_or(script));
        command.args(starter.iter().skip(1).copied().chain((!starter.is_empty()).then_some(script)));
        let home = format!("{}/gateway-{}", self.user.home(), self.port);
        command
            .args([self.version.package(), &self.port.to_string(), &home, &self.config.to_string()])
            .env("GUARDIAN_LAB_CACHE", "/mnt/cache");
        if let Some(address) = self.bind {
            command
                .env("LAB_NODE_OPTIONS", "--require=/mnt/scripts/listen-elsewhere.cjs")
                .env("LAB_LISTEN", format!("{address} {}", self.port));
        }
        let mut process = host.start(self.user, &mut command);
        // A cold start compiles for a minute or more on a busy machine, and late versions give up on
        // themselves when they are held up.
        for _ in 0..2 {
            if process.ends_or(Duration::from_mins(7), || host.listens(self.port)) {
                process = host.start(self.user, &mut command);
            }
        }
        process.wait_until("its sockets and its answer", Duration::from_mins(7), || {
            host.listens(self.port)
                && self.version.side_ports().iter().all(|step| host.listens(self.port + step))
                && matches!(http::call(host, self.face), Ok(400 | 401))
                // Late ones answer calls before they have their pages.
                && http::ask(host, self.face, "GET /", &[]).is_ok_and(|answer| answer.status < 500)
        });
        self.settle(host);
        Gateway { process, setup: self.clone() }
    }

    /// Waits until it answers at once: for some seconds after its start it is busy with itself.
    fn settle(&self, host: &Host) {
        let begun = Instant::now();
        let mut prompt = 0;
        while prompt < 5 && begun.elapsed() < Duration::from_secs(30) {
            let asked = Instant::now();
            let _ = http::call(host, self.face);
            prompt = if asked.elapsed() < Duration::from_millis(250) { prompt + 1 } else { 0 };
            sleep(Duration::from_millis(200));
        }
    }
}

/// A gateway that runs.
pub(crate) struct Gateway {
    pub(crate) process: Running,
    pub(crate) setup: Setup,
}

/// Two gateways start at a time: each wants a core and some hundred megabytes.
struct Turn;

static TURNS: (Mutex<usize>, Condvar) = (Mutex::new(2), Condvar::new());

impl Turn {
    fn take() -> Self {
        let free = TURNS.0.lock().unwrap();
        *TURNS.1.wait_while(free, |free| *free == 0).unwrap() -= 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TURNS.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        TURNS.1.notify_one();
    }
}

/// A host with a gateway that several tests use, one after the other.
pub(crate) struct Shared {
    setup: fn() -> Setup,
    state: Mutex<State>,
}

enum State {
    Idle,
    Up(Box<Scene>),
    Failed,
}

/// A host, its surroundings and its gateway.
pub(crate) struct Scene {
    // Dropped first: a host is not gone before the tests have taken leave of their children on it.
    pub(crate) gateway: Gateway,
    pub(crate) place: Place,
}

impl Scene {
    pub(crate) fn new(setup: &Setup) -> Self {
        let place = Place::new();
        let gateway = setup.start(&place.host);
        Self { gateway, place }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.place.host
    }

    pub(crate) fn outside(&self) -> &Host {
        &self.place.outside
    }
}

/// A shared host, for one test alone.
pub(crate) struct Held(MutexGuard<'static, State>);

impl Shared {
    pub(crate) const fn new(setup: fn() -> Setup) -> Self {
        Self { setup, state: Mutex::new(State::Idle) }
    }

    /// The host, once it is free. What a test adds to it must end with the test.
    pub(crate) fn hold(&'static self, _lab: &Lab) -> Held {
        // A test that failed has taken its additions with it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!matches!(*state, State::Failed), "the gateway of this test did not start for another one");
        if matches!(*state, State::Idle) {
            *state = State::Failed;
            *state = State::Up(Box::new(Scene::new(&(self.setup)())));
        }
        Held(state)
    }
}

impl std::ops::Deref for Held {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        match &*self.0 {
            State::Up(scene) => scene,
            State::Idle | State::Failed => unreachable!("held only when up"),
        }
    }
}

/// Sound gateways.
pub(crate) static SOUND_1_24: Shared = Shared::new(|| Setup::sound(Version::V2026_1_24));
pub(crate) static SOUND_1_29: Shared = Shared::new(|| Setup::sound(Version::V2026_1_29));
pub(crate) static SOUND_9_6: Shared = Shared::new(|| Setup::sound(Version::V2026_9_6));
/// A sound one that knows of the gate before it.
pub(crate) static GATED_9_6: Shared = Shared::new(|| Setup::behind_a_gate(Version::V2026_9_6));
/// Gateways that let anyone in who reaches loopback.
pub(crate) static OPEN_1_24: Shared = Shared::new(|| Setup::open(Version::V2026_1_24));
pub(crate) static OPEN_9_6: Shared = Shared::new(|| Setup::open(Version::V2026_9_6));
/// A gateway on every address, with a token.
pub(crate) static LAN_9_6: Shared = Shared::new(|| Setup::lan(Version::V2026_9_6));
