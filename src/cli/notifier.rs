//! `guardian notifier`: tells the desktop of the session it runs in.

use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::io::BufReader;
use tokio::sync::mpsc;

use super::{Failure, Folders, answer_json};
use crate::control::client::{Client, Stream};
use crate::control::protocol::NoticeLine;
use crate::exit;
use crate::notify::desktop::hear::{Pauses, hear};
use crate::notify::desktop::{Desktop, show_one};
use crate::notify::{CHANNEL, Stamped, host_name};
use crate::sys::paths::Paths;

/// The options of `guardian notifier`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Read notices from standard input, not from the daemon
    #[arg(long, hide = true)]
    stdin: bool,
    /// Show the message on standard input, and end
    #[arg(long, hide = true, conflicts_with = "stdin")]
    show: bool,
}

pub(super) fn run(arguments: &Arguments, folders: &Folders) -> Result<u8, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let code = runtime.block_on(async {
        if arguments.show {
            answer_json(&show_one(io::stdin().lock()).await?)?;
            return Ok(exit::OK);
        }
        let (sender, receiver) = mpsc::channel(CHANNEL);
        let shown = Desktop::of_this_session(host_name())?.spawn(receiver);
        if arguments.stdin {
            hear(BufReader::new(standard_input()?), &sender).await?;
        } else {
            let mut places = folders.to_ask()?;
            // Root's daemon is the one that counts where there are two.
            places.reverse();
            follow(&places, &sender).await;
        }
        drop(sender);
        // What is being shown is seen to its end.
        let _ = shown.await;
        Ok(exit::OK)
    });
    // Standard input may be waited for by a thread that cannot be stopped.
    runtime.shutdown_background();
    code
}

/// Standard input, read without keeping everything else waiting.
fn standard_input() -> io::Result<tokio::fs::File> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(tokio::fs::File::from_std(input.into()))
}

/// Hands on what the daemon tells, and looks for it again whenever it is gone, for ever.
async fn follow(places: &[Paths], notices: &mpsc::Sender<Stamped>) {
    let mut pauses = Pauses::default();
    let mut missed = false;
    loop {
        let held = match daemon(places).await {
            Some(mut stream) => {
                missed = false;
                let begun = Instant::now();
                let failed = loop {
                    match stream.next().await {
                        Ok(NoticeLine { at, notice, .. }) => {
                            if notices.send(Stamped { at, notice }).await.is_err() {
                                return;
                            }
                        }
                        Err(failed) => break failed,
                    }
                };
                tracing::warn!("the daemon cannot be heard any more: {failed}");
                begun.elapsed()
            }
            None => Duration::ZERO,
        };
        if held.is_zero() && !missed {
            missed = true;
            tracing::warn!("no daemon answers; waiting for one");
        }
        tokio::time::sleep(pauses.after(held)).await;
    }
}

/// What the first daemon that can be reached has to tell.
async fn daemon(places: &[Paths]) -> Option<Stream<NoticeLine>> {
    for paths in places {
        let notices = async { Client::connect_to(paths).await?.notices().await };
        match notices.await {
            Ok(stream) => return Some(stream),
            Err(nobody) => tracing::debug!("{nobody}"),
        }
    }
    None
}
