use std::os::unix::fs::{MetadataExt, symlink};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::sys::scratch::{Scratch, on_a_full_disk, on_a_read_only_disk};

fn service(name: &str) -> Change {
    Change::Service(json!({ "unit": name, "enabled": true }))
}

const WALL: Change = Change::Firewall { token: None };

fn reopened(scratch: &Scratch) -> Vec<Change> {
    Undo::open(&scratch.paths).unwrap().open_changes()
}

#[test]
fn a_change_is_on_the_disk_before_it_is_made_and_the_newest_is_taken_back_first() {
    let scratch = Scratch::new();
    let mut undo = Undo::open(&scratch.paths).unwrap();
    assert_eq!(scratch.names(), [""; 0]);
    undo.will(WALL).unwrap();
    assert_eq!(reopened(&scratch), [WALL]);
    undo.will(service("a")).unwrap();
    assert_eq!(reopened(&scratch), [service("a"), WALL]);
    assert_eq!(undo.open_changes(), reopened(&scratch));
    assert_eq!(fs::metadata(scratch.paths.undo()).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn its_layout_is_known() {
    let line = entry::encode(Did::Will, &Change::Firewall { token: Some("42".to_owned()) }).unwrap();
    let expected = r#"{"schema":1,"did":"will","change":{"kind":"firewall","payload":{"token":"42"}}}"#;
    assert_eq!(String::from_utf8(line).unwrap(), format!("{expected}\n"));
}

#[test]
fn an_open_change_is_not_written_twice() {
    let scratch = Scratch::new();
    let mut undo = Undo::open(&scratch.paths).unwrap();
    undo.will(WALL).unwrap();
    let written = fs::read(scratch.paths.undo()).unwrap();
    undo.will(WALL).unwrap();
    Undo::open(&scratch.paths).unwrap().will(WALL).unwrap();
    assert_eq!(fs::read(scratch.paths.undo()).unwrap(), written);
}

#[test]
fn nothing_is_left_of_the_file_when_all_is_taken_back() {
    let scratch = Scratch::new();
    let mut undo = Undo::open(&scratch.paths).unwrap();
    undo.will(WALL).unwrap();
    undo.will(service("a")).unwrap();
    undo.undone(&WALL).unwrap();
    undo.undone(&WALL).unwrap();
    assert_eq!(reopened(&scratch), [service("a")]);
    undo.undone(&service("a")).unwrap();
    assert_eq!((undo.open_changes(), scratch.names()), (vec![], vec![]));
    undo.will(WALL).unwrap();
    assert_eq!(reopened(&scratch), [WALL]);
}

#[test]
fn what_is_made_and_taken_back_again_and_again_does_not_fill_the_disk() {
    let scratch = Scratch::new();
    let mut undo = Undo::open(&scratch.paths).unwrap();
    undo.will(WALL).unwrap();
    let long = service(&"x".repeat(20_000));
    for _ in 0..20 {
        undo.will(long.clone()).unwrap();
        undo.undone(&long).unwrap();
        assert!(fs::metadata(scratch.paths.undo()).unwrap().len() <= COMPACT);
    }
    assert_eq!(reopened(&scratch), [WALL]);
}

#[test]
fn there_is_an_end_to_open_changes() {
    let scratch = Scratch::new();
    let mut undo = Undo::open(&scratch.paths).unwrap();
    let full =
        (0..100).find_map(|number| undo.will(service(&format!("{number}{}", "x".repeat(90_000)))).err());
    assert!(matches!(full, Some(UndoError::Full)));
    assert_eq!(reopened(&scratch), undo.open_changes());
}

#[test]
fn cut_at_any_byte_it_knows_every_change_that_was_acknowledged_and_goes_on() {
    let first = entry::encode(Did::Will, &WALL).unwrap();
    let second = entry::encode(Did::Will, &service("a")).unwrap();
    let whole = [first.clone(), second].concat();
    for length in first.len()..whole.len() {
        let scratch = Scratch::new();
        durable::replace(&scratch.paths.undo(), &whole[..length], 0o600).unwrap();
        let mut undo = Undo::open(&scratch.paths).unwrap();
        assert!(undo.open_changes().contains(&WALL), "{length}");
        undo.will(service("b")).unwrap();
        let after = reopened(&scratch);
        assert!(after.contains(&WALL) && after.contains(&service("b")), "{length}");
    }
}

/// Two good lines, and three that are not.
fn damaged(scratch: &Scratch) {
    let mut bytes = entry::encode(Did::Will, &WALL).unwrap();
    bytes.extend(b"\x00\xffgarbage\n{\"schema\":2,\"did\":\"will\"}\n");
    bytes.extend(br#"{"schema":1,"did":"will","change":{"kind":"moon","payload":{}}}"#);
    bytes.push(b'\n');
    bytes.extend(entry::encode(Did::Will, &service("a")).unwrap());
    durable::replace(&scratch.paths.undo(), &bytes, 0o600).unwrap();
}

#[test]
fn damaged_lines_are_kept_before_they_are_told_of_and_told_of_until_somebody_has_removed_them() {
    let scratch = Scratch::new();
    damaged(&scratch);
    assert_eq!(told_of_damaged(&scratch.paths), None, "they are in their place yet");
    let before = fs::read(scratch.paths.undo()).unwrap();
    Undo::open(&scratch.paths).unwrap().set_damaged_aside().unwrap();
    let kept = scratch.paths.state.join("undo.damaged.jsonl");
    assert_eq!(fs::read(&kept).unwrap(), before);
    let said = told_of_damaged(&scratch.paths).unwrap();
    assert!(said.ends_with(&format!("rm '{}'", kept.display())), "{said}");
    let mut again = Undo::open(&scratch.paths).unwrap();
    assert_eq!(
        (again.open_changes(), again.damaged.len()),
        (vec![service("a"), WALL], 0),
        "they do not come back"
    );
    fs::remove_file(&kept).unwrap();
    again.set_damaged_aside().unwrap();
    assert_eq!(told_of_damaged(&scratch.paths), None);
    assert!(!kept.exists(), "nothing is damaged any more");
}

#[test]
fn where_all_lines_are_damaged_the_file_gets_the_other_name() {
    let scratch = Scratch::new();
    durable::replace(&scratch.paths.undo(), b"garbage\n", 0o600).unwrap();
    Undo::open(&scratch.paths).unwrap().set_damaged_aside().unwrap();
    assert_eq!(scratch.names(), ["undo.damaged.jsonl"]);
}

#[test]
fn garbage_hides_no_good_line_is_told_of_and_kept_for_a_person() {
    let scratch = Scratch::new();
    damaged(&scratch);
    let mut undo = Undo::open(&scratch.paths).unwrap();
    assert_eq!(undo.open_changes(), [service("a"), WALL]);
    assert_eq!(undo.damaged, [2, 3, 4]);
    for change in undo.open_changes() {
        undo.undone(&change).unwrap();
    }
    assert_eq!(scratch.names(), ["undo.damaged.jsonl"]);
    let kept = fs::read_to_string(scratch.paths.state.join("undo.damaged.jsonl"));
    assert!(kept.is_err_and(|failure| failure.kind() == io::ErrorKind::InvalidData));
}

#[test]
fn a_link_or_a_file_that_others_may_write_is_refused() {
    let scratch = Scratch::new();
    let other = scratch.paths.state.join("other");
    fs::write(&other, entry::encode(Did::Will, &WALL).unwrap()).unwrap();
    symlink(&other, scratch.paths.undo()).unwrap();
    assert!(matches!(Undo::open(&scratch.paths), Err(UndoError::Untrusted(TrustError::NotAFile { .. }))));
}

#[test]
fn a_change_that_cannot_be_written_down_does_not_count_as_open() {
    on_a_read_only_disk(|scratch| {
        let mut undo = Undo::open(&scratch.paths).unwrap();
        assert!(matches!(undo.will(WALL), Err(UndoError::Disk(_) | UndoError::Untrusted(_))));
        assert_eq!(undo.open_changes(), []);
    });
}

#[test]
fn a_full_disk_is_an_error_and_costs_no_earlier_change() {
    on_a_full_disk(|scratch, fill| {
        let mut undo = Undo::open(&scratch.paths).unwrap();
        undo.will(WALL).unwrap();
        fill();
        // The rest of the last page may still take a part of it.
        let long = service(&"x".repeat(9000));
        assert!(matches!(undo.will(long), Err(UndoError::Disk(_))));
        assert_eq!(undo.open_changes(), [WALL]);
        assert_eq!(reopened(scratch), [WALL]);
        fs::remove_file(scratch.paths.state.join("full")).unwrap();
        undo.will(service("a")).unwrap();
        assert_eq!(reopened(scratch), [service("a"), WALL]);
        undo.undone(&service("a")).unwrap();
        undo.undone(&WALL).unwrap();
        assert!(reopened(scratch).is_empty());
    });
}

proptest! {
    #[test]
    fn any_bytes_between_good_lines_hide_neither(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut text = entry::encode(Did::Will, &WALL).unwrap();
        text.extend(bytes);
        text.push(b'\n');
        text.extend(entry::encode(Did::Will, &service("a")).unwrap());
        let read = entry::read(&text);
        prop_assert!(read.open.contains(&WALL) && read.open.contains(&service("a")));
    }
}
