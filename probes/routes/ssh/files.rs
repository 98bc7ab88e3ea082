//! Finds and reads the files of `ssh_config(5)` as the process that reads them does.

use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use super::{CommandLine, config, is_seldom, together};
use crate::file::{Content, Links, Unread, View};
use crate::owner::role::Relay;
use crate::owner::table::Entry;
use crate::routes::glob::matched;
use crate::routes::ssh::config::{Gap, Item};
use crate::routes::{Age, Configured, Understood, platform};

/// The file for everybody.
const SYSTEM: &str = "/etc/ssh/ssh_config";

const MAX_FILE: u64 = 1024 * 1024;
const MAX_TOTAL: u64 = 4 * MAX_FILE;
const MAX_FILES: usize = 256;
/// As ssh itself.
const MAX_DEPTH: usize = 16;

/// What the files that an ssh reads tell it, and whether its arguments tell the rest.
pub(in crate::routes) fn configured(
    entry: &Entry,
    relay: &Relay<'_>,
    view: &View,
    age: &mut Age,
) -> Option<Configured> {
    let read = CommandLine::read(&relay.name, relay.arguments)?;
    // A process that shares its connection has written another title over its arguments.
    let is_shared =
        entry.argv.first().is_some_and(|title| title.starts_with("ssh: ") && title.ends_with("[mux]"));
    if read.host.is_none() && !is_shared && !entry.argv.is_empty() {
        // It connects to nobody: it shows its version, or how it is used.
        let told = Understood { instructions: Vec::new(), whole: true };
        return Some(Configured {
            file: PathBuf::from(SYSTEM),
            told,
            astray: None,
            vague: None,
            is_outdated: false,
            is_seldom: false,
        });
    }
    let mut reading = Reading { view, home: home(entry, view), files: 0, left: MAX_TOTAL, age };
    let pid = entry.process.pid;
    let (file, items) = match read.file.as_deref() {
        Some("none" | "/dev/null") => (PathBuf::from("none"), Vec::new()),
        Some(told) => {
            let file = absolute(pid, Path::new(told));
            let items = file
                .as_ref()
                .map_or_else(|| vec![Item::Unread(Gap::Unusual)], |file| reading.all(file, false));
            (file.unwrap_or_else(|| told.into()), items)
        }
        None => {
            let own = reading.home.as_ref().map(|home| home.join(".ssh/config"));
            let mut items =
                own.as_ref().map_or_else(|| vec![Item::Unread(Gap::Usual)], |own| reading.all(own, true));
            items.push(Item::Included(vec![reading.all(Path::new(SYSTEM), true)]));
            (own.unwrap_or_else(|| SYSTEM.into()), items)
        }
    };
    let found = config::found(&items, read.host.as_deref(), read.renames);
    let mut told = together(&read, &found);
    // Where not even its title shows, nothing is told.
    let shows = !entry.argv.is_empty();
    told.whole &= shows;
    let is_seldom = shows && is_seldom(&read, &found);
    Some(Configured { file, told, astray: None, vague: None, is_outdated: is_shared, is_seldom })
}

fn absolute(pid: u32, file: &Path) -> Option<PathBuf> {
    if file.is_absolute() {
        Some(file.to_owned())
    } else {
        Some(crate::routes::configured::working_folder(pid)?.join(file))
    }
}

/// The home of the process's user, whom a container may call otherwise.
fn home(entry: &Entry, view: &View) -> Option<PathBuf> {
    let uid = entry.process.uid?;
    if platform::has_files_of_its_own(entry.process.pid) {
        let passwd = view.read(Path::new("/etc/passwd"), MAX_FILE, Links::Follow).ok()?;
        let text = String::from_utf8_lossy(&passwd.bytes);
        return text.lines().find_map(|line| {
            let mut fields = line.split(':').skip(2);
            (fields.next()?.parse() == Ok(uid)).then(|| fields.nth(2).map(PathBuf::from)).flatten()
        });
    }
    Some(User::from_uid(Uid::from_raw(uid)).ok().flatten()?.dir)
}

/// Reads files and puts included ones in the place of their line.
struct Reading<'a> {
    view: &'a View,
    home: Option<PathBuf>,
    files: usize,
    left: u64,
    age: &'a mut Age,
}

impl Reading<'_> {
    /// A file in which ssh begins. That there is none is usual where nobody has named it.
    fn all(&mut self, file: &Path, is_usual: bool) -> Vec<Item> {
        match self.content(file) {
            Ok(content) => self.items(file, &content, 0),
            Err(Unread::Absent) if is_usual => Vec::new(),
            Err(why) => {
                tracing::info!(path = %file.display(), %why, "not read");
                vec![Item::Unread(if is_usual { Gap::of(&why) } else { Gap::Unusual })]
            }
        }
    }

    fn content(&mut self, file: &Path) -> Result<Content, Unread> {
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(Unread::TooLarge(MAX_TOTAL));
        }
        let content = self.view.read(file, MAX_FILE.min(self.left), Links::Follow)?;
        self.left = self.left.saturating_sub(u64::try_from(content.bytes.len()).unwrap_or(u64::MAX));
        self.age.note(&content.stamp);
        Ok(content)
    }

    fn items(&mut self, file: &Path, content: &Content, depth: usize) -> Vec<Item> {
        let lines = config::lines(&String::from_utf8_lossy(&content.bytes));
        let item = |(keyword, words): (String, Vec<String>)| {
            if keyword == "include" {
                words.iter().map(|word| self.included(file, word, depth + 1)).collect()
            } else {
                vec![Item::Line(keyword, words)]
            }
        };
        lines.into_iter().flat_map(item).collect()
    }

    /// The files of one pattern.
    fn included(&mut self, by: &Path, pattern: &str, depth: usize) -> Item {
        let is_system = by.starts_with("/etc/ssh");
        let below = match (pattern.strip_prefix("~/"), &self.home) {
            _ if pattern.contains(['$', '%']) || depth > MAX_DEPTH => None,
            (Some(rest), Some(home)) if !is_system => Some(home.join(rest)),
            (None, _) if pattern.starts_with('~') => None,
            (None, _) if is_system => Some(Path::new("/etc/ssh").join(pattern)),
            (None, Some(home)) => Some(home.join(".ssh").join(pattern)),
            _ => None,
        };
        let Some(pattern) = below else {
            return Item::Unread(if depth > MAX_DEPTH { Gap::Unusual } else { Gap::Usual });
        };
        let found = matched(self.view, &pattern);
        if let Some(why) = found.missed {
            return Item::Unread(Gap::of(&why));
        }
        found.folders.iter().for_each(|folder| self.age.note_at(self.view, folder));
        let mut files = Vec::new();
        for path in found.paths {
            // What is gone from a folder that fits has left its trace there.
            if let Some(top) = found.folders.first() {
                let folders = path.ancestors().skip(1).take_while(|it| it.starts_with(top));
                folders.for_each(|folder| self.age.note_at(self.view, folder));
            }
            match self.content(&path) {
                Ok(content) => files.push(self.items(&path, &content, depth)),
                Err(Unread::Absent) => {}
                Err(why) => return Item::Unread(Gap::of(&why)),
            }
        }
        Item::Included(files)
    }
}
