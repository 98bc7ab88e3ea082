use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::breaker::effect::Notice;
use crate::notify::message::tests::{stamped, trip};

/// A desktop whose processes are this script.
fn desktop(folder: &Path, script: &str) -> Desktop {
    let program = folder.join("guardian");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Desktop::of(program, vec![("XDG_RUNTIME_DIR".into(), "/run/user/1".into())], "pine".to_owned())
}

fn delivery(notice: Notice) -> Delivery {
    Delivery::first(stamped(notice))
}

#[test]
fn a_process_of_this_program_reads_the_message_and_knows_the_session() {
    let message = message(&stamped(Notice::Tripped(trip(0, 1))), "pine", 1);
    let show = Show { message, replaces: Some(7) };
    let environment = [("XDG_RUNTIME_DIR".into(), "/run/user/1".into())];
    let tool = tool(Path::new("/usr/bin/guardian"), &environment, &show).unwrap();
    assert_eq!(
        (tool.arguments[0].as_os_str(), tool.arguments[1].as_os_str()),
        ("notifier".as_ref(), "--show".as_ref())
    );
    assert_eq!((tool.environment.as_slice(), tool.deadline), (environment.as_slice(), DEADLINE));
    assert_eq!(serde_json::from_slice::<Show>(&tool.input).unwrap(), show);
}

#[tokio::test]
async fn what_follows_on_a_trip_takes_the_place_of_what_was_shown() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let desktop =
        desktop(folder.path(), &format!("cat >> {0}; echo >> {0}; echo '{{\"id\":41}}'", log.display()));
    desktop.show(&delivery(Notice::Tripped(trip(1, 1)))).await.unwrap();
    desktop.show(&delivery(Notice::News(trip(1, 2)))).await.unwrap();
    desktop.show(&delivery(Notice::Tripped(trip(2, 1)))).await.unwrap();
    let replaced: Vec<Option<u32>> = fs::read_to_string(log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Show>(line).unwrap().replaces)
        .collect();
    assert_eq!(replaced, [None, Some(41), None]);
}

#[tokio::test]
async fn a_process_that_fails_or_says_nonsense_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    for (script, part) in [("echo no bus >&2; exit 70", "no bus"), ("echo shown", "form")] {
        let failed =
            desktop(folder.path(), script).show(&delivery(Notice::Tripped(trip(1, 1)))).await.unwrap_err();
        let said = format!("{failed}: {}", std::error::Error::source(&failed).unwrap());
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn a_critical_message_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = format!(
        "cat > /dev/null; echo x >> {0}; [ $(wc -l < {0}) -ge 2 ] && echo '{{\"id\":1}}'",
        log.display()
    );
    let (sender, receiver) = mpsc::channel(8);
    let task = desktop(folder.path(), &script).spawn(receiver);
    sender.send(stamped(Notice::Tripped(trip(1, 1)))).await.unwrap();
    let lines = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    for _ in 0..200 {
        if lines() >= 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(lines(), 2);
    drop(sender);
    tokio::time::timeout(Duration::from_secs(5), task).await.expect("it ends with its senders").unwrap();
}

#[test]
fn no_more_numbers_are_kept_than_there_is_room_for() {
    let desktop = Desktop::of(PathBuf::from("/x"), Vec::new(), "pine".to_owned());
    for id in 0..200 {
        desktop.remember(format!("key {id}"), id);
        desktop.remember(format!("key {id}"), id + 1000);
    }
    assert_eq!(desktop.ids.lock().unwrap().len(), REMEMBERED);
    assert_eq!((desktop.id("key 199"), desktop.id("key 0")), (Some(1199), None));
}

#[tokio::test]
async fn what_is_no_message_is_not_shown() {
    for text in ["", "{}", "[1", "\u{0}"] {
        assert!(matches!(show_one(text.as_bytes()).await, Err(ShowError::Form(_))), "{text:?}");
    }
}
