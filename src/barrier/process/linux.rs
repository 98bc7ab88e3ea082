//! Processes of Linux: procfs to see them, pidfds to signal them.

use std::fs;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use guardian_probes::gateway::procfs;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, test_kill_process};

use super::stat::Stat;
use super::table::{Entry, Table};
use super::{Look, Plea, Sent};

/// As many processes are looked at, for as long.
const PROCESSES: usize = 262_144;
const BUDGET: Duration = Duration::from_secs(1);

/// Boot time as it was seen first, in seconds since the epoch.
static FIRST_BOOT: OnceLock<u64> = OnceLock::new();

pub(super) fn note_boot() {
    let _ = boot_times();
}

/// All processes, with their owners unasked. Those that cannot be seen are missing.
pub(super) fn walk() -> Table {
    let began = Instant::now();
    let Ok(folder) = fs::read_dir("/proc") else { return Table::default() };
    let Ok(boots) = boot_times() else { return Table::default() };
    folder
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .take(PROCESSES)
        .take_while(|_| began.elapsed() < BUDGET)
        .filter_map(|pid| entry(pid, boots).ok().flatten())
        .collect()
}

/// Who has this number now.
pub(super) fn look(pid: u32) -> Look {
    match boot_times().and_then(|boots| entry(pid, boots)) {
        Ok(Some(entry)) => Look::There(entry),
        Ok(None) if is_free(pid) => Look::Gone,
        // Mounted with `hidepid`, procfs keeps other users' processes to itself.
        Ok(None) => Look::Unknown(io::ErrorKind::PermissionDenied.into()),
        Err(failure) => Look::Unknown(failure),
    }
}

/// The real user of a process, if procfs tells.
pub(super) fn real_user(pid: u32) -> Option<u32> {
    procfs::real_user(&procfs::read(pid, "status")?)
}

/// Signals the process that has this number and was born then; no other one.
pub(super) fn signal(pid: u32, birth: u64, plea: Plea) -> io::Result<Sent> {
    let Some(number) = number(pid) else { return Ok(Sent::Gone) };
    let process = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(rustix::io::Errno::SRCH) => return Ok(Sent::Gone),
        Err(failure) => return Err(failure.into()),
    };
    // From here on the handle means one process. If it is the right one now, it was when it was
    // opened, for that one has been there since its birth.
    match look(pid) {
        Look::There(entry) if entry.alive && entry.birth == birth => {}
        Look::There(_) | Look::Gone => return Ok(Sent::Gone),
        Look::Unknown(failure) => return Err(failure),
    }
    let signal = match plea {
        Plea::End => Signal::TERM,
        Plea::Kill => Signal::KILL,
    };
    match pidfd_send_signal(&process, signal) {
        Ok(()) => Ok(Sent::Yes),
        Err(rustix::io::Errno::SRCH) => Ok(Sent::Gone),
        Err(failure) => Err(failure.into()),
    }
}

/// A process as procfs shows it; none if it shows none.
fn entry(pid: u32, boots: [u64; 2]) -> io::Result<Option<Entry>> {
    let text = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(failure) if is_absent(&failure) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let stat = Stat::read(&text).ok_or(io::ErrorKind::InvalidData)?;
    let seconds = stat.ticks / rustix::param::clock_ticks_per_second().max(1);
    let [now, first] = boots.map(|boot| boot.saturating_add(seconds));
    Ok(Some(Entry {
        pid,
        parent: stat.parent,
        birth: stat.ticks,
        started: now,
        started_at_first: first,
        uid: None,
        alive: stat.alive,
        kernel: stat.kernel,
        name: stat.name,
    }))
}

/// Whether no process has this number, as kill(2) tells even of those that procfs hides.
fn is_free(pid: u32) -> bool {
    number(pid).is_none_or(|number| test_kill_process(number) == Err(rustix::io::Errno::SRCH))
}

fn number(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// A process may end while it is read.
fn is_absent(failure: &io::Error) -> bool {
    failure.kind() == io::ErrorKind::NotFound
        || failure.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// When the system booted in seconds since the epoch, as it says now and as it said first. The
/// process table of the probes reckons from the first.
fn boot_times() -> io::Result<[u64; 2]> {
    /// The file is long on a machine with many cores, and thousands of processes may be looked at.
    static LATELY: Mutex<Option<(Instant, u64)>> = Mutex::new(None);
    const FRESH: Duration = Duration::from_millis(200);
    let mut lately = LATELY.lock().unwrap_or_else(PoisonError::into_inner);
    let now = match *lately {
        Some((when, boot)) if when.elapsed() < FRESH => boot,
        _ => {
            let boot = read_boot_time()?;
            *lately = Some((Instant::now(), boot));
            boot
        }
    };
    Ok([now, *FIRST_BOOT.get_or_init(|| now)])
}

fn read_boot_time() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    text.lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}
