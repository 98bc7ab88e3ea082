//! `guardian check`: looks once and judges.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use clap::Args;
use guardian_rules::verdict::judge;

use super::{Failure, Folders, answer, answer_json, look};
use crate::config::Config;
use crate::report::Report;
use crate::status::AllowanceStatus;
use crate::status::absent::LockPresence;
use crate::{at_rest, exit, page};

/// The options of `guardian check`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Answer with JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, config: &Config, folders: &Folders) -> Result<u8, Failure> {
    let now = jiff::Timestamp::now();
    let policy = Arc::new(config.policy(now));
    let allowances = AllowanceStatus::in_force(&config.settings.allowance, now);
    let round = look(policy.clone())?;
    let mut judgement = judge(&policy, &round.snapshot);
    let code = exit::of(&judgement);
    judgement.findings.extend(at_rest::notes(&policy, &round.snapshot));
    if arguments.json {
        answer_json(&Report::new(&judgement, &round.probes, &allowances, code))?;
    } else {
        let style = if io::stdout().is_terminal() { page::Style::Terminal } else { page::Style::Plain };
        let blocked = matches!(LockPresence::first_of(&folders.to_ask()?), LockPresence::There(_));
        answer(&page::page(&judgement, &round, &allowances, blocked, style))?;
    }
    Ok(code)
}
