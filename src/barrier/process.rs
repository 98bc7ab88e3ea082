//! The process barrier: the gateway's processes are ended, by identity and never by name.
//!
//! A number may have gone to another process since it was written down. So each signal goes to a
//! process whose start time was compared after the kernel had pinned it. Descendants are recorded
//! before the first signal: children of a process that has ended cannot be told from others.

pub(crate) mod kinship;
mod protected;
#[cfg(any(target_os = "linux", test))]
mod stat;
mod table;

#[cfg(target_os = "linux")]
#[path = "process/linux.rs"]
mod platform;
#[cfg(target_os = "macos")]
#[path = "process/macos.rs"]
mod platform;

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, Uid};

use self::table::{Entry, Table};
use super::{Held, Identity};

/// As many descendants are ended at a time; the others' turn comes when it is done again.
const DESCENDANTS: usize = 4096;

/// As long is waited for the end of what was killed.
const DEATH: Duration = Duration::from_secs(2);

/// What became of processes that were to end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ending {
    /// They lived, and have ended; descendants too.
    pub(crate) ended: Vec<Identity>,
    /// They live on, and why.
    pub(crate) left: Vec<(Identity, String)>,
}

/// What a process is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plea {
    /// SIGTERM.
    End,
    /// SIGKILL.
    Kill,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// It was delivered.
    Yes,
    /// The process had ended.
    Gone,
}

/// What is known of a number.
#[derive(Debug)]
enum Look {
    /// No process has it.
    Gone,
    /// This one has it.
    There(Entry),
    /// It cannot be told.
    Unknown(io::Error),
}

/// A process that is to end.
#[derive(Debug, Clone)]
struct Marked {
    identity: Identity,
    birth: u64,
}

/// Whether no process has this number any more: kill(2) with no signal. One that cannot be asked is there.
pub(crate) fn has_ended(pid: u32) -> bool {
    // 0 and less are groups.
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0);
    pid.is_some_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH))
}

/// Notes when the system booted. Start times are reckoned from that, and it moves when the clock is
/// set; so a daemon calls this as it starts, before its probes read their first start time.
pub(crate) fn note_boot() {
    platform::note_boot();
}

/// Notes when exactly a process was born, so that nobody who has its number later is taken for it.
/// One that is not there any more, or cannot be looked at, is left as it is.
pub(crate) fn pin(target: Identity) -> Identity {
    match platform::look(target.pid) {
        Look::There(entry) if entry.is(&target) => Identity { birth: Some(entry.birth), ..target },
        Look::There(_) | Look::Gone | Look::Unknown(_) => target,
    }
}

/// Ends processes and all that descends from them: SIGTERM, `grace`, SIGKILL. It blocks its thread.
/// `record` is told of all that are about to be signalled, before the first signal of each kind.
///
/// Takes at most `grace` and about three seconds more. Never signals process 1, guardian itself,
/// what guardian runs within, or the kernel's own. Targets that have ended before are in neither list.
pub(crate) fn end(
    targets: &BTreeSet<Identity>,
    grace: Duration,
    mut record: impl FnMut(&mut dyn Iterator<Item = &Identity>),
) -> Ending {
    let protected = protected::chain();
    let mut ending = Ending::default();
    let mut marked = Vec::new();
    for target in targets {
        match mark(target, &protected) {
            Ok(found) => marked.extend(found),
            Err(why) => ending.left.push((target.clone(), why)),
        }
    }
    if marked.is_empty() {
        return ending;
    }
    add_descendants(&mut marked, &platform::walk(), &protected);
    record(&mut marked.iter().map(|process| &process.identity));
    plead(&mut marked, Plea::End, &mut ending);
    wait(&mut marked, grace, &mut ending);
    if marked.is_empty() {
        return ending;
    }
    // What they have started since is still theirs as long as they live.
    add_descendants(&mut marked, &platform::walk(), &protected);
    record(&mut marked.iter().map(|process| &process.identity));
    plead(&mut marked, Plea::Kill, &mut ending);
    wait(&mut marked, DEATH, &mut ending);
    let stuck = "it does not end although it was killed: the kernel holds it";
    ending.left.extend(marked.into_iter().map(|process| (process.identity, stuck.to_owned())));
    ending
}

/// Whether a process is gone. A zombie is.
pub(crate) fn gone(target: &Identity) -> Held {
    match platform::look(target.pid) {
        Look::Gone => Held::Yes,
        Look::There(entry) if entry.alive && entry.is(target) => Held::No,
        Look::There(_) => Held::Yes,
        Look::Unknown(_) => Held::Unknown,
    }
}

/// Whether the system lets guardian end a process: root any, others their own.
pub(crate) fn may_end(target: &Identity) -> bool {
    let own = Uid::effective();
    own.is_root() || target.uid == Some(own.as_raw())
}

/// A target as it lives; none if it does not. An error says why it must not be signalled.
fn mark(target: &Identity, protected: &BTreeSet<u32>) -> Result<Option<Marked>, String> {
    let entry = match platform::look(target.pid) {
        Look::There(entry) if entry.alive && entry.is(target) => entry,
        Look::Gone | Look::There(_) => return Ok(None),
        Look::Unknown(failure) => return Err(format!("it cannot be looked at: {failure}")),
    };
    if let Some(why) = protected::why_not(&entry, protected) {
        return Err(why.to_owned());
    }
    let identity = Identity { birth: Some(entry.birth), ..target.clone() };
    Ok(Some(Marked { identity, birth: entry.birth }))
}

/// Adds what descends from those marked and is not marked yet.
fn add_descendants(marked: &mut Vec<Marked>, table: &Table, protected: &BTreeSet<u32>) {
    let roots: Vec<(u32, u64)> = marked.iter().map(|known| (known.identity.pid, known.birth)).collect();
    for entry in table.descendants(&roots, DESCENDANTS) {
        if protected::why_not(entry, protected).is_none() {
            let identity = Identity {
                pid: entry.pid,
                started: entry.started,
                birth: Some(entry.birth),
                uid: entry.uid,
                name: format!("{} (pid {})", entry.name, entry.pid),
            };
            marked.push(Marked { identity, birth: entry.birth });
        }
    }
}

/// Signals all of them in their order; those that are gone or cannot be signalled are settled.
fn plead(marked: &mut Vec<Marked>, plea: Plea, ending: &mut Ending) {
    marked.retain(|process| match platform::signal(process.identity.pid, process.birth, plea) {
        Ok(Sent::Yes) => true,
        Ok(Sent::Gone) => {
            ending.ended.push(process.identity.clone());
            false
        }
        Err(failure) => {
            let why = match failure.kind() {
                io::ErrorKind::PermissionDenied => {
                    "guardian may not end it: it belongs to another user".to_owned()
                }
                _ => format!("it cannot be signalled: {failure}"),
            };
            ending.left.push((process.identity.clone(), why));
            false
        }
    });
}

/// Waits until all have ended, or for so long. Those that have are settled.
fn wait(marked: &mut Vec<Marked>, most: Duration, ending: &mut Ending) {
    const SHORTEST: Duration = Duration::from_millis(2);
    const LONGEST: Duration = Duration::from_millis(25);
    let began = Instant::now();
    let mut pause = SHORTEST;
    loop {
        marked.retain(|process| {
            let lives = match platform::look(process.identity.pid) {
                Look::There(entry) => entry.alive && entry.birth == process.birth,
                Look::Gone => false,
                Look::Unknown(_) => true,
            };
            if !lives {
                ending.ended.push(process.identity.clone());
            }
            lives
        });
        let left = most.saturating_sub(began.elapsed());
        if marked.is_empty() || left.is_zero() {
            return;
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST);
    }
}

/// The process of the test that asks.
#[cfg(test)]
pub(crate) fn this_one() -> Identity {
    let pid = std::process::id();
    let Look::There(entry) = platform::look(pid) else { unreachable!("a process sees itself") };
    pin(Identity { pid, started: entry.started, birth: None, uid: entry.uid, name: entry.name })
}

#[cfg(test)]
mod tests;
