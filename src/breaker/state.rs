//! The states of the circuit.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::sys::clock::{Moment, Now};
use crate::trip::Trip;

/// The state of the circuit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Normal: traffic flows while rounds are safe.
    Closed(Closed),
    /// Blocked, and held so.
    Open(Open),
    /// Controlled recovery: loopback only.
    HalfOpen(HalfOpen),
}

/// Normal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Since when.
    pub(crate) since: Timestamp,
    /// Since when not everything can be seen.
    pub(crate) blind: Option<Now>,
    /// What was announced as doubtful, and when: it is not announced again all the time.
    pub(crate) doubted: BTreeMap<(String, String), Moment>,
    /// When people were told of a doubt last.
    pub(crate) doubt_told: Option<Moment>,
    /// What has been reported in observe mode since the last safe round.
    pub(crate) told: BTreeSet<(String, String)>,
}

/// Blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    /// Since when.
    pub(crate) since: Timestamp,
    /// The same as a moment of this boot.
    pub(crate) began: Moment,
    /// Why.
    pub(crate) trip: Trip,
    /// How far the gateway is put down.
    pub(crate) level: Level,
}

/// Controlled recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HalfOpen {
    /// Since when.
    pub(crate) since: Timestamp,
    /// The same as a moment of this boot.
    pub(crate) began: Moment,
    /// What it recovers from.
    pub(crate) trip: Trip,
    /// How far the gateway was put down.
    pub(crate) level: Level,
    /// Safe rounds in a row.
    pub(crate) safe: u16,
}

/// How far a gateway is put down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Nobody reaches it; the agent's own work goes on.
    Isolated,
    /// It does not run.
    Stopped,
}

/// The name of a state, as commands and files spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Circuit {
    Closed,
    Open,
    HalfOpen,
}

impl Circuit {
    /// As reports spell it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl Closed {
    /// Closed since then, and nothing known yet.
    pub(crate) fn since(since: Timestamp) -> Self {
        Self { since, blind: None, doubted: BTreeMap::new(), doubt_told: None, told: BTreeSet::new() }
    }
}

impl State {
    /// Its name.
    pub(crate) fn circuit(&self) -> Circuit {
        match self {
            Self::Closed(_) => Circuit::Closed,
            Self::Open(_) => Circuit::Open,
            Self::HalfOpen(_) => Circuit::HalfOpen,
        }
    }

    /// Since when it is so.
    pub(crate) fn since(&self) -> Timestamp {
        match self {
            Self::Closed(closed) => closed.since,
            Self::Open(open) => open.since,
            Self::HalfOpen(half) => half.since,
        }
    }

    /// The trip that opened the circuit, until it is closed again.
    pub(crate) fn trip(&self) -> Option<&Trip> {
        match self {
            Self::Closed(_) => None,
            Self::Open(open) => Some(&open.trip),
            Self::HalfOpen(half) => Some(&half.trip),
        }
    }
}

impl From<Closed> for State {
    fn from(closed: Closed) -> Self {
        Self::Closed(closed)
    }
}

impl From<Open> for State {
    fn from(open: Open) -> Self {
        Self::Open(open)
    }
}

impl From<HalfOpen> for State {
    fn from(half: HalfOpen) -> Self {
        Self::HalfOpen(half)
    }
}
