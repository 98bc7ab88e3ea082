//! Whether the lab can run here, and who has it for himself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{env, io::Write as _};

/// Tests that measure time want the machine for themselves.
static QUIET: RwLock<()> = RwLock::new(());

/// The leave to use the lab, for as long as it is held.
pub(crate) enum Lab {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

impl Lab {
    /// The lab, beside other tests; `None` where it cannot run.
    pub(crate) fn open() -> Option<Self> {
        possible().then(|| Self::Shared { _guard: QUIET.read().unwrap_or_else(PoisonError::into_inner) })
    }

    /// The lab, with no other test running; `None` where it cannot run.
    pub(crate) fn alone() -> Option<Self> {
        possible().then(|| Self::Alone { _guard: QUIET.write().unwrap_or_else(PoisonError::into_inner) })
    }
}

/// This folder.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab")
}

/// Where `install.sh` keeps Node and the gateways.
pub(crate) fn cache() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("GUARDIAN_LAB_CACHE").unwrap_or_else(|| {
        let caches = set("XDG_CACHE_HOME")
            .or_else(|| Some(set("HOME")?.join(".cache")))
            .expect("GUARDIAN_LAB_CACHE or HOME says where the gateways are");
        caches.join("guardian-lab")
    })
}

/// What only some kernels can give; `None` where this one cannot, which fails if the lab is required.
pub(crate) fn given<T>(what: Result<T, String>) -> Option<T> {
    let required = env::var("GUARDIAN_LAB").is_ok_and(|wish| wish == "required");
    match what {
        Ok(given) => Some(given),
        Err(missing) if required => panic!("the lab is required, and cannot run: {missing}"),
        Err(missing) => {
            skip(&missing);
            None
        }
    }
}

fn possible() -> bool {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let wish = env::var("GUARDIAN_LAB").unwrap_or_default();
    if wish == "off" {
        return skip("GUARDIAN_LAB=off");
    }
    match MISSING.get_or_init(missing) {
        None => true,
        Some(missing) if wish == "required" => panic!("the lab is required, and cannot run: {missing}"),
        Some(missing) => skip(missing),
    }
}

/// Says so past the test runner, which keeps what a passing test prints to itself.
fn skip(why: &str) -> bool {
    let name = std::thread::current().name().unwrap_or("the lab").to_owned();
    let _ = writeln!(std::io::stderr().lock(), "skipped: {name}: {why}");
    false
}

fn missing() -> Option<String> {
    if !nix::unistd::Uid::effective().is_root() {
        return Some("only root can make network namespaces".to_owned());
    }
    let check = Command::new(scripts().join("install.sh")).arg("--check").output();
    match check {
        Err(failed) => Some(format!("install.sh does not run: {failed}")),
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
