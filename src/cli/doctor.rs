//! `guardian doctor`: what Guardian can do on this host, and what it lacks.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::{Failure, Folders, answer, answer_json, chain, runtime};
use crate::config::Config;
use crate::control::client::Client;
use crate::exit;
use crate::page::hang;
use crate::powers::Powers;
use crate::status::Daemon;
use crate::sys::paths::Paths;

/// The options of `guardian doctor`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Answer with JSON
    #[arg(long)]
    json: bool,
}

/// The watcher that runs here already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Watcher {
    /// It is root's, and whoever asks is not root: it can do more than a Guardian of theirs.
    #[serde(rename = "root")]
    of_root: bool,
    /// A trip has all its barriers.
    armed: bool,
    /// What it lacks, a sentence each.
    degraded: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, config: &Config, folders: &Folders) -> Result<u8, Failure> {
    let paths = folders.paths()?;
    let (watcher, powers) =
        runtime()?.block_on(async { (watcher(&paths).await, Powers::look(config, &paths).await) });
    let armed = watcher.as_ref().map_or_else(|| powers.armed(), |it| it.armed);
    if arguments.json {
        answer_json(
            &serde_json::json!({ "schema": 1, "armed": armed, "powers": powers, "watcher": watcher }),
        )?;
    } else {
        answer(&page(watcher.as_ref(), &powers))?;
    }
    Ok(if armed { exit::OK } else { exit::WARNING })
}

/// The watcher of these folders, or root's. One that does not answer as it should blocks nothing.
async fn watcher(paths: &Paths) -> Option<Watcher> {
    for place in paths.to_ask() {
        let Ok(client) = Client::connect_to(&place).await else { continue };
        let of_root = place != *paths;
        return Some(match client.status().await {
            Ok(status) if status.daemon == Daemon::Running => {
                Watcher { of_root, armed: status.armed, degraded: status.degraded }
            }
            Ok(_) => {
                Watcher { of_root, armed: false, degraded: vec!["it does not look any more".to_owned()] }
            }
            Err(failed) => Watcher { of_root, armed: false, degraded: vec![chain(&failed)] },
        });
    }
    None
}

fn page(watcher: Option<&Watcher>, powers: &Powers) -> String {
    let whose = match watcher {
        None => "nobody watches now; ",
        Some(watcher) if watcher.of_root => "root's watcher runs on this machine; ",
        Some(_) => "the watcher runs; ",
    };
    let mut page = match (watcher, watcher.map_or_else(|| powers.armed(), |it| it.armed)) {
        (Some(_), true) => format!("ARMED  {whose}a trip has all its barriers.\n"),
        (None, true) => format!("READY  {whose}a trip would have all its barriers.\n"),
        (_, false) => format!("NOT FULLY ARMED  {whose}a trip works with what is left.\n"),
    };
    let known: Vec<String> = powers.missing().collect();
    let ails = watcher.iter().flat_map(|it| it.degraded.iter().filter(|it| !known.contains(it)));
    for (n, line) in ails.enumerate() {
        // Writing into a string cannot fail.
        let title = if n == 0 { "\nWhat it lacks\n" } else { "" };
        let _ = writeln!(page, "{title}{}", hang("✗ ", line, 0));
    }
    page.push_str(match watcher {
        Some(watcher) if watcher.of_root => "\nWhat a Guardian of your own could do, without root's\n",
        _ => "\n",
    });
    page.push_str(&powers.page());
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn powers() -> Powers {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths { state: folder.path().join("state"), runtime: folder.path().join("run") };
        Powers::look(&Config::of_text(folder.path(), "").unwrap(), &paths).await
    }

    #[tokio::test]
    async fn a_user_whose_machine_root_watches_hears_of_that_watcher_first() {
        let powers = powers().await;
        let watcher = Watcher { of_root: true, armed: true, degraded: Vec::new() };
        let page = page(Some(&watcher), &powers);
        assert!(page.starts_with("ARMED  root's watcher runs on this machine; "), "{page}");
        assert!(page.contains("without root's\n") && page.ends_with(&powers.page()), "{page}");
    }

    #[tokio::test]
    async fn what_ails_the_watcher_is_told_once() {
        let powers = powers().await;
        let mut degraded: Vec<String> = powers.missing().collect();
        degraded.push("the journal cannot be written: no space".to_owned());
        let page = page(Some(&Watcher { of_root: false, armed: false, degraded }), &powers);
        assert!(page.starts_with("NOT FULLY ARMED  the watcher runs; "), "{page}");
        let lacks = page.split("\nWhat it lacks\n").nth(1).unwrap();
        assert_eq!(lacks.split("\n\n").next(), Some("✗ the journal cannot be written: no space"), "{page}");
    }

    #[tokio::test]
    async fn where_nobody_watches_the_answer_is_what_this_user_could_do() {
        let powers = powers().await;
        let page = page(None, &powers);
        let ready = if powers.armed() { "READY  nobody watches" } else { "NOT FULLY ARMED  nobody watches" };
        assert!(page.starts_with(ready), "{page}");
    }
}
