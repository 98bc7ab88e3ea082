//! Tells people what happened to the circuit: by a hook command, by a webhook, and on the desktop.
//!
//! Nothing here is on the way of a trip. The daemon hands a notice over with `try_send` and goes on;
//! every way of telling is a task of its own, with a queue, retries and deadlines of its own, so
//! that none waits for another.
//!
//! The desktop is told by `guardian notifier`, in the session of whoever is logged in: a root daemon
//! has no desktop.

mod courier;
pub(crate) mod desktop;
mod event;
mod hook;
mod message;
mod queue;
mod webhook;
mod words;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::breaker::effect::Notice;
use crate::config::Notify;
use event::Event;
use hook::{Hook, HookError};
use queue::{Delivery, Schedule};
use webhook::{Webhook, WebhookError};

/// How many notices may wait between the daemon and its ways of telling, and between a way and its
/// queue.
///
/// The tasks at the other end only move notices on and wait for nobody, so the channel is full only
/// while the program gets no time at all. A notice that `try_send` gives back then is left out: the
/// journal has it, and what is found next about the same trip carries all that was found before.
pub(crate) const CHANNEL: usize = 64;

/// A notice and when it happened. On the control socket it is one line of JSON:
/// `{"at":"2026-11-23T08:00:00Z","event":"tripped","about":{...}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamped {
    /// When it happened.
    pub(crate) at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub(crate) notice: Notice,
}

/// Why the policy's `notify` table cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotifyError {
    /// `notify.command` is wrong.
    #[error("notify.command cannot be used: {0}")]
    Command(#[from] HookError),
    /// `notify.webhook` is wrong.
    #[error("notify.webhook cannot be used: {0}")]
    Webhook(#[from] WebhookError),
}

/// The ways of telling that the daemon takes itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ways {
    hook: Option<Hook>,
    webhook: Option<Webhook>,
}

impl Ways {
    /// What the policy names. `notify.desktop` is not asked here: it says whether the daemon hands
    /// notices to `guardian notifier` on its control socket.
    pub(crate) fn of(settings: &Notify) -> Result<Self, NotifyError> {
        Ok(Self { hook: Hook::of(&settings.command)?, webhook: Webhook::of(&settings.webhook)? })
    }
}

/// Starts telling. It goes on until every sender of `notices` is gone; what waits then is tried where
/// it is due, and not retried. Aborting the task ends everything at once.
pub(crate) fn spawn(ways: Ways, notices: mpsc::Receiver<Stamped>) -> JoinHandle<()> {
    tokio::spawn(dispatch(ways, Schedule::USUAL, host_name(), notices))
}

async fn dispatch(ways: Ways, schedule: Schedule, host: String, mut notices: mpsc::Receiver<Stamped>) {
    let host: Arc<str> = host.into();
    let mut tasks = JoinSet::new();
    let mut senders = Vec::new();
    if let Some(hook) = ways.hook {
        let (sender, receiver) = mpsc::channel(CHANNEL);
        let (hook, host) = (Arc::new(hook), Arc::clone(&host));
        tasks.spawn(courier::deliver("notify.command", receiver, schedule, move |delivery: Delivery| {
            let (hook, host) = (Arc::clone(&hook), Arc::clone(&host));
            async move { hook.run(&Event::of(&delivery, &host)).await }
        }));
        senders.push(("notify.command", sender));
    }
    if let Some(webhook) = ways.webhook {
        let (sender, receiver) = mpsc::channel(CHANNEL);
        let webhook = Arc::new(webhook);
        tasks.spawn(courier::deliver("notify.webhook", receiver, schedule, move |delivery: Delivery| {
            let (webhook, host) = (Arc::clone(&webhook), Arc::clone(&host));
            async move { webhook.post(&Event::of(&delivery, &host)).await }
        }));
        senders.push(("notify.webhook", sender));
    }
    while let Some(notice) = notices.recv().await {
        for (way, sender) in &senders {
            if sender.try_send(notice.clone()).is_err() {
                tracing::warn!("{way} cannot keep up: a notice is left out");
            }
        }
    }
    drop(senders);
    while tasks.join_next().await.is_some() {}
}

/// What this host calls itself; a word that fits into a sentence if it has no name.
pub(crate) fn host_name() -> String {
    match nix::unistd::gethostname() {
        Ok(name) if !name.is_empty() => words::clean(&name.to_string_lossy(), 64),
        Ok(_) | Err(_) => "this host".to_owned(),
    }
}

#[cfg(test)]
mod tests;
