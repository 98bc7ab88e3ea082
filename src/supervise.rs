//! Runs a program in a process group of its own, and ends the group when it must not run.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval, sleep_until};

/// How often it is asked whether the program may run.
const LOOK: Duration = Duration::from_millis(200);
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// How a program ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself, or by somebody else's signal.
    ByItself(ExitStatus),
    /// It must not run any more.
    ByLock,
}

/// Why a program was not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuperviseError {
    /// It cannot be started.
    #[error("{program} cannot be run")]
    Unstarted {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// It cannot be waited for, or signals cannot be heard.
    #[error("the command cannot be looked after")]
    Unheard(#[from] io::Error),
}

impl SuperviseError {
    /// The exit code as a shell gives it: 127 if there is no such program, 126 if it cannot be run.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Unstarted { cause, .. } if cause.kind() == io::ErrorKind::NotFound => 127,
            Self::Unstarted { .. } => 126,
            Self::Unheard(_) => crate::exit::FAILURE,
        }
    }
}

/// A program and the group that it leads. While the program has not been waited for, its number
/// and the group's belong to no other one.
struct Group {
    child: Child,
    id: Pid,
}

impl Group {
    fn start(mut command: Command) -> Result<Self, SuperviseError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child =
            command.process_group(0).spawn().map_err(|cause| SuperviseError::Unstarted { program, cause })?;
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Self { child, id })
    }

    fn send(&self, signal: Signal) {
        if let Err(failed) = kill_process_group(self.id, signal) {
            tracing::debug!(%failed, ?signal, "the command's group did not get a signal");
        }
    }

    /// Whether the program has ended. It is not waited for yet.
    fn has_ended(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(self.id), options)?.is_some())
    }
}

/// Runs a program, hands SIGTERM, SIGINT and SIGHUP on to its group, and ends the group as soon as
/// `must_end`: SIGTERM, a grace, SIGKILL. What the program leaves behind in its group is killed
/// then too.
pub(crate) async fn supervise(
    command: Command,
    must_end: impl Fn() -> bool,
) -> Result<Ended, SuperviseError> {
    // From here on none of them is lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut ended = signal(SignalKind::child())?;
    let mut look = interval(LOOK);
    let mut group = Group::start(command)?;
    let mut until: Option<Instant> = None;
    loop {
        if group.has_ended()? {
            break;
        }
        if until.is_none() && must_end() {
            group.send(Signal::TERM);
            // One that is stopped hears nothing before it goes on.
            group.send(Signal::CONT);
            until = Some(Instant::now() + GRACE);
        }
        tokio::select! {
            _ = look.tick() => {}
            _ = ended.recv() => {}
            Some(()) = terminate.recv() => group.send(Signal::TERM),
            Some(()) = interrupt.recv() => group.send(Signal::INT),
            Some(()) = hangup.recv() => group.send(Signal::HUP),
            () = grace_over(until) => {
                group.send(Signal::KILL);
                // It takes a moment; nothing is left to be decided.
                until = Some(Instant::now() + GRACE);
            }
        }
    }
    if until.is_some() {
        group.send(Signal::KILL);
    }
    let status = group.child.wait()?;
    Ok(if until.is_some() { Ended::ByLock } else { Ended::ByItself(status) })
}

async fn grace_over(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
