//! With real processes, all of them started here.
#![cfg(target_os = "linux")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

/// Ends what a test has started, whatever becomes of the test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a script, and waits for the numbers it prints in its first line.
fn started(script: &str) -> (Started, Vec<u32>) {
    let mut child =
        Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped()).spawn().map(Started).unwrap();
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pids = line.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect();
    (child, pids)
}

fn identity(pid: u32) -> Identity {
    match platform::look(pid) {
        Look::There(entry) => {
            Identity { pid, started: entry.started, birth: None, uid: None, name: entry.name }
        }
        other => panic!("{pid}: {other:?}"),
    }
}

fn pids(ended: &[Identity]) -> BTreeSet<u32> {
    ended.iter().map(|identity| identity.pid).collect()
}

fn ended(targets: impl IntoIterator<Item = u32>, grace: Duration) -> Ending {
    end(&targets.into_iter().map(identity).collect(), grace, |_| {})
}

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(150);

#[test]
fn one_that_heeds_sigterm_is_not_killed() {
    let (mut child, pids_of) = started("echo $$; exec sleep 1000");
    let began = Instant::now();
    let target = identity(pids_of[0]);
    assert_eq!(gone(&target), Held::No);
    let ending = ended(pids_of, LONG);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!((pids(&ending.ended), ending.left), (BTreeSet::from([target.pid]), Vec::new()));
    assert_eq!(gone(&target), Held::Yes, "a zombie is gone");
    let status = child.0.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
    assert_eq!(gone(&target), Held::Yes);
}

#[test]
fn one_that_ignores_sigterm_is_killed_after_the_grace() {
    let (mut child, pids_of) = started("trap '' TERM; echo $$; while :; do sleep 1; done");
    let began = Instant::now();
    let ending = ended(pids_of, SHORT);
    assert!(began.elapsed() >= SHORT && ending.left.is_empty(), "{ending:?}");
    let status = child.0.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}

#[test]
fn one_that_is_stopped_is_killed() {
    let (_child, pids_of) = started("echo $$; kill -STOP $$");
    let ending = ended(pids_of.clone(), SHORT);
    assert_eq!(pids(&ending.ended), pids_of.into_iter().collect());
}

#[test]
fn a_wrapper_ends_with_its_child_that_would_survive_it() {
    let (_child, pids_of) =
        started("trap '' TERM; sh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo $$ $!; wait; wait");
    let ending = ended([pids_of[0]], SHORT);
    assert!(ending.left.is_empty(), "{ending:?}");
    assert!(pids(&ending.ended).is_superset(&pids_of.into_iter().collect()), "{ending:?}");
}

#[test]
fn descendants_in_sessions_of_their_own_end_too() {
    let (_child, pids_of) = started("setsid sh -c 'sleep 1000 & echo $PPID $$ $!; wait' & wait");
    let shell = pids_of[1];
    let (root, inner) = (identity(pids_of[0]), identity(pids_of[2]));
    let ending = ended([root.pid], LONG);
    assert_eq!(gone(&inner), Held::Yes);
    assert!(pids(&ending.ended).is_superset(&BTreeSet::from([shell, inner.pid])), "{ending:?}");
}

#[test]
fn what_was_started_within_the_grace_ends_too() {
    let (_child, pids_of) = started(
        "trap 'setsid sh -c \"trap \\\"\\\" TERM; while :; do sleep 1; done\" &' TERM; echo $$; \
         while :; do sleep 1; done",
    );
    let ending = ended(pids_of.clone(), Duration::from_millis(1500));
    assert!(ending.left.is_empty());
    assert!(ending.ended.len() >= 3, "the shell, its sleep, and what came of the signal: {ending:?}");
    assert!(ending.ended.iter().all(|process| gone(process) == Held::Yes));
}

#[test]
fn an_innocent_process_with_the_number_is_never_signalled() {
    let (mut child, pids_of) = started("echo $$; exec sleep 1000");
    let mut target = identity(pids_of[0]);
    target.started -= 5;
    assert_eq!(gone(&target), Held::Yes);
    let ending = end(&BTreeSet::from([target.clone()]), SHORT, |_| {});
    assert_eq!(ending, Ending::default());
    assert!(child.0.try_wait().unwrap().is_none(), "it lives");
    // Nor at the last moment, when the numbers have been compared already.
    assert_eq!(platform::signal(target.pid, 1, Plea::Kill).unwrap(), Sent::Gone);
    assert!(child.0.try_wait().unwrap().is_none(), "it lives");
}

#[test]
fn guardian_and_its_ancestors_are_never_signalled() {
    let own = [std::process::id(), std::os::unix::process::parent_id()];
    let ending = ended(own, SHORT);
    assert!(ending.ended.is_empty());
    assert_eq!(ending.left.iter().map(|(identity, _)| identity.pid).collect::<BTreeSet<_>>(), own.into());
    let first = Identity { pid: 1, ..identity(1) };
    let ending = end(&BTreeSet::from([first]), SHORT, |_| {});
    assert_eq!((ending.ended.len(), ending.left.len()), (0, 1));
}

#[test]
fn one_that_is_gone_already_is_no_trouble() {
    let (mut child, pids_of) = started("echo $$; exec sleep 1000");
    let target = identity(pids_of[0]);
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    assert_eq!(gone(&target), Held::Yes);
    assert_eq!(end(&BTreeSet::from([target]), LONG, |_| {}), Ending::default());
    let never = Identity { pid: u32::MAX, started: 0, birth: None, uid: None, name: String::new() };
    assert_eq!(end(&BTreeSet::from([never]), LONG, |_| {}), Ending::default());
}

#[test]
fn hundreds_of_descendants_end_in_a_bounded_time() {
    let (_child, pids_of) =
        started("i=0; while [ $i -lt 400 ]; do sleep 1000 & i=$((i+1)); done; echo $$; wait");
    let began = Instant::now();
    let ending = ended(pids_of, LONG);
    assert_eq!((ending.ended.len(), ending.left.len()), (401, 0));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn another_users_process_is_left_and_it_is_said_why() {
    if !Uid::effective().is_root() {
        eprintln!("left out: only root can start a process of another user");
        assert_ne!(std::env::var("GUARDIAN_LAB").as_deref(), Ok("required"));
        return;
    }
    let (mut child, pids_of) = started("echo $$; exec sleep 1000");
    let target = Identity { uid: Some(0), ..identity(pids_of[0]) };
    assert!(may_end(&target));
    let targets = BTreeSet::from([target]);
    // The system call changes this thread alone, where the library's would change all.
    let ending = std::thread::spawn(move || {
        let nobody: libc::uid_t = 65534;
        // SAFETY: setresuid takes three numbers.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, nobody, nobody, nobody) }, 0);
        assert!(targets.iter().all(|target| !may_end(target)));
        end(&targets, SHORT, |_| {})
    })
    .join()
    .unwrap();
    assert!(ending.ended.is_empty());
    assert!(ending.left[0].1.contains("another user"), "{ending:?}");
    assert!(child.0.try_wait().unwrap().is_none(), "it lives");
}

#[test]
fn a_number_that_nobody_has_is_of_a_process_that_has_ended() {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    assert!(has_ended(pid));
    assert!(!has_ended(std::process::id()) && !has_ended(1), "init may not be signalled, and is there");
    assert!(!has_ended(0) && !has_ended(u32::MAX), "no numbers of processes");
}
