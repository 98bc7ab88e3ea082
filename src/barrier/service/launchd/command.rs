//! What launchctl(1) is run with, and what its exit codes mean.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use guardian_rules::fact::Manager;

use crate::barrier::service::plain;
use guardian_probes::command::Tool;

/// A job may take this long to end, which gateways set to 30 s, and some more; until then it cannot
/// be loaded again.
const PATIENCE: Duration = Duration::from_secs(40);

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// What comes after a `bootstrap` that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is loaded.
    Done,
    /// Once more, after a pause.
    Again(Duration),
    /// It stays as it is.
    GiveUp,
}

/// Only with the signs that labels have.
pub(super) fn is_safe(label: &str) -> bool {
    plain(label, ".-_", 255)
}

/// Where a job may be: agents in a login's domain or in the user's, or made a daemon.
pub(super) fn domains(manager: Manager) -> Vec<String> {
    match manager {
        Manager::System => vec!["system".to_owned()],
        Manager::User(uid) => vec![format!("gui/{uid}"), format!("user/{uid}"), "system".to_owned()],
    }
}

pub(super) fn print(domain: &str, label: &str) -> Tool {
    launchctl(["print".into(), target(domain, label)])
}

pub(super) fn print_disabled(domain: &str) -> Tool {
    launchctl(["print-disabled", domain])
}

pub(super) fn disable(domain: &str, label: &str) -> Tool {
    launchctl(["disable".into(), target(domain, label)])
}

pub(super) fn enable(domain: &str, label: &str) -> Tool {
    launchctl(["enable".into(), target(domain, label)])
}

pub(super) fn kill(domain: &str, label: &str) -> Tool {
    launchctl(["kill".into(), "SIGKILL".into(), target(domain, label)])
}

pub(super) fn bootout(domain: &str, label: &str) -> Tool {
    launchctl(["bootout".into(), target(domain, label)])
}

pub(super) fn bootstrap(domain: &str, plist: &Path) -> Tool {
    launchctl([OsString::from("bootstrap"), domain.into(), plist.into()])
}

/// Not in this domain: 3 no such process, 113 no such service, 125 no such domain, 112 likewise.
pub(super) fn is_elsewhere(code: Option<i32>) -> bool {
    matches!(code, Some(3 | 112 | 113 | 125))
}

/// Not loaded any more, or on its way out (36).
pub(super) fn is_gone(code: Option<i32>) -> bool {
    is_elsewhere(code) || code == Some(36)
}

/// 37 says that it is loaded already; 5 that the old one has not ended yet, among other things.
pub(super) fn after_bootstrap(code: Option<i32>, waited: Duration) -> Next {
    match code {
        Some(37) => Next::Done,
        Some(5 | 36) if waited < PATIENCE => Next::Again(PAUSE),
        _ => Next::GiveUp,
    }
}

fn target(domain: &str, label: &str) -> String {
    format!("{domain}/{label}")
}

fn launchctl<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Tool {
    // Where System Integrity Protection keeps others from replacing it.
    Tool::new("/bin/launchctl", arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_other_signs_are_refused() {
        for fine in ["ai.openclaw.gateway", "com.clawdbot.gateway", "ai.openclaw.my-profile_2"] {
            assert!(is_safe(fine), "{fine}");
        }
        for bad in ["", "-x", ".x", "a/b", "a b", "gui/501", "a\nb", "a\0"] {
            assert!(!is_safe(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_agent_is_looked_for_in_the_login_then_with_the_user_then_among_daemons() {
        assert_eq!(domains(Manager::User(501)), ["gui/501", "user/501", "system"]);
        assert_eq!(domains(Manager::System), ["system"]);
    }

    #[test]
    fn every_command_names_domain_and_label() {
        let (domain, label) = ("gui/501", "ai.openclaw.gateway");
        let target = "gui/501/ai.openclaw.gateway";
        assert_eq!(print(domain, label).arguments, ["print", target]);
        assert_eq!(disable(domain, label).arguments, ["disable", target]);
        assert_eq!(enable(domain, label).arguments, ["enable", target]);
        assert_eq!(kill(domain, label).arguments, ["kill", "SIGKILL", target]);
        assert_eq!(bootout(domain, label).arguments, ["bootout", target]);
        assert_eq!(print_disabled(domain).arguments, ["print-disabled", domain]);
        let loaded = bootstrap(domain, Path::new("/Library/x y.plist"));
        assert_eq!(loaded.arguments, ["bootstrap", domain, "/Library/x y.plist"]);
        assert_eq!(loaded.program, "/bin/launchctl");
    }

    #[test]
    fn loading_is_tried_again_while_the_old_job_may_be_ending() {
        assert_eq!(after_bootstrap(Some(37), Duration::ZERO), Next::Done);
        assert_eq!(after_bootstrap(Some(5), Duration::ZERO), Next::Again(PAUSE));
        assert_eq!(after_bootstrap(Some(5), PATIENCE), Next::GiveUp);
        assert_eq!(after_bootstrap(Some(125), Duration::ZERO), Next::GiveUp);
        assert_eq!(after_bootstrap(None, Duration::ZERO), Next::GiveUp, "it hung");
    }
}
