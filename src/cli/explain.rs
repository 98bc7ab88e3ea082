//! `guardian explain RULE`.

use clap::Args;
use guardian_rules::catalog;

use super::rules::RuleLine;
use super::{Failure, answer, answer_json};
use crate::{exit, page};

/// The options of `guardian explain`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The rule's id, as reports and `guardian rules` show it
    rule: String,
    /// Answer with JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let Some(rule) = catalog::rule(&arguments.rule) else {
        return Err(Failure::NoSuchRule(arguments.rule.clone()));
    };
    if arguments.json {
        answer_json(&RuleLine::from(rule))?;
    } else {
        let why = page::wrap(rule.why, 2);
        let remedy = page::wrap(rule.remedy, 2);
        answer(&format!(
            "{} ({})\n\n{}\n\nWhy it matters\n{why}\n\nWhat to do\n{remedy}\n",
            rule.id,
            rule.severity.as_str(),
            page::wrap(rule.title, 0)
        ))?;
    }
    Ok(exit::OK)
}
