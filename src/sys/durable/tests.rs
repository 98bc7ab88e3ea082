use std::os::unix::fs::{MetadataExt, symlink};

use super::*;
use crate::sys::scratch::{Scratch, on_a_full_disk, on_a_read_only_disk};

#[test]
fn a_file_is_replaced_as_a_whole_with_the_permissions_asked_for() {
    let scratch = Scratch::new();
    let path = scratch.paths.lock();
    replace(&path, b"long before", 0o644).unwrap();
    replace(&path, b"after", 0o600).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"after");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(scratch.names(), ["breaker.lock"]);
}

#[test]
fn a_link_is_replaced_and_what_it_leads_to_is_left_alone() {
    let scratch = Scratch::new();
    let (path, other) = (scratch.paths.lock(), scratch.paths.state.join("other"));
    fs::write(&other, b"mine").unwrap();
    symlink(&other, &path).unwrap();
    replace(&path, b"lock", 0o644).unwrap();
    assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (b"lock".to_vec(), b"mine".to_vec()));
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn what_is_gone_already_is_removed_well_and_a_link_goes_without_its_file() {
    let scratch = Scratch::new();
    let (path, other) = (scratch.paths.lock(), scratch.paths.state.join("other"));
    remove(&path).unwrap();
    fs::write(&other, b"mine").unwrap();
    symlink(&other, &path).unwrap();
    remove(&path).unwrap();
    assert_eq!(scratch.names(), ["other"]);
}

#[test]
fn nothing_is_appended_through_a_link() {
    let scratch = Scratch::new();
    let (path, other) = (scratch.paths.journal(), scratch.paths.state.join("other"));
    fs::write(&other, b"mine").unwrap();
    symlink(&other, &path).unwrap();
    assert!(matches!(open_append(&path, 0o600), Err(WriteError::Untrusted(TrustError::NotAFile { .. }))));
    fs::remove_file(&other).unwrap();
    // A link that leads nowhere does not make the file either.
    assert!(open_append(&path, 0o600).is_err());
    assert!(!other.exists());
}

#[test]
fn what_is_appended_stands_at_the_end() {
    let scratch = Scratch::new();
    let path = scratch.paths.journal();
    append(&open_append(&path, 0o600).unwrap(), b"one\n").unwrap();
    append(&open_append(&path, 0o600).unwrap(), b"two\n").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn on_a_full_disk_the_old_file_stays_and_nothing_else() {
    on_a_full_disk(|scratch, fill| {
        let path = scratch.paths.lock();
        replace(&path, b"before", 0o644).unwrap();
        fill();
        assert!(matches!(replace(&path, &[b'x'; 9000], 0o644), Err(WriteError::Unwritable { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert!(!scratch.names().iter().any(|name| name.ends_with(UNFINISHED)));
    });
}

#[test]
fn on_a_read_only_disk_every_write_is_an_error() {
    on_a_read_only_disk(|scratch| {
        assert!(replace(&scratch.paths.lock(), b"x", 0o644).is_err());
        assert!(open_append(&scratch.paths.journal(), 0o600).is_err());
    });
}

#[test]
fn unfinished_files_of_a_killed_guardian_are_swept_away_and_nothing_else() {
    let scratch = Scratch::new();
    for name in [".breaker.lockAbC123.new", ".hidden", "breaker.new", "breaker.lock"] {
        fs::write(scratch.paths.state.join(name), b"").unwrap();
    }
    sweep(&scratch.paths.state);
    assert_eq!(scratch.names(), [".hidden", "breaker.lock", "breaker.new"]);
}
