//! What Guardian knows of itself, as `guardian status` tells it. Other programs rely on the JSON.

pub(crate) mod absent;
pub(crate) mod menu;
pub(crate) mod page;
pub(crate) mod prometheus;
pub(crate) mod timeline;

use std::collections::BTreeMap;
use std::time::Duration;

use guardian_rules::finding::{Finding, Severity};
use guardian_rules::snapshot::ProbeId;
use guardian_rules::verdict::Verdict;
use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::barrier::{Barrier, Held};
use crate::breaker::state::{Circuit, Level};
use crate::config::{Allowance, Mode, Target};
use crate::doubt::Doubt;
use crate::exit;
use crate::lease::Lease;
use crate::round::Outcome;
use crate::sys::clock::Moment;
use crate::trip::{Cause, Evidence, Trip};
use timeline::Turn;

/// The version of the JSON.
const SCHEMA: u8 = 1;
/// A daemon whose last round is older does not watch any more.
const STALE: Duration = Duration::from_secs(5);

/// The whole answer, schema 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The version of this shape.
    pub(crate) schema: u8,
    /// The state of the circuit.
    pub(crate) breaker: Circuit,
    /// Since when it is so, if anybody knows.
    pub(crate) since: Option<Timestamp>,
    /// Whether guardian acts or only reports.
    pub(crate) mode: Mode,
    /// Whether somebody watches.
    pub(crate) daemon: Daemon,
    /// An exposure would be blocked.
    pub(crate) armed: bool,
    /// What is missing or amiss, a sentence each.
    pub(crate) degraded: Vec<String>,
    /// How long ago the last round ended, in milliseconds; none if there was none.
    pub(crate) round_age_ms: Option<u64>,
    /// The lock keeps gateways from being started.
    #[serde(default)]
    pub(crate) locked: bool,
    /// The lease that the gate holds, while it is live.
    pub(crate) lease: Option<Lease>,
    /// Whether the gate takes leases; none where there is to be no gate, or it is starting.
    #[serde(default)]
    pub(crate) gate: Option<GateStatus>,
    /// What opened the circuit, until it is closed again.
    pub(crate) trip: Option<TripStatus>,
    /// What is allowed beside loopback and VPN, and has not ended.
    pub(crate) allowances: Vec<AllowanceStatus>,
    /// What this host's clock showed once, if that is well ahead of what it shows now: allowances have ended by that.
    #[serde(default)]
    pub(crate) clock_was: Option<Timestamp>,
    /// What the last round came to.
    #[serde(default)]
    pub(crate) verdict: Option<Verdict>,
    /// Whether the seal stands, while the circuit is closed and there is to be one.
    #[serde(default)]
    pub(crate) seal: Option<Held>,
    /// How far the gateway is put down, while the circuit is open.
    #[serde(default)]
    pub(crate) level: Option<Level>,
    /// What cannot be told, while the patience runs; none while all can.
    #[serde(default)]
    pub(crate) doubt: Option<Doubt>,
    /// How far the recovery is, while there is one.
    #[serde(default)]
    pub(crate) half_open: Option<Recovery>,
    /// The gateways, as `guardian check --json` shows them.
    #[serde(default)]
    pub(crate) gateways: Vec<Value>,
    /// What the last whole round found worth knowing, that does not move the verdict.
    #[serde(default)]
    pub(crate) warnings: Vec<Evidence>,
    /// What gateways that do not run would expose as soon as they start.
    #[serde(default)]
    pub(crate) at_rest: Vec<Evidence>,
    /// How much each rule found in the last whole round.
    #[serde(default)]
    pub(crate) found: Vec<Found>,
    /// How each probe fares.
    #[serde(default)]
    pub(crate) probes: Vec<ProbeStatus>,
    /// How the circuit was in the last days, the oldest first.
    #[serde(default)]
    pub(crate) timeline: Vec<Turn>,
    /// When the last round ended; the age is counted from it whenever somebody asks, so that a loop
    /// that hangs does not look alive.
    #[serde(skip)]
    pub(crate) round: Option<Moment>,
}

/// Whether somebody watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Daemon {
    /// Yes.
    Running,
    /// Nobody answers.
    Absent,
    /// Somebody answers, but does not look any more.
    Stale,
}

/// Whether the gate runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GateStatus {
    /// It takes this watcher's leases.
    Running,
    /// It has not for a while.
    Absent,
}

/// A trip and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TripStatus {
    /// Tells it from every other trip.
    pub(crate) id: String,
    /// When it happened.
    pub(crate) at: Timestamp,
    /// What kind of reason it has.
    pub(crate) cause: Cause,
    /// A sentence for a person.
    pub(crate) why: String,
    /// What was found, gravest first.
    pub(crate) findings: Vec<Evidence>,
    /// The rules whose findings are still so, or may be, by the last whole round since; none if there was
    /// none. What the barriers themselves may hide counts as still so.
    #[serde(default)]
    pub(crate) still_found: Option<Vec<String>>,
    /// What findings are about, where that very socket or process is there no more; no look has confirmed it yet.
    #[serde(default)]
    pub(crate) gone: Vec<String>,
    /// What stands between the gateway and the world.
    pub(crate) barriers: Vec<BarrierStatus>,
    /// From the last round without an exposure to the lock on the disk, in milliseconds.
    pub(crate) detect_ms: Option<u64>,
    /// From the trip to the last barrier that was found standing, in milliseconds.
    pub(crate) block_ms: Option<u64>,
}

/// A barrier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BarrierStatus {
    /// Which.
    pub(crate) barrier: Barrier,
    /// Whether it stands.
    pub(crate) held: Held,
}

/// A written exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AllowanceStatus {
    /// Addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<String>,
    /// Or a way of publishing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// Why, in the owner's words.
    pub(crate) reason: String,
    /// When it ends.
    pub(crate) until: Timestamp,
}

/// How much a rule found, of one severity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Which.
    pub(crate) rule: String,
    /// How much it weighs.
    pub(crate) severity: Severity,
    /// How many findings.
    pub(crate) count: u64,
}

impl Found {
    /// Of these findings.
    pub(crate) fn count(findings: &[Finding]) -> Vec<Self> {
        let mut counts = BTreeMap::<_, u64>::new();
        for finding in findings {
            *counts.entry((finding.rule, finding.severity)).or_default() += 1;
        }
        let of = |((rule, severity), count): ((&str, _), _)| Self { rule: rule.to_owned(), severity, count };
        counts.into_iter().map(of).collect()
    }
}

/// How a probe fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProbeStatus {
    /// Which.
    pub(crate) probe: ProbeId,
    /// Whether it saw.
    pub(crate) outcome: Outcome,
    /// Why it did not.
    pub(crate) reason: Option<String>,
    /// When it began to look last; none if it never did.
    pub(crate) looked: Option<Timestamp>,
}

/// A recovery under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recovery {
    /// Safe rounds in a row.
    pub(crate) safe: u16,
    /// Safe rounds in a row that it takes.
    pub(crate) wanted: u16,
    /// When the circuit opens again if it is not closed before.
    pub(crate) until: Timestamp,
    /// What cannot be told, so that no round is safe.
    #[serde(default)]
    pub(crate) in_the_way: Vec<Evidence>,
}

impl Status {
    /// Nothing but the state; the rest is to be filled in.
    pub(crate) fn new(breaker: Circuit, since: Option<Timestamp>, mode: Mode, daemon: Daemon) -> Self {
        Self {
            schema: SCHEMA,
            breaker,
            since,
            mode,
            daemon,
            armed: false,
            degraded: Vec::new(),
            round_age_ms: None,
            locked: false,
            lease: None,
            gate: None,
            trip: None,
            allowances: Vec::new(),
            clock_was: None,
            verdict: None,
            seal: None,
            level: None,
            doubt: None,
            half_open: None,
            gateways: Vec::new(),
            warnings: Vec::new(),
            at_rest: Vec::new(),
            found: Vec::new(),
            probes: Vec::new(),
            timeline: Vec::new(),
            round: None,
        }
    }

    /// The same as it is at a moment: the round has its age, and a lease that has ended is gone.
    #[must_use]
    pub(crate) fn at(&self, now: Moment) -> Self {
        let mut status = self.clone();
        if let Some(round) = self.round {
            status.round_age_ms = Some(u64::try_from(now.since(round).as_millis()).unwrap_or(u64::MAX));
        }
        status.lease = self.lease.filter(|lease| lease.is_live(now));
        status
    }

    /// The same as whoever is told it has to take it: a daemon that does not look is stale.
    #[must_use]
    pub(crate) fn judged(mut self) -> Self {
        let age = self.round_age_ms.map(Duration::from_millis);
        if self.daemon == Daemon::Running && age.is_some_and(|age| age > STALE) {
            self.daemon = Daemon::Stale;
            self.armed = false;
        }
        self
    }

    /// Whether another status says something else than this one. Time that goes by and a lease
    /// that is renewed are nothing else.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        let lasting = |status: &Self| Self {
            round_age_ms: None,
            round: None,
            lease: status.lease.map(|lease| Lease { serial: 0, expires: 0, ..lease }),
            probes: status.probes.iter().map(|it| ProbeStatus { looked: None, ..it.clone() }).collect(),
            ..status.clone()
        };
        lasting(self) != lasting(other)
    }

    /// The gateways that were seen last.
    pub(crate) fn watched(&self) -> impl Iterator<Item = Watched<'_>> {
        self.gateways.iter().map(|gateway| Watched {
            product: gateway.get("product").and_then(Value::as_str).unwrap_or("gateway"),
            listeners: gateway
                .get("listeners")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect(),
        })
    }

    /// The exit code that goes with it. A circuit that is closed says nothing of what was not seen, nor,
    /// where Guardian only observes, of what was.
    pub(crate) fn exit(&self) -> u8 {
        match (self.daemon, self.breaker) {
            (Daemon::Absent | Daemon::Stale, _) => exit::BLIND,
            (Daemon::Running, Circuit::Closed) => match self.verdict {
                Some(Verdict::Safe) => exit::OK,
                Some(Verdict::Exposed) => exit::EXPOSED,
                Some(Verdict::Blind) | None => exit::BLIND,
            },
            (Daemon::Running, Circuit::HalfOpen) => exit::WARNING,
            (Daemon::Running, Circuit::Open) => exit::EXPOSED,
        }
    }
}

/// A gateway, as a page names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched<'a> {
    /// Its name, or "gateway".
    pub(crate) product: &'a str,
    /// Where it takes connections.
    pub(crate) listeners: Vec<&'a str>,
}

impl std::fmt::Display for Watched<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.product, self.listeners.join(", "))
    }
}

impl TripStatus {
    /// Whether what was found is still so, or may be; none if nobody has looked since.
    pub(crate) fn still_finds(&self, found: &Evidence) -> Option<bool> {
        self.still_found.as_ref().map(|rules| rules.contains(&found.rule))
    }
}

impl From<&Trip> for TripStatus {
    fn from(trip: &Trip) -> Self {
        Self {
            id: trip.id.clone(),
            at: trip.at,
            cause: trip.cause,
            why: trip.why.clone(),
            findings: trip.findings.clone(),
            still_found: None,
            gone: Vec::new(),
            barriers: Vec::new(),
            detect_ms: None,
            block_ms: None,
        }
    }
}

impl From<&Allowance> for AllowanceStatus {
    fn from(allowance: &Allowance) -> Self {
        let (network, path) = match &allowance.target {
            Target::Network(network) => (Some(network.to_string()), None),
            Target::Path(path) => (None, Some(path.clone())),
        };
        Self { network, path, reason: allowance.reason.clone(), until: allowance.until }
    }
}

/// What is allowed, until when, and why.
impl std::fmt::Display for AllowanceStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let target = self.target();
        let until = page::second(self.until);
        if self.is_everybody() {
            write!(f, "everybody ({target}) until {until}: {}", self.reason)
        } else {
            write!(f, "{target} until {until}: {}", self.reason)
        }
    }
}

impl AllowanceStatus {
    /// Those that have not ended.
    pub(crate) fn in_force(allowances: &[Allowance], now: Timestamp) -> Vec<Self> {
        allowances.iter().filter(|allowance| allowance.until > now).map(Self::from).collect()
    }

    /// Every address is allowed.
    fn is_everybody(&self) -> bool {
        let network: Option<IpNet> = self.network.as_ref().and_then(|network| network.parse().ok());
        network.is_some_and(|network| network.prefix_len() == 0)
    }

    /// What is allowed.
    pub(crate) fn target(&self) -> &str {
        self.network.as_deref().or(self.path.as_deref()).unwrap_or("nothing")
    }
}

#[cfg(test)]
mod tests;
