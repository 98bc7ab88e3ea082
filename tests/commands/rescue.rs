//! `guardian rescue` beside a daemon that does not answer, and without one.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::place::{Place, code, said, told};

/// Holds a lock as a daemon does, stopped or not.
fn held(path: &Path) -> fs::File {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.try_lock().unwrap();
    file
}

#[test]
fn while_a_daemon_has_either_lock_nothing_is_taken_back() {
    for lock in ["run/daemon.lock", "state/in-use.lock"] {
        let place = Place::new();
        fs::write(place.lock(), "{}").unwrap();
        let daemon = held(&place.path().join(lock));
        let output = place.guardian(&["rescue"]);
        assert_eq!(code(&output), 70, "{lock}: {}", told(&output));
        assert!(told(&output).contains("a daemon runs, answering or not"), "{}", told(&output));
        assert!(place.lock().exists());
        drop(daemon);
        assert_eq!(code(&place.guardian(&["rescue"])), 0);
        assert!(!place.lock().exists());
    }
}

#[test]
fn a_second_rescue_is_told_of_the_first() {
    let place = Place::new();
    let first = held(&place.runtime().join("daemon.lock"));
    fs::write(place.runtime().join("daemon.lock"), "rescue\n").unwrap();
    let output = place.guardian(&["rescue"]);
    assert_eq!(code(&output), 70);
    assert!(told(&output).contains("rescue is under way"), "{}", told(&output));
    drop(first);
}

#[test]
fn a_socket_that_a_daemon_left_keeps_nobody_from_it() {
    let place = Place::new();
    drop(UnixListener::bind(place.runtime().join("control.sock")).unwrap());
    let output = place.guardian(&["rescue"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    assert!(said(&output).contains("nothing to take back"), "{}", said(&output));
}
