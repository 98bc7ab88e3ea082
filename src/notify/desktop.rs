//! The desktop, as `guardian notifier` tells it from within a user's session.
//!
//! Every message is shown by a process of its own: the libraries and services behind a notification
//! may hang or fail in ways of theirs, and cannot keep the next message back. What is critical is
//! tried again; what is not is let go.

pub(crate) mod hear;
#[cfg_attr(
    not(any(target_os = "macos", test)),
    expect(dead_code, reason = "macOS alone runs it; every platform compiles and tests it")
)]
mod osascript;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::message::{Message, message};
use super::queue::{Delivery, Schedule};
use super::{Stamped, courier};
use guardian_probes::command::{CommandError, Tool};

/// How long a message may take to be shown; then its process is killed.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long that process waits for the service, so that it can say so itself.
const ANSWER: Duration = Duration::from_secs(4);
/// As many messages are remembered, so that what follows takes their place.
const REMEMBERED: usize = 64;
/// The longest message that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// What tells a process where the session's desktop is, and how much to log.
const SESSION: [&str; 5] = ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "HOME", "USER", "GUARDIAN_LOG"];

/// Why a message was not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShowError {
    /// The process that was to show it did not.
    #[error("the desktop was not told")]
    Child(#[from] CommandError),
    /// This program cannot find itself.
    #[error("the program to start cannot be found")]
    Program(#[source] std::io::Error),
    /// What one process handed the other is no message, or no answer.
    #[error("it is not in the form that it should have")]
    Form(#[from] serde_json::Error),
    /// It cannot be read.
    #[error("the message cannot be read")]
    Input(#[source] std::io::Error),
    /// The service that shows notifications refused, or there is none.
    #[error("no notification service took it")]
    Service(#[source] notify_rust::error::Error),
    /// The service that shows notifications did not answer.
    #[error("the notification service did not answer within {ANSWER:?}")]
    Silent,
}

/// A message to be shown, as one process hands it to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Show {
    message: Message,
    /// The notification whose place it takes, as the desktop numbers them.
    replaces: Option<u32>,
}

/// What the process that showed a message answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// The number that the desktop gave it, if it numbers them.
    id: Option<u32>,
}

/// Shows messages by processes of this very program.
#[derive(Debug)]
pub(crate) struct Desktop {
    program: PathBuf,
    /// What the processes know of the session.
    environment: Vec<(OsString, OsString)>,
    host: String,
    /// The numbers of notifications by the key of their message, oldest first.
    ids: Mutex<VecDeque<(String, u32)>>,
}

impl Desktop {
    /// The desktop of the session that this process is in.
    pub(crate) fn of_this_session(host: String) -> Result<Self, ShowError> {
        let program = std::env::current_exe().map_err(ShowError::Program)?;
        let environment =
            SESSION.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?))).collect();
        Ok(Self::of(program, environment, host))
    }

    fn of(program: PathBuf, environment: Vec<(OsString, OsString)>, host: String) -> Self {
        Self { program, environment, host, ids: Mutex::default() }
    }

    /// Shows messages until no more can come.
    pub(crate) fn spawn(self, notices: mpsc::Receiver<Stamped>) -> JoinHandle<()> {
        let schedule = Schedule { only_critical: true, ..Schedule::USUAL };
        let desktop = Arc::new(self);
        tokio::spawn(courier::deliver("desktop", notices, schedule, move |delivery| {
            let desktop = Arc::clone(&desktop);
            async move { desktop.show(&delivery).await }
        }))
    }

    async fn show(&self, delivery: &Delivery) -> Result<(), ShowError> {
        let message = message(&delivery.notice, &self.host, delivery.count);
        let key = message.key.clone();
        let show = Show { message, replaces: self.id(&key) };
        let printed = tool(&self.program, &self.environment, &show)?.run().await?;
        let shown: Shown = serde_json::from_str(&printed.stdout)?;
        if let Some(id) = shown.id {
            self.remember(key, id);
        }
        Ok(())
    }

    fn id(&self, key: &str) -> Option<u32> {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.iter().find(|(known, _)| known == key).map(|(_, id)| *id)
    }

    fn remember(&self, key: String, id: u32) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.retain(|(known, _)| *known != key);
        if ids.len() >= REMEMBERED {
            ids.pop_front();
        }
        ids.push_back((key, id));
    }
}

/// The process that shows a message.
fn tool(
    program: &Path,
    environment: &[(OsString, OsString)],
    show: &Show,
) -> Result<Tool, serde_json::Error> {
    let tool =
        Tool::new(program, ["notifier", "--show"]).with_input(serde_json::to_vec(show)?).within(DEADLINE);
    Ok(environment.iter().fold(tool, |tool, (name, value)| tool.with(name, value)))
}

/// Shows the message that is read, and answers with its number: the part of that process. It ends by
/// itself too, in case its parent is gone.
pub(crate) async fn show_one(input: impl Read) -> Result<Shown, ShowError> {
    let mut text = String::new();
    input.take(LONGEST).read_to_string(&mut text).map_err(ShowError::Input)?;
    let show: Show = serde_json::from_str(&text)?;
    let id = tokio::time::timeout(ANSWER, platform::show(&show)).await.map_err(|_| ShowError::Silent)??;
    Ok(Shown { id })
}

#[cfg(test)]
mod tests;
