//! A place of its own for a test: folders, a policy, and a daemon made of paper.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Folders, of which the binary knows by its environment alone.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(place.runtime()).unwrap();
        fs::create_dir_all(place.state()).unwrap();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.path().join("run")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.state().join("breaker.lock")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("etc/guardian.toml")
    }

    /// Writes the policy.
    pub(crate) fn with_config(self, text: &str) -> Self {
        fs::create_dir_all(self.config().parent().unwrap()).unwrap();
        fs::write(self.config(), text).unwrap();
        fs::set_permissions(self.config(), fs::Permissions::from_mode(0o644)).unwrap();
        self
    }

    /// The binary in this place.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("guardian"));
        command
            .args(arguments)
            .env("GUARDIAN_STATE_DIR", self.state())
            .env("GUARDIAN_RUNTIME_DIR", self.runtime())
            .env_remove("GUARDIAN_CONFIG")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("GUARDIAN_LOG")
            .env("HOME", self.path())
            .stdin(Stdio::null());
        if self.config().exists() {
            command.env("GUARDIAN_CONFIG", self.config());
        }
        command
    }

    pub(crate) fn guardian(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Lets somebody answer at the control socket. The questions that were asked are kept.
    pub(crate) fn daemon(&self, answer: impl Fn(&str) -> Value + Send + 'static) -> Arc<Mutex<Vec<Value>>> {
        let listener = UnixListener::bind(self.runtime().join("control.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                let Ok(question) = serde_json::from_str::<Value>(&line) else { continue };
                let what = question["ask"].as_str().unwrap().to_owned();
                kept.lock().unwrap().push(question);
                // One that has seen enough has gone.
                let _ = writeln!(stream, "{}", json!({ "v": 1, "ok": answer(&what) }));
            }
        });
        asked
    }
}

/// A status as a daemon gives it.
pub(crate) fn status(breaker: &str) -> Value {
    json!({
        "schema": 1, "breaker": breaker, "since": "2026-11-23T08:00:00Z", "mode": "enforce",
        "daemon": "running", "armed": true, "degraded": [], "round_age_ms": 120, "lease": null,
        "trip": null, "allowances": [], "verdict": "safe",
    })
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
