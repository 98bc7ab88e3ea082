//! What is done, in which order, and how it is told.

use super::super::account;
use super::*;
use crate::install::account::Account;
use crate::sys::paths::Paths;

fn site(manager: Manager, scope: Scope) -> Site {
    Site {
        manager,
        scope,
        uid: 501,
        home: "/home/ana".into(),
        session: (scope == Scope::User).then(|| "/run/user/501".into()),
        program: "/usr/local/bin/guardian".into(),
        copied_from: Some("/tmp/a build/guardian".into()),
        policy: "/etc/guardian/guardian.toml".into(),
        paths: Paths { state: "/var/lib/guardian".into(), runtime: "/run/guardian".into() },
    }
}

fn lines(steps: &[Step]) -> Vec<String> {
    steps
        .iter()
        .filter_map(|step| match step {
            Step::Command { tool, .. } => Some(line(tool)),
            _ => None,
        })
        .collect()
}

fn at(steps: &[Step], so: impl Fn(&Step) -> bool) -> usize {
    steps.iter().position(so).unwrap()
}

#[test]
fn everything_is_in_place_before_anything_is_started() {
    for (manager, scope) in [
        (Manager::Systemd, Scope::Machine),
        (Manager::Systemd, Scope::User),
        (Manager::Launchd, Scope::Machine),
        (Manager::Launchd, Scope::User),
    ] {
        let site = site(manager, scope);
        let account = account::make(manager, Account::gates(manager), "").unwrap();
        let steps = install(&site, account, "policy".to_owned());
        let first = at(&steps, |step| matches!(step, Step::Command { .. }));
        assert!(steps[first..].iter().all(|step| matches!(step, Step::Command { .. })), "{steps:#?}");
        assert_eq!(
            steps[..first].iter().filter(|step| matches!(step, Step::File { kept: false, .. })).count(),
            3
        );
        let made = at(&steps, |step| matches!(step, Step::Account { .. }));
        assert!(
            steps[..made].iter().all(|step| matches!(step, Step::Folder { for_gate: false, .. })),
            "files may belong to it"
        );
    }
}

#[test]
fn with_systemd_the_machine_gets_two_services_and_every_session_a_notifier() {
    let steps = install(&site(Manager::Systemd, Scope::Machine), Vec::new(), String::new());
    assert_eq!(
        lines(&steps),
        [
            "systemctl daemon-reload",
            "systemctl enable guardian.service",
            "systemctl restart guardian.service",
            "systemctl enable guardian-gate.service",
            "systemctl restart guardian-gate.service",
            "systemctl --global enable guardian-notifier.service",
        ]
    );
    let user = lines(&install(&site(Manager::Systemd, Scope::User), Vec::new(), String::new()));
    assert!(
        user.iter().all(|line| line.starts_with("XDG_RUNTIME_DIR=/run/user/501 systemctl --user ")),
        "{user:#?}"
    );
}

#[test]
fn with_launchd_a_job_is_taken_out_and_put_in_again_for_it_may_have_changed() {
    let steps = install(&site(Manager::Launchd, Scope::Machine), Vec::new(), String::new());
    assert_eq!(
        lines(&steps)[..3],
        [
            "launchctl bootout system/dev.guardian.watcher",
            "launchctl enable system/dev.guardian.watcher",
            "launchctl bootstrap system /Library/LaunchDaemons/dev.guardian.watcher.plist",
        ]
    );
    let user = lines(&install(&site(Manager::Launchd, Scope::User), Vec::new(), String::new()));
    let bootstrap = "launchctl bootstrap gui/501 /home/ana/Library/LaunchAgents/dev.guardian.notifier.plist";
    assert!(user.iter().any(|line| line == bootstrap), "{user:#?}");
}

#[test]
fn what_would_be_done_is_told_to_the_last_line() {
    let site = site(Manager::Systemd, Scope::Machine);
    let steps = install(
        &site,
        account::make(Manager::Systemd, Account::gates(Manager::Systemd), "").unwrap(),
        "mode = \"enforce\"\n".to_owned(),
    );
    let told: String = steps.iter().map(Step::told).collect();
    for needed in [
        "$ useradd --system",
        "copy this program to /usr/local/bin/guardian",
        "write /etc/guardian/guardian.toml, unless there is one\n    | mode = \"enforce\"\n",
        "write /etc/systemd/system/guardian.service\n",
        "    | ExecStart=\"/usr/local/bin/guardian\" daemon\n",
        "run\n    $ systemctl daemon-reload\n",
    ] {
        assert!(told.contains(needed), "{needed}\n{told}");
    }
    assert!(!told.contains("@PROGRAM@"), "nothing is left to fill in");
}

#[test]
fn a_word_that_a_shell_would_split_is_quoted() {
    assert_eq!(line(&Tool::new("a", ["b c", "it's", "", "d"])), r"a 'b c' 'it'\''s' '' d");
}

#[test]
fn what_was_there_before_and_what_people_made_stays_unless_all_has_to_go() {
    let site = site(Manager::Systemd, Scope::Machine);
    let bare = Manifest::default();
    let steps = remove(&site, &bare, false);
    let gone = |steps: &[Step], path: &str| {
        steps.iter().any(|step| match step {
            Step::Remove { path: it } | Step::RemoveAll { path: it } | Step::RemoveProgram { path: it } => {
                it == std::path::Path::new(path)
            }
            _ => false,
        })
    };
    assert!(
        gone(&steps, "/etc/systemd/system/guardian.service")
            && gone(&steps, "/etc/systemd/user/guardian-notifier.service")
    );
    for kept in ["/etc/guardian/guardian.toml", "/var/lib/guardian", "/usr/local/bin/guardian"] {
        assert!(!gone(&steps, kept), "{kept}");
    }
    let mut added = Manifest::default();
    added.program = Some("/usr/local/bin/guardian".into());
    let steps = remove(&site, &added, true);
    for purged in
        ["/etc/guardian/guardian.toml", "/var/lib/guardian", "/run/guardian", "/usr/local/bin/guardian"]
    {
        assert!(gone(&steps, purged), "{purged}");
    }
    assert_eq!(lines(&steps), ["systemctl daemon-reload"]);
    let takes_user = |steps: &[Step]| steps.iter().any(|step| matches!(step, Step::RemoveAccount { .. }));
    assert!(!takes_user(&steps), "a user that was there before stays");
    added.account = true;
    let steps = remove(&site, &added, true);
    assert!(takes_user(&steps));
    assert!(
        matches!(steps.last(), Some(Step::RemoveAll { path }) if *path == site.paths.state),
        "it knows the rest"
    );
    // Written by whoever could write it, or left by an earlier installation: no other program is removed.
    added.program = Some("/usr/bin/env".into());
    assert!(!gone(&remove(&site, &added, true), "/usr/bin/env"));
}

#[test]
fn a_copy_goes_when_the_services_run_a_packages_program_and_that_one_never_does() {
    let mut site = site(Manager::Systemd, Scope::Machine);
    let mut added = Manifest::default();
    added.program = Some("/usr/local/bin/guardian".into());
    assert_eq!(superseded(&site, &added), None, "it is what runs");
    site.program = "/usr/bin/guardian".into();
    site.copied_from = None;
    let copy = std::path::PathBuf::from("/usr/local/bin/guardian");
    assert_eq!(superseded(&site, &added), Some(Step::RemoveProgram { path: copy }));
    assert_eq!(superseded(&site, &Manifest::default()), None, "somebody else's");

    let steps = install(&site, Vec::new(), String::new());
    assert!(!steps.iter().any(|step| matches!(step, Step::Program { .. })), "it is run where it is");
    for program in [None, Some("/usr/bin/guardian".into())] {
        added.program = program;
        assert_eq!(superseded(&site, &added), None);
        let takes = |step: &Step| step.told().contains("/usr/bin/guardian");
        assert!(!remove(&site, &added, true).iter().any(takes), "the package's own");
    }
}
