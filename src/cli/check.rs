//! `guardian check`: looks once and judges.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use clap::Args;
use guardian_rules::verdict::judge;

use super::{Failure, answer, answer_json};
use crate::config::Config;
use crate::report::Report;
use crate::{exit, page, round};

/// The options of `guardian check`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Answer with JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> Result<u8, Failure> {
    let policy = Arc::new(config.policy(jiff::Timestamp::now()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let round = runtime.block_on(round::whole(policy.clone()));
    // A probe that hangs in the kernel must not keep the answer back.
    runtime.shutdown_background();
    let judgement = judge(&policy, &round.snapshot);
    let code = exit::of(&judgement);
    if arguments.json {
        answer_json(&Report::new(&judgement, &round.probes, code))?;
    } else {
        let style = if io::stdout().is_terminal() { page::Style::Terminal } else { page::Style::Plain };
        answer(&page::page(&judgement, &round, style))?;
    }
    Ok(code)
}
