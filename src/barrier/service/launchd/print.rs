//! What `launchctl print` and `launchctl print-disabled` show.
//!
//! Neither is an interface, says launchctl(1): only what is needed is read, and all of it may be
//! missing.

use std::path::PathBuf;

/// A job that is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Job {
    /// `running`, `not running`, `waiting`, `spawn scheduled`.
    state: Option<String>,
    /// Its process.
    pub(super) pid: Option<u32>,
    /// Its property list.
    pub(super) path: Option<PathBuf>,
}

impl Job {
    /// Reads the lines that have one leading tab; those with more are about something within.
    pub(super) fn read(text: &str) -> Self {
        let mut job = Self::default();
        let lines = text.lines().filter_map(|line| line.strip_prefix('\t'));
        for (name, value) in
            lines.filter(|line| !line.starts_with('\t')).filter_map(|line| line.split_once(" = "))
        {
            match name {
                "state" => _ = job.state.get_or_insert_with(|| value.trim().to_owned()),
                "pid" => job.pid = job.pid.or_else(|| value.trim().parse().ok().filter(|pid| *pid > 0)),
                "path" if value.starts_with('/') => _ = job.path.get_or_insert_with(|| value.into()),
                _ => {}
            }
        }
        job
    }

    /// It runs or is about to.
    pub(super) fn runs(&self) -> bool {
        self.pid.is_some()
            || self.state.as_deref().is_some_and(|state| matches!(state, "running" | "spawn scheduled"))
    }
}

/// Whether a list says that a label is disabled; none if it does not name it, which means that it is
/// not. Older systems say `true` for disabled.
pub(super) fn disabled(text: &str, label: &str) -> Option<bool> {
    text.lines().find_map(|line| {
        let (name, value) = line.trim().split_once(" => ")?;
        let named = name.strip_prefix('"')?.strip_suffix('"')? == label;
        match value.trim() {
            "disabled" | "true" if named => Some(true),
            "enabled" | "false" if named => Some(false),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RUNNING: &str = "\
gui/501/ai.openclaw.gateway = {
\tactive count = 1
\tpath = /Users/ana/Library/LaunchAgents/ai.openclaw.gateway.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /opt/homebrew/bin/node
\targuments = {
\t\t/opt/homebrew/bin/node
\t\tstate = not running
\t}

\tenvironment = {
\t\tpath = /elsewhere.plist
\t\tpid = 1
\t}

\tdomain = gui/501 [100005]
\tpid = 812
\timmediate reason = semaphore
\tproperties = keepalive | runatload
}
";

    const DISABLED: &str = "\
\tdisabled services = {
\t\t\"com.apple.ManagedClientAgent.enrollagent\" => disabled
\t\t\"ai.openclaw.gateway\" => enabled
\t\t\"ai.openclaw.gateway.work\" => disabled
\t}
\tlogin item associations = {
\t}
";

    #[test]
    fn a_job_that_runs_shows_its_process_and_its_property_list() {
        let job = Job::read(RUNNING);
        assert_eq!(job.pid, Some(812));
        assert_eq!(job.path, Some("/Users/ana/Library/LaunchAgents/ai.openclaw.gateway.plist".into()));
        assert!(job.runs());
    }

    #[test]
    fn a_job_between_two_runs_counts_as_running_only_if_it_comes_back_by_itself() {
        let job = |state: &str| Job::read(&format!("x = {{\n\tstate = {state}\n}}\n"));
        assert!(job("spawn scheduled").runs());
        assert!(!job("not running").runs());
        assert!(!job("waiting").runs());
        assert!(!Job::read("").runs());
        assert_eq!(Job::read("x = {\n\tpath = (submitted by loginwindow)\n}\n").path, None);
    }

    #[test]
    fn a_label_is_disabled_when_its_own_line_says_so() {
        assert_eq!(disabled(DISABLED, "ai.openclaw.gateway"), Some(false));
        assert_eq!(disabled(DISABLED, "ai.openclaw.gateway.work"), Some(true));
        assert_eq!(disabled(DISABLED, "ai.openclaw"), None);
        assert_eq!(disabled("\t\"a.b\" => true\n\t\"c\" => false\n", "a.b"), Some(true));
        assert_eq!(disabled("\t\"a.b\" => true\n\t\"c\" => false\n", "c"), Some(false));
        assert_eq!(disabled("\t\"a.b\" => perhaps\n", "a.b"), None);
    }

    proptest! {
        #[test]
        fn any_output_is_borne(text in "(\t{0,2}(state|pid|path|\"a\")?( = | => )?[ -~]{0,12}\n?){0,8}") {
            let _ = Job::read(&text).runs();
            let _ = disabled(&text, "a");
        }
    }
}
