//! Alerts, dashboard and handbook name what exists: a metric that is renamed in one place alone would
//! be an alert that never fires.

use std::collections::BTreeSet;

use serde_json::Value;

use super::tests::everything;
use crate::gate::counts::Counts;

const RULES: &str = include_str!("../../../monitoring/guardian.rules.yml");
const RULES_TEST: &str = include_str!("../../../monitoring/guardian.rules.test.yml");
const DASHBOARD: &str = include_str!("../../../monitoring/grafana.json");
const HANDBOOK: &str = include_str!("../../../docs/monitoring.md");

/// Labels that Prometheus adds.
const ADDED: [&str; 2] = ["instance", "job"];

/// What watcher and gate write.
fn known() -> String {
    let counts = Counts::default();
    for reason in ["blocked", "wrong-credential", "locked", "host", "origin", "malformed"] {
        counts.answered(403, Some(reason));
    }
    everything() + &counts.prometheus(true)
}

/// The names of all metrics, a value or none.
fn names(known: &str) -> BTreeSet<&str> {
    known.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

/// A metric that a text names, and what its braces ask for: label, operator, value.
type Selector<'a> = (&'a str, Vec<(&'a str, &'a str, &'a str)>);

/// Every metric of ours that a text names.
fn selectors(text: &str) -> Vec<Selector<'_>> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in text.match_indices("guardian_") {
        let (before, here) = text.split_at(at);
        if before.ends_with(is_of_name) {
            continue;
        }
        let name = here.split(|c| !is_of_name(c)).next().unwrap_or_default();
        let braces = here[name.len()..].strip_prefix('{').and_then(|rest| rest.split('}').next());
        let asked = braces.into_iter().flat_map(|inside| inside.split(',')).filter_map(|part| {
            let (label, rest) = part.split_at(part.find(['=', '!'])?);
            let (operator, value) = rest.split_at(rest.find('"')?);
            Some((label.trim(), operator, value.trim_matches('"')))
        });
        found.push((name, asked.collect()));
    }
    found
}

/// All texts within a JSON value.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text}\n"),
        Value::Array(values) => values.iter().map(texts).collect(),
        Value::Object(fields) => fields.values().map(texts).collect(),
        _ => String::new(),
    }
}

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).expect("the dashboard is JSON")
}

#[track_caller]
fn all_exist(place: &str, text: &str) {
    let known = known();
    let names = names(&known);
    let selectors = selectors(text);
    assert!(selectors.len() > 10, "{place} names {} metrics", selectors.len());
    for (name, asked) in selectors {
        assert!(names.contains(name), "{place} names {name}, which nobody writes");
        let samples: Vec<&str> =
            known.lines().filter(|line| line.starts_with(&format!("{name}{{"))).collect();
        for (label, operator, value) in asked.into_iter().filter(|(label, ..)| !ADDED.contains(label)) {
            // A regular expression is one of words.
            let words = if operator == "=" { vec![value] } else { value.split('|').collect() };
            for word in words {
                let wanted = format!("{label}=\"{word}\"");
                let there = samples.iter().any(|sample| sample.contains(&wanted));
                assert!(there, "{place} asks for {name}{{{wanted}}}, which nobody writes");
            }
        }
    }
}

#[test]
fn the_alerts_name_metrics_and_labels_that_exist() {
    all_exist("the alerts", RULES);
    all_exist("the alerts' tests", RULES_TEST);
}

#[test]
fn the_dashboard_names_metrics_and_labels_that_exist() {
    all_exist("the dashboard", &texts(&dashboard()));
}

#[test]
fn the_handbook_lists_every_metric_and_no_other() {
    let known = known();
    let listed: BTreeSet<&str> = selectors(HANDBOOK).into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, names(&known));
}

#[test]
fn every_alert_is_tested_and_says_what_it_means_and_what_to_type() {
    let alerts: Vec<&str> = RULES.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        let name = alert.lines().next().unwrap_or_default();
        assert!(RULES_TEST.contains(&format!("alertname=\"{name}\"")), "{name} is not tested");
        assert!(HANDBOOK.contains(&format!("`{name}`")), "the handbook does not list {name}");
        for part in ["severity: ", "summary: ", "meaning: ", "action: "] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
    }
}

#[test]
fn every_panel_is_of_its_own_and_asks_the_data_source_that_was_chosen() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert!(!panels.is_empty() && ids.len() == panels.len(), "ids {ids:?} of {} panels", panels.len());
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    assert!(variables.iter().any(|it| it["name"] == "datasource" && it["type"] == "datasource"));
    for panel in panels {
        for asks in panel["targets"].as_array().expect("targets").iter().chain([panel]) {
            assert_eq!(asks["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
    }
}
