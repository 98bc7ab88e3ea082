//! What hooks and webhooks are handed: one event as JSON.

use jiff::Timestamp;
use serde::Serialize;

use super::message::{Message, Urgency, message};
use super::queue::Delivery;
use super::words;
use crate::breaker::effect::Notice;
use crate::trip::{Cause, Trip};

/// An event. The evidence itself stays on the host: `guardian status --json` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Event {
    /// The version of this form.
    schema: u8,
    /// `tripped`, `news`, `would-trip`, `in-doubt`, `recovering`, `closed` or `policy-refused`.
    #[serde(rename = "event")]
    what: &'static str,
    /// When it happened.
    at: Timestamp,
    /// On which host.
    host: String,
    /// The same for all that is said of one trip.
    key: String,
    /// How many of this key have come so far.
    count: u32,
    /// How much it matters.
    urgency: Urgency,
    /// One line for a person.
    title: String,
    /// A few lines for a person.
    body: String,
    /// Who recovers or has closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// The trip.
    #[serde(skip_serializing_if = "Option::is_none")]
    trip: Option<Tripped>,
}

/// A trip, as others may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Tripped {
    id: String,
    at: Timestamp,
    cause: Cause,
    why: String,
    findings: Vec<Found>,
}

/// A finding, as others may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Found {
    rule: String,
    subject: String,
}

impl Event {
    /// The event of a delivery, on a host.
    pub(crate) fn of(delivery: &Delivery, host: &str) -> Self {
        let stamped = &delivery.notice;
        let Message { title, body, urgency, key } = message(stamped, host, delivery.count);
        let (what, by, trip) = match &stamped.notice {
            Notice::Tripped(trip) => ("tripped", None, Some(trip)),
            Notice::News(trip) => ("news", None, Some(trip)),
            Notice::WouldTrip(trip) => ("would-trip", None, Some(trip)),
            Notice::Doubt(_) => ("in-doubt", None, None),
            Notice::Recovering(by) => ("recovering", Some(by), None),
            Notice::Closed(by) => ("closed", Some(by), None),
            Notice::PolicyRefused(_) => ("policy-refused", None, None),
        };
        Self {
            schema: 1,
            what,
            at: stamped.at,
            host: host.to_owned(),
            key,
            count: delivery.count,
            urgency,
            title,
            body,
            by: by.map(|by| words::clean(by, 64)),
            trip: trip.map(Tripped::of),
        }
    }

    /// One line for a person.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// A few lines for a person.
    pub(crate) fn body(&self) -> &str {
        &self.body
    }

    /// How much it matters.
    pub(crate) fn urgency(&self) -> Urgency {
        self.urgency
    }
}

impl Tripped {
    fn of(trip: &Trip) -> Self {
        let findings = trip.findings.iter().map(|finding| Found {
            rule: words::clean(&finding.rule, 64),
            subject: words::clean(&finding.subject, 200),
        });
        Self {
            id: words::clean(&trip.id, 64),
            at: trip.at,
            cause: trip.cause,
            why: words::clean(&trip.why, 400),
            findings: findings.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::tests::{stamped, trip};

    #[test]
    fn an_event_names_what_happened_and_keeps_the_evidence_back() {
        let delivery = Delivery::first(stamped(Notice::Tripped(trip(0, 2))));
        let json = serde_json::to_value(Event::of(&delivery, "pine")).unwrap();
        assert_eq!(
            (&json["schema"], &json["event"], &json["host"]),
            (&1.into(), &"tripped".into(), &"pine".into())
        );
        assert_eq!(json["urgency"], "critical");
        assert_eq!(json["trip"]["cause"], "exposed");
        assert_eq!(json["trip"]["findings"][1]["subject"], "0.0.0.0:18790");
        assert!(!json.to_string().contains("s3cr3t"), "{json}");
        assert!(json.get("by").is_none());
    }

    #[test]
    fn a_recovery_names_who_and_has_no_trip() {
        let delivery = Delivery::first(stamped(Notice::Recovering("ana".to_owned())));
        let json = serde_json::to_value(Event::of(&delivery, "pine")).unwrap();
        assert_eq!((&json["event"], &json["by"]), (&"recovering".into(), &"ana".into()));
        assert!(json.get("trip").is_none());
    }
}
