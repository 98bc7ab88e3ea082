//! Devices that a gateway has paired: whoever was paired while a gateway was exposed stays in when
//! the exposure ends.
//!
//! 2026.1 keeps them in `devices/paired.json` of its state folder, later versions in a database. Where there
//! is both, both count: the list may be what an upgrade has left.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Device;

use crate::file::{Content, Links, Stamp, Unread, View};
use crate::line::line;

mod bounded;
pub mod database;
pub mod list;

/// A list of devices has some hundred bytes a device.
const LARGEST_LIST: u64 = 1024 * 1024;
/// A database, and its log: a new one has 1.5 MiB (2026.9.6).
const LARGEST_DATABASE: u64 = 32 * 1024 * 1024;
/// A list of more is none: nobody has as many, and one is not to hide among them.
const MAX_DEVICES: usize = 1000;
/// A database that is written to just then is read again, so often in all.
const TRIES: usize = 4;
/// A database that changes all the time is read no more often than this.
const PAUSE: Duration = Duration::from_secs(10);
/// As many states are remembered.
const REMEMBERED: usize = 16;
/// One that does not say what it is.
const UNNAMED: &str = "an unnamed client";

/// The devices of the gateway whose state is in this folder, the latest first.
pub fn paired(state: &Path) -> Result<Vec<Device>, Blindness> {
    let view = View::own().map_err(|failed| Blindness::denied(failed.to_string()))?;
    Devices::default().paired(&view, state)
}

/// Reads devices, and does not read again what has not changed.
#[derive(Debug)]
pub struct Devices {
    known: HashMap<PathBuf, Known>,
    pause: Duration,
}

impl Default for Devices {
    fn default() -> Self {
        Self { known: HashMap::new(), pause: PAUSE }
    }
}

/// What was read, of files as they were then.
#[derive(Debug)]
struct Known {
    stamps: [Option<Stamp>; 3],
    devices: Vec<Device>,
    read: Instant,
    /// A clock of files is coarse: what was written just after it was read may bear the same time. Read once
    /// more at a later look, it is what it is.
    confirmed: bool,
}

impl Devices {
    /// The same as a process sees its files.
    pub fn paired(&mut self, view: &View, state: &Path) -> Result<Vec<Device>, Blindness> {
        let files = Files::of(state);
        let stamps = files.stamps(view);
        let known = self.known.get(state);
        let confirmed = known.is_some_and(|known| known.stamps == stamps);
        if let Some(known) = known
            && (known.confirmed && confirmed || known.read.elapsed() < self.pause)
        {
            return Ok(known.devices.clone());
        }
        self.known.remove(state);
        let mut devices = files.list(view)?;
        // One that is in both is told once, unless it was paired anew.
        devices.extend(files.database(view)?);
        devices.sort_by(|one, other| other.paired.cmp(&one.paired).then_with(|| one.cmp(other)));
        devices.dedup();
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        // Changed since, it differs from what it was before it was read.
        self.known.insert(
            state.to_owned(),
            Known { stamps, devices: devices.clone(), read: Instant::now(), confirmed },
        );
        Ok(devices)
    }
}

/// Where a state folder has them.
struct Files {
    list: PathBuf,
    database: PathBuf,
    log: PathBuf,
}

impl Files {
    fn of(state: &Path) -> Self {
        Self {
            list: state.join("devices/paired.json"),
            database: state.join("state/openclaw.sqlite"),
            log: state.join("state/openclaw.sqlite-wal"),
        }
    }

    fn stamps(&self, view: &View) -> [Option<Stamp>; 3] {
        [&self.list, &self.database, &self.log].map(|path| view.stamp(path))
    }

    fn list(&self, view: &View) -> Result<Vec<Device>, Blindness> {
        let Some(content) = there(view, &self.list, LARGEST_LIST, Links::Follow)? else {
            return Ok(Vec::new());
        };
        list::parse(&content.bytes)
            .ok_or_else(|| Blindness::malformed(format!("{} is not a list of devices", self.list.display())))
    }

    /// Both files of a database as they were at one moment. Its library looks for the log beside what a link leads
    /// to, so that none is followed.
    fn database(&self, view: &View) -> Result<Vec<Device>, Blindness> {
        for _ in 0..TRIES {
            let Some(main) = there(view, &self.database, LARGEST_DATABASE, Links::Refuse)? else {
                return Ok(Vec::new());
            };
            let log = there(view, &self.log, LARGEST_DATABASE, Links::Refuse)?;
            let now = [&self.database, &self.log].map(|path| view.stamp(path));
            if now != [Some(main.stamp), log.as_ref().map(|log| log.stamp)] {
                continue;
            }
            return database::read(&main.bytes, log.as_ref().map(|log| log.bytes.as_slice())).map_err(
                |why| Blindness { detail: format!("{}: {}", self.database.display(), why.detail), ..why },
            );
        }
        let path = self.database.display();
        Err(Blindness::new(Cause::Interrupted, format!("{path} is being written to all the time")))
    }
}

/// A file, if there is one.
fn there(view: &View, path: &Path, most: u64, links: Links) -> Result<Option<Content>, Blindness> {
    match view.read(path, most, links) {
        Ok(content) => Ok(Some(content)),
        Err(Unread::Absent) => Ok(None),
        Err(unread) => Err(unread.blindness(path)),
    }
}

/// What a gateway notes of a device is what the device said: a line, and no long one.
fn short(text: &str, most: usize) -> String {
    line(&text.chars().take(most).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    pub(super) const TWO: &str = r#"{
        "aa": {"deviceId": "aa", "clientId": "clawdbot-control-ui", "platform": "linux",
               "remoteIp": "127.0.0.1", "tokens": {"operator": {"token": "hush"}},
               "createdAtMs": 1795418940563, "approvedAtMs": 1795418940564},
        "bb": {"clientId": "cli", "createdAtMs": 1795418950000}
    }"#;

    fn fixture(name: &str) -> Vec<u8> {
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/gateway").join(name)).unwrap()
    }

    fn clients(devices: &[Device]) -> Vec<&str> {
        devices.iter().map(|device| device.client.as_str()).collect()
    }

    #[test]
    fn a_state_has_the_devices_of_its_list_and_of_its_database_the_latest_first() {
        let state = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| fs::write(state.path().join(name), content).unwrap();
        let mut devices = Devices { pause: Duration::ZERO, ..Devices::default() };
        let mut paired = || devices.paired(&View::own().unwrap(), state.path());
        assert_eq!(paired(), Ok(Vec::new()));
        fs::create_dir(state.path().join("state")).unwrap();
        write("state/openclaw.sqlite", &fixture("devices.sqlite"));
        assert_eq!(clients(&paired().unwrap()), ["openclaw-control-ui"]);
        // The gateway pairs a device, and has not brought it into the database yet.
        write("state/openclaw.sqlite-wal", &fixture("devices.sqlite-wal"));
        assert_eq!(clients(&paired().unwrap()), ["cli", "openclaw-control-ui"]);
        assert_eq!(clients(&paired().unwrap()), ["cli", "openclaw-control-ui"], "remembered");
        fs::create_dir(state.path().join("devices")).unwrap();
        write("devices/paired.json", TWO.as_bytes());
        assert_eq!(
            clients(&paired().unwrap()),
            ["cli", "cli", "clawdbot-control-ui", "openclaw-control-ui"],
            "an upgrade has left a list"
        );
        let same = TWO.replace("\"bb\": {", &format!("\"{}\": {{\"platform\": \"linux\",", "bb".repeat(32)));
        write("devices/paired.json", same.as_bytes());
        assert_eq!(paired().unwrap().len(), 3, "one is in both");
        write("devices/paired.json", same.replace("1795418950000", "1795418950001").as_bytes());
        assert_eq!(paired().unwrap().len(), 4, "it was paired anew");
    }

    #[test]
    fn what_changes_all_the_time_is_read_now_and_then() {
        let state = tempfile::tempdir().unwrap();
        let mut devices = Devices::default();
        fs::create_dir(state.path().join("state")).unwrap();
        let database = state.path().join("state/openclaw.sqlite");
        fs::write(&database, fixture("devices.sqlite")).unwrap();
        let view = View::own().unwrap();
        assert_eq!(devices.paired(&view, state.path()).unwrap().len(), 1);
        fs::remove_file(&database).unwrap();
        assert_eq!(devices.paired(&view, state.path()).unwrap().len(), 1, "it was read a moment ago");
        devices.pause = Duration::ZERO;
        assert_eq!(devices.paired(&view, state.path()).unwrap().len(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_looked_at_again() {
        let state = tempfile::tempdir().unwrap();
        let mut devices = Devices { pause: Duration::ZERO, ..Devices::default() };
        let mut paired = || devices.paired(&View::own().unwrap(), state.path());
        fs::create_dir(state.path().join("state")).unwrap();
        fs::write(state.path().join("state/openclaw.sqlite"), "").unwrap();
        let why = paired().unwrap_err();
        assert!(why.cause == Cause::Malformed && why.detail.contains("openclaw.sqlite: "), "{why:?}");
        fs::remove_file(state.path().join("state/openclaw.sqlite")).unwrap();
        fs::create_dir(state.path().join("devices")).unwrap();
        fs::write(state.path().join("devices/paired.json"), "[]").unwrap();
        assert_eq!(paired().unwrap_err().cause, Cause::Malformed);
        fs::write(state.path().join("devices/paired.json"), TWO).unwrap();
        assert_eq!(paired().unwrap().len(), 2);
    }
}
