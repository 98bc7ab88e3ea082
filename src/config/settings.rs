//! The keys of `guardian.toml`, their types and defaults. Unknown keys are errors.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use guardian_rules::policy::USUAL_PORT;
use guardian_rules::snapshot::ProbeId;
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::fmt::friendly::{SpanParser, SpanPrinter};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// Everything the owner can set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Whether guardian acts or only reports.
    pub(crate) mode: Mode,
    /// What a trip does to the gateway.
    pub(crate) enforce: Enforce,
    /// Blind for longer trips.
    pub(crate) patience: Span,
    /// The always-on firewall; needs root.
    pub(crate) seal: bool,
    /// Users who may recover and close, besides root and the owner of the state folder.
    pub(crate) owners: Vec<String>,
    /// What to treat as a gateway.
    pub(crate) gateway: Gateway,
    /// Recovery.
    pub(crate) half_open: HalfOpen,
    /// How often each probe looks, where it differs from the probe's own cadence.
    pub(crate) cadence: BTreeMap<ProbeId, Cadence>,
    /// The door to the panel.
    pub(crate) gate: Gate,
    /// Who is told of a trip.
    pub(crate) notify: Notify,
    /// What monitoring reads.
    pub(crate) metrics: Metrics,
    /// What is allowed beside loopback and VPN.
    pub(crate) allowance: Vec<Allowance>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            enforce: Enforce::Isolate,
            patience: Span(Duration::from_secs(10)),
            seal: true,
            owners: Vec::new(),
            gateway: Gateway::default(),
            half_open: HalfOpen::default(),
            cadence: BTreeMap::new(),
            gate: Gate::default(),
            notify: Notify::default(),
            metrics: Metrics::default(),
            allowance: Vec::new(),
        }
    }
}

impl Settings {
    /// The keys of the file, of the first level, that say something else than before.
    pub(crate) fn changed_since(&self, before: &Self) -> Vec<String> {
        let table = |settings| toml::Table::try_from(settings).unwrap_or_default();
        let (now, before) = (table(self), table(before));
        let keys: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
        keys.into_iter().filter(|key| now.get(*key) != before.get(*key)).cloned().collect()
    }
}

/// Whether guardian acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Trips on exposure.
    Enforce,
    /// Judges and reports; changes nothing.
    Observe,
}

/// What a trip does to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Enforce {
    /// Firewall first; the bot's runtime lives on.
    Isolate,
    /// Stop it.
    Stop,
}

/// What to treat as a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Gateway {
    /// Ports, besides those of the gateways found.
    #[serde(deserialize_with = "ports")]
    pub(crate) ports: Vec<u16>,
    /// The gateway's own user, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self { ports: vec![USUAL_PORT], user: None }
    }
}

/// Recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HalfOpen {
    /// Safe rounds in a row before it may be closed.
    pub(crate) rounds: NonZeroU16,
    /// How long it may last.
    pub(crate) max: Span,
}

impl Default for HalfOpen {
    fn default() -> Self {
        const TEN: NonZeroU16 = NonZeroU16::MIN.saturating_add(9);
        Self { rounds: TEN, max: Span(Duration::from_mins(15)) }
    }
}

/// The door to the panel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Gate {
    /// Where it listens.
    pub(crate) listen: Vec<SocketAddr>,
    /// Host names it answers to.
    pub(crate) hosts: Vec<String>,
    /// Origins it takes upgrades and unsafe methods from, beside its own.
    pub(crate) origins: Vec<String>,
    /// The gateway; on loopback, at the first of the gateway's ports, where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gateway: Option<SocketAddr>,
    /// A line of JSON on standard output for every request.
    pub(crate) access_log: bool,
    /// What each source may ask.
    pub(crate) rate: Rate,
    /// What all of them may ask together.
    pub(crate) rate_of_all: Rate,
    /// As many suspicious requests of a kind in five minutes open the circuit; never, if zero.
    pub(crate) suspicious: u32,
    /// TLS, where it is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
}

impl Default for Gate {
    fn default() -> Self {
        const fn rate(per_second: u32, burst: u32) -> Rate {
            Rate { per_second: positive(per_second), burst: positive(burst) }
        }
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 18700))],
            hosts: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            origins: Vec::new(),
            gateway: None,
            access_log: true,
            rate: rate(100, 400),
            rate_of_all: rate(1000, 4000),
            suspicious: 100,
            tls: None,
        }
    }
}

const fn positive(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// A budget of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    /// Requests a second.
    pub(crate) per_second: NonZeroU32,
    /// Requests that may come at once.
    pub(crate) burst: NonZeroU32,
}

/// The gate's certificate. Without files it is the one that `guardian gate certificate` made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// A file with the certificate and its chain, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    /// A file with its key, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
}

/// Who is told of a trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Notify {
    /// Desktop notifications.
    pub(crate) desktop: bool,
    /// A command and its arguments; the event comes as JSON on its standard input.
    pub(crate) command: Vec<String>,
    /// An address to post the event to; empty for none.
    pub(crate) webhook: String,
}

impl Default for Notify {
    fn default() -> Self {
        Self { desktop: true, command: Vec::new(), webhook: String::new() }
    }
}

/// What monitoring reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Metrics {
    /// Where the watcher answers `GET /metrics`: on loopback, or nowhere.
    #[serde(deserialize_with = "on_loopback", skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<SocketAddr>,
}

/// A written exception: what, why and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenAllowance", into = "WrittenAllowance")]
pub(crate) struct Allowance {
    /// What is allowed.
    pub(crate) target: Target,
    /// Why, in the owner's words.
    pub(crate) reason: String,
    /// When it ends.
    pub(crate) until: Timestamp,
}

/// What an allowance allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Addresses.
    Network(IpNet),
    /// A way of publishing, by a program's name or one of [`guardian_rules::way`].
    Path(String),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAllowance {
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    reason: String,
    until: toml::value::Datetime,
}

impl TryFrom<WrittenAllowance> for Allowance {
    type Error = String;

    fn try_from(written: WrittenAllowance) -> Result<Self, String> {
        let target = match (written.network, written.path) {
            (Some(network), None) => Target::Network(network_of(&network)?),
            (None, Some(path)) if !path.trim().is_empty() => Target::Path(path),
            (Some(_), Some(_)) => return Err("an allowance has a network or a path, not both".to_owned()),
            (None, _) => return Err("an allowance needs a network or a path".to_owned()),
        };
        if written.reason.trim().is_empty() {
            return Err("an allowance needs a reason".to_owned());
        }
        let until = Timestamp::from_str(&written.until.to_string())
            .ok()
            .filter(|until| WRITTEN.contains(&until.as_second()))
            .ok_or_else(|| "until needs a date, a time and an offset: 2026-12-31T00:00:00Z".to_owned())?;
        Ok(Self { target, reason: written.reason, until })
    }
}

/// Instants that RFC 3339 can write, whatever offset they were written with: its years have four digits.
pub(crate) const WRITTEN: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

impl From<Allowance> for WrittenAllowance {
    fn from(allowance: Allowance) -> Self {
        let (network, path) = match allowance.target {
            Target::Network(network) => (Some(network.to_string()), None),
            Target::Path(path) => (None, Some(path)),
        };
        #[expect(
            clippy::expect_used,
            reason = "it was read as one that RFC 3339 can write, which is what TOML has for instants"
        )]
        let until = allowance.until.to_string().parse().expect("a timestamp prints as RFC 3339");
        Self { network, path, reason: allowance.reason, until }
    }
}

/// A network, or an address as a network of one.
fn network_of(text: &str) -> Result<IpNet, String> {
    IpNet::from_str(text)
        .or_else(|_| IpAddr::from_str(text).map(IpNet::from))
        .map_err(|_| format!("{text:?} is no network: write 192.168.1.0/24 or fd00::/8"))
}

/// A length of time, written `200ms`, `10s`, `15m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&SpanPrinter::new().unsigned_duration_to_string(&self.0))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        SpanParser::new()
            .parse_unsigned_duration(text)
            .map(Self)
            .map_err(|_| format!("{text:?} is no length of time: write 200ms, 10s or 15m"))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time in quotes, such as \"10s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// How often a probe looks: between 20 milliseconds and an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Span", into = "Span")]
pub(crate) struct Cadence(Duration);

impl TryFrom<Span> for Cadence {
    type Error = String;

    fn try_from(span: Span) -> Result<Self, String> {
        let bounds = Duration::from_millis(20)..=Duration::from_hours(1);
        if bounds.contains(&span.0) {
            Ok(Self(span.0))
        } else {
            Err(format!("a cadence of {span} is not between 20ms and 1h"))
        }
    }
}

impl From<Cadence> for Span {
    fn from(cadence: Cadence) -> Self {
        Self(cadence.0)
    }
}

fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    let ports: Vec<u16> = Vec::deserialize(deserializer)?;
    if ports.contains(&0) { Err(de::Error::custom("0 is no port")) } else { Ok(ports) }
}

/// The numbers are for this machine alone: whoever wants them elsewhere has them fetched.
fn on_loopback<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let at = SocketAddr::deserialize(deserializer)?;
    if at.port() == 0 {
        return Err(de::Error::custom("0 is no port"));
    }
    if at.ip().is_loopback() {
        Ok(Some(at))
    } else {
        let told = format!("{at} is not on loopback, and others would read it: write 127.0.0.1:18710");
        Err(de::Error::custom(told))
    }
}
