//! What keeps a command from answering, its exit code, and what to type next.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::allow::AllowError;
use crate::bulkhead::BulkheadError;
use crate::config::ConfigError;
use crate::control::ControlError;
use crate::drill::DrillError;
use crate::exit;
use crate::gate::listen::ListenError;
use crate::gate::passphrase::PassphraseError;
use crate::gate::tls::TlsError;
use crate::gate::token::TokenError;
use crate::gate::totp::TotpError;
use crate::install::InstallError;
use crate::install::typed::Watcher;
use crate::journal::JournalError;
use crate::notify::NotifyError;
use crate::notify::desktop::ShowError;
use crate::supervise::SuperviseError;
use crate::sys::durable::WriteError;
use crate::sys::paths::PathsError;
use crate::undo::UndoError;
use crate::watch::BarriersDied;

/// What keeps a command from answering.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Paths(#[from] PathsError),
    #[error(transparent)]
    Notify(#[from] NotifyError),
    #[error("there is no rule {0:?}")]
    NoSuchRule(String),
    #[error("{0}")]
    Refused(String),
    #[error("the daemon could not do it: {0}")]
    Failed(String),
    #[error("the policy as it is written now is refused, and the watcher goes on by the one before: {0}")]
    PolicyRefused(String),
    #[error("nobody can be asked: there is no terminal; type it with {0}")]
    NobodyToAsk(&'static str),
    #[error(transparent)]
    Allow(#[from] AllowError),
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
    #[error("the program's own threads cannot be started")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("the undo journal cannot be used")]
    Undo(#[from] UndoError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("a daemon runs on this host")]
    DaemonRuns,
    #[error(
        "a gateway runs on this host, and there is no network apart from it to rehearse in: the rehearsal would block it"
    )]
    GatewayRuns,
    #[error("a daemon runs, answering or not: it holds {}, and would do again what is taken back", .0.display())]
    DaemonHolds(PathBuf),
    #[error(transparent)]
    BarriersDied(#[from] BarriersDied),
    #[error(transparent)]
    Drill(#[from] DrillError),
    #[error(transparent)]
    Show(#[from] ShowError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Passphrase(PassphraseError),
    #[error(transparent)]
    Totp(#[from] TotpError),
    #[error(transparent)]
    Tls(TlsError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Bulkhead(#[from] BulkheadError),
    #[error("it is not on the disk")]
    Unwritten(#[source] WriteError),
    #[error("the answer cannot be written")]
    Output(#[from] io::Error),
    #[error("the answer cannot be put into JSON")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Paths(_) | Self::Notify(_) | Self::PolicyRefused(_) => exit::CONFIG,
            Self::Control(error) => error.code(),
            Self::Refused(_) => exit::EXPOSED,
            Self::NoSuchRule(_) | Self::NobodyToAsk(_) => exit::USAGE,
            Self::Allow(error) => error.code(),
            Self::Supervise(error) => error.code(),
            Self::Journal(JournalError::Folder(_)) => exit::CONFIG,
            Self::Listen(error) => error.code(),
            Self::Token(error) => error.code(),
            Self::Install(error) => error.code(),
            Self::Bulkhead(error) => error.code(),
            Self::Passphrase(_) => exit::USAGE,
            Self::Totp(error) => error.code(),
            Self::Tls(_) => exit::CONFIG,
            Self::Journal(_) => exit::BLIND,
            Self::Failed(_)
            | Self::Runtime(_)
            | Self::Undo(_)
            | Self::DaemonRuns
            | Self::GatewayRuns
            | Self::DaemonHolds(_)
            | Self::BarriersDied(_)
            | Self::Drill(_)
            | Self::Show(_)
            | Self::Unwritten(_)
            | Self::Output(_)
            | Self::Json(_) => exit::FAILURE,
        }
    }

    /// What to type next.
    fn hint(&self, watcher: Watcher) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::NoSuchRule(_) => Some("guardian rules"),
            Self::PolicyRefused(_) => Some("mend it, then: guardian config reload"),
            Self::Control(ControlError::NoDaemon(_)) => {
                return Some(watcher.start().map_or("sudo guardian install".into(), Cow::from));
            }
            Self::Journal(JournalError::Untrusted(unread)) if unread.is(io::ErrorKind::PermissionDenied) => {
                Some("sudo guardian history")
            }
            Self::Install(
                InstallError::Command { .. } | InstallError::Folder { .. } | InstallError::Write(_),
            ) => Some("the same command again, which goes on from here"),
            Self::DaemonRuns | Self::DaemonHolds(_) => {
                return Some(watcher.stop().map_or_else(
                    || "end the daemon where it was started, and then once more".into(),
                    |line| {
                        format!("{line} and then once more; a daemon started by hand ends with Ctrl-C").into()
                    },
                ));
            }
            Self::GatewayRuns => Some("stop the gateway, rehearse, and start it again"),
            _ if self.is_roots_business() => Some("the same with sudo"),
            _ => None,
        };
        hint.map(Cow::from)
    }

    /// Somebody who is not root was not let at a file.
    fn is_roots_business(&self) -> bool {
        let mut cause = self.source();
        while let Some(error) = cause {
            let denied = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if denied == Some(io::ErrorKind::PermissionDenied) {
                return !nix::unistd::Uid::effective().is_root();
            }
            cause = error.source();
        }
        false
    }

    /// Says on standard error what happened, with every cause, and what to type.
    pub(super) fn report(&self) {
        let mut text = format!("guardian: {self}\n");
        let mut cause = self.source();
        while let Some(error) = cause {
            let _ = writeln!(text, "  because: {error}");
            cause = error.source();
        }
        if let Some(hint) = self.hint(Watcher::here()) {
            let _ = writeln!(text, "  try: {hint}");
        }
        // Nobody is left to tell when standard error is gone.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::site::{Manager, Scope};

    #[test]
    fn a_hint_names_commands_of_this_platform_and_of_whoever_asks() {
        let hint = |failure: &Failure, manager, scope, installed| {
            failure.hint(Watcher::pretended(manager, scope, installed)).unwrap_or_default().into_owned()
        };
        let nobody = Failure::Control(ControlError::NoDaemon(Vec::new()));
        let runs = Failure::DaemonRuns;
        for (manager, scope, start, stop) in [
            (Manager::Systemd, Scope::Machine, "sudo systemctl start ", "sudo systemctl stop "),
            (Manager::Systemd, Scope::User, "systemctl --user start ", "systemctl --user stop "),
            (Manager::Launchd, Scope::Machine, "sudo launchctl kickstart ", "sudo launchctl bootout "),
            (Manager::Launchd, Scope::User, "launchctl kickstart ", "launchctl bootout "),
        ] {
            let said = hint(&nobody, manager, scope, true);
            assert!(said.starts_with(start), "{said}");
            let said = hint(&runs, manager, scope, true);
            assert!(said.starts_with(stop) && said.contains(" and then once more"), "{said}");
            assert_eq!(hint(&nobody, manager, scope, false), "sudo guardian install");
            assert!(hint(&runs, manager, scope, false).starts_with("end the daemon"));
        }
    }
}
