//! That what is installed can be read by what reads it.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::sys::paths::Paths;

fn site(manager: Manager, scope: Scope, program: &str) -> Site {
    Site {
        manager,
        scope,
        uid: 501,
        home: "/home/ana".into(),
        session: None,
        program: program.into(),
        copied_from: None,
        policy: "/etc/guardian/guardian.toml".into(),
        paths: Paths { state: "/var/lib/guardian".into(), runtime: "/run/guardian".into() },
    }
}

/// Of a user whose shell exports nothing.
fn of_ana() -> Site {
    let session: Option<std::path::PathBuf> = Some("/run/user/501".into());
    Site {
        paths: Paths::of_a_users_service("/home/ana".as_ref(), session.as_deref()).unwrap(),
        session,
        policy: "/home/ana/.config/guardian/guardian.toml".into(),
        ..site(Manager::Systemd, Scope::User, "/g")
    }
}

/// Of launchd.plist(5).
const KEYS: [&str; 13] = [
    "Label",
    "ProgramArguments",
    "UserName",
    "EnvironmentVariables",
    "Umask",
    "SoftResourceLimits",
    "RunAtLoad",
    "KeepAlive",
    "ThrottleInterval",
    "ExitTimeOut",
    "ProcessType",
    "StandardErrorPath",
    "LimitLoadToSessionType",
];

#[test]
fn every_property_list_is_one_and_holds_known_keys() {
    let odd = "/Library/Application Support/<Guardian> & co/guardian";
    for scope in [Scope::Machine, Scope::User] {
        let site = site(Manager::Launchd, scope, odd);
        for unit in Unit::ALL {
            let text = unit.text(&site);
            let value = plist::Value::from_reader_xml(text.as_bytes()).unwrap();
            let job = value.as_dictionary().unwrap();
            let keys: BTreeSet<&str> = job.keys().map(String::as_str).collect();
            assert!(keys.iter().all(|key| KEYS.contains(key)), "{keys:?}");
            let label = job["Label"].as_string().unwrap();
            assert_eq!(
                unit.file(&site).file_stem().unwrap().to_str(),
                Some(label),
                "launchd wants them alike"
            );
            assert_eq!(job["ProgramArguments"].as_array().unwrap()[0].as_string(), Some(odd));
            assert_eq!(job["KeepAlive"].as_boolean(), Some(true));
            // Without it launchd takes processor and disk from a job.
            assert_eq!(job["ProcessType"].as_string(), Some("Interactive"));
            assert_eq!(job.contains_key("UserName"), scope == Scope::Machine && unit == Unit::Gate);
        }
    }
}

/// Its user has no home of its own, where it would look for tokens that root has never put there.
#[test]
fn the_gate_of_a_machine_looks_where_root_keeps_what_it_goes_by() {
    let plist = Unit::Gate.text(&site(Manager::Launchd, Scope::Machine, "/g"));
    let value = plist::Value::from_reader_xml(plist.as_bytes()).unwrap();
    let set = value.as_dictionary().unwrap()["EnvironmentVariables"].as_dictionary().unwrap();
    let mac =
        Paths { state: "/Library/Application Support/Guardian".into(), runtime: "/var/run/guardian".into() };
    let is = |name: &str, path: &Path| assert_eq!(set[name].as_string(), path.to_str());
    is("GUARDIAN_STATE_DIR", &mac.state);
    is("GUARDIAN_RUNTIME_DIR", &mac.runtime);
    let linux = site(Manager::Systemd, Scope::Machine, "/g").paths;
    let line = format!(
        "\nEnvironment=GUARDIAN_STATE_DIR={} GUARDIAN_RUNTIME_DIR={}\n",
        linux.state.display(),
        linux.runtime.display()
    );
    assert!(Unit::Gate.text(&site(Manager::Systemd, Scope::Machine, "/g")).contains(&line));
    let machine = Paths::of_the_machine();
    assert!(machine == mac || machine == linux, "{machine:?}");
    let users = Unit::Gate.text(&of_ana());
    assert!(!users.contains("GUARDIAN_STATE_DIR"), "a user's gate has the user's");
}

/// launchd gives standard output to nobody, and a file of its own would grow without end.
#[test]
fn the_access_log_of_a_gate_of_launchds_is_in_the_gates_own_folder_of_logs() {
    for (scope, path) in [
        (Scope::Machine, "/var/log/guardian/gate/access.log"),
        (Scope::User, "/home/ana/Library/Logs/Guardian/access.log"),
    ] {
        let site = site(Manager::Launchd, scope, "/g");
        let value = plist::Value::from_reader_xml(Unit::Gate.text(&site).as_bytes()).unwrap();
        let job = value.as_dictionary().unwrap();
        let set = job["EnvironmentVariables"].as_dictionary().unwrap();
        assert_eq!(set[crate::gate::access_log::VARIABLE].as_string(), Some(path));
        let log = Path::new(job["StandardErrorPath"].as_string().unwrap());
        assert_eq!(log.parent(), Path::new(path).parent(), "where its user may write");
    }
}

/// The manager of a user's services knows nothing of what a shell exports.
#[test]
fn a_users_services_are_told_where_the_shell_that_installs_them_has_policy_and_state() {
    let usual = of_ana();
    for unit in Unit::ALL {
        assert!(!unit.text(&usual).contains("Environment="), "they look there anyway");
        let state = Paths { state: "/data/100% mine/guardian".into(), ..usual.paths.clone() };
        let text = unit.text(&Site { paths: state, ..usual.clone() });
        for line in [
            "Environment=\"GUARDIAN_CONFIG=/home/ana/.config/guardian/guardian.toml\"",
            "Environment=\"GUARDIAN_STATE_DIR=/data/100%% mine/guardian\"",
            "Environment=\"GUARDIAN_RUNTIME_DIR=/run/user/501/guardian\"",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        let text = unit.text(&Site { policy: "/etc-of-ana/guardian/guardian.toml".into(), ..usual.clone() });
        assert!(text.contains("GUARDIAN_CONFIG=/etc-of-ana/"), "{text}");
    }
    let machine = Unit::Watcher.text(&site(Manager::Systemd, Scope::Machine, "/g"));
    assert!(!machine.contains("Environment="), "{machine}");
}

#[test]
fn a_gateway_of_ones_own_does_not_start_while_the_lock_is_there() {
    let lock = |paths: &Paths| paths.lock().to_string_lossy().into_owned();
    let value =
        plist::Value::from_reader_xml(include_bytes!("../../../launchd/gateway.plist").as_slice()).unwrap();
    let job = value.as_dictionary().unwrap();
    let state = job["KeepAlive"].as_dictionary().unwrap()["PathState"].as_dictionary().unwrap();
    let mac = Paths { state: "/Library/Application Support/Guardian".into(), runtime: "/".into() };
    assert_eq!(state[lock(&mac).as_str()].as_boolean(), Some(false));
    assert!(!job.contains_key("RunAtLoad"), "that would start it whatever the lock says");
    let linux = Paths { state: "/var/lib/guardian".into(), runtime: "/".into() };
    let drop_in = include_str!("../../../launchd/gateway.service.d/guardian.conf");
    assert!(drop_in.contains(&format!("\nConditionPathExists=!{}\n", lock(&linux))));
}

#[test]
fn every_unit_starts_the_program_wherever_it_is() {
    let odd = "/opt/100% \"$mine\\/guardian";
    for scope in [Scope::Machine, Scope::User] {
        let site = site(Manager::Systemd, scope, odd);
        for (unit, command) in Unit::ALL.into_iter().zip(["daemon", "gate", "notifier"]) {
            let text = unit.text(&site);
            let line = format!(r#"ExecStart="/opt/100%% \"$$mine\\/guardian" {command}"#);
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
            assert!(
                text.contains("\nRestart=always\n") && !text.contains('@')
                    || text.contains("@system-service")
            );
            assert!(!text.contains("@PROGRAM@") && !text.contains("@LOGS@"));
        }
        // A signal has no answer: whoever reloads is to hear that the policy is refused.
        let reload = r#"ExecReload="/opt/100%% \"$$mine\\/guardian" config reload"#;
        assert!(Unit::Watcher.text(&site).lines().any(|it| it == reload), "{reload}");
    }
}

#[test]
fn files_are_where_their_managers_look() {
    let file = |manager, scope, unit: Unit| unit.file(&site(manager, scope, "/g"));
    for (manager, scope, unit, path) in [
        (Manager::Systemd, Scope::Machine, Unit::Watcher, "/etc/systemd/system/guardian.service"),
        (Manager::Systemd, Scope::Machine, Unit::Notifier, "/etc/systemd/user/guardian-notifier.service"),
        (Manager::Systemd, Scope::User, Unit::Gate, "/home/ana/.config/systemd/user/guardian-gate.service"),
        (
            Manager::Launchd,
            Scope::Machine,
            Unit::Watcher,
            "/Library/LaunchDaemons/dev.guardian.watcher.plist",
        ),
        (
            Manager::Launchd,
            Scope::Machine,
            Unit::Notifier,
            "/Library/LaunchAgents/dev.guardian.notifier.plist",
        ),
        (
            Manager::Launchd,
            Scope::User,
            Unit::Watcher,
            "/home/ana/Library/LaunchAgents/dev.guardian.watcher.plist",
        ),
    ] {
        assert_eq!(file(manager, scope, unit), Path::new(path));
    }
}
