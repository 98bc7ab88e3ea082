//! The review before a recovery: what has to be so before a gateway may run again.
//!
//! While the circuit is open most questions to a gateway get no answer, for it is blocked. So the
//! review does not ask whether all is safe; it asks whether anything is known to be wrong, reads
//! the configurations by which gateways would start, and says what it cannot tell.

use std::path::Path;

use guardian_rules::blindness::Blindness;
use guardian_rules::catalog::configuration_at_next_start;
use guardian_rules::fact::{ConfigState, Device, Product};
use guardian_rules::finding::{Answer, Finding, Severity};
use guardian_rules::scene::Scene;
use guardian_rules::snapshot::Snapshot;
use guardian_rules::verdict::judge;
use jiff::Timestamp;

use super::configurations::Configuration;
use super::{Watcher, carried};
use crate::barrier::Target;
use crate::breaker::event::Review;
use crate::review::{ReviewItem, ReviewReport};

/// What the rules must not say, and how the checklist puts it.
const CHECKS: &[(&str, &[&str])] = &[
    ("No gateway listens beyond the allowed networks", &["bound-beyond-allowed", "side-door-open"]),
    ("Nothing publishes a gateway", PUBLISHES),
    ("No gateway lets anyone in", &["open-without-credentials"]),
    ("No stranger is connected", &["foreign-peer"]),
    ("Nothing revives the gateway", &["revived-while-open"]),
    ("Nobody tries the gate's lock", &["suspicious-requests"]),
    ("Both ways of listing sockets agree", &["witnesses-disagree"]),
];
/// What lets others in by a way that is not the gateway's own.
const PUBLISHES: &[&str] = &[
    "panel-republished",
    "forwarder-attached",
    "reachable-beyond-allowed",
    "tunnel-published",
    "container-published",
    "nat-published",
    "router-mapped",
];
/// As many devices are named.
const DEVICES: usize = 3;

impl Watcher {
    /// Reviews what is seen now, and what gateways would start with. `in_time`: all of it has been
    /// looked at since the review was asked for.
    pub(super) fn review(&self, configs: &[Configuration], in_time: bool) -> ReviewReport {
        let scene = Scene::new(&self.sight.policy, &self.sight.known);
        let mut items = Vec::new();
        if !in_time {
            items.push(ReviewItem {
                title: "Everything was looked at again".to_owned(),
                passed: Some(false),
                detail: "it took too long: what was seen before does not count. Try again".to_owned(),
            });
        }
        items.extend(configs.iter().map(|it| configuration(&scene, &it.path, &it.state)));
        if configs.is_empty() {
            items.push(ReviewItem {
                title: "The gateway's configuration".to_owned(),
                passed: None,
                detail: "no gateway's configuration is known: look at it yourself".to_owned(),
            });
        }
        let judgement = judge(&self.sight.policy, &self.sight.known);
        items.extend(CHECKS.iter().map(|(title, rules)| check(title, rules, &judgement.findings)));
        items.extend(held(&self.target, &self.sight.known));
        items.push(sight(&self.sight.known));
        let since = self.state.trip().map(|trip| trip.at);
        items.extend(configs.iter().filter_map(|it| Some(paired(&it.path, it.devices.as_ref()?, since))));
        items.push(ReviewItem {
            title: "The token is one that nobody else knows".to_owned(),
            passed: None,
            detail:
                "if a stranger could have reached the panel, set a new gateway.auth.token before you go on"
                    .to_owned(),
        });
        ReviewReport { items }
    }
}

impl ReviewReport {
    /// What the breaker has to know of it.
    pub(crate) fn failing(&self) -> Review {
        Review { failing: self.failed().map(|item| format!("{}: {}", item.title, item.detail)).collect() }
    }
}

fn configuration(scene: &Scene<'_>, path: &Path, state: &ConfigState) -> ReviewItem {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let product = name.starts_with("clawdbot").then_some(Product::Clawdbot);
    let subject = path.display().to_string();
    let findings = configuration_at_next_start(scene, product, state, &subject);
    let title = format!("The configuration {subject} exposes nothing");
    judged(title, &findings.iter().collect::<Vec<_>>(), "read, and sound")
}

fn check(title: &str, rules: &[&str], findings: &[Finding]) -> ReviewItem {
    let of = |answer| {
        findings.iter().filter(move |it| rules.contains(&it.rule) && it.answer == answer).collect::<Vec<_>>()
    };
    let item = judged(title.to_owned(), &of(Answer::Yes), "nothing of the kind is seen");
    let unknown = of(Answer::Unknown).into_iter().find(|it| it.severity == Severity::Critical);
    match unknown {
        // What a gateway that is blocked does not answer is no reason to keep it blocked.
        Some(unknown) if item.passed == Some(true) => {
            let why = unknown.evidence.last().map_or("it cannot be told", String::as_str);
            let detail = format!(
                "{}: {why}. It is blocked; what it answers once this machine may reach it has to be safe",
                unknown.subject
            );
            ReviewItem { passed: None, detail, ..item }
        }
        _ => item,
    }
}

fn judged(title: String, findings: &[&Finding], sound: &str) -> ReviewItem {
    let critical =
        |answer| findings.iter().find(move |it| it.severity == Severity::Critical && it.answer == answer);
    let sentence = |it: &Finding| {
        let evidence = it.evidence.first().map_or_else(String::new, |first| format!(" ({first})"));
        format!("{}{evidence}. {}", it.subject, it.remedy)
    };
    match (critical(Answer::Yes), critical(Answer::Unknown)) {
        (Some(wrong), _) => ReviewItem { title, passed: Some(false), detail: sentence(wrong) },
        (None, Some(unknown)) => ReviewItem { title, passed: None, detail: sentence(unknown) },
        (None, None) => ReviewItem { title, passed: Some(true), detail: sound.to_owned() },
    }
}

/// Whoever is held for carrying a gateway from elsewhere does not answer, and so nobody accuses it.
fn held(target: &Target, known: &Snapshot) -> Option<ReviewItem> {
    let at = carried::still_there(&target.carried, known)?;
    let detail = format!(
        "a gateway that does not run here was reached by {at}, which is there still and is not asked while it is \
         held: stop it first, or the recovery ends as soon as it answers"
    );
    Some(ReviewItem { title: "Nothing leads to a gateway elsewhere".to_owned(), passed: None, detail })
}

fn sight(known: &Snapshot) -> ReviewItem {
    let title = "Every probe sees".to_owned();
    match known.blind().next() {
        None => ReviewItem { title, passed: Some(true), detail: "all of them".to_owned() },
        Some((probe, why)) => {
            ReviewItem { title, passed: Some(false), detail: format!("{probe} is blind: {why}") }
        }
    }
}

fn paired(path: &Path, devices: &Result<Vec<Device>, Blindness>, since: Option<Timestamp>) -> ReviewItem {
    let title = format!("The devices paired with the gateway of {} are yours", path.display());
    let detail = match devices {
        Err(why) => format!("they cannot be listed here ({why}): type `openclaw devices list`"),
        Ok(devices) if devices.is_empty() => {
            return ReviewItem { title, passed: Some(true), detail: "there are none".to_owned() };
        }
        Ok(devices) => {
            let since_trip = |it: &&Device| {
                let paired = it.paired.and_then(|ms| Timestamp::from_millisecond(ms.cast_signed()).ok());
                since.zip(paired).is_some_and(|(since, paired)| paired >= since)
            };
            let new = devices.iter().filter(since_trip).count();
            let named: Vec<String> = devices.iter().take(DEVICES).map(named).collect();
            format!(
                "{} paired, {new} of them since the trip; the latest: {}. Whoever was paired while it was exposed \
                 stays in: remove what you do not know",
                devices.len(),
                named.join(", ")
            )
        }
    };
    ReviewItem { title, passed: None, detail }
}

fn named(device: &Device) -> String {
    let when = device.paired.and_then(|ms| Timestamp::from_millisecond(ms.cast_signed()).ok());
    let from = device.remote.as_deref().map_or_else(String::new, |from| format!(" from {from}"));
    let when = when.map_or_else(String::new, |when| format!(" on {}", when.strftime("%Y-%m-%d %H:%M")));
    format!("{}{from}{when}", device.client)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, answer: Answer) -> Finding {
        Finding {
            rule: "panel-republished",
            severity,
            answer,
            subject: "0.0.0.0:8088".to_owned(),
            evidence: vec!["nginx listens there".to_owned()],
            remedy: "Stop it.".to_owned(),
        }
    }

    #[test]
    fn only_what_is_proven_fails_and_what_a_blocked_gateway_does_not_answer_does_not() {
        let rules = &["panel-republished"];
        let of = |severity, answer| {
            check("Nothing publishes a gateway", rules, &[finding(severity, answer)]).passed
        };
        assert_eq!(of(Severity::Critical, Answer::Yes), Some(false));
        assert_eq!(of(Severity::Critical, Answer::Unknown), None);
        assert_eq!(of(Severity::Info, Answer::Yes), Some(true));
        assert_eq!(
            check("x", &["foreign-peer"], &[finding(Severity::Critical, Answer::Yes)]).passed,
            Some(true)
        );
    }

    /// Rules that are judged by what the review reads and looks at itself, or that do not accuse.
    #[test]
    fn no_proof_of_an_exposure_is_passed_over() {
        const BY_THEMSELVES: &[&str] = &["config-incomplete", "probe-blind"];
        for rule in guardian_rules::catalog::CATALOG.iter().filter(|it| it.severity == Severity::Critical) {
            let checked = CHECKS.iter().any(|(_, rules)| rules.contains(&rule.id));
            assert!(checked || BY_THEMSELVES.contains(&rule.id), "{}", rule.id);
        }
    }

    #[test]
    fn what_fails_says_where_why_and_what_to_do() {
        let item = check("x", &["panel-republished"], &[finding(Severity::Critical, Answer::Yes)]);
        for part in ["0.0.0.0:8088", "nginx listens there", "Stop it."] {
            assert!(item.detail.contains(part), "{}", item.detail);
        }
        let report = ReviewReport { items: vec![item] };
        assert_eq!(report.failing().failing.len(), 1);
    }

    #[test]
    fn devices_are_never_passed_unseen_and_those_since_the_trip_are_counted() {
        let device = |paired| Device {
            id: "aa11".to_owned(),
            client: "cli".to_owned(),
            platform: "linux".to_owned(),
            remote: Some("127.0.0.1".to_owned()),
            paired: Some(paired),
        };
        let path = Path::new("/home/ana/.clawdbot/clawdbot.json");
        let since = Timestamp::from_millisecond(1000).ok();
        let item = paired(path, &Ok(vec![device(2000), device(500)]), since);
        assert!(item.passed.is_none() && item.detail.contains("2 paired, 1 of them"), "{}", item.detail);
        assert_eq!(paired(path, &Ok(Vec::new()), since).passed, Some(true));
        assert_eq!(paired(path, &Err(Blindness::denied("no")), since).passed, None);
    }
}
