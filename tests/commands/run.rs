//! `guardian run`: a command that honours the lock.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::place::{Place, code, said, told};

/// Waits for something; a test that waits in vain fails.
fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn start(place: &Place, script: &str) -> Child {
    place
        .command(&["run", "--", "sh", "-c", script])
        .current_dir(place.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn number(path: &Path) -> Pid {
    until("the number is written", || fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')));
    Pid::from_raw(fs::read_to_string(path).unwrap().trim().parse().unwrap())
}

/// A process that has ended, though nobody may have waited for it yet, does not live.
fn lives(pid: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return cfg!(not(target_os = "linux")) && kill(pid, None).is_ok();
    };
    !stat.contains(") Z ")
}

#[test]
fn the_command_has_its_output_its_arguments_and_its_exit_code() {
    let place = Place::new();
    let output = place.guardian(&["run", "--", "sh", "-c", "echo \"$1\"; exit 7", "sh", "--json"]);
    assert_eq!((code(&output), said(&output).as_str()), (7, "--json\n"));
    assert_eq!(code(&place.guardian(&["run", "sh", "-c", "kill -9 $$"])), 137);
}

#[test]
fn a_command_that_cannot_be_run_has_the_exit_code_of_a_shell() {
    let place = Place::new();
    assert_eq!(code(&place.guardian(&["run", "--", "/no/such/program"])), 127);
    assert_eq!(code(&place.guardian(&["run", "--", "/"])), 126);
    assert_eq!(code(&place.guardian(&["run"])), 64);
}

#[test]
fn while_the_lock_is_there_nothing_is_run() {
    let place = Place::new();
    fs::write(place.lock(), "").unwrap();
    let output = place.guardian(&["run", "--", "touch", place.path().join("ran").to_str().unwrap()]);
    assert_eq!(code(&output), 75);
    assert!(told(&output).contains("the circuit is open"), "{}", told(&output));
    assert!(!place.path().join("ran").exists());
}

#[test]
fn a_lock_that_cannot_be_looked_at_counts_as_one() {
    let place = Place::new();
    fs::remove_dir(place.state()).unwrap();
    fs::write(place.state(), "not a folder").unwrap();
    assert_eq!(code(&place.guardian(&["run", "--", "true"])), 75);
}

#[test]
fn when_the_lock_appears_the_command_gets_sigterm_and_ends() {
    let place = Place::new();
    let child = start(&place, "trap 'echo stopped; exit 0' TERM; echo $$ > up; while :; do sleep 0.05; done");
    number(&place.path().join("up"));
    fs::write(place.lock(), "{}").unwrap();
    let began = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), said(&output).as_str()), (75, "stopped\n"));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn one_that_ignores_sigterm_is_killed_after_the_grace_and_its_children_with_it() {
    let place = Place::new();
    let script = "trap '' TERM; sh -c 'echo $$ > grandchild; while :; do sleep 0.05; done' & \
                  echo $$ > up; while :; do sleep 0.05; done";
    let child = start(&place, script);
    let (leader, grandchild) = (number(&place.path().join("up")), number(&place.path().join("grandchild")));
    fs::write(place.lock(), "{}").unwrap();
    let began = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 75);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(9), "{took:?}");
    until("all of them end", || !lives(leader) && !lives(grandchild));
}

#[test]
fn what_a_command_leaves_behind_when_the_lock_ends_it_is_killed_too() {
    let place = Place::new();
    let script = "sh -c 'trap \"\" TERM; echo $$ > grandchild; while :; do sleep 0.05; done' >/dev/null 2>&1 & \
                  trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let child = start(&place, script);
    let grandchild = number(&place.path().join("grandchild"));
    fs::write(place.lock(), "{}").unwrap();
    assert_eq!(code(&child.wait_with_output().unwrap()), 75);
    until("it ends", || !lives(grandchild));
}

#[test]
fn sigterm_sigint_and_sighup_are_handed_on_to_the_group() {
    for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGINT, "INT"), (Signal::SIGHUP, "HUP")] {
        let place = Place::new();
        let child = start(
            &place,
            &format!("trap 'echo {name}; exit 3' {name}; echo $$ > up; while :; do sleep 0.05; done"),
        );
        let leader = number(&place.path().join("up"));
        assert_ne!(nix::unistd::getpgid(Some(leader)).unwrap(), nix::unistd::getpgrp());
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), said(&output)), (3, format!("{name}\n")));
    }
}
