use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use guardian_rules::finding::{Answer, Severity};
use jiff::Timestamp;
use nix::sys::stat::Mode;
use nix::unistd::Uid;
use proptest::prelude::*;

use super::*;
use crate::sys::scratch::{Scratch, as_nobody, leave_out, on_a_full_disk, on_a_read_only_disk};
use crate::trip::{Cause, Evidence};

fn trip() -> Trip {
    let found = Evidence {
        rule: "bound-beyond-allowed".to_owned(),
        severity: Severity::Critical,
        answer: Answer::Yes,
        subject: "0.0.0.0:18789".to_owned(),
        evidence: vec!["a line".to_owned()],
        remedy: "bind it to loopback".to_owned(),
    };
    Trip::new("2026-11-25T08:00:00Z".parse().unwrap(), Cause::Exposed, "because", &[found])
}

fn held() -> Lock {
    Lock::Held(Box::new(trip()))
}

#[track_caller]
fn assert_damaged(scratch: &Scratch) {
    assert!(matches!(read(&scratch.paths), Lock::Damaged(_)), "{:?}", read(&scratch.paths));
    assert!(is_locked(&scratch.paths));
}

#[test]
fn a_lock_is_read_as_it_was_written_and_everybody_may_see_it() {
    let scratch = Scratch::new();
    assert_eq!(read(&scratch.paths), Lock::Absent);
    write(&scratch.paths, &trip()).unwrap();
    assert_eq!(read(&scratch.paths), held());
    assert_eq!(fs::metadata(scratch.paths.lock()).unwrap().mode() & 0o777, 0o644);
    remove(&scratch.paths).unwrap();
    remove(&scratch.paths).unwrap();
    assert!(!is_locked(&scratch.paths));
}

#[test]
fn its_layout_is_known_to_other_programs() {
    let text = String::from_utf8(encode(&trip()).unwrap()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["schema"], 1);
    assert_eq!(value["cause"], "exposed");
    assert_eq!(value["at"], "2026-11-25T08:00:00Z");
    assert_eq!(value["findings"][0]["subject"], "0.0.0.0:18789");
}

#[test]
fn a_lock_of_another_schema_counts_as_open() {
    let scratch = Scratch::new();
    let text = String::from_utf8(encode(&trip()).unwrap()).unwrap();
    fs::write(scratch.paths.lock(), text.replace("\"schema\": 1", "\"schema\": 2")).unwrap();
    assert_damaged(&scratch);
}

#[test]
fn a_lock_cut_at_any_byte_counts_as_open() {
    let bytes = encode(&trip()).unwrap();
    let end = bytes.len() - 1;
    for length in 0..end {
        assert!(matches!(parse(&bytes[..length]), Lock::Damaged(_)), "{length}");
    }
    assert_eq!(parse(&bytes[..end]), held());
}

#[test]
fn a_lock_that_is_a_link_a_folder_a_pipe_or_nothing_counts_as_open_and_is_replaced() {
    let make: [fn(&Path); 5] = [
        |path| {
            // The link leads to a good lock; who may change what it leads to is not known.
            fs::write(path.with_extension("elsewhere"), encode(&trip()).unwrap()).unwrap();
            symlink(path.with_extension("elsewhere"), path).unwrap();
        },
        |path| symlink("/nonexistent", path).unwrap(),
        |path| fs::create_dir_all(path.join("full")).unwrap(),
        |path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
        |path| fs::write(path, b"").unwrap(),
    ];
    for make in make {
        let scratch = Scratch::new();
        make(&scratch.paths.lock());
        assert_damaged(&scratch);
        write(&scratch.paths, &trip()).unwrap();
        assert_eq!(read(&scratch.paths), held());
    }
}

#[test]
fn a_folder_in_its_place_is_kept_aside_and_there_is_an_end_to_that() {
    let scratch = Scratch::new();
    for _ in 0..ASIDE {
        fs::create_dir(scratch.paths.lock()).unwrap();
        remove(&scratch.paths).unwrap();
        assert!(!is_locked(&scratch.paths));
    }
    fs::create_dir(scratch.paths.lock()).unwrap();
    assert!(matches!(remove(&scratch.paths), Err(LockError::Folder { .. })));
    assert!(matches!(write(&scratch.paths, &trip()), Err(LockError::Folder { .. })));
    assert_damaged(&scratch);
}

#[test]
fn a_lock_that_others_may_write_or_own_counts_as_open() {
    let scratch = Scratch::new();
    write(&scratch.paths, &trip()).unwrap();
    fs::set_permissions(scratch.paths.lock(), fs::Permissions::from_mode(0o666)).unwrap();
    assert_damaged(&scratch);
    if !Uid::effective().is_root() {
        return leave_out("only root can give a file away");
    }
    write(&scratch.paths, &trip()).unwrap();
    chown(scratch.paths.lock(), Some(4001), None).unwrap();
    assert_damaged(&scratch);
}

#[test]
fn a_folder_in_which_others_could_have_removed_the_lock_counts_as_open() {
    let scratch = Scratch::new();
    fs::set_permissions(&scratch.paths.state, fs::Permissions::from_mode(0o777)).unwrap();
    assert_damaged(&scratch);
    if !Uid::effective().is_root() {
        return leave_out("only root can give a folder away");
    }
    let scratch = Scratch::new();
    chown(&scratch.paths.state, Some(4001), None).unwrap();
    assert_damaged(&scratch);
}

#[test]
fn a_folder_that_is_a_link_or_a_file_counts_as_open_and_a_missing_one_does_not() {
    let scratch = Scratch::new();
    let elsewhere = scratch.paths.state.with_extension("elsewhere");
    fs::rename(&scratch.paths.state, &elsewhere).unwrap();
    assert_eq!(read(&scratch.paths), Lock::Absent);
    symlink(&elsewhere, &scratch.paths.state).unwrap();
    assert_damaged(&scratch);
    let within_a_file = Paths { state: "/dev/null/state".into(), runtime: "/dev/null".into() };
    assert!(is_locked(&within_a_file));
}

#[test]
fn every_user_sees_the_lock_of_root() {
    as_nobody(
        |scratch| write(&scratch.paths, &trip()).unwrap(),
        |scratch| assert_eq!(read(&scratch.paths), held()),
    );
}

#[test]
fn a_folder_that_cannot_be_looked_into_counts_as_open() {
    as_nobody(
        |scratch| {
            fs::set_permissions(&scratch.paths.state, fs::Permissions::from_mode(0o700)).unwrap();
        },
        assert_damaged,
    );
}

#[test]
fn a_folder_that_was_taken_away_is_made_again_for_the_lock() {
    let scratch = Scratch::new();
    fs::remove_dir(&scratch.paths.state).unwrap();
    write(&scratch.paths, &trip()).unwrap();
    assert_eq!(read(&scratch.paths), held());
}

#[test]
fn a_full_disk_is_an_error_and_a_lock_that_was_there_stays() {
    on_a_full_disk(|scratch, fill| {
        write(&scratch.paths, &trip()).unwrap();
        fill();
        let mut long = trip();
        long.why = "x".repeat(9000);
        assert!(matches!(write(&scratch.paths, &long), Err(LockError::Disk(_))));
        assert_eq!(read(&scratch.paths), held());
    });
}

#[test]
fn a_read_only_folder_is_an_error() {
    on_a_read_only_disk(|scratch| {
        assert!(matches!(write(&scratch.paths, &trip()), Err(LockError::Disk(_))));
        assert_eq!(read(&scratch.paths), Lock::Absent);
    });
}

#[test]
fn a_trip_with_endless_findings_is_written_with_those_that_fit() {
    let mut trip = trip();
    let mut long = trip.findings[0].clone();
    long.evidence = vec!["x".repeat(LIMIT / 3)];
    trip.findings.extend(vec![long; 8]);
    let Lock::Held(read) = parse(&encode(&trip).unwrap()) else { panic!("it is understood") };
    assert!(read.findings.len() > 1 && read.findings.len() < trip.findings.len());
    assert_eq!(read.at, "2026-11-25T08:00:00Z".parse::<Timestamp>().unwrap());
}

proptest! {
    #[test]
    fn whatever_is_in_the_lock_it_is_not_absent(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_ne!(parse(&bytes), Lock::Absent);
    }

    #[test]
    fn a_lock_with_any_byte_changed_is_not_absent(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = encode(&trip()).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = to;
        prop_assert_ne!(parse(&bytes), Lock::Absent);
    }
}
