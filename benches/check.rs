//! `guardian check` against the gateway's own `security audit --json`, on a host with one gateway.
//!
//! Run by `cargo bench --bench check`. Needs root (for a namespace of its own) and the gateways of
//! `tests/lab/install.sh`; without them it says so and ends. Prints a table for docs/measurements.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

use std::env;
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const GATEWAY: &str = "openclaw@2026.9.6";
const CONFIG: &str =
    r#"{"gateway":{"bind":"loopback","auth":{"mode":"token","token":"right-token-0123456789abcdef0123"}}}"#;
const CHECKS: usize = 15;
const AUDITS: usize = 5;

fn main() {
    if env::args().any(|argument| argument == "--inside") {
        inside();
    } else if let Err(why) = outside() {
        say(&format!("skipped: {why}"));
    }
}

/// Runs this program again in namespaces of its own: whatever is started there ends with it.
fn outside() -> Result<(), String> {
    if !nix::unistd::Uid::effective().is_root() {
        return Err("needs root for a network namespace".to_owned());
    }
    let package = package();
    if !package.exists() {
        return Err(format!("{} is not there: tests/lab/install.sh", package.display()));
    }
    let home = tempfile::tempdir().map_err(|error| error.to_string())?;
    let status = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(env::current_exe().map_err(|error| error.to_string())?)
        .arg("--inside")
        .env("BENCH_HOME", home.path())
        .status()
        .map_err(|error| error.to_string())?;
    assert!(status.success(), "the benchmark failed");
    Ok(())
}

fn inside() {
    let home = PathBuf::from(env::var_os("BENCH_HOME").unwrap());
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/start-gateway.sh");
    let mut gateway = Command::new(scripts)
        .args([GATEWAY, "18789"])
        .arg(&home)
        .arg(CONFIG)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", 18789)).is_err() {
        assert!(gateway.try_wait().unwrap().is_none(), "the gateway ended");
        assert!(begun.elapsed() < Duration::from_mins(5), "the gateway does not listen");
        sleep(Duration::from_millis(200));
    }
    // It goes on loading after it listens; both sides are measured at rest.
    sleep(Duration::from_secs(20));

    let check = median(CHECKS, || {
        Command::new(env!("CARGO_BIN_EXE_guardian"))
            .args(["check", "--json"])
            .stdout(Stdio::null())
            .status()
            .unwrap()
    });
    let audit = median(AUDITS, || audit(&home).status().unwrap());
    say(&format!(
        "| what | median | ratio |\n|---|---|---|\n| `guardian check --json` | {:.0} ms | 1 |\n\
         | `openclaw security audit --json` (2026.9.6) | {:.0} ms | {:.0} |",
        check.as_secs_f64() * 1e3,
        audit.as_secs_f64() * 1e3,
        audit.as_secs_f64() / check.as_secs_f64()
    ));
    gateway.kill().unwrap();
    gateway.wait().unwrap();
}

fn audit(home: &Path) -> Command {
    let state = home.join(".openclaw");
    let mut command = Command::new(cache().join("bin/node"));
    command
        .arg(package().join("openclaw.mjs"))
        .args(["security", "audit", "--json"])
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .env("NO_COLOR", "1")
        .env("OPENCLAW_CONFIG_PATH", state.join("openclaw.json"))
        .env("OPENCLAW_STATE_DIR", state)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn median(runs: usize, mut run: impl FnMut() -> std::process::ExitStatus) -> Duration {
    // One run to fill the caches.
    assert!(run().code().is_some_and(|code| code <= 1), "the command fails");
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times.get(runs / 2).copied().expect("at least one run")
}

fn cache() -> PathBuf {
    env::var_os("GUARDIAN_LAB_CACHE").map_or_else(
        || {
            env::var_os("XDG_CACHE_HOME")
                .map_or_else(|| PathBuf::from(env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from)
                .join("guardian-lab")
        },
        PathBuf::from,
    )
}

fn package() -> PathBuf {
    cache().join("npm").join(GATEWAY.replace('@', "-")).join("node_modules/openclaw")
}

fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}
