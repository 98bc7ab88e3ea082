//! What answers a WebSocket, where HTTP did not show a gateway.

pub(crate) mod frame;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Access, Challenge, HandshakeAnswer, Reply, Transport};
use guardian_rules::snapshot::{ProbeId, Snapshot};
use reqwest::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{Method, Upgraded};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::access::verdict;
use crate::ask::targets::{Target, targets};
use crate::ask::{Heard, Question, Turn, each, upgrade};
use crate::marks::marks;
use crate::probe::{Ground, Probe};

/// All questions together end after this; whoever was not asked by then is unknown.
const BUDGET: Duration = Duration::from_secs(6);

/// The body of a refusal, as far as it is read.
const REFUSAL: usize = 4096;

/// The longest frame that is read. A welcome of 2026.9.6 names 466 methods in 30 kB.
const FRAME: usize = 256 * 1024;

/// So many frames are read in the hope of the one that counts.
const FRAMES: usize = 8;

/// Asks those who speak HTTP and did not answer as a gateway whether a gateway answers a
/// WebSocket: a proxy may carry the one and not the other.
///
/// A gateway's first frame comes before any check and is as good as its name. What its protocol
/// generation is it tells when it is asked in one that does not exist. Who gets in it tells when
/// it is asked for a connection without a device block, which leaves no pairing, no device and no
/// presence behind.
///
/// What cannot be avoided is a few lines in the gateway's log, one pair a minute and connection
/// (measured, all as warnings that name this program):
/// - 2026.1.24-3, 2026.1.29: `protocol mismatch` and `closed before connect` for the generation;
///   `unauthorized ... reason=token_mismatch` and `closed before connect` for who gets in; none
///   for a welcome. 2026.1.24-3 knows the older name for a probe only: one `closed before connect`
///   more.
/// - 2026.9.6: `protocol mismatch` and `closed before connect` for the generation; `closed before
///   connect` for who gets in; none for a welcome.
///
/// The token that generation 3 is shown counts as a wrong credential where such are counted
/// (2026.2 and 2026.3: ten a minute are free).
#[derive(Debug, Default)]
pub struct Handshake;

impl Probe for Handshake {
    type Facts = Vec<HandshakeAnswer>;
    const ID: ProbeId = ProbeId::Handshake;
    const CADENCE: Duration = Duration::from_mins(1);
    const DEADLINE: Duration = Duration::from_secs(10);

    async fn observe(&mut self, ground: Ground) -> Result<Vec<HandshakeAnswer>, Blindness> {
        let turns = each(plan(&ground), BUDGET, |(target, transport)| {
            let (target, transport) = (target.clone(), *transport);
            async move { look(&target, transport).await }
        })
        .await;
        Ok(turns
            .into_iter()
            .map(|((target, transport), turn)| {
                let (challenge, access) = answer(turn);
                HandshakeAnswer { at: target.at, bound: target.bound, transport, challenge, access }
            })
            .collect())
    }
}

/// Whom to ask, and in what: whoever serves pages, is no gateway by its answers so far, and is
/// open to other hosts or stands where a gateway is expected. Side doors are known for what they
/// are.
fn plan(ground: &Ground) -> Vec<(Target, Transport)> {
    let known: &Snapshot = &ground.known;
    let pages: HashMap<(SocketAddr, SocketAddr), Transport> = known
        .panel
        .known()
        .into_iter()
        .flatten()
        .filter_map(|answer| match &answer.reply {
            Reply::Http(page) if page.side_door.is_none() => {
                Some(((answer.at, answer.bound), page.transport))
            }
            _ => None,
        })
        .collect();
    let is_gateway = |target: &Target| {
        known.access.known().into_iter().flatten().any(|answer| {
            (answer.at, answer.bound) == (target.at, target.bound) && answer.access.is_gateway()
        })
    };
    targets(&ground.policy, known)
        .into_iter()
        .filter_map(|target| Some((*pages.get(&(target.at, target.bound))?, target)))
        .filter(|(_, target)| target.rank.is_keen() || !target.at.ip().is_loopback())
        .filter(|(_, target)| !is_gateway(target))
        .map(|(transport, target)| (target, transport))
        .collect()
}

fn answer(turn: Turn<(Option<Challenge>, Access)>) -> (Option<Challenge>, Access) {
    match turn {
        Turn::Done(answer) => answer,
        Turn::Late => {
            let late = "too many listeners, or too many that do not answer: its turn did not come";
            (None, Access::Unknown(Blindness::new(Cause::TooMuch, late)))
        }
        Turn::Failed => {
            let failed = "its answer made the question fail";
            (None, Access::Unknown(Blindness::new(Cause::Panicked, failed)))
        }
    }
}

async fn look(target: &Target, transport: Transport) -> (Option<Challenge>, Access) {
    match greet(target, transport).await {
        Err(access) => (None, access),
        Ok(socket) => {
            let generation = generation(socket, target, transport).await;
            let access = who_gets_in(generation, target, transport).await;
            (Some(Challenge { protocol: generation }), access)
        }
    }
}

/// Connects, and waits for a gateway's first frame; what there is instead.
async fn greet(target: &Target, transport: Transport) -> Result<Socket, Access> {
    let mut socket = Socket::open(target, transport).await?;
    // It comes at once or not at all, and many a server says nothing until it is spoken to.
    let deadline = Instant::now() + target.rank.patience() / 2;
    match socket.hear(deadline).await {
        Ok(Some(text)) if frame::is_challenge(&text) => Ok(socket),
        Ok(_) => Err(Access::NoGateway),
        Err(why) => Err(Access::Unknown(why)),
    }
}

/// The protocol generation, if one of the names for a probe is known to the gateway.
async fn generation(first: Socket, target: &Target, transport: Transport) -> Option<u32> {
    let mut socket = Some(first);
    for client in &marks().handshake.clients {
        let mut current = match socket.take() {
            Some(socket) => socket,
            None => greet(target, transport).await.ok()?,
        };
        match current.ask(&frame::asking_generation(client), target).await {
            Ok(frame::Word::Generation(generation)) => return Some(generation),
            // The name is of another generation.
            Ok(frame::Word::Malformed) => {}
            Ok(_) | Err(_) => return None,
        }
    }
    None
}

/// Whether a gateway of this generation welcomes a stranger.
async fn who_gets_in(generation: Option<u32>, target: &Target, transport: Transport) -> Access {
    let (question, generation) = match generation {
        Some(3) => (frame::asking_in_as_of_3(&generate_key()), 3),
        Some(4) => (frame::asking_in_as_of_4(), 4),
        Some(other) => {
            return unknown(format!("a gateway of generation {other}, which this program does not know"));
        }
        None => return unknown("a gateway that does not tell its generation"),
    };
    let Ok(mut socket) = greet(target, transport).await else {
        return unknown("a gateway that answered once and not again");
    };
    match socket.ask(&question, target).await {
        Ok(frame::Word::Welcome) => Access::Open,
        Ok(frame::Word::Unauthorized) => Access::Required,
        // From the fourth generation on whoever gets in gets in without a device; before, every
        // stranger is told so, open or not.
        Ok(frame::Word::Unpaired) if generation == 4 => Access::Required,
        Ok(_) => unknown("a gateway that refuses for a reason which does not tell who gets in"),
        Err(why) => Access::Unknown(why),
    }
}

fn unknown(detail: impl Into<String>) -> Access {
    Access::Unknown(Blindness::malformed(detail))
}

/// What a refusal to speak WebSocket says.
fn refused(heard: Heard) -> Access {
    match heard {
        Heard::Http(answer) => verdict::of_refusal(&answer),
        // Whoever serves pages and hangs up on this question knows no WebSockets.
        Heard::Closed | Heard::OtherProtocol => Access::NoGateway,
        Heard::Refused => {
            Access::Unknown(Blindness::new(Cause::Interrupted, "refuses whoever asks from here"))
        }
        Heard::Silent => Access::Unknown(Blindness::timed_out("did not answer a WebSocket in time")),
        Heard::Unknown(why) => Access::Unknown(why),
    }
}

/// A WebSocket with bounds.
struct Socket(WebSocketStream<Upgraded>);

impl Socket {
    async fn open(target: &Target, transport: Transport) -> Result<Self, Access> {
        let question = Question { method: Method::GET, path: "/", limit: REFUSAL };
        let mut fields = HeaderMap::new();
        fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        fields
            .insert(SEC_WEBSOCKET_KEY, HeaderValue::try_from(generate_key()).map_err(|_| unknown("no key"))?);
        let upgraded = upgrade(target, transport, &question, fields).await.map_err(refused)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .max_frame_size(Some(FRAME))
            .max_message_size(Some(FRAME));
        Ok(Self(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await))
    }

    /// The next text; none if the other side closes or says something else.
    async fn hear(&mut self, deadline: Instant) -> Result<Option<String>, Blindness> {
        for _ in 0..FRAMES {
            let next = timeout_at(deadline, self.0.next()).await;
            match next {
                Err(_) => return Err(Blindness::timed_out("accepted a WebSocket, and said nothing")),
                Ok(Some(Ok(Message::Text(text)))) => return Ok(Some(text.as_str().to_owned())),
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Ok(Some(Err(Error::Capacity(_)))) => {
                    return Err(Blindness::new(Cause::TooMuch, "said more in one frame than can be read"));
                }
                Ok(Some(Ok(_) | Err(_)) | None) => return Ok(None),
            }
        }
        Err(Blindness::new(Cause::TooMuch, "sent frame after frame that says nothing"))
    }

    /// Says a request and waits for its response.
    async fn ask(&mut self, request: &str, target: &Target) -> Result<frame::Word, Blindness> {
        let deadline = Instant::now() + target.rank.patience();
        let hung_up = || Blindness::new(Cause::Interrupted, "hung up on a request");
        match timeout_at(deadline, self.0.send(Message::text(request))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(hung_up()),
        }
        for _ in 0..FRAMES {
            match self.hear(deadline).await? {
                None => return Err(hung_up()),
                Some(text) => {
                    if let Some(word) = frame::response(&text) {
                        // A welcomed stranger takes leave; whoever refused hangs up by itself.
                        if word == frame::Word::Welcome {
                            let _ = timeout_at(deadline, self.0.close(None)).await;
                        }
                        return Ok(word);
                    }
                }
            }
        }
        Err(Blindness::new(Cause::TooMuch, "sent frame after frame that says nothing"))
    }
}

#[cfg(test)]
mod tests;
