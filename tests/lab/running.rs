//! A process that ends with the test that started it.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// A process on a host of the lab, leader of a process group.
pub(crate) struct Running {
    child: Child,
    program: String,
    log: PathBuf,
}

impl Running {
    pub(crate) fn new(child: Child, program: String, log: PathBuf) -> Self {
        Self { child, program, log }
    }

    /// Its process id as the host numbers it.
    pub(crate) fn pid(&self) -> u32 {
        inner_pid(self.child.id())
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it ends (true) or something happens; whichever is first.
    pub(crate) fn ends_or(&mut self, limit: Duration, mut happened: impl FnMut() -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < limit && !happened() {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            sleep(Duration::from_millis(50));
        }
        false
    }

    /// Waits for something; fails if the process ends before, or if it takes too long.
    pub(crate) fn wait_until(&mut self, what: &str, limit: Duration, mut happened: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !happened() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < limit,
                "{}: waited {:?} for {what} ({ended:?}); it printed:\n{}",
                self.program,
                begun.elapsed(),
                self.printed()
            );
            sleep(Duration::from_millis(50));
        }
    }

    /// Signals the process group.
    pub(crate) fn signal(&self, signal: Signal) {
        // The child is not reaped before it is dropped, so the number is still its own.
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let _ = killpg(group, signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// The number that a process has in the innermost namespace it is in.
pub(crate) fn inner_pid(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("Linux 4.1 or later");
    numbers.split_whitespace().next_back().and_then(|number| number.parse().ok()).expect("a number")
}
