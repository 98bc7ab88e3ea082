//! `guardian rules`: the catalog.

use std::fmt::Write;

use clap::Args;
use guardian_rules::catalog::CATALOG;
use guardian_rules::finding::Severity;
use serde::Serialize;

use super::{Failure, answer, answer_json};
use crate::exit;

/// The options of `guardian rules`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Answer with JSON
    #[arg(long)]
    json: bool,
    /// Answer with the handbook page, docs/rules.md
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// A rule as JSON shows it.
#[derive(Debug, Serialize)]
pub(super) struct RuleLine {
    rule: &'static str,
    severity: Severity,
    title: &'static str,
    why: &'static str,
    remedy: &'static str,
}

impl From<&guardian_rules::catalog::Rule> for RuleLine {
    fn from(rule: &guardian_rules::catalog::Rule) -> Self {
        Self { rule: rule.id, severity: rule.severity, title: rule.title, why: rule.why, remedy: rule.remedy }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    if arguments.json {
        let rules: Vec<RuleLine> = CATALOG.iter().map(RuleLine::from).collect();
        answer_json(&rules)?;
    } else if arguments.markdown {
        answer(&guardian_rules::handbook::markdown())?;
    } else {
        answer(&listing())?;
    }
    Ok(exit::OK)
}

fn listing() -> String {
    let width = CATALOG.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for rule in CATALOG {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:width$}  {:8}  {}", rule.id, rule.severity.as_str(), rule.title);
    }
    text.push_str("\nguardian explain RULE says why it matters and what to do.\n");
    text
}
