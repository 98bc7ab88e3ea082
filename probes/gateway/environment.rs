//! The environment that a process was started with.
//!
//! It holds secrets. They are asked for by name, never listed, and never shown.

use std::collections::HashMap;
use std::fmt;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Product;

/// What a product's variables begin with.
const PREFIXES: [(&str, Product); 3] =
    [("OPENCLAW_", Product::Openclaw), ("MOLTBOT_", Product::Moltbot), ("CLAWDBOT_", Product::Clawdbot)];

/// Variables that a gateway or its service sets, and little else does.
const TELLING: [&str; 6] =
    ["STATE_DIR", "CONFIG_PATH", "SERVICE_MARKER", "LAUNCHD_LABEL", "SYSTEMD_UNIT", "GATEWAY_PORT"];

/// "No such process", which reading a file of a process that ends can say.
const ESRCH: i32 = nix::errno::Errno::ESRCH as i32;

/// Variables by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(HashMap<String, String>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

impl Environment {
    /// Reads `NAME=value` entries, each ended by a zero. The first of several counts, as it does
    /// for `getenv`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        Self::of(bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy))
    }

    fn of(entries: impl Iterator<Item = impl AsRef<str>>) -> Self {
        let mut variables = HashMap::new();
        for entry in entries {
            if let Some((name, value)) = entry.as_ref().split_once('=') {
                variables.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
        Self(variables)
    }

    /// A variable that is set and not blank, without blanks around it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// A variable of the product under any of its names, the latest name first: `STATE_DIR`.
    #[must_use]
    pub fn of_product(&self, name: &str) -> Option<&str> {
        PREFIXES.iter().find_map(|(prefix, _)| self.get(&format!("{prefix}{name}")))
    }

    /// The product whose telling variables are set, and their names.
    #[must_use]
    pub fn telling(&self) -> Option<(Product, Vec<String>)> {
        PREFIXES.iter().find_map(|(prefix, product)| {
            let set: Vec<String> = TELLING
                .iter()
                .map(|name| format!("{prefix}{name}"))
                .filter(|name| self.get(name).is_some())
                .collect();
            (!set.is_empty()).then_some((*product, set))
        })
    }

    /// A secret for the gateway is set.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.0.keys().any(|name| names_secret(name) && self.get(name).is_some())
    }

    /// The process is the agent's: a command it runs, not the gateway (later versions mark
    /// those; 2026.1 does not).
    #[must_use]
    pub fn is_agents(&self) -> bool {
        self.of_product("SHELL").is_some()
    }

    /// The process is a node's service, which connects to a gateway elsewhere.
    #[must_use]
    pub fn is_nodes(&self) -> bool {
        self.of_product("SERVICE_KIND") == Some("node")
    }

    /// The environment of a process. Interrupted if it has vanished.
    pub fn read(pid: u32) -> Result<Self, Blindness> {
        platform::read(pid).map_err(|error| {
            let vanished =
                error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH);
            let cause = if vanished { Cause::Interrupted } else { Cause::Denied };
            Blindness::new(cause, format!("the environment of process {pid} cannot be read: {error}"))
        })
    }
}

/// Whether a variable of this name holds a gateway's token or password.
#[must_use]
pub fn names_secret(name: &str) -> bool {
    PREFIXES.iter().any(|(prefix, _)| {
        name.strip_prefix(prefix).is_some_and(|name| matches!(name, "GATEWAY_TOKEN" | "GATEWAY_PASSWORD"))
    })
}

#[cfg(target_os = "linux")]
mod platform {
    use std::fs::File;
    use std::io::{self, Read};

    use super::Environment;

    /// Environments have a few KiB; the kernel allows 6 MiB.
    const MAX_SIZE: u64 = 1024 * 1024;

    pub(super) fn read(pid: u32) -> io::Result<Environment> {
        let mut bytes = Vec::new();
        let size = File::open(format!("/proc/{pid}/environ"))?.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
        if u64::try_from(size).is_ok_and(|size| size > MAX_SIZE) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Environment::parse(&bytes))
    }
}

#[cfg(target_os = "macos")]
mod platform {
    use std::io;

    use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

    use super::Environment;

    /// sysinfo answers with an empty environment where it may not look. No gateway has an empty one.
    pub(super) fn read(pid: u32) -> io::Result<Environment> {
        let mut system = System::new().map_err(|error| io::Error::other(error.to_string()))?;
        let pid = Pid::from_u32(pid);
        let kind = ProcessRefreshKind::nothing().without_tasks().with_environ(UpdateKind::Always);
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
        let process = system.process(pid).ok_or(io::ErrorKind::NotFound)?;
        if process.environ().is_empty() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Environment::of(process.environ().iter().map(|entry| entry.to_string_lossy())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_under_every_name_of_the_product() {
        for (prefix, product) in PREFIXES {
            let environment =
                Environment::parse(format!("HOME=/home/ana\0{prefix}STATE_DIR= /srv/bot \0").as_bytes());
            assert_eq!(environment.of_product("STATE_DIR"), Some("/srv/bot"));
            assert_eq!(environment.telling(), Some((product, vec![format!("{prefix}STATE_DIR")])));
        }
        assert_eq!(Environment::parse(b"OPENCLAW_VERSION=1\0").telling(), None);
    }

    #[test]
    fn the_latest_name_and_the_first_entry_win() {
        let environment = Environment::parse(
            b"CLAWDBOT_CONFIG_PATH=/old\0OPENCLAW_CONFIG_PATH=/new\0OPENCLAW_CONFIG_PATH=/x",
        );
        assert_eq!(environment.of_product("CONFIG_PATH"), Some("/new"));
        assert_eq!(environment.telling().unwrap().0, Product::Openclaw);
    }

    #[test]
    fn a_blank_variable_is_not_set() {
        let environment = Environment::parse(b"OPENCLAW_GATEWAY_TOKEN= \0OPENCLAW_STATE_DIR=\0");
        assert!(!environment.has_secret());
        assert_eq!(environment.telling(), None);
        assert!(Environment::parse(b"CLAWDBOT_GATEWAY_PASSWORD=x").has_secret());
    }

    #[test]
    fn secrets_are_not_shown() {
        let environment = Environment::parse(b"OPENCLAW_GATEWAY_TOKEN=hush\0");
        assert_eq!(format!("{environment:?}"), "Environment(1 variables)");
    }

    #[test]
    fn the_environment_of_a_process_is_read() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env("OPENCLAW_STATE_DIR", "/srv/bot")
            .spawn()
            .unwrap();
        let started = std::time::Instant::now();
        let found = loop {
            match Environment::read(child.id()) {
                Ok(environment) if environment.of_product("STATE_DIR").is_some() => break true,
                _ if started.elapsed().as_secs() > 10 => break false,
                _ => {}
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found);
        assert_eq!(Environment::read(u32::MAX).unwrap_err().cause, Cause::Interrupted, "it has vanished");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_environment(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let environment = Environment::parse(&bytes);
            let _ = (environment.telling(), environment.has_secret());
        }
    }
}
