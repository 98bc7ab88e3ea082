//! A rehearsal: a gateway of our own is exposed on purpose, before a watcher of our own, and what
//! happens is timed.
//!
//! Nothing of it touches the real gateway, the real watcher or the real network: it takes place in
//! a network namespace of its own, with folders of its own. Where there are none (macOS, or a
//! system that lets ordinary users make none), it is played on loopback, where the decoy stops
//! asking for credentials; a real watcher would take that for real, so it is not played beside one.

pub(crate) mod decoy;
pub(crate) mod ground;

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use self::decoy::{Decoy, DecoyError};
use self::ground::{Ground, GroundError};
use crate::barrier::Held;
use crate::breaker::state::Circuit;
use crate::control::client::{Client, ControlError};
use crate::control::protocol::{Ask, Reply};
use crate::status::Status;
use crate::sys::clock::{self, Moment};

/// How long any part may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the block is watched.
const HOLD: Duration = Duration::from_secs(2);

/// What a rehearsal showed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Shown {
    schema: u8,
    /// Where it was played.
    pub(crate) ground: &'static str,
    /// How the decoy was exposed.
    pub(crate) exposure: String,
    /// From the exposure to the lock on the disk, in milliseconds.
    lock_ms: u64,
    /// From the exposure until nobody got through any more; none if nobody ever did.
    block_ms: Option<u64>,
    /// Connections that came through before that, and those that were tried.
    through: u32,
    tried: u32,
    /// Nobody came through while the block was watched.
    pub(crate) held: bool,
    /// The barriers that stood.
    barriers: Vec<crate::status::BarrierStatus>,
    /// From the owner's `recover` until the circuit was closed again, in milliseconds.
    release_ms: u64,
}

impl Shown {
    /// What happened, and when.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let barriers = self.barriers.iter().map(|it| format!("{} {}", it.barrier.as_str(), it.held.as_str()));
        vec![
            ("lock on the disk after", format!("{} ms", self.lock_ms)),
            (
                "last connection that came through after",
                self.block_ms.map_or_else(|| "none ever came through".to_owned(), |ms| format!("{ms} ms")),
            ),
            ("connections through, of those tried", format!("{} of {}", self.through, self.tried)),
            ("barriers", barriers.collect::<Vec<_>>().join(", ")),
            ("recovered and closed again after", format!("{} ms", self.release_ms)),
        ]
    }
}

/// Why a rehearsal could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DrillError {
    #[error(transparent)]
    Ground(#[from] GroundError),
    #[error(transparent)]
    Decoy(#[from] DecoyError),
    #[error("the watcher of the rehearsal cannot be talked with")]
    Control(#[from] ControlError),
    #[error("the rehearsal stopped: {awaited} did not come within {PATIENCE:?}; the watcher says: {said}")]
    Awaited { awaited: &'static str, said: String },
    #[error("the watcher of the rehearsal refused to {what}: {why}")]
    Refused { what: &'static str, why: String },
}

/// Plays it. Must be called before the process has other threads: it may leave the host's network.
pub(crate) async fn play(ground: Ground) -> Result<Shown, DrillError> {
    let mut decoy = Decoy::start(&ground)?;
    let watcher = ground.watcher()?;
    let client = connect(&ground).await?;
    until(&client, "a safe round with the decoy in it", |it| {
        let sealed = it.seal.is_none_or(|held| held == Held::Yes);
        it.breaker == Circuit::Closed && !it.gateways.is_empty() && it.lease.is_some() && sealed
    })
    .await?;

    let door = decoy.expose(&ground)?;
    let exposed = clock::moment();
    let knocking = tokio::task::spawn_blocking(move || knock(door, exposed));
    let lock = ground.paths().lock();
    let locked = wait_for(|| lock.exists()).await;
    let open = until(&client, "an open circuit", |it| it.breaker == Circuit::Open).await?;
    let lock_ms = locked.map_or(0, |at| milliseconds(at.since(exposed)));
    let standing = until(&client, "barriers that stand", |it| {
        it.trip.as_ref().is_some_and(|trip| trip.block_ms.is_some())
    })
    .await
    .unwrap_or(open);
    let knocks = knocking.await.unwrap_or_default();
    decoy.conceal(&ground)?;

    let began = clock::moment();
    demand(&client, Ask::Recover, "recover").await?;
    decoy.revive(&ground)?;
    until(&client, "safe rounds in recovery", |it| {
        it.half_open.as_ref().is_some_and(|half| half.safe >= half.wanted)
    })
    .await?;
    demand(&client, Ask::Close, "close").await?;
    until(&client, "a closed circuit", |it| it.breaker == Circuit::Closed).await?;
    let release_ms = milliseconds(clock::moment().since(began));
    drop((watcher, decoy));
    Ok(Shown {
        schema: 1,
        ground: ground.name(),
        exposure: door.to_string(),
        lock_ms,
        block_ms: knocks.last.map(|last| milliseconds(last.since(exposed))),
        through: knocks.through,
        tried: knocks.tried,
        held: knocks.held,
        barriers: standing.trip.map(|trip| trip.barriers).unwrap_or_default(),
        release_ms,
    })
}

/// What came of knocking at the exposed door as fast as it goes.
#[derive(Debug, Default)]
struct Knocks {
    tried: u32,
    through: u32,
    /// When the last connection came through.
    last: Option<Moment>,
    /// None came through for as long as the block was watched.
    held: bool,
}

fn knock(door: SocketAddr, exposed: Moment) -> Knocks {
    let mut knocks = Knocks::default();
    loop {
        let now = clock::moment();
        let quiet_since = knocks.last.unwrap_or(exposed);
        // Long enough without a connection, or too long with them.
        knocks.held = now.since(quiet_since) >= HOLD + Duration::from_secs(1);
        if knocks.held || now.since(exposed) > PATIENCE {
            return knocks;
        }
        knocks.tried += 1;
        if let Ok(stream) = TcpStream::connect_timeout(&door, Duration::from_millis(200))
            && answers_as_a_gateway(&stream)
        {
            knocks.through += 1;
            knocks.last = Some(clock::moment());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The port barrier's own answer is a block, not a way through.
fn answers_as_a_gateway(stream: &TcpStream) -> bool {
    use std::io::{Read as _, Write as _};
    let ask = || {
        let mut stream = stream;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(b"POST /tools/invoke HTTP/1.1\r\nHost: drill\r\nContent-Length: 0\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| !answer.ends_with(b"503"))
}

async fn connect(ground: &Ground) -> Result<Client, DrillError> {
    let began = clock::moment();
    loop {
        match Client::connect_to(ground.paths()).await {
            Ok(client) => return Ok(client),
            Err(failed) if clock::moment().since(began) > PATIENCE => return Err(failed.into()),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn until(
    client: &Client,
    awaited: &'static str,
    so: impl Fn(&Status) -> bool,
) -> Result<Status, DrillError> {
    let began = clock::moment();
    loop {
        let status = client.status().await?;
        if so(&status) {
            return Ok(status);
        }
        if clock::moment().since(began) > PATIENCE {
            let said = serde_json::to_string(&status).unwrap_or_default();
            return Err(DrillError::Awaited { awaited, said });
        }
        sleep(Duration::from_millis(10)).await;
    }
}

async fn wait_for(so: impl Fn() -> bool) -> Option<Moment> {
    let began = clock::moment();
    while !so() {
        if clock::moment().since(began) > PATIENCE {
            return None;
        }
        sleep(Duration::from_millis(1)).await;
    }
    Some(clock::moment())
}

async fn demand(client: &Client, ask: Ask, what: &'static str) -> Result<(), DrillError> {
    match client.ask(ask).await? {
        Reply::Done | Reply::AlreadySo => Ok(()),
        Reply::Refused(why) => Err(DrillError::Refused { what, why: why.to_string() }),
        Reply::Failed(why) => Err(DrillError::Refused { what, why }),
        Reply::Review(_) => Err(DrillError::Refused { what, why: "it answered another question".to_owned() }),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
