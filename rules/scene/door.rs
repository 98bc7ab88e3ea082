//! One listening socket, everything known of it, and the part it plays.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::beyond::{Beyond, Presence, beyond, presence};
use crate::blindness::Blindness;
use crate::fact::{
    Access, AccessAnswer, Attribution, HandshakeAnswer, Listener, Page, PanelAnswer, Reply, SideDoor,
    Transport,
};
use crate::policy::Policy;
use crate::snapshot::Snapshot;

/// The part a listening socket plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A gateway's own socket: answers as a gateway, or belongs to a gateway that does not answer.
    Gateway,
    /// Another socket of a gateway's process.
    BesideGateway,
    /// On a port where a gateway is expected, and does not tell what it is; why.
    PerhapsGateway(String),
    /// Somebody else's socket that carries a gateway's answers, or is told to; the evidence.
    Carries(String),
    /// Could be a door to a gateway and does not answer in a way that tells; why.
    Doubtful(String),
    /// Does not answer in a way that tells, and nothing suggests that it is a door; why.
    Odd(String),
    /// No door.
    Unrelated,
}

impl Part {
    /// The socket belongs to a gateway.
    #[must_use]
    pub fn is_gateways(&self) -> bool {
        matches!(self, Self::Gateway | Self::BesideGateway)
    }
}

/// One listening socket with what was heard from it.
#[derive(Debug)]
pub struct Door<'a> {
    /// The socket; where no list of sockets could be had, what is known of it by its answers.
    pub listener: Cow<'a, Listener>,
    /// The process that answers for it: of several the one with a gateway's marks, else the first.
    /// A supervisor may hold the socket too.
    pub holder: Option<u32>,
    /// The part it plays.
    pub part: Part,
    /// Where it is open to more than the allowed networks.
    pub beyond: Beyond,
    /// It waits at an address that this host does not have at the moment: nobody comes in.
    pub is_away: bool,
    /// Answers to `GET /`.
    pub panel: Vec<&'a PanelAnswer>,
    /// Answers to an empty `POST /tools/invoke`.
    pub access: Vec<&'a AccessAnswer>,
    /// Answers to a WebSocket upgrade.
    pub handshake: Vec<&'a HandshakeAnswer>,
}

impl<'a> Door<'a> {
    /// A gateway's own answer came from here.
    #[must_use]
    pub fn speaks_gateway(&self) -> bool {
        self.access.iter().any(|answer| answer.access.is_gateway())
            || self.handshake.iter().any(|answer| answer.challenge.is_some() || answer.access.is_gateway())
    }

    /// The pages that came from here.
    pub fn pages(&self) -> impl Iterator<Item = &'a Page> {
        self.panel.iter().filter_map(|answer| match &answer.reply {
            Reply::Http(page) => Some(page),
            _ => None,
        })
    }

    /// A page that looks like a gateway's panel came from here.
    #[must_use]
    pub fn shows_a_panel(&self) -> bool {
        self.pages().any(|page| {
            page.structure.is_some() || page.title.is_some() || page.build.is_some() || page.digest.is_some()
        })
    }

    /// The side door that answers here, if one does.
    #[must_use]
    pub fn side_door(&self) -> Option<SideDoor> {
        self.pages().find_map(|page| page.side_door)
    }

    /// Nobody asked anything here.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        self.panel.is_empty() && self.access.is_empty() && self.handshake.is_empty()
    }

    /// Who gets in here without credentials: the worst of its faces, `None` if nothing was asked.
    ///
    /// A face is an address and a transport: a gateway may treat loopback otherwise than the
    /// network.
    #[must_use]
    pub fn who_gets_in(&self) -> Option<&'a Access> {
        let mut faces: BTreeMap<(SocketAddr, Transport), Face<'a>> = BTreeMap::new();
        for answer in &self.access {
            let face = faces.entry((answer.at, answer.transport)).or_default();
            face.http = worst(face.http, Some(&answer.access));
        }
        for answer in &self.handshake {
            let face = faces.entry((answer.at, answer.transport)).or_default();
            face.websocket = worst(face.websocket, Some(&answer.access));
        }
        faces.into_values().map(Face::who_gets_in).fold(None, worst)
    }
}

/// Who gets in at one address by one transport, as far as HTTP and WebSockets tell.
#[derive(Default)]
struct Face<'a> {
    http: Option<&'a Access>,
    websocket: Option<&'a Access>,
}

impl<'a> Face<'a> {
    /// The worse of both, but several versions do not tell it to a WebSocket without credentials:
    /// then the gateway's answer to HTTP counts.
    fn who_gets_in(self) -> Option<&'a Access> {
        match (self.http, self.websocket) {
            (Some(http), Some(Access::Unknown(_))) if http.is_gateway() => Some(http),
            (http, websocket) => worst(http, websocket),
        }
    }
}

fn worst<'a>(one: Option<&'a Access>, other: Option<&'a Access>) -> Option<&'a Access> {
    one.into_iter().chain(other).max_by_key(|access| weight(access))
}

/// How bad an answer is.
fn weight(access: &Access) -> u8 {
    match access {
        Access::Open => 5,
        Access::Unknown(_) => 4,
        Access::Required => 3,
        Access::RefusesProxy => 2,
        Access::Fronted => 1,
        Access::NoGateway => 0,
    }
}

/// Every listening socket, in an order that does not depend on how the facts came; the parts are
/// not cast yet.
pub(super) fn doors<'a>(policy: &Policy, snapshot: &'a Snapshot) -> Vec<Door<'a>> {
    let panel = Heard::new(snapshot.panel.known(), |answer| answer.bound);
    let access = Heard::new(snapshot.access.known(), |answer| answer.bound);
    let handshake = Heard::new(snapshot.handshake.known(), |answer| answer.bound);
    let mut listeners: Vec<Cow<'a, Listener>> =
        match (snapshot.listeners.known(), snapshot.listeners.blindness()) {
            (Some(listeners), _) => listeners.iter().map(Cow::Borrowed).collect(),
            (None, Some(why)) => {
                let answered: BTreeSet<&SocketAddr> =
                    panel.0.keys().chain(access.0.keys()).chain(handshake.0.keys()).collect();
                answered.into_iter().map(|bound| Cow::Owned(unlisted(*bound, why))).collect()
            }
            (None, None) => Vec::new(),
        };
    listeners.sort_unstable();
    listeners
        .into_iter()
        .map(|listener| Door {
            holder: None,
            part: Part::Unrelated,
            beyond: beyond(policy, snapshot, &listener),
            is_away: !listener.is_wildcard() && presence(snapshot, listener.bound) == Presence::Absent,
            panel: panel.from(&listener),
            access: access.from(&listener),
            handshake: handshake.from(&listener),
            listener,
        })
        .collect()
}

/// A socket that is in no list and answered.
fn unlisted(bound: SocketAddr, why: &Blindness) -> Listener {
    Listener {
        bound,
        dual_stack: false,
        device: None,
        uid: None,
        socket: 0,
        owner: Attribution::Unnamed(why.clone()),
    }
}

/// Answers by the listener they belong to: a host may have ten thousand.
struct Heard<'a, T>(BTreeMap<SocketAddr, Vec<&'a T>>);

impl<'a, T: Ord> Heard<'a, T> {
    fn new(answers: Option<&'a Vec<T>>, bound: fn(&T) -> SocketAddr) -> Self {
        let mut heard: BTreeMap<SocketAddr, Vec<&T>> = BTreeMap::new();
        for answer in answers.into_iter().flatten() {
            heard.entry(bound(answer)).or_default().push(answer);
        }
        for answers in heard.values_mut() {
            answers.sort_unstable();
        }
        Self(heard)
    }

    fn from(&self, listener: &Listener) -> Vec<&'a T> {
        self.0.get(&listener.bound).cloned().unwrap_or_default()
    }
}
