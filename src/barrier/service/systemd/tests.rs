use std::path::Path;

use guardian_rules::fact::{Manager, Service};
use proptest::prelude::*;

use super::manager::{systemctl, user_systemctl};
use super::unit::{State, drop_in, is_safe, manager_in};
use super::*;
use crate::barrier::Held;
use crate::barrier::service::claim::Told;

const DROP_IN: &str = "/run/systemd/user/gateway.service.d/zz-guardian-1000.conf";

/// A later drop-in takes the condition back.
fn never(_: &Path) -> bool {
    false
}

fn service(manager: Manager) -> Service {
    Service { name: "gateway.service".to_owned(), manager }
}

fn shown(active: &str, load: &str, drop_ins: &str) -> State {
    State::read(&format!("LoadState={load}\nActiveState={active}\nSubState=dead\nDropInPaths={drop_ins}\n"))
}

#[test]
fn only_plain_names_of_services_are_acted_on() {
    for fine in
        ["openclaw-gateway.service", "clawdbot-gateway-work.service", "a@ana.service", "x\\x2dy:1_2.service"]
    {
        assert!(is_safe(fine), "{fine}");
    }
    for bad in [
        "",
        ".service",
        "gateway",
        "gateway.timer",
        "gateway.service.d",
        "-x.service",
        "../x.service",
        "a/b.service",
        "a b.service",
        "a\nb.service",
        "ä.service",
        "*.service",
        "a\0.service",
    ] {
        assert!(!is_safe(bad), "{bad:?}");
    }
    assert!(!is_safe(&format!("{}.service", "a".repeat(250))));
}

#[test]
fn the_drop_in_lies_where_its_user_cannot_take_it_away_if_root_may_put_it_there() {
    let runtime = Path::new("/run/user/1000");
    let place = |manager, root, runtime| drop_in(&service(manager), root, runtime).display().to_string();
    assert_eq!(place(Manager::System, true, None), "/run/systemd/system/gateway.service.d/zz-guardian.conf");
    assert_eq!(place(Manager::User(1000), true, Some(runtime)), DROP_IN);
    assert_eq!(
        place(Manager::User(1000), false, Some(runtime)),
        "/run/user/1000/systemd/user/gateway.service.d/zz-guardian.conf"
    );
}

#[test]
fn it_is_held_when_the_condition_counts_and_it_is_down() {
    for down in ["inactive", "failed"] {
        assert_eq!(shown(down, "loaded", DROP_IN).held_by(Path::new(DROP_IN), never), Held::Yes);
        let others = format!("/etc/systemd/user/gateway.service.d/override.conf {DROP_IN}");
        assert_eq!(shown(down, "loaded", &others).held_by(Path::new(DROP_IN), never), Held::Yes);
    }
}

#[test]
fn it_is_not_held_while_it_runs_stops_or_waits_to_be_restarted() {
    for up in ["active", "activating", "deactivating", "reloading", "maintenance"] {
        assert_eq!(shown(up, "loaded", DROP_IN).held_by(Path::new(DROP_IN), never), Held::No, "{up}");
    }
    assert!(shown("activating", "loaded", "").runs(), "a restart is pending");
    assert!(!shown("deactivating", "loaded", "").runs(), "somebody has stopped it");
}

#[test]
fn a_drop_in_that_is_not_loaded_does_not_hold() {
    let same_name = "/home/ana/.config/systemd/user/gateway.service.d/zz-guardian-1000.conf";
    let longer = format!("/chroot{DROP_IN}");
    for loaded in ["", same_name, &longer, &format!("{DROP_IN}x")] {
        assert_eq!(
            shown("inactive", "loaded", loaded).held_by(Path::new(DROP_IN), never),
            Held::No,
            "{loaded}"
        );
    }
}

#[test]
fn a_later_drop_in_may_take_the_condition_back_so_it_cannot_be_told() {
    let later = format!("{DROP_IN} /home/ana/.config/systemd/user/gateway.service.d/zzz.conf");
    assert_eq!(shown("inactive", "loaded", &later).held_by(Path::new(DROP_IN), never), Held::Unknown);
}

#[test]
fn a_later_drop_in_of_guardians_own_takes_nothing_back() {
    let other = "/run/systemd/user/gateway.service.d/zz-guardian-1001.conf";
    let guardians = |path: &Path| path == Path::new(other);
    let held = |drop_ins: &str| shown("inactive", "loaded", drop_ins).held_by(Path::new(DROP_IN), guardians);
    assert_eq!(held(&format!("{DROP_IN} {other}")), Held::Yes);
    assert_eq!(held(&format!("{DROP_IN} {other} /home/ana/zzz.conf")), Held::Unknown);
    assert_eq!(held(other), Held::No, "another user's holds nobody else");
}

#[test]
fn whose_a_unit_is_shows_in_its_first_process_and_its_group() {
    let printed = "LoadState=loaded\nMainPID=812\nControlGroup=/system.slice/bot.service\n";
    let told = Told { known: true, main: Some(812), systems: true, group: Some("/system.slice/bot.service") };
    assert_eq!(State::read(printed).told(Manager::System), told);
    let told = Told { known: false, main: None, systems: false, group: Some("") };
    for printed in ["", "LoadState=not-found\nMainPID=0\n", "LoadState=\nMainPID=-1\n", "MainPID=x\n=\n\0"] {
        assert_eq!(State::read(printed).told(Manager::User(1000)), told, "{printed:?}");
    }
}

#[test]
fn a_unit_that_is_gone_or_masked_cannot_start() {
    for load in ["not-found", "masked"] {
        assert_eq!(shown("inactive", load, "").held_by(Path::new(DROP_IN), never), Held::Yes);
    }
}

#[test]
fn what_systemd_does_not_tell_is_unknown() {
    assert_eq!(State::read("").held_by(Path::new(DROP_IN), never), Held::Unknown);
    assert_eq!(State::read("ActiveState=inactive\n").held_by(Path::new(DROP_IN), never), Held::Unknown);
}

#[test]
fn a_users_manager_is_asked_as_that_user_in_its_runtime_folder() {
    let tool = user_systemctl(&["daemon-reload"], Path::new("/run/user/1000"), Some((1000, 1001)));
    assert_eq!(tool.arguments, ["--user", "--no-ask-password", "--no-pager", "daemon-reload"]);
    assert_eq!(tool.user, Some((1000, 1001)));
    assert_eq!(tool.environment, [("XDG_RUNTIME_DIR".into(), "/run/user/1000".into())]);
    assert_eq!(user_systemctl(&[], Path::new("/r"), None).user, None);
    assert_eq!(systemctl(&["daemon-reload"]).user, None);
}

#[test]
fn a_runtime_folder_without_a_managers_socket_has_no_manager() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(manager_in(folder.path()), None);
    std::fs::create_dir(folder.path().join("systemd")).unwrap();
    std::fs::write(folder.path().join("systemd/private"), "").unwrap();
    assert_eq!(manager_in(folder.path()), None, "a file is no socket");
    std::fs::remove_file(folder.path().join("systemd/private")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("systemd/private")).unwrap();
    assert!(manager_in(folder.path()).is_some());
}

#[tokio::test]
async fn a_manager_that_does_not_run_is_an_error_that_says_so() {
    let gone = Path::new("/nonexistent/runtime");
    let service = service(Manager::User(4001));
    let failure = Talk::about(&service, Some(gone)).look().await.unwrap_err();
    assert!(failure.to_string().contains("manager does not run"), "{failure}");
}

/// A manager that takes connections and says nothing, as one that its user has stopped.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_manager_that_is_silent_keeps_nobody_waiting() {
    use std::time::{Duration, Instant};

    if !["/usr/bin/systemctl", "/bin/systemctl"].iter().any(|tool| Path::new(tool).exists()) {
        return crate::sys::scratch::leave_out("there is no systemctl");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("systemd")).unwrap();
    let _silent = std::os::unix::net::UnixListener::bind(folder.path().join("systemd/private")).unwrap();
    let service = service(Manager::User(Uid::effective().as_raw()));
    let before = Before {
        failed: false,
        drop_in: folder.path().join("systemd/user/gateway.service.d/zz-guardian.conf"),
        made: Vec::new(),
        runtime: Some(folder.path().to_owned()),
    };
    let within = |what: &str, begun: Instant| {
        let took = begun.elapsed();
        assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&took), "{what}: {took:?}");
    };
    let begun = Instant::now();
    let failure = raise(&service, &before).await.unwrap_err();
    within("raise", begun);
    assert!(matches!(&failure, ServiceError::Supervisor { cause, .. } if cause.timed_out()), "{failure}");
    assert!(before.drop_in.exists(), "it is written all the same");
    let begun = Instant::now();
    assert_eq!(standing(&service, &before).await, Held::Unknown);
    within("standing", begun);
    let begun = Instant::now();
    assert!(lower(&service, &before, true).await.is_err());
    within("lower", begun);
    assert!(!before.drop_in.exists(), "and taken away all the same");
}

#[test]
fn a_user_without_a_session_is_held_by_roots_drop_in_but_not_by_ones_own() {
    let state = |drop_in: &str| Before {
        failed: false,
        drop_in: drop_in.into(),
        made: Vec::new(),
        runtime: Some("/nonexistent/runtime".into()),
    };
    assert!(nobody_home(&state(DROP_IN)));
    assert!(!nobody_home(&state("/nonexistent/runtime/systemd/user/gateway.service.d/zz-guardian.conf")));
}

#[test]
fn the_record_is_written_and_read_unchanged() {
    let record = crate::barrier::service::Before {
        service: service(Manager::User(1000)),
        active: true,
        supervisor: Supervisor::Systemd(Before {
            failed: false,
            drop_in: DROP_IN.into(),
            made: vec!["/run/systemd/user".into()],
            runtime: Some("/run/user/1000".into()),
        }),
    };
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<crate::barrier::service::Before>(&text).unwrap(), record);
}

#[test]
fn a_record_of_the_layout_before_is_understood_and_taken_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let units = folder.path().join("user");
    let drop_in = units.join("openclaw-gateway.service.d/zz-guardian.conf");
    std::fs::create_dir_all(drop_in.parent().unwrap()).unwrap();
    let text = "# Written by guardian: the circuit is open, and this service is kept from starting.\n\
                # To take it back, type: guardian rescue\n[Unit]\nConditionPathExists=!/\n";
    std::fs::write(&drop_in, text).unwrap();
    let record = serde_json::json!({
        "service": { "name": "openclaw-gateway.service", "manager": { "user": 1000 } },
        "active": true,
        "supervisor": { "systemd": {
            "failed": false, "drop_in": drop_in, "made": [units, drop_in.parent().unwrap()],
            "runtime": "/run/user/1000",
        }},
    });
    let before: crate::barrier::service::Before = serde_json::from_value(record.clone()).unwrap();
    assert_eq!(serde_json::to_value(&before).unwrap(), record, "so that its end can be written down");
    let Supervisor::Systemd(state) = &before.supervisor else { panic!("{before:?}") };
    assert!(drop_in::in_place(&state.drop_in).unwrap(), "it still holds");
    drop_in::remove(&state.drop_in, &state.made).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

proptest! {
    #[test]
    fn any_output_is_borne(text in r"((LoadState|ActiveState|DropInPaths|MainPID|x)?=?[ -~]{0,20}\n?){0,8}") {
        let state = State::read(&text);
        let _ = (state.held_by(Path::new(DROP_IN), never), state.told(Manager::System));
    }

    #[test]
    fn a_name_that_is_safe_stays_one_part_of_a_path(name in ".{0,40}(\\.service)?") {
        if is_safe(&name) {
            let path = drop_in(&Service { name, manager: Manager::System }, true, None);
            prop_assert_eq!(path.components().count(), 6);
        }
    }
}
