//! What the page of the state shows of it: why, what to do next, the last days, how each probe fares.

use guardian_rules::verdict::Verdict;
use jiff::Timestamp;
use maud::{Markup, html};

use crate::barrier::Held;
use crate::breaker::state::Circuit;
use crate::doubt::Doubt;
use crate::gate::own::sign_in::fields;
use crate::gate::own::{AskedFor, CLOSE, RECOVER};
use crate::status::page::{ago, lead, next_steps, now_to_do, second};
use crate::status::timeline::{self, Was};
use crate::status::{Daemon, Status, TripStatus};
use crate::trip::Evidence;

/// All of it, at an instant.
pub(super) fn state(status: &Status, asked: AskedFor, now: Timestamp) -> Markup {
    let (word, sentence) = lead(status);
    let colour = match (status.daemon, status.breaker) {
        (Daemon::Running, Circuit::Closed) if status.verdict == Some(Verdict::Safe) => "go",
        (Daemon::Running, Circuit::Closed | Circuit::HalfOpen) => "wait",
        _ => "stop",
    };
    html! {
        h1 { span class={ "state " (colour) } { (word) } }
        p { (capital(&sentence)) }
        @if let Some(since) = status.since {
            p class="quiet" { "Since " (second(since)) " (" (ago(since, now)) ")." }
        }
        @if let Some(doubt) = status.doubt.as_ref().filter(|_| status.daemon == Daemon::Running) {
            (in_doubt(doubt, now))
        }
        @if let Some(trip) = &status.trip { (why(trip)) }
        (way_back(status, asked))
        @if !status.warnings.is_empty() {
            h2 { "Worth knowing" }
            (listed(&status.warnings))
        }
        (days(status, now))
        @if !status.degraded.is_empty() {
            h2 { "What is missing" }
            ul { @for line in &status.degraded { li { (line) } } }
        }
        h2 { "Allowed beside loopback and VPN" }
        @if status.allowances.is_empty() {
            p class="quiet" { "Nothing." }
        } @else {
            ul {
                @for allowed in &status.allowances {
                    li { (allowed) }
                }
            }
        }
        @if !status.gateways.is_empty() {
            h2 { "Gateways" }
            ul {
                @for gateway in status.watched() {
                    li {
                        (gateway.product) " "
                        @for listener in gateway.listeners { code { (listener) } " " }
                    }
                }
            }
        }
        (looks(status, now))
    }
}

/// The last days as a picture, and in words for whoever does not see it.
fn days(status: &Status, now: Timestamp) -> Markup {
    let parts = timeline::parts(&status.timeline, now);
    let word = |was| match was {
        Was::Closed => ("bar-go", "closed"),
        Was::HalfOpen => ("bar-wait", "half-open"),
        Was::Open => ("bar-stop", "open"),
        Was::Unwatched => ("bar-none", "not watched"),
    };
    let per_mille = |part: f64| format!("{:.2}", part * 1000.0);
    html! {
        @if !parts.is_empty() {
            h2 { "The last seven days" }
            svg viewBox="0 0 1000 10" preserveAspectRatio="none" role="img"
                aria-label="How the circuit was in the last seven days; the list below says the same" {
                rect class="bar-none" x="0" y="0" width="1000" height="10" {}
                @for part in &parts {
                    // Whatever was short is seen too.
                    rect class=(word(part.was).0) x=(per_mille(part.from)) y="0"
                        width=(per_mille((part.to - part.from).max(0.003))) height="10" {
                        title { (word(part.was).1) }
                    }
                }
            }
            p class="quiet ends" { span { "7 days ago" } span { "now" } }
            details {
                summary { "As a list" }
                ul {
                    @for turn in status.timeline.iter().rev() {
                        li { (second(turn.at)) ": " (word(turn.was).1) }
                    }
                }
            }
        }
    }
}

/// How each probe fares: folded, as long as all of them see.
fn looks(status: &Status, now: Timestamp) -> Markup {
    let blind = status.probes.iter().filter(|probe| probe.reason.is_some()).count();
    html! {
        @if !status.probes.is_empty() {
            h2 { "What is looked at" }
            details open[blind > 0] {
                summary { (status.probes.len() - blind) " of " (status.probes.len()) " probes see" }
                table {
                    @for probe in &status.probes {
                        tr {
                            th scope="row" { (probe.probe) }
                            td {
                                @match &probe.reason {
                                    Some(why) => { span class="stop" { "blind" } " " (why) }
                                    None => { span class="go" { "seen" } }
                                }
                            }
                            td class="quiet" {
                                @match probe.looked {
                                    Some(looked) => { (ago(looked, now)) }
                                    None => { "never" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A sentence as it begins: those of `guardian status` follow a word; here they stand alone.
pub(in crate::gate::own) fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// What cannot be told, what comes of it, and what to do before it does.
fn in_doubt(doubt: &Doubt, now: Timestamp) -> Markup {
    html! {
        section class="card" {
            h2 { "What cannot be told" }
            (listed(&doubt.findings))
            p { (doubt.outcome(now)) }
        }
    }
}

/// Findings, with what to do about each.
fn listed(findings: &[Evidence]) -> Markup {
    html! {
        @for finding in findings {
            p { strong { (finding.subject) } " " code { (finding.rule) } }
            ul { @for line in &finding.evidence { li { (line) } } }
            @if !finding.remedy.is_empty() { p class="quiet" { "To do: " (finding.remedy) } }
        }
    }
}

fn why(trip: &TripStatus) -> Markup {
    html! {
        section class="card" {
            h2 { "Why it tripped" }
            p { (trip.why) }
            @for finding in &trip.findings {
                p { strong { (finding.subject) } " " code { (finding.rule) } }
                ul { @for line in &finding.evidence { li { (line) } } }
                @if let Some((mark, said)) = now_to_do(trip, finding) {
                    p { (mark) (said) }
                }
            }
            @if !trip.barriers.is_empty() {
                h2 { "What holds" }
                table {
                    @for barrier in &trip.barriers {
                        tr {
                            th scope="row" { (barrier.barrier.as_str()) }
                            td {
                                @match barrier.held {
                                    Held::Yes => { span class="go" { "stands" } }
                                    Held::No => { span class="stop" { "does not stand" } }
                                    Held::Unknown => { span class="wait" { "cannot be told" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What to do next, and the form for it where it can be done from here.
fn way_back(status: &Status, asked: AskedFor) -> Markup {
    let form = |action: &str, what: &str, explained: &str| {
        html! {
            form method="post" action=(action) {
                p { (explained) }
                (fields(asked, false))
                button { (what) }
            }
        }
    };
    html! {
        section class="card" {
            h2 { "What to do next" }
            @match (status.daemon, status.breaker) {
                (Daemon::Running, Circuit::Open) => (form(
                    RECOVER,
                    "Begin to recover",
                    "Mend what is named above first. The configuration is reviewed; if it passes, the gateway \
                     may run again for this machine alone.",
                )),
                (Daemon::Running, Circuit::HalfOpen) => {
                    @if let Some(recovery) = &status.half_open {
                        p { "Safe rounds in a row: " strong { (recovery.safe) " of " (recovery.wanted) } ". "
                            "Without a decision the circuit opens again at " (second(recovery.until)) "." }
                        @if !recovery.in_the_way.is_empty() {
                            h2 { "What is in the way" }
                            (listed(&recovery.in_the_way))
                        }
                    }
                    (form(CLOSE, "Close the circuit", "Test the panel on this machine. Then whoever is allowed gets in again."))
                }
                _ => {
                    @let steps = next_steps(status);
                    @if steps.is_empty() { p class="quiet" { "Nothing." } }
                    @for step in steps { p { code { (step) } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use guardian_rules::finding::{Answer, Severity};
    use guardian_rules::snapshot::ProbeId;

    use super::*;
    use crate::config::Mode;
    use crate::round::Outcome;
    use crate::status::timeline::Turn;
    use crate::status::{ProbeStatus, Recovery};

    #[test]
    fn the_last_days_the_warnings_and_the_age_of_every_look_are_on_the_page() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let ago = |hours: i64| now - jiff::SignedDuration::from_hours(hours);
        let mut status = Status::new(Circuit::Closed, None, Mode::Enforce, Daemon::Running);
        status.timeline = vec![
            Turn { at: ago(84), was: Was::Closed },
            Turn { at: ago(42), was: Was::Open },
            Turn { at: ago(21), was: Was::Unwatched },
        ];
        status.probes = vec![ProbeStatus {
            probe: ProbeId::Peers,
            outcome: Outcome::Blind,
            reason: Some("denied: <no>".to_owned()),
            looked: Some(ago(2)),
        }];
        status.warnings = vec![Evidence {
            rule: "home-shared".to_owned(),
            severity: Severity::Warning,
            answer: Answer::Yes,
            subject: "<node>".to_owned(),
            evidence: Vec::new(),
            remedy: "Type this.".to_owned(),
        }];
        let page = state(&status, AskedFor::Passphrase, now).into_string();
        for part in [
            r#"<rect class="bar-go" x="500.00" y="0" width="250.00" height="10">"#,
            r#"<rect class="bar-stop" x="750.00" y="0" width="125.00" height="10">"#,
            r#"<rect class="bar-none" x="875.00" y="0" width="125.00" height="10">"#,
            "denied: &lt;no&gt;",
            "2 hours ago",
            "&lt;node&gt;",
            "home-shared",
        ] {
            assert!(page.contains(part), "{part}:\n{page}");
        }
    }

    #[test]
    fn what_is_doubtful_is_on_the_page_with_what_to_do_and_how_long_there_is_for_it() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut status = Status::new(Circuit::Closed, None, Mode::Enforce, Daemon::Running);
        let findings = vec![Evidence {
            rule: "panel-republished".to_owned(),
            severity: Severity::Critical,
            answer: Answer::Unknown,
            subject: "<nginx>".to_owned(),
            evidence: vec!["it answers 502".to_owned()],
            remedy: "Type this.".to_owned(),
        }];
        let opens = Some(now + jiff::SignedDuration::from_secs(8));
        status.doubt = Some(Doubt { since: now, opens, findings: findings.clone() });
        let page = |status: &Status| state(status, AskedFor::Passphrase, now).into_string();
        for part in
            ["What cannot be told", "&lt;nginx&gt;", "it answers 502", "Type this.", "in about 8 seconds"]
        {
            assert!(page(&status).contains(part), "{part}:\n{}", page(&status));
        }
        status.daemon = Daemon::Stale;
        assert!(!page(&status).contains("What cannot be told"), "nobody counts any more");
        let mut status = Status::new(Circuit::HalfOpen, None, Mode::Enforce, Daemon::Running);
        status.half_open = Some(Recovery { safe: 0, wanted: 10, until: now, in_the_way: findings });
        for part in ["0 of 10", "What is in the way", "&lt;nginx&gt;", "Type this."] {
            assert!(page(&status).contains(part), "{part}:\n{}", page(&status));
        }
    }

    #[test]
    fn it_is_green_only_while_it_is_safe() {
        for (verdict, colour) in [(None, "wait"), (Some(Verdict::Blind), "wait"), (Some(Verdict::Safe), "go")]
        {
            let status =
                Status { verdict, ..Status::new(Circuit::Closed, None, Mode::Enforce, Daemon::Running) };
            let page = state(&status, AskedFor::Passphrase, Timestamp::UNIX_EPOCH).into_string();
            assert!(page.contains(&format!(r#"<span class="state {colour}">CLOSED"#)), "{page}");
        }
    }

    #[test]
    fn each_state_offers_the_step_that_leads_out_of_it() {
        let page = |circuit, daemon| {
            let status = Status::new(circuit, None, Mode::Enforce, daemon);
            state(&status, AskedFor::PassphraseAndCode, Timestamp::UNIX_EPOCH).into_string()
        };
        let open = page(Circuit::Open, Daemon::Running);
        assert!(open.contains(RECOVER) && open.contains("one-time-code"));
        assert!(page(Circuit::HalfOpen, Daemon::Running).contains(CLOSE));
        for (circuit, daemon) in [(Circuit::Closed, Daemon::Running), (Circuit::Open, Daemon::Stale)] {
            let page = page(circuit, daemon);
            assert!(!page.contains(RECOVER) && !page.contains(CLOSE));
        }
    }
}
