//! `guardian allow`: writes an exception down, takes one away, or lists those that there are.

mod block;
mod file;
mod program;
mod removal;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use guardian_rules::way;
use jiff::Timestamp;

use super::{Failure, Folders, answer, answer_json, chain, done, runtime};
use crate::config::{self, Config};
use crate::control::ControlError;
use crate::control::client::Client;
use crate::control::protocol::Ask;
use crate::exit;
use crate::page::wrap;
use crate::status::page::second;
use crate::status::{AllowanceStatus, Status};
use crate::sys::paths::Paths;

pub(super) use block::{AllowError, until};
use removal::Wanted;

/// The options of `guardian allow`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").args(["network", "path"]))]
pub(super) struct Arguments {
    /// Addresses: `192.168.1.0/24`
    #[arg(long, value_name = "NET")]
    network: Option<String>,
    #[arg(long, value_name = "NAME", help = format!("A program's name (`nginx`, `cloudflared`), or {}", ways()))]
    path: Option<String>,
    /// Why, for whoever reads it later
    #[arg(long, value_name = "TEXT", requires = "target")]
    reason: Option<String>,
    /// When it ends: `2026-12-31T00:00:00Z`, or a length of time from now, such as `2h` or `30d`
    #[arg(long, value_name = "TIME", requires = "target")]
    until: Option<String>,
    /// Take the allowance of that network or path away again; of several `--reason` or `--until` says which
    #[arg(long, requires = "target")]
    remove: bool,
    /// Answer with JSON
    #[arg(long)]
    json: bool,
}

/// The names that are no program's.
fn ways() -> String {
    way::ALL.map(|name| format!("`{name}`")).join(", ")
}

pub(super) fn run(arguments: &Arguments, named: Option<&Path>, folders: &Folders) -> Result<u8, Failure> {
    let now = Timestamp::now();
    let target = match (&arguments.network, &arguments.path) {
        (Some(network), _) => ("network", network.as_str()),
        (None, Some(path)) => ("path", path.as_str()),
        (None, None) => return list(named, arguments.json, now),
    };
    if arguments.remove {
        return remove(arguments, target, named, folders, now);
    }
    let reason = arguments.reason.as_ref().ok_or(AllowError::Missing("--reason TEXT"))?;
    let until = arguments.until.as_ref().ok_or(AllowError::Missing("--until TIME"))?;
    let until = self::until(until, now)?;
    let (path, before) = Config::text(named)?;
    // What is wrong already is said first, and not blamed on what is added.
    let old = Config::of_text(&path, &before)?;
    let added = block::check(target, reason, until, now)?;
    block::means_one(&added)?;
    if old.settings.allowance.contains(&added) {
        return Err(AllowError::Already(AllowanceStatus::from(&added).to_string()).into());
    }
    let text = block::append(&before, target, reason, until);
    if text.len() as u64 > config::LIMIT {
        return Err(AllowError::TooLong(path).into());
    }
    let new = Config::of_text(&path, &text).map_err(|cause| AllowError::NotAppended { cause })?;
    if !block::adds_only(&old, &new, &added) {
        return Err(AllowError::Odd(path).into());
    }
    file::replace(&path, &before, &text)?;
    let allowed = AllowanceStatus::from(&added);
    if arguments.json {
        answer_json(&allowed)?;
    } else {
        let (target, until) = (allowed.target(), second(until));
        answer(&format!("{target} is allowed until {until}; it is written in {}.\n", path.display()))?;
        for caution in new.cautions(now).into_iter().chain(program::caution(&added.target)) {
            answer(&format!("Mind: {caution}\n"))?;
        }
    }
    let knows = |status: &Status| status.allowances.contains(&allowed);
    runtime()?.block_on(reload(&folders.paths()?, knows, Some(allowed.until), arguments.json))
}

/// Takes an allowance away: it holds no more as soon as the daemon has read the policy again.
fn remove(
    arguments: &Arguments,
    target: (&str, &str),
    named: Option<&Path>,
    folders: &Folders,
    now: Timestamp,
) -> Result<u8, Failure> {
    let target = block::target(target)?;
    // An end as it is shown; one counted from now is none that was written down.
    let until =
        arguments.until.as_ref().map(|text| text.parse().map_err(|_| AllowError::NoInstant(text.clone())));
    let wanted = Wanted { target: &target, reason: arguments.reason.as_deref(), until: until.transpose()? };
    let (path, before) = Config::text(named)?;
    let old = Config::of_text(&path, &before)?;
    let gone = removal::meant(&old.settings.allowance, wanted, now)?;
    let text = removal::without(&before, &old.settings.allowance, &gone);
    let odd = || AllowError::NotTaken(path.clone());
    let text = text.ok_or_else(odd)?;
    let new = Config::of_text(&path, &text).map_err(|_| odd())?;
    if !removal::takes_only(&old, &new, &gone) {
        return Err(odd().into());
    }
    file::replace(&path, &before, &text)?;
    let others: Vec<AllowanceStatus> =
        removal::overlapping(&new.settings.allowance, &gone, now).map(AllowanceStatus::from).collect();
    let gone = AllowanceStatus::from(&gone);
    if arguments.json {
        answer_json(&gone)?;
    } else {
        answer(&removed(&gone, &others, &path))?;
    }
    let knows = |status: &Status| !status.allowances.contains(&gone);
    runtime()?.block_on(reload(&folders.paths()?, knows, None, arguments.json))
}

/// What has been done, and what allows the same still, or a part of it.
fn removed(gone: &AllowanceStatus, others: &[AllowanceStatus], path: &Path) -> String {
    let (target, path) = (gone.target(), path.display());
    let what = wrap(&gone.to_string(), 2);
    if others.is_empty() {
        return format!("{target} is allowed no more; it is taken out of {path}:\n{what}\n");
    }
    let mut text =
        format!("One allowance of {target} is taken out of {path}:\n{what}\nStill allowed, by another:\n");
    for other in others {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}", wrap(&other.to_string(), 2));
    }
    text
}

/// Lets a running daemon read the policy again, and sees whether it did; `until` is the end of what is allowed now.
async fn reload(
    paths: &Paths,
    knows: impl Fn(&Status) -> bool,
    until: Option<Timestamp>,
    quiet: bool,
) -> Result<u8, Failure> {
    let say = |text: &str| if quiet { Ok(()) } else { answer(text) };
    let client = match Client::connect(paths).await {
        Ok(client) => client,
        Err(ControlError::NoDaemon(_)) => {
            say("No daemon is running; it holds from the next start on.\n")?;
            return Ok(exit::OK);
        }
        Err(failed) => return Err(Failure::Failed(chain(&failed))),
    };
    done(client.ask(Ask::Reload { accept_clock: false }).await?)?;
    // The loop tells its new status a moment later.
    for _ in 0..20 {
        let status = client.status().await?;
        if knows(&status) {
            say("The daemon knows it now.\n")?;
            return Ok(exit::OK);
        }
        if let (Some(until), Some(was)) = (until, status.clock_was)
            && until <= was
        {
            return Err(Failure::Failed(format!(
                "this machine's clock was at {} once, and by that what ends on {} has ended; if the clock is right now, \
                 type: guardian config reload --accept-clock",
                second(was),
                second(until)
            )));
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(Failure::Failed("it goes by another policy file, and does not know of this change".to_owned()))
}

fn list(named: Option<&Path>, json: bool, now: Timestamp) -> Result<u8, Failure> {
    let config = Config::load(named)?;
    let allowances: Vec<AllowanceStatus> =
        config.settings.allowance.iter().map(AllowanceStatus::from).collect();
    if json {
        answer_json(&allowances)?;
    } else {
        answer(&listing(config.source.as_ref(), &allowances, now))?;
    }
    Ok(exit::OK)
}

fn listing(source: Option<&PathBuf>, allowances: &[AllowanceStatus], now: Timestamp) -> String {
    let source = source.map_or_else(
        || "there is no policy file".to_owned(),
        |path| format!("written in {}", path.display()),
    );
    if allowances.is_empty() {
        return format!("Nothing is allowed beside loopback and VPN ({source}).\n");
    }
    let mut text = format!("Allowed beside loopback and VPN ({source}):\n");
    for allowance in allowances {
        let line = if allowance.until > now {
            allowance.to_string()
        } else {
            let (target, reason) = (allowance.target(), &allowance.reason);
            format!("{target} no more, ended {}: {reason}", second(allowance.until))
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}", wrap(&line, 2));
    }
    text
}
