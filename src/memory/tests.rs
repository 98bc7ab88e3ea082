use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::time::Duration;

use guardian_rules::fact::Exposure;

use nix::unistd::Uid;
use proptest::prelude::*;

use super::resume::Resumed;
use super::*;
use crate::breaker::state::{Closed, HalfOpen, Open};
use crate::lock::Lock;
use crate::status::timeline::{Turn, Was};
use crate::sys::clock::{Moment, Now};
use crate::sys::scratch::{Scratch, leave_out, on_a_full_disk, on_a_read_only_disk};
use crate::trip::Cause;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Now {
    Now { moment: Moment::after_boot(Duration::from_mins(1)), wall: at("2026-11-25T09:00:00Z") }
}

fn trip(cause: Cause, hour: i64) -> Trip {
    Trip::new(at("2026-11-25T00:00:00Z") + Duration::from_secs(3600 * hour.unsigned_abs()), cause, "why", &[])
}

fn past() -> Past {
    Past {
        exposures: vec![Exposure { from: None, until: Some(1) }],
        timeline: vec![Turn { at: at("2026-11-24T00:00:00Z"), was: Was::Closed }],
    }
}

fn open() -> Memory {
    let trip = trip(Cause::Exposed, 8);
    let state = Open { since: trip.at, began: Moment::default(), trip, level: Level::Isolated }.into();
    let mut target = Target::default();
    target.ports.insert(18789);
    target.bound.insert("[::]:18789".parse().unwrap());
    target.processes.insert(crate::barrier::Identity {
        pid: 812,
        started: 1_764_000_000,
        birth: Some(157_105),
        uid: Some(501),
        name: "openclaw-gateway".to_owned(),
    });
    target.services.insert(guardian_rules::fact::Service {
        name: "openclaw-gateway.service".to_owned(),
        manager: guardian_rules::fact::Manager::User(501),
    });
    Memory::of(&state, target, at("2026-11-25T08:30:00Z"), past())
}

fn half_open() -> Memory {
    let state = HalfOpen {
        since: now().wall,
        began: Moment::default(),
        trip: trip(Cause::Exposed, 8),
        level: Level::Isolated,
        safe: 3,
    };
    Memory::of(&state.into(), Target::default(), now().wall, Past::default())
}

fn closed() -> Memory {
    let state = Closed::since(at("2026-11-24T00:00:00Z"));
    Memory::of(&state.into(), Target::default(), now().wall, Past::default())
}

fn known(memory: Memory) -> Recall {
    Recall::Known(Box::new(memory))
}

fn held(trip: Trip) -> Lock {
    Lock::Held(Box::new(trip))
}

#[track_caller]
fn opened(resumed: &Resumed) -> &Open {
    let State::Open(open) = &resumed.state else { panic!("it is open: {resumed:?}") };
    open
}

#[test]
fn what_is_saved_is_recalled_and_is_nobody_elses_business() {
    let scratch = Scratch::new();
    assert_eq!(recall(&scratch.paths), Recall::FirstStart);
    for memory in [open(), half_open(), closed()] {
        save(&scratch.paths, &memory).unwrap();
        assert_eq!(recall(&scratch.paths), known(memory));
    }
    assert_eq!(fs::metadata(scratch.paths.breaker()).unwrap().mode() & 0o777, 0o600);
    assert_eq!(scratch.names(), ["breaker.json", "started"]);
}

/// Births are counted from the boot: another process may have the same number and the same birth now.
#[test]
fn a_memory_of_another_boot_names_no_process() {
    let scratch = Scratch::new();
    let here = open();
    assert_eq!(here.target.processes.len(), 1);
    for boot in [Some("another".to_owned()), None] {
        save(&scratch.paths, &Memory { boot: boot.clone(), ..here.clone() }).unwrap();
        let Recall::Known(memory) = recall(&scratch.paths) else { panic!("it is whole") };
        let same_boot = boot == crate::sys::clock::boot_id();
        assert_eq!(memory.target.processes.is_empty(), !same_boot, "{boot:?}");
        assert_eq!(memory.target.services, here.target.services, "what lasts is kept");
    }
}

#[test]
fn without_a_folder_it_is_the_first_start() {
    let scratch = Scratch::new();
    fs::remove_dir(&scratch.paths.state).unwrap();
    assert_eq!(recall(&scratch.paths), Recall::FirstStart);
}

#[test]
fn a_memory_that_is_gone_is_no_first_start() {
    let scratch = Scratch::new();
    save(&scratch.paths, &closed()).unwrap();
    fs::remove_file(scratch.paths.breaker()).unwrap();
    assert!(matches!(recall(&scratch.paths), Recall::Damaged(_)));
}

#[test]
fn a_journal_alone_shows_that_there_was_a_guardian_before() {
    for name in ["journal.jsonl", "journal.1.jsonl", "undo.jsonl"] {
        let scratch = Scratch::new();
        fs::write(scratch.paths.state.join(name), b"").unwrap();
        assert!(matches!(recall(&scratch.paths), Recall::Damaged(_)), "{name}");
    }
}

#[test]
fn a_memory_cut_at_any_byte_is_damaged() {
    let scratch = Scratch::new();
    save(&scratch.paths, &open()).unwrap();
    let bytes = fs::read(scratch.paths.breaker()).unwrap();
    for length in 0..bytes.len() - 1 {
        assert!(matches!(parse(&bytes[..length]), Recall::Damaged(_)), "{length}");
    }
}

#[test]
fn a_memory_of_another_schema_is_damaged() {
    let text = serde_json::to_string(&File { schema: 2, memory: closed() }).unwrap();
    assert!(matches!(parse(text.as_bytes()), Recall::Damaged(why) if why.contains("schema 2")));
}

#[test]
fn a_memory_that_is_a_link_or_that_others_may_write_is_damaged() {
    let scratch = Scratch::new();
    save(&scratch.paths, &closed()).unwrap();
    let (path, other) = (scratch.paths.breaker(), scratch.paths.state.join("other"));
    fs::rename(&path, &other).unwrap();
    symlink(&other, &path).unwrap();
    assert!(matches!(recall(&scratch.paths), Recall::Damaged(_)));
    save(&scratch.paths, &closed()).unwrap();
    assert_eq!(recall(&scratch.paths), known(closed()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
    assert!(matches!(recall(&scratch.paths), Recall::Damaged(_)));
}

#[test]
fn a_memory_in_a_folder_of_another_user_is_damaged() {
    if !Uid::effective().is_root() {
        return leave_out("only root can give a folder away");
    }
    let scratch = Scratch::new();
    chown(&scratch.paths.state, Some(4001), None).unwrap();
    assert!(matches!(recall(&scratch.paths), Recall::Damaged(_)));
}

#[test]
fn on_a_full_or_read_only_disk_saving_is_an_error_and_the_old_memory_stays() {
    on_a_full_disk(|scratch, fill| {
        save(&scratch.paths, &open()).unwrap();
        fill();
        let mut long = closed();
        long.trip = open().trip;
        long.trip.as_mut().unwrap().why = "x".repeat(9000);
        assert!(matches!(save(&scratch.paths, &long), Err(MemoryError::Disk(_))));
        assert_eq!(recall(&scratch.paths), known(open()));
    });
    on_a_read_only_disk(|scratch| assert!(save(&scratch.paths, &open()).is_err()));
}

#[test]
fn a_memory_that_could_not_be_read_again_is_not_written() {
    let scratch = Scratch::new();
    let mut long = closed();
    long.target.configs.insert("x".repeat(LIMIT).into());
    assert!(matches!(save(&scratch.paths, &long), Err(MemoryError::TooLong)));
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn a_clock_set_back_a_year_does_not_make_it_earlier() {
    let back = Now { wall: at("2025-11-25T09:00:00Z"), ..now() };
    let resumed = resume(known(open()), held(trip(Cause::Exposed, 8)), back);
    assert_eq!(resumed.latest, at("2026-11-25T08:30:00Z"));
    assert_eq!(opened(&resumed).since, at("2026-11-25T08:00:00Z"));
}

#[test]
fn a_first_start_is_closed() {
    let resumed = resume(Recall::FirstStart, Lock::Absent, now());
    assert_eq!(resumed.state, Closed::since(now().wall).into());
    assert!(!resumed.relock && resumed.why.is_some());
}

#[test]
fn a_closed_circuit_stays_closed_since_then_and_nothing_is_said() {
    let resumed = resume(known(closed()), Lock::Absent, now());
    assert_eq!(resumed.state, Closed::since(at("2026-11-24T00:00:00Z")).into());
    assert_eq!(resumed.why, None);
}

#[test]
fn an_open_circuit_stays_open_as_it_was() {
    let resumed = resume(known(open()), held(trip(Cause::Exposed, 8)), now());
    let memory = open();
    let expected =
        Open { since: memory.since, began: now().moment, trip: memory.trip.unwrap(), level: Level::Isolated };
    assert_eq!(resumed.state, expected.into());
    assert_eq!(resumed.target, memory.target);
    assert!(!resumed.relock);
}

#[test]
fn what_was_learned_after_the_lock_was_written_is_kept() {
    let mut memory = open();
    memory.trip.as_mut().unwrap().why = "more".to_owned();
    let resumed = resume(known(memory), held(trip(Cause::Exposed, 8)), now());
    assert_eq!(opened(&resumed).trip.why, "more");
}

#[test]
fn taking_the_lock_away_does_not_close_the_circuit() {
    let resumed = resume(known(open()), Lock::Absent, now());
    assert_eq!(opened(&resumed).trip, trip(Cause::Exposed, 8));
    assert_eq!(opened(&resumed).level, Level::Isolated);
    assert!(resumed.relock && resumed.why.unwrap().contains("lock is gone"));
}

#[test]
fn a_lock_written_just_before_the_end_opens_what_is_remembered_as_closed() {
    let resumed = resume(known(closed()), held(trip(Cause::Asked, 9)), now());
    assert_eq!(opened(&resumed).trip, trip(Cause::Asked, 9));
    assert_eq!((opened(&resumed).level, opened(&resumed).since), (Level::Stopped, trip(Cause::Asked, 9).at));
    assert!(!resumed.relock);
}

#[test]
fn a_later_trip_in_the_lock_comes_before_an_earlier_one_in_memory() {
    let resumed = resume(known(half_open()), held(trip(Cause::Expired, 9)), now());
    assert_eq!((opened(&resumed).trip.cause, opened(&resumed).level), (Cause::Expired, Level::Stopped));
}

#[test]
fn a_recovery_does_not_survive_a_restart() {
    let resumed = resume(known(half_open()), Lock::Absent, now());
    assert_eq!(opened(&resumed).trip, trip(Cause::Exposed, 8));
    assert_eq!((opened(&resumed).level, opened(&resumed).since), (Level::Isolated, now().wall));
    assert!(resumed.relock);
    let damaged = resume(known(half_open()), Lock::Damaged("it is a folder".to_owned()), now());
    assert_eq!(opened(&damaged).level, Level::Stopped, "nobody knows how far a later trip went");
    let older = Memory { level: None, ..half_open() };
    assert_eq!(opened(&resume(known(older), Lock::Absent, now())).level, Level::Stopped);
}

#[test]
fn a_damaged_lock_opens_and_is_written_anew() {
    let damaged = || Lock::Damaged("the lock is a folder".to_owned());
    let resumed = resume(known(closed()), damaged(), now());
    assert_eq!(opened(&resumed).trip.cause, Cause::Damaged);
    assert!(opened(&resumed).trip.why.contains("the lock is a folder") && resumed.relock);
    let resumed = resume(known(open()), damaged(), now());
    assert_eq!(opened(&resumed).trip, trip(Cause::Exposed, 8));
    assert!(resumed.relock);
    assert!(matches!(resume(Recall::FirstStart, damaged(), now()).state, State::Open(_)));
}

#[test]
fn a_damaged_memory_opens_with_the_reason_or_the_trip_of_the_lock() {
    let damaged = || Recall::Damaged("the state cannot be read".to_owned());
    let resumed = resume(damaged(), Lock::Absent, now());
    assert_eq!((opened(&resumed).trip.cause, opened(&resumed).level), (Cause::Damaged, Level::Stopped));
    assert_eq!(opened(&resumed).trip.why, "the state cannot be read");
    assert!(resumed.relock);
    let resumed = resume(damaged(), held(trip(Cause::Exposed, 8)), now());
    assert_eq!(opened(&resumed).trip, trip(Cause::Exposed, 8));
}

#[test]
fn an_open_circuit_whose_trip_is_not_known_is_open_all_the_same() {
    let mut memory = open();
    memory.trip = None;
    assert_eq!(opened(&resume(known(memory), Lock::Absent, now())).trip.cause, Cause::Damaged);
}

fn any_recall() -> impl Strategy<Value = Recall> {
    prop_oneof![
        Just(Recall::FirstStart),
        Just(known(closed())),
        Just(known(half_open())),
        Just(known(open())),
        Just(Recall::Damaged("why".to_owned())),
    ]
}

fn any_lock() -> impl Strategy<Value = Lock> {
    prop_oneof![
        Just(Lock::Absent),
        (0..20_i64).prop_map(|hour| held(trip(Cause::Exposed, hour))),
        Just(Lock::Damaged("why".to_owned())),
    ]
}

proptest! {
    #[test]
    fn only_a_closed_memory_or_a_first_start_without_a_lock_is_closed(recall in any_recall(), lock in any_lock()) {
        let safe = lock == Lock::Absent && (recall == Recall::FirstStart || recall == known(closed()));
        let resumed = resume(recall, lock, now());
        prop_assert_eq!(matches!(resumed.state, State::Closed(_)), safe);
        prop_assert!(!matches!(resumed.state, State::HalfOpen(_)));
    }

    #[test]
    fn no_bytes_make_a_first_start(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(matches!(parse(&bytes), Recall::Damaged(_)));
    }

    #[test]
    fn a_memory_with_any_byte_changed_is_no_first_start(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = serde_json::to_vec(&File { schema: SCHEMA, memory: open() }).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = to;
        prop_assert_ne!(parse(&bytes), Recall::FirstStart);
    }
}
