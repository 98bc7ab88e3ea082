use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::*;

/// A process of this test's own, ended with it.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn sleeping_as(title: &str) -> Self {
        Self::start(Command::new("sleep").arg0(title).arg("60"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn look(table: &mut Table, pid: u32) -> Option<Process> {
    let entries = table.read(&BTreeSet::from([pid]), &BTreeSet::new()).unwrap();
    entries.into_iter().map(|entry| entry.process).find(|process| process.pid == pid)
}

fn look_until(table: &mut Table, pid: u32, fits: impl Fn(&Process) -> bool) -> Process {
    let started = Instant::now();
    loop {
        let process = look(table, pid).unwrap();
        if fits(&process) {
            return process;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{process:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_process_is_known_by_its_executable_not_by_what_it_calls_itself() {
    let child = Running::sleeping_as("redis-server");
    let process = look_until(&mut Table::default(), child.0.id(), |process| {
        process.argv.first().is_some_and(|a| a == "redis-server")
    });
    assert_eq!(process.program(), "sleep");
    assert_eq!(process.role, Role::Unknown);
    assert_eq!(process.parent, Some(std::process::id()));
}

#[test]
fn arguments_beyond_the_bound_are_known_to_be_missing() {
    let long = "x".repeat(70 * 1024);
    for (first, is_cut) in [("-", false), (long.as_str(), true)] {
        let child = Running::start(Command::new("sh").args(["-c", "sleep 60; :", first, "last"]));
        look_until(&mut Table::default(), child.0.id(), |process| process.argv.len() > 2);
        let entries = Table::default().read(&BTreeSet::from([child.0.id()]), &BTreeSet::new()).unwrap();
        let entry = entries.into_iter().find(|entry| entry.process.pid == child.0.id()).unwrap();
        assert_eq!((entry.is_cut, entry.argv.iter().any(|it| it == "last")), (is_cut, !is_cut));
    }
}

#[test]
fn a_process_that_executes_another_program_is_seen_as_that_program() {
    let mut table = Table::default();
    let child = Running::start(Command::new("sh").args(["-c", "sleep 0.5; exec sleep 60"]));
    let before = look_until(&mut table, child.0.id(), |process| process.program() != "sleep");
    let after = look_until(&mut table, child.0.id(), |process| process.program() == "sleep");
    assert_eq!((before.pid, before.started), (after.pid, after.started));
    assert_eq!(after.name, "sleep");
}

#[test]
fn the_same_process_has_the_same_start_time_in_every_look() {
    let child = Running::sleeping_as("sleep");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut table = Table::default();
    let first = look(&mut table, child.0.id()).unwrap().started;
    assert!(first.abs_diff(now) <= 2, "{first} {now}");
    for _ in 0..20 {
        assert_eq!(look(&mut table, child.0.id()).unwrap().started, first);
    }
}

#[test]
fn a_copy_of_this_program_is_not_taken_for_guardian_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let own = std::env::current_exe().unwrap();
    let double = folder.path().join(own.file_name().unwrap());
    // By another process: what this one holds open for writing, its children may hold open too.
    assert!(Command::new("cp").arg(which("sleep")).arg(&double).status().unwrap().success());
    let child = Running::start(Command::new(&double).arg("60"));
    let process =
        look_until(&mut Table::default(), child.0.id(), |process| process.exe.as_deref() == Some(&double));
    assert_eq!(process.role, Role::Unknown);
}

#[test]
fn processes_are_found_by_their_short_names() {
    let child = Running::sleeping_as("anything");
    let started = Instant::now();
    while !Table::default().find(|name| name == "sleep").unwrap().contains(&child.0.id()) {
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    assert!(Table::default().find(|_| false).unwrap().is_empty());
}

#[test]
fn a_process_that_has_ended_is_not_found_before_it_is_waited_for() {
    let mut child = Running::sleeping_as("sleep");
    let found = |pid| Table::default().find(|name| name == "sleep").unwrap().contains(&pid);
    let pid = child.0.id();
    let started = Instant::now();
    while !found(pid) {
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    child.0.kill().unwrap();
    while found(pid) {
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn too_many_processes_are_blind_not_cut_short() {
    let pids: BTreeSet<u32> = (1..=9000).collect();
    assert_eq!(Table::default().read(&pids, &BTreeSet::new()).unwrap_err().cause, Cause::TooMuch);
}

#[test]
fn a_users_part_of_a_session_stands_only_on_the_systems_part() {
    let process = |pid, parent, uid, role| Entry {
        since: 0,
        process: Process {
            pid,
            parent: Some(parent),
            started: 0,
            uid: Some(uid),
            user: None,
            name: "sshd".into(),
            exe: None,
            argv: Vec::new(),
            role,
        },
        argv: Vec::new(),
        is_cut: false,
    };
    let mut entries = [
        process(10, 1, 0, Role::Session),
        process(11, 10, 1000, Role::Session),
        process(12, 1, 1000, Role::Session),
        process(13, 10, 1000, Role::OtherService),
    ];
    judge_unproven(&mut entries);
    let roles = entries.map(|entry| entry.process.role);
    assert_eq!(roles, [Role::Session, Role::Session, Role::Unknown, Role::Unknown]);
}

fn which(program: &str) -> PathBuf {
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join(program))
        .find(|file| Path::new(file).exists())
        .unwrap()
}
