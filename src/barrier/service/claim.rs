//! Whether a service is the gateway's own.
//!
//! Which service a process belongs to is what the process shows. Whoever starts a look-alike may
//! give it another service's name, or start it from within one; so the supervisor is asked which
//! process it runs as that service. Somebody who passes here could have ended that process anyway.

use crate::barrier::process::kinship::Kin;

/// Units and jobs that are never held, whoever names them: they carry people's sessions, or the
/// system, or guardian itself.
const NEVER: [&str; 9] = [
    "user@",
    "user-runtime-dir@",
    "session-",
    "systemd-",
    "init.",
    "dbus",
    "getty@",
    "guardian",
    "com.apple.",
];

/// What a supervisor tells of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told<'a> {
    /// It has such a service.
    pub(super) known: bool,
    /// Its first process, while it runs.
    pub(super) main: Option<u32>,
    /// It is the system's, so that what runs in it as root may be anybody's.
    pub(super) systems: bool,
    /// Where its processes are, by a supervisor that keeps them together.
    pub(super) group: Option<&'a str>,
}

/// A process of a gateway, and what is above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The process itself first.
    pub(super) kin: Vec<Kin>,
    /// Its control groups.
    pub(super) groups: Vec<String>,
}

/// Whether a service is a gateway's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Own {
    /// It is.
    Yes,
    /// It is somebody else's; why, as the end of a sentence.
    No(String),
    /// Nothing runs by which it could be told.
    Unknown,
}

/// Judges a claim. `products`: the service has a name that the product gives.
pub(super) fn judge(name: &str, products: bool, told: &Told<'_>, lines: &[Line]) -> Own {
    if NEVER.iter().any(|start| name.starts_with(start)) {
        return Own::No("it is the system's or a session's".to_owned());
    }
    if !told.known {
        return Own::No("its supervisor does not know it".to_owned());
    }
    if products {
        return Own::Yes;
    }
    let Some(main) = told.main else { return Own::Unknown };
    if lines.iter().any(|line| line.is_run_as(main, told)) {
        Own::Yes
    } else if lines.iter().all(|line| line.kin.is_empty()) {
        Own::Unknown
    } else {
        Own::No(format!("process {main}, which it runs, is neither a gateway nor what only starts one"))
    }
}

impl Line {
    /// The service's first process is this one, or is above it, within the service, and of the same
    /// user. Root is above much: as root only the very parent counts.
    fn is_run_as(&self, main: u32, told: &Told<'_>) -> bool {
        let Some((own, above)) = self.kin.split_first() else { return false };
        if main <= 1 {
            return false;
        }
        if own.pid == main {
            return true;
        }
        let most = if told.systems && own.uid == Some(0) { 1 } else { above.len() };
        above.iter().take(most).any(|kin| kin.pid == main && kin.uid.is_some() && kin.uid == own.uid)
            && told.group.is_none_or(|group| self.is_within(group))
    }

    fn is_within(&self, group: &str) -> bool {
        let below = |path: &String| {
            path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        group.len() > 1 && self.groups.iter().any(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "/system.slice/bot.service";
    const RUNS: Told<'_> = Told { known: true, main: Some(50), systems: true, group: Some(GROUP) };

    /// The gateway is process 70.
    fn line(above: &[(u32, u32)], uid: u32, group: &str) -> Line {
        let kin = |(pid, uid): &(u32, u32)| Kin { pid: *pid, uid: Some(*uid) };
        Line { kin: [(70, uid)].iter().chain(above).map(kin).collect(), groups: vec![group.to_owned()] }
    }

    fn of_anas(above: &[(u32, u32)]) -> Line {
        line(above, 1000, GROUP)
    }

    #[test]
    fn the_products_own_names_are_accepted_if_the_supervisor_knows_them() {
        let name = "openclaw-gateway.service";
        let idle = Told { main: None, ..RUNS };
        assert_eq!(judge(name, true, &RUNS, &[]), Own::Yes);
        assert_eq!(judge(name, true, &idle, &[]), Own::Yes, "between two runs");
        assert!(matches!(judge(name, true, &Told { known: false, ..idle }, &[]), Own::No(_)));
    }

    #[test]
    fn any_name_is_accepted_if_its_first_process_is_the_gateway() {
        let itself = Told { main: Some(70), ..RUNS };
        assert_eq!(judge("bot.service", false, &itself, &[of_anas(&[])]), Own::Yes);
        assert_eq!(judge("bot.service", false, &itself, &[line(&[], 0, "/")]), Own::Yes, "as root too");
    }

    #[test]
    fn a_wrapper_of_the_same_user_within_the_service_is_accepted() {
        let wrapped = of_anas(&[(60, 1000), (50, 1000)]);
        assert_eq!(judge("bot.service", false, &RUNS, &[wrapped]), Own::Yes);
        let below = line(&[(50, 1000)], 1000, "/system.slice/bot.service/inner");
        assert_eq!(judge("bot.service", false, &RUNS, &[below]), Own::Yes);
        let launchds = Told { group: None, ..RUNS };
        assert_eq!(judge("org.example.bot", false, &launchds, &[of_anas(&[(50, 1000)])]), Own::Yes);
    }

    #[test]
    fn as_root_only_the_very_parent_is_a_wrapper() {
        let judged = |above: &[(u32, u32)], systems| {
            judge("bot.service", false, &Told { systems, ..RUNS }, &[line(above, 0, GROUP)])
        };
        assert_eq!(judged(&[(50, 0)], true), Own::Yes);
        assert!(matches!(judged(&[(60, 0), (50, 0)], true), Own::No(_)), "cron, sh, gateway");
        assert_eq!(judged(&[(60, 0), (50, 0)], false), Own::Yes, "by root's own manager");
    }

    #[test]
    fn a_service_from_which_a_look_alike_was_started_is_not_its_own() {
        let cron = "cron.service";
        for (why, line) in [
            ("it is root's and the look-alike is not", of_anas(&[(60, 1000), (50, 0)])),
            ("it is another user's", of_anas(&[(50, 33)])),
            ("its first process is not above", of_anas(&[(60, 1000), (61, 1000)])),
            ("the look-alike is in another group", line(&[(50, 1000)], 1000, "/system.slice/bot.servicex")),
            ("and in none", Line { groups: Vec::new(), ..of_anas(&[(50, 1000)]) }),
        ] {
            assert!(matches!(judge(cron, false, &RUNS, &[line]), Own::No(_)), "{why}");
        }
        let unnamed = Kin { pid: 50, uid: None };
        let line = Line { kin: vec![Kin { pid: 70, uid: None }, unnamed], groups: vec![GROUP.to_owned()] };
        assert!(matches!(judge(cron, false, &RUNS, &[line]), Own::No(_)), "nobody is no user");
    }

    #[test]
    fn without_a_group_that_is_told_no_wrapper_counts() {
        for group in ["", "/"] {
            let told = Told { group: Some(group), ..RUNS };
            assert!(matches!(judge("x.service", false, &told, &[of_anas(&[(50, 1000)])]), Own::No(_)));
        }
    }

    #[test]
    fn what_runs_nothing_or_was_claimed_by_what_has_gone_cannot_be_told() {
        let idle = Told { main: None, ..RUNS };
        assert_eq!(judge("bot.service", false, &idle, &[of_anas(&[])]), Own::Unknown);
        let gone = Line { kin: Vec::new(), groups: Vec::new() };
        assert_eq!(judge("bot.service", false, &RUNS, &[gone]), Own::Unknown);
        assert_eq!(judge("bot.service", false, &RUNS, &[]), Own::Unknown);
    }

    #[test]
    fn the_systems_and_the_sessions_are_never_the_gateways() {
        let itself = Told { main: Some(70), ..RUNS };
        for name in [
            "user@1000.service",
            "dbus.service",
            "dbus-broker.service",
            "systemd-logind.service",
            "com.apple.Dock",
        ] {
            assert!(matches!(judge(name, false, &itself, &[of_anas(&[])]), Own::No(_)), "{name}");
        }
        let first = Told { main: Some(1), ..RUNS };
        assert!(matches!(judge("x.service", false, &first, &[of_anas(&[(1, 1000)])]), Own::No(_)));
    }
}
