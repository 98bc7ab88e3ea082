//! `guardian status`: how the circuit is, since when and why.

use std::io::{self, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::{Failure, Folders, answer, answer_json, chain, runtime, style};
use crate::control::ControlError;
use crate::control::client::Client;
use crate::exit;
use crate::page::Style;
use crate::status::menu::menu;
use crate::status::page::{line, page, second};
use crate::status::prometheus::prometheus;
use crate::status::{Daemon, Status, absent};
use crate::sys::clock;
use crate::sys::paths::Paths;

/// Between two attempts to reach a daemon that is not there.
const AGAIN: Duration = Duration::from_secs(1);
/// Puts the cursor at the top of an empty screen (ECMA-48: CUP, ED).
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// The options of `guardian status`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "a switch each")]
pub(super) struct Arguments {
    /// Answer with JSON
    #[arg(long)]
    json: bool,
    /// Go on, and show every change
    #[arg(long)]
    watch: bool,
    /// Answer for a menu bar, as `SwiftBar` and xbar read it
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    swiftbar: bool,
    /// Answer with numbers for Prometheus
    #[arg(long, conflicts_with_all = ["json", "watch", "swiftbar"])]
    prometheus: bool,
}

pub(super) fn run(arguments: &Arguments, config: Option<&Path>, folders: &Folders) -> Result<u8, Failure> {
    let paths = folders.paths()?;
    let runtime = runtime()?;
    if arguments.watch {
        let shown = if arguments.json {
            Shown::Json
        } else if io::stdout().is_terminal() {
            Shown::Page
        } else {
            Shown::Line
        };
        runtime.block_on(watch(&paths, config, shown))?;
        return Ok(exit::OK);
    }
    let asked = runtime.block_on(async { Client::connect(&paths).await?.status().await });
    let status = asked.unwrap_or_else(|failed| without(&paths, config, &failed));
    if arguments.json {
        answer_json(&status)?;
    } else if arguments.swiftbar {
        // A menu bar takes any other code for a plugin that is broken.
        answer(&menu(&status, Timestamp::now()))?;
        return Ok(exit::OK);
    } else if arguments.prometheus {
        answer(&prometheus(&status, clock::now()))?;
    } else {
        answer(&page(&status, Timestamp::now(), style()))?;
    }
    Ok(status.exit())
}

/// How changes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// A line of JSON each.
    Json,
    /// A line of text each.
    Line,
    /// The page, drawn again and again.
    Page,
}

/// The status where the daemon does not give it.
fn without(paths: &Paths, config: Option<&Path>, failed: &ControlError) -> Status {
    let daemon = match failed {
        ControlError::NoDaemon(_) => Daemon::Absent,
        _ => Daemon::Stale,
    };
    let mut status = absent::status(&paths.to_ask(), config, daemon, Timestamp::now());
    if daemon == Daemon::Stale {
        status.degraded.push(chain(failed));
    }
    status
}

/// Shows every change until nobody reads any more. A daemon that goes is one, and so is one that
/// comes.
async fn watch(paths: &Paths, config: Option<&Path>, shown: Shown) -> Result<(), Failure> {
    let mut last = None;
    loop {
        let failed = match Client::connect(paths).await {
            Ok(client) => match client.watch().await {
                Ok(mut stream) => loop {
                    match stream.next().await {
                        Ok(status) => {
                            if show(status.judged(), &mut last, shown)?.is_break() {
                                return Ok(());
                            }
                        }
                        Err(failed) => break failed,
                    }
                },
                Err(failed) => failed,
            },
            Err(failed) => failed,
        };
        if show(without(paths, config, &failed), &mut last, shown)?.is_break() {
            return Ok(());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn show(status: Status, last: &mut Option<Status>, shown: Shown) -> Result<ControlFlow<()>, Failure> {
    let news = last.as_ref().is_none_or(|last| status.differs(last));
    let now = Timestamp::now();
    let text = match shown {
        // Its ages grow.
        Shown::Page => format!("{CLEAR}{}", page(&status, now, Style::Terminal)),
        Shown::Json | Shown::Line if !news => return Ok(ControlFlow::Continue(())),
        Shown::Json => serde_json::to_string(&status)? + "\n",
        Shown::Line => format!("{}  {}\n", second(now), line(&status)),
    };
    *last = Some(status);
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(gone) if gone.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(failed) => Err(failed.into()),
    }
}
