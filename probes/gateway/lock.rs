//! Lock files that gateways leave: which process runs, on which configuration.
//!
//! 2026.1: `/tmp/{clawdbot,openclaw}-UID/gateway.HASH.lock`; 2026.9: in the state folder, with its
//! state folder and port, followed by white space. A lock file is no proof of life: 2026.1.24
//! leaves it behind. So it counts only for the process that it was written by.

use std::path::{Path, PathBuf};

use guardian_rules::fact::Product;
use serde::Deserialize;

use crate::file::{Links, View};

/// A lock file is a few hundred bytes.
const MAX_SIZE: u64 = 16 * 1024;

/// Lock files looked at in one folder.
const MAX_FILES: usize = 64;

/// What a gateway writes into its lock file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// The process that wrote it, as it knows itself.
    pub pid: u32,
    /// Its configuration file.
    pub config_path: PathBuf,
    /// Its start in clock ticks since boot (Linux only).
    #[serde(default)]
    pub start_time: Option<u64>,
    /// Its state folder, since 2026.9.
    #[serde(default)]
    pub state_dir: Option<PathBuf>,
    /// Its port, since 2026.9.
    #[serde(default)]
    pub port: Option<u16>,
    /// What it does. Absent is a gateway; helpers and maintenance have other roles.
    #[serde(default)]
    role: Option<String>,
}

/// Reads the first JSON value of a lock file. None for anything but a gateway's lock.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Payload> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Payload>();
    let payload = values.next()?.ok()?;
    let usable = payload.config_path.is_absolute()
        && payload.state_dir.as_ref().is_none_or(|folder| folder.is_absolute())
        && payload.role.as_ref().is_none_or(|role| role == "gateway");
    usable.then_some(payload)
}

/// A gateway's lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Where it is.
    pub path: PathBuf,
    /// Under which name the gateway runs, by the name of the folder.
    pub product: Option<Product>,
    /// What it says.
    pub payload: Payload,
    /// When it was last written, in seconds since the epoch.
    pub written: i64,
}

/// The locks in a folder that belong to `uid`, folder and file. Folders and files of anyone else,
/// and links, are passed over: anyone may write to `/tmp`.
#[must_use]
pub fn locks(view: &View, folder: &Path, uid: u32) -> Vec<Lock> {
    use std::os::unix::fs::MetadataExt;
    let own = view.metadata(folder).is_ok_and(|found| found.is_dir() && found.uid() == uid);
    if !own {
        return Vec::new();
    }
    let product = folder.file_name().and_then(|name| product(name.to_str()?));
    let names = view.names(folder, MAX_FILES, Links::Refuse).unwrap_or_default();
    let paths = names
        .into_iter()
        .filter(|name| {
            let name = name.to_str().and_then(|name| name.strip_prefix("gateway."));
            name.and_then(|name| name.strip_suffix(".lock")).is_some()
        })
        .map(|name| folder.join(name));
    paths
        .filter_map(|path| {
            let content = view.read(&path, MAX_SIZE, Links::Refuse).ok()?;
            let payload = parse(&content.bytes).filter(|_| content.uid == uid)?;
            Some(Lock { path, product, payload, written: content.modified })
        })
        .collect()
}

/// Who wrote a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer {
    /// The process as it knows itself: in a container it has a number of its own.
    pub pid: u32,
    /// Its start in clock ticks since boot, where the system tells.
    pub ticks: Option<u64>,
    /// Its start in seconds since the epoch.
    pub started: u64,
}

impl Writer {
    /// Whether this process wrote the lock, and not an earlier one of the same number.
    #[must_use]
    pub fn wrote(&self, lock: &Lock) -> bool {
        /// Start times are kept in whole seconds.
        const ROUNDING: i64 = 2;
        if self.pid != lock.payload.pid {
            return false;
        }
        match (self.ticks, lock.payload.start_time) {
            (Some(own), Some(told)) => own == told,
            _ => i64::try_from(self.started).is_ok_and(|started| started <= lock.written + ROUNDING),
        }
    }
}

/// The product by the name of a lock folder: `openclaw-1000`.
fn product(folder: &str) -> Option<Product> {
    match folder.split('-').next()? {
        "clawdbot" => Some(Product::Clawdbot),
        "moltbot" => Some(Product::Moltbot),
        "openclaw" => Some(Product::Openclaw),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{"pid":9791,"createdAt":"2026-11-23T12:56:19.525Z",
        "configPath":"/home/ana/.clawdbot/clawdbot.json","startTime":157105}"#;
    const NEW: &str = "{\n \"pid\": 9743, \"ownerId\": \"f758\", \"createdAt\": \"2026-11-23T12:56:25.399Z\",\n \
        \"configPath\": \"/home/ana/.openclaw/openclaw.json\", \"stateDir\": \"/home/ana/.openclaw\",\n \
        \"port\": 18789, \"startTime\": 157053\n}\n\t\t \t  \t\n";

    #[test]
    fn locks_of_both_generations_are_read() {
        let old = parse(OLD.as_bytes()).unwrap();
        assert_eq!((old.pid, old.start_time, old.port), (9791, Some(157_105), None));
        assert_eq!(old.config_path, Path::new("/home/ana/.clawdbot/clawdbot.json"));
        let new = parse(NEW.as_bytes()).unwrap();
        assert_eq!((new.pid, new.start_time, new.port), (9743, Some(157_053), Some(18789)));
        assert_eq!(new.state_dir.as_deref(), Some(Path::new("/home/ana/.openclaw")));
    }

    #[test]
    fn what_follows_the_first_value_is_ignored() {
        assert!(parse(format!("{OLD}\0\0garbage{{").as_bytes()).is_some());
    }

    #[test]
    fn locks_of_helpers_are_no_gateways() {
        for role in ["agent-embedded", "sqlite-maintenance", "skill-workshop-apply"] {
            let lock = OLD.replacen('{', &format!("{{\"role\":\"{role}\","), 1);
            assert_eq!(parse(lock.as_bytes()), None);
        }
        assert!(parse(OLD.replacen('{', "{\"role\":\"gateway\",", 1).as_bytes()).is_some());
    }

    #[test]
    fn relative_paths_and_wrong_types_are_no_locks() {
        for lock in [
            r#"{"pid":1,"configPath":"openclaw.json"}"#,
            r#"{"pid":-1,"configPath":"/x"}"#,
            r#"{"pid":"1","configPath":"/x"}"#,
            r#"{"pid":1}"#,
            "[]",
            "",
        ] {
            assert_eq!(parse(lock.as_bytes()), None, "{lock}");
        }
    }

    #[test]
    fn a_lock_counts_only_for_the_process_that_wrote_it() {
        let lock = Lock {
            path: "/tmp/clawdbot-0/gateway.0.lock".into(),
            product: Some(Product::Clawdbot),
            payload: parse(OLD.as_bytes()).unwrap(),
            written: 1000,
        };
        let writer = Writer { pid: 9791, ticks: Some(157_105), started: 999 };
        assert!(writer.wrote(&lock));
        assert!(!Writer { ticks: Some(157_106), ..writer }.wrote(&lock), "the number was used again");
        assert!(!Writer { pid: 9792, ..writer }.wrote(&lock));
        let untold = Writer { ticks: None, ..writer };
        assert!(untold.wrote(&lock));
        assert!(!Writer { started: 1003, ..untold }.wrote(&lock), "it started after the lock was written");
    }

    #[test]
    fn only_files_of_the_user_in_a_folder_of_the_user_are_locks() {
        let uid = nix::unistd::geteuid().as_raw();
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("openclaw-7");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("gateway.state.lock"), NEW).unwrap();
        std::fs::write(folder.join("gateway.0123abcd.lock"), "{").unwrap();
        std::fs::write(folder.join("notes.lock"), OLD).unwrap();
        std::os::unix::fs::symlink(folder.join("notes.lock"), folder.join("gateway.link.lock")).unwrap();
        let view = View::own().unwrap();
        let found = locks(&view, &folder, uid);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].product, Some(Product::Openclaw));
        assert_eq!(locks(&view, &folder, uid + 1), []);
        let link = top.path().join("openclaw-8");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert_eq!(locks(&view, &link, uid), []);
        assert_eq!(locks(&view, &top.path().join("none"), uid), []);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_lock_or_none(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_damage_to_a_lock_is_borne(at in 0usize..400, byte in proptest::num::u8::ANY) {
            let mut bytes = NEW.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = parse(&bytes);
            let _ = parse(&bytes[..at]);
        }
    }
}
