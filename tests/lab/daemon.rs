//! The real `guardian daemon` on a host, and what one asks of it.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::host::{Host, User};
use crate::running::Running;

/// Longer than anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// A watcher on a host.
pub(crate) struct Daemon<'a> {
    host: &'a Host,
    user: User,
    pub(crate) process: Running,
    /// What it holds stays when it is dropped: another one is to find it.
    leaves: bool,
}

/// Where a user's watcher keeps its files on its host.
fn folder(user: User) -> String {
    format!("/mnt/guardian-{}", user.name())
}

/// A command of a user's Guardian, without its arguments.
pub(crate) fn guardian_command(user: User) -> Command {
    let mut command = Host::command("/mnt/bin/guardian");
    command
        .env("GUARDIAN_STATE_DIR", format!("{}/state", folder(user)))
        .env("GUARDIAN_RUNTIME_DIR", format!("{}/run", folder(user)))
        .env("GUARDIAN_CONFIG", format!("{}/guardian.toml", folder(user)));
    command
}

impl<'a> Daemon<'a> {
    /// Writes the policy, starts the watcher and waits for its first whole round.
    pub(crate) fn start(host: &'a Host, user: User, policy: &str) -> Self {
        if host.path(&format!("{}/state", folder(user))).exists() {
            // Several tests share a host, one after the other.
            let (code, said) = guardian(host, user, user, &["rescue"]);
            assert_eq!(code, 0, "{said}");
            host.run(User::Root, &["rm", "-rf", &folder(user)]);
        }
        host.run(User::Root, &["install", "-d", "-m", "755", "-o", user.name(), &folder(user)]);
        host.write(&format!("{}/guardian.toml", folder(user)), policy);
        Self::restart(host, user, &[])
    }

    /// Starts the watcher on what an earlier one has left.
    pub(crate) fn restart(host: &'a Host, user: User, variables: &[(&str, &str)]) -> Self {
        let mut daemon = Self { host, user, process: launch(host, user, variables), leaves: false };
        let begun = Instant::now();
        loop {
            let status = daemon.status();
            if status["daemon"] == "running" && !status["round_age_ms"].is_null() {
                return daemon;
            }
            let ended = daemon.process.ends_or(Duration::from_millis(20), || false);
            assert!(
                !ended && begun.elapsed() < PATIENCE,
                "no watcher (ended: {ended}): {status:#}\n{}",
                daemon.process.printed()
            );
        }
    }

    /// A command of the same Guardian; its exit code and what it printed.
    pub(crate) fn guardian(&self, user: User, arguments: &[&str]) -> (i32, String) {
        guardian(self.host, self.user, user, arguments)
    }

    /// `guardian status --json`.
    pub(crate) fn status(&self) -> Value {
        status(self.host, self.user)
    }

    /// Waits until the status is so.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if so(&status) {
                return status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "waited {PATIENCE:?} for {what}: {status:#}\n{}",
                self.process.printed()
            );
            sleep(Duration::from_millis(30));
        }
    }

    /// Waits until the circuit is in this state.
    #[track_caller]
    pub(crate) fn is(&self, circuit: &str) -> Value {
        self.until(circuit, |status| status["breaker"] == circuit)
    }

    /// Waits until it is open and every barrier is proven to stand.
    #[track_caller]
    pub(crate) fn holds(&self) -> Value {
        self.until("all barriers held", |status| {
            let barriers = status["trip"]["barriers"].as_array().map(Vec::as_slice).unwrap_or_default();
            status["breaker"] == "open"
                && barriers.len() > 1
                && barriers.iter().all(|barrier| barrier["held"] == "yes")
        })
    }

    /// The owner recovers, and closes as soon as it may.
    #[track_caller]
    pub(crate) fn recovers_and_closes(&self) {
        let (code, said) = self.guardian(self.user, &["recover", "--yes"]);
        assert_eq!(code, 1, "half-open: {said}\n{}", self.process.printed());
        self.until("safe rounds", |status| {
            status["half_open"]["safe"].as_u64() >= status["half_open"]["wanted"].as_u64()
                && status["half_open"].is_object()
        });
        let (code, said) = self.guardian(self.user, &["close", "--yes"]);
        assert_eq!(code, 0, "closed: {said}");
        self.is("closed");
    }

    /// Ends it as by a power cut.
    pub(crate) fn kill(mut self) {
        self.process.signal(Signal::SIGKILL);
        self.leaves = true;
    }

    /// The journal, an entry a line.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let (_, said) = self.guardian(self.user, &["history", "--json", "--limit", "1000"]);
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A file of its state folder, as the tests reach it.
    pub(crate) fn state(&self, name: &str) -> std::path::PathBuf {
        state_file(self.host, self.user, name)
    }
}

/// Several tests share a host: the next one must not find a wall.
impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if !self.leaves {
            self.process.signal(Signal::SIGKILL);
            self.process.ends_or(Duration::from_secs(5), || false);
            guardian(self.host, self.user, self.user, &["rescue", "--no-start"]);
        }
    }
}

/// A file of a watcher's state folder, as the tests reach it.
pub(crate) fn state_file(host: &Host, user: User, name: &str) -> std::path::PathBuf {
    host.path(&format!("{}/state/{name}", folder(user)))
}

/// Starts a watcher and waits for nothing.
pub(crate) fn launch(host: &Host, user: User, variables: &[(&str, &str)]) -> Running {
    let mut command = guardian_command(user);
    command.arg("daemon").env("GUARDIAN_LOG", "guardian=info");
    for (name, value) in variables {
        command.env(name, value);
    }
    host.start(user, &mut command)
}

/// A command about one user's Guardian, typed by perhaps another user.
pub(crate) fn guardian(host: &Host, of: User, by: User, arguments: &[&str]) -> (i32, String) {
    let mut command = guardian_command(of);
    command.args(arguments).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let output = host.spawn(by, &mut command).wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

/// `guardian status --json` of one user's Guardian.
pub(crate) fn status(host: &Host, of: User) -> Value {
    let (_, said) = guardian(host, of, of, &["status", "--json"]);
    let line = said.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|failed| panic!("{failed}: {said}"))
}
