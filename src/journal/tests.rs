use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use jiff::Timestamp;
use nix::unistd::Uid;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::breaker::state::Circuit;
use crate::sys::scratch::{Scratch, leave_out, on_a_full_disk, on_a_read_only_disk};

const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn record(journal: &mut Journal, what: &str) {
    journal.record(AT, Circuit::Open, what, json!({ "why": "because" })).unwrap();
}

/// A journal with these entries.
fn written(whats: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    let mut journal = Journal::of(&scratch.paths);
    for what in whats {
        record(&mut journal, what);
    }
    scratch
}

fn text(scratch: &Scratch) -> String {
    fs::read_to_string(scratch.paths.journal()).unwrap()
}

fn rewrite(scratch: &Scratch, bytes: impl AsRef<[u8]>) {
    crate::sys::durable::replace(&scratch.paths.journal(), bytes.as_ref(), 0o600).unwrap();
}

fn whats(scratch: &Scratch) -> Vec<String> {
    read(&scratch.paths, 1000).unwrap().into_iter().map(|entry| entry.what).collect()
}

fn verified(scratch: &Scratch) -> Verified {
    verify(&scratch.paths).unwrap()
}

fn sound(entries: u64, torn: u64) -> Verified {
    Verified { entries, torn, breaks: Vec::new() }
}

#[test]
fn what_was_recorded_is_read_the_newest_last_and_the_chain_holds() {
    let scratch = written(&["started", "tripped", "recovery began"]);
    assert_eq!(whats(&scratch), ["started", "tripped", "recovery began"]);
    let newest: Vec<String> = read(&scratch.paths, 2).unwrap().into_iter().map(|entry| entry.what).collect();
    assert_eq!(newest, ["tripped", "recovery began"]);
    assert_eq!(verified(&scratch), sound(3, 0));
    assert_eq!(fs::metadata(scratch.paths.journal()).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn its_layout_is_known_and_every_line_carries_the_hash_of_the_one_before() {
    let scratch = written(&["started", "tripped"]);
    let text = text(&scratch);
    let (first, second) = text.trim_end().split_once('\n').unwrap();
    let zeros = "0".repeat(64);
    assert_eq!(
        first,
        format!(
            r#"{{"n":1,"at":"1970-01-01T00:00:00Z","what":"started","circuit":"open","about":{{"why":"because"}},"prev":"{zeros}"}}"#
        )
    );
    let second: Value = serde_json::from_str(second).unwrap();
    assert_eq!(second["prev"], line::hash(first.as_bytes()));
    // From FIPS 180-4.
    assert_eq!(line::hash(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn opening_it_makes_no_file_so_that_a_first_start_stays_one() {
    let scratch = Scratch::new();
    Journal::of(&scratch.paths);
    assert_eq!(scratch.names(), [""; 0]);
    assert!(matches!(read(&scratch.paths, 1), Err(JournalError::Absent(_))));
    assert!(matches!(verify(&scratch.paths), Err(JournalError::Absent(_))));
}

#[test]
fn a_writer_goes_on_where_the_last_one_ended() {
    let scratch = written(&["started", "tripped"]);
    record(&mut Journal::of(&scratch.paths), "started again");
    assert_eq!(read(&scratch.paths, 1).unwrap()[0].n, 3);
    assert_eq!(verified(&scratch), sound(3, 0));
}

#[test]
fn a_second_writer_is_noticed_and_the_chain_goes_on() {
    let scratch = written(&["started"]);
    let (mut one, mut two) = (Journal::of(&scratch.paths), Journal::of(&scratch.paths));
    for _ in 0..3 {
        record(&mut one, "one");
        record(&mut two, "two");
    }
    assert_eq!(verified(&scratch), sound(7, 0));
}

#[test]
fn a_file_taken_away_under_the_writer_is_made_again_and_that_shows() {
    let scratch = written(&[]);
    let mut journal = Journal::of(&scratch.paths);
    record(&mut journal, "one");
    fs::remove_file(scratch.paths.journal()).unwrap();
    record(&mut journal, "two");
    assert_eq!(whats(&scratch), ["two"]);
    assert_eq!(fs::metadata(scratch.paths.journal()).unwrap().nlink(), 1);
}

#[test]
fn cut_at_any_byte_the_torn_line_is_kept_told_and_not_taken_for_forged() {
    let scratch = written(&["started", "tripped"]);
    let whole = text(&scratch);
    let first = whole.find('\n').unwrap() + 1;
    for length in first + 1..whole.len() {
        rewrite(&scratch, &whole[..length]);
        assert!(chain::follow(&files::snapshot(&scratch.paths).unwrap()).holds(), "{length}");
        assert_eq!(chain::follow(&files::snapshot(&scratch.paths).unwrap()).torn, 1, "{length}");
        record(&mut Journal::of(&scratch.paths), "started again");
        assert!(text(&scratch).starts_with(&whole[..length]), "{length}");
        let after = chain::follow(&files::snapshot(&scratch.paths).unwrap());
        // A line that lacks nothing but its end is an entry once a new line has begun.
        let complete = length == whole.len() - 1;
        assert_eq!(after, sound(3 + u64::from(complete), u64::from(!complete)), "{length}");
        assert_eq!(whats(&scratch).iter().rev().take(2).collect::<Vec<_>>(), ["started again", "torn"]);
    }
}

#[test]
fn zeros_that_a_crash_of_the_machine_left_are_torn_too() {
    let scratch = written(&["started"]);
    rewrite(&scratch, [text(&scratch).as_bytes(), &[0; 4096]].concat());
    record(&mut Journal::of(&scratch.paths), "started again");
    assert_eq!(verified(&scratch), sound(3, 1));
    assert_eq!(read(&scratch.paths, 2).unwrap()[0].about, json!({ "bytes": 4096 }));
}

#[test]
fn a_line_that_was_changed_taken_out_put_in_or_moved_shows() {
    let scratch = written(&["one", "two", "three", "four"]);
    let whole = text(&scratch);
    let lines: Vec<&str> = whole.lines().collect();
    let changed = whole.replace("\"two\"", "\"owt\"");
    let forgeries = [
        ("changed", changed),
        ("taken out", [lines[0], lines[2], lines[3], ""].join("\n")),
        ("the first taken out", [lines[1], lines[2], lines[3], ""].join("\n")),
        ("put in", [lines[0], lines[1], lines[1], lines[2], lines[3], ""].join("\n")),
        ("moved", [lines[0], lines[2], lines[1], lines[3], ""].join("\n")),
        ("made unreadable", [lines[0], "garbage", lines[2], lines[3], ""].join("\n")),
        ("an empty line", [lines[0], "", lines[1], lines[2], lines[3], ""].join("\n")),
    ];
    for (how, forged) in forgeries {
        rewrite(&scratch, &forged);
        assert!(!verified(&scratch).holds(), "{how}");
    }
    rewrite(&scratch, &whole);
    assert_eq!(verified(&scratch), sound(4, 0));
}

#[test]
fn a_break_says_where_it_is() {
    let scratch = written(&["one", "two", "three"]);
    rewrite(&scratch, text(&scratch).replace("\"two\"", "\"owt\""));
    let breaks = verified(&scratch).breaks;
    assert_eq!(breaks.len(), 1);
    assert_eq!((breaks[0].file.as_str(), breaks[0].line), ("journal.jsonl", 3));
}

#[test]
fn what_is_too_long_or_too_deep_is_replaced_by_a_note() {
    let scratch = Scratch::new();
    let mut journal = Journal::of(&scratch.paths);
    let deep = (0..200).fold(json!(1), |inside, _| json!([inside]));
    for about in [json!("x".repeat(line::LIMIT)), deep] {
        journal.record(AT, Circuit::Closed, &"w".repeat(1000), about).unwrap();
    }
    for entry in read(&scratch.paths, 2).unwrap() {
        assert!(entry.about["note"].is_string() && entry.what.len() == 128);
    }
    assert_eq!(verified(&scratch), sound(2, 0));
}

/// Entries of about 60 KiB, so that few of them fill a file.
fn fill(journal: &mut Journal, count: usize) {
    for number in 0..count {
        let about = json!({ "number": number, "long": "x".repeat(60_000) });
        journal.record(AT, Circuit::Closed, "long", about).unwrap();
    }
}

#[test]
fn it_rotates_keeps_five_files_and_the_chain_holds_across_them() {
    let scratch = written(&["started"]);
    let mut journal = Journal::of(&scratch.paths);
    fill(&mut journal, 80);
    assert_eq!(scratch.names(), ["journal.1.jsonl", "journal.jsonl"]);
    assert_eq!(verified(&scratch), sound(81, 0));
    assert_eq!(read(&scratch.paths, 1000).unwrap().len(), 81);
    fill(&mut journal, 400);
    let names = ["journal.1.jsonl", "journal.2.jsonl", "journal.3.jsonl", "journal.4.jsonl", "journal.jsonl"];
    assert_eq!(scratch.names(), names);
    for name in names {
        assert!(fs::metadata(scratch.paths.state.join(name)).unwrap().len() <= files::ROTATE);
    }
    assert!(verified(&scratch).holds() && verified(&scratch).entries < 481);
    // A file in between that is gone shows.
    fs::remove_file(scratch.paths.state.join("journal.2.jsonl")).unwrap();
    assert!(!verified(&scratch).holds());
}

#[test]
fn a_crash_in_the_middle_of_a_rotation_loses_no_file() {
    let scratch = written(&[]);
    let mut journal = Journal::of(&scratch.paths);
    fill(&mut journal, 160);
    let state = &scratch.paths.state;
    assert_eq!(scratch.names(), ["journal.1.jsonl", "journal.2.jsonl", "journal.jsonl"]);
    // The older ones have been moved, the newest not yet.
    fs::rename(state.join("journal.2.jsonl"), state.join("journal.3.jsonl")).unwrap();
    fs::rename(state.join("journal.1.jsonl"), state.join("journal.2.jsonl")).unwrap();
    assert_eq!(verified(&scratch), sound(160, 0));
    fill(&mut Journal::of(&scratch.paths), 60);
    assert_eq!(verified(&scratch), sound(220, 0));
    // All have been moved, and there is no new one yet.
    fs::rename(state.join("journal.3.jsonl"), state.join("journal.4.jsonl")).unwrap();
    fs::rename(state.join("journal.2.jsonl"), state.join("journal.3.jsonl")).unwrap();
    fs::rename(state.join("journal.1.jsonl"), state.join("journal.2.jsonl")).unwrap();
    fs::rename(state.join("journal.jsonl"), state.join("journal.1.jsonl")).unwrap();
    fill(&mut Journal::of(&scratch.paths), 1);
    assert_eq!(verified(&scratch), sound(221, 0));
}

#[test]
fn a_torn_line_at_the_end_of_a_full_file_is_told_in_the_next_one() {
    let scratch = written(&[]);
    fill(&mut Journal::of(&scratch.paths), 69);
    let whole = text(&scratch);
    assert!(whole.len() + 60_000 > usize::try_from(files::ROTATE).unwrap());
    rewrite(&scratch, &whole[..whole.len() - 10]);
    fill(&mut Journal::of(&scratch.paths), 2);
    assert_eq!(scratch.names(), ["journal.1.jsonl", "journal.jsonl"]);
    assert_eq!(verified(&scratch), sound(71, 1));
}

#[test]
fn a_reader_beside_a_writer_that_rotates_never_sees_a_broken_chain() {
    let scratch = written(&["started"]);
    let mut journal = Journal::of(&scratch.paths);
    std::thread::scope(|threads| {
        let writer = threads.spawn(|| fill(&mut journal, 200));
        let mut last = 0;
        while !writer.is_finished() {
            let verified = verify(&scratch.paths).unwrap();
            assert_eq!(verified.breaks, []);
            assert!(verified.entries >= last);
            last = verified.entries;
        }
    });
    assert_eq!(verified(&scratch), sound(201, 0));
}

#[test]
fn a_link_a_folder_or_a_file_that_others_could_have_written_is_refused_by_all() {
    let refused = |scratch: &Scratch| {
        assert!(Journal::of(&scratch.paths).record(AT, Circuit::Open, "started", Value::Null).is_err());
        assert!(read(&scratch.paths, 1).is_err_and(|failure| !matches!(failure, JournalError::Absent(_))));
        assert!(verify(&scratch.paths).is_err());
    };
    let scratch = written(&["one"]);
    let other = scratch.paths.state.join("other");
    fs::rename(scratch.paths.journal(), &other).unwrap();
    symlink(&other, scratch.paths.journal()).unwrap();
    refused(&scratch);
    fs::remove_file(scratch.paths.journal()).unwrap();
    fs::create_dir(scratch.paths.journal()).unwrap();
    refused(&scratch);
    let scratch = written(&["one"]);
    fs::set_permissions(scratch.paths.journal(), fs::Permissions::from_mode(0o620)).unwrap();
    refused(&scratch);
}

#[test]
fn a_journal_that_could_not_be_used_is_gone_on_with_once_it_can() {
    let scratch = written(&["one"]);
    fs::set_permissions(scratch.paths.journal(), fs::Permissions::from_mode(0o620)).unwrap();
    let mut journal = Journal::of(&scratch.paths);
    for what in ["started", "tripped"] {
        assert!(journal.record(AT, Circuit::Open, what, Value::Null).is_err(), "it says so each time");
    }
    fs::set_permissions(scratch.paths.journal(), fs::Permissions::from_mode(0o600)).unwrap();
    record(&mut journal, "recovery began");
    assert_eq!(whats(&scratch), ["one", "recovery began"]);
    assert_eq!(verified(&scratch), sound(2, 0));
}

#[test]
fn a_folder_of_another_user_is_refused() {
    if !Uid::effective().is_root() {
        return leave_out("only root can give a folder away");
    }
    let scratch = written(&["one"]);
    chown(&scratch.paths.state, Some(4001), None).unwrap();
    assert!(matches!(read(&scratch.paths, 1), Err(JournalError::Folder(PathsError::Owner { .. }))));
}

#[test]
fn a_full_disk_is_an_error_and_the_journal_goes_on_when_there_is_room_again() {
    on_a_full_disk(|scratch, fill| {
        let mut journal = Journal::of(&scratch.paths);
        record(&mut journal, "one");
        fill();
        for _ in 0..3 {
            let long = json!("x".repeat(9000));
            assert!(matches!(journal.record(AT, Circuit::Open, "lost", long), Err(JournalError::Disk(_))));
        }
        assert!(verify(&scratch.paths).unwrap().holds());
        fs::remove_file(scratch.paths.state.join("full")).unwrap();
        record(&mut journal, "two");
        let verified = verify(&scratch.paths).unwrap();
        assert!(verified.holds(), "{verified:?}");
        assert_eq!(read(&scratch.paths, 1).unwrap()[0].what, "two");
    });
}

#[test]
fn a_read_only_folder_is_an_error() {
    on_a_read_only_disk(|scratch| {
        let mut journal = Journal::of(&scratch.paths);
        assert!(journal.record(AT, Circuit::Open, "lost", Value::Null).is_err());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_in_the_file_the_next_entry_is_written_and_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let scratch = written(&["one"]);
        rewrite(&scratch, [text(&scratch).as_bytes(), &bytes].concat());
        let before = chain::follow(&files::snapshot(&scratch.paths).unwrap());
        prop_assert!(before.holds());
        record(&mut Journal::of(&scratch.paths), "two");
        let newest = read(&scratch.paths, 1).unwrap();
        prop_assert_eq!(newest[0].what.as_str(), "two");
        prop_assert!(chain::follow(&files::snapshot(&scratch.paths).unwrap()).holds());
    }

    #[test]
    fn any_byte_changed_in_a_line_with_another_after_it_shows(at in any::<prop::sample::Index>(), by in 1_u8..) {
        let scratch = written(&["one", "two"]);
        let mut bytes = text(&scratch).into_bytes();
        let first = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        // Without its end it is no line any more, and what is left is the last one.
        let at = at.index(first);
        bytes[at] = bytes[at].wrapping_add(by);
        rewrite(&scratch, bytes);
        prop_assert!(!chain::follow(&files::snapshot(&scratch.paths).unwrap()).holds());
    }
}
