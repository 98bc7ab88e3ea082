//! Configurations of running gateways, read again only when a file has changed.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{ConfigState, Process};
use serde_json::Value;

use crate::file::{Links, Stamp, Unread, View};
use crate::gateway::config::{include, read, syntax};
use crate::gateway::environment::Environment;
use crate::gateway::place::Places;

/// A configuration and what it includes, in bytes: each file, and all together.
const MAX_SIZE: u64 = 1024 * 1024;
const MAX_TOTAL: u64 = 4 * MAX_SIZE;

/// Which configuration: whose, and where.
pub(super) struct Origin<'a> {
    process: &'a Process,
    path: Option<&'a Path>,
    surroundings: Surroundings<'a>,
}

/// What a configuration is read with.
struct Surroundings<'a> {
    view: &'a View,
    state: Option<&'a Path>,
    environment: Option<&'a Environment>,
}

impl<'a> Origin<'a> {
    pub(super) fn of(
        process: &'a Process,
        view: &'a View,
        places: &'a Places,
        environment: Option<&'a Environment>,
    ) -> Self {
        let surroundings = Surroundings { view, state: places.state.as_deref(), environment };
        Self { process, path: places.config.as_deref(), surroundings }
    }
}

/// What became of a configuration.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) state: ConfigState,
    /// Files it includes.
    pub(super) included: Vec<PathBuf>,
    /// The log it names.
    pub(super) log: Option<PathBuf>,
}

/// What was read, and of which files.
#[derive(Debug, Default)]
pub(super) struct Configs(HashMap<Key, Remembered>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    pid: u32,
    started: u64,
    path: PathBuf,
}

#[derive(Debug)]
struct Remembered {
    told: Told,
    files: Vec<(PathBuf, Stamp)>,
}

impl Configs {
    /// What the configuration says now.
    pub(super) fn read(&mut self, origin: &Origin<'_>) -> Told {
        let Some(path) = origin.path else {
            return Told { state: ConfigState::Absent, included: Vec::new(), log: None };
        };
        let (pid, started) = (origin.process.pid, origin.process.started);
        let key = Key { pid, started, path: path.to_owned() };
        if let Some(remembered) = self.0.get(&key)
            && remembered
                .files
                .iter()
                .all(|(file, stamp)| origin.surroundings.view.stamp(file) == Some(*stamp))
        {
            return remembered.told.clone();
        }
        let (told, files) = load(&origin.surroundings, path);
        if matches!(told.state, ConfigState::Read(_)) {
            self.0.insert(key, Remembered { told: told.clone(), files });
        } else {
            self.0.remove(&key);
        }
        told
    }

    pub(super) fn forget_all_but(&mut self, pids: impl Iterator<Item = u32>) {
        let pids: BTreeSet<u32> = pids.collect();
        self.0.retain(|key, _| pids.contains(&key.pid));
    }
}

/// Reads a configuration by which nobody runs; its state folder is the one that it lies in.
pub(super) fn read_alone(view: &View, path: &Path) -> ConfigState {
    load(&Surroundings { view, state: path.parent(), environment: None }, path).0.state
}

/// Reads a configuration with all it includes.
fn load(origin: &Surroundings<'_>, path: &Path) -> (Told, Vec<(PathBuf, Stamp)>) {
    let mut files: Vec<(PathBuf, Stamp)> = Vec::new();
    let mut total = 0;
    let mut absent = false;
    let gathered = include::gather(path, &mut |file| {
        let content = match origin.view.read(file, MAX_SIZE, Links::Follow) {
            Ok(content) => content,
            Err(unread) => {
                absent = files.is_empty() && matches!(unread, Unread::Absent);
                return Err(unread.blindness(file));
            }
        };
        total += u64::try_from(content.bytes.len()).unwrap_or(u64::MAX);
        if total > MAX_TOTAL {
            return Err(Blindness::new(Cause::TooMuch, format!("{} includes too much", path.display())));
        }
        files.push((file.to_owned(), content.stamp));
        parsed(file, &content.bytes)
    });
    let included = files.iter().skip(1).map(|(file, _)| file.clone()).collect();
    let unreadable = |why| Told { state: ConfigState::Unreadable(why), included: Vec::new(), log: None };
    let told = match gathered {
        Err(_) if absent => Told { state: ConfigState::Absent, included: Vec::new(), log: None },
        Err(why) => unreadable(why),
        Ok(tree) => match read(&tree, origin.environment) {
            Ok(mut reading) => {
                reading.settings.has_secret |= secret_in_dotenv(origin);
                Told { state: ConfigState::Read(reading.settings), included, log: reading.log }
            }
            Err(unusable) => unreadable(Blindness::malformed(format!("{}: {unusable}", path.display()))),
        },
    };
    (told, files)
}

fn parsed(file: &Path, bytes: &[u8]) -> Result<Value, Blindness> {
    syntax::parse(bytes).map_err(|malformed| Blindness::malformed(format!("{}: {malformed}", file.display())))
}

/// Gateways also take variables from `.env` in their state folder, where they are not set already.
fn secret_in_dotenv(origin: &Surroundings<'_>) -> bool {
    let Some(state) = origin.state else { return false };
    let content = origin.view.read(&state.join(".env"), MAX_SIZE, Links::Follow);
    content.is_ok_and(|content| {
        let text = String::from_utf8_lossy(&content.bytes).replace(['\n', '\r'], "\0");
        let lines = text.split('\0').map(|line| line.trim_start().trim_start_matches("export "));
        Environment::parse(lines.collect::<Vec<_>>().join("\0").as_bytes()).has_secret()
    })
}
