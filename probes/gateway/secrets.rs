//! Which of people's secrets a process can read, by owner and permission bits as the process sees the
//! file system.
//!
//! Access control lists and security modules are not asked: they may allow less, and an ACL more.

use std::collections::{BTreeSet, HashMap};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::{Process, Secret};

use crate::file::View;

/// Homes that are looked into.
pub const MAX_HOMES: usize = 32;

/// In a home: where secrets usually lie, and what they are.
pub const IN_HOMES: &[(&str, &str)] = &[
    (".ssh", "SSH keys"),
    (".gnupg", "GnuPG keys"),
    (".aws", "keys of Amazon's cloud"),
    (".azure", "keys of Microsoft's cloud"),
    (".config/gcloud", "keys of Google's cloud"),
    (".kube", "keys of clusters"),
    (".docker/config.json", "keys of registries"),
    (".netrc", "passwords"),
    (".git-credentials", "passwords of repositories"),
    (".config/gh", "keys of GitHub"),
    (".config/rclone", "keys of remote storage"),
    (".npmrc", "keys of registries"),
    (".pypirc", "keys of registries"),
    (".password-store", "passwords"),
    (".local/share/keyrings", "the keyring"),
    (".mozilla", "Firefox: sessions and passwords"),
    (".config/google-chrome", "Chrome: sessions and passwords"),
    (".config/chromium", "Chromium: sessions and passwords"),
    (".config/BraveSoftware", "Brave: sessions and passwords"),
    (".bash_history", "what was typed"),
    (".zsh_history", "what was typed"),
    ("Library/Keychains", "the keychain"),
    ("Library/Application Support/Google/Chrome", "Chrome: sessions and passwords"),
    ("Library/Application Support/Firefox", "Firefox: sessions and passwords"),
    ("Library/Application Support/BraveSoftware", "Brave: sessions and passwords"),
    ("Library/Safari", "Safari: history and sessions"),
    ("Library/Mail", "mail"),
    ("Library/Messages", "messages"),
];

/// Sockets by which one becomes root.
pub const ENGINES: &[&str] = &["/run/docker.sock", "/run/podman/podman.sock", "/private/var/run/docker.sock"];

/// Who a process is to the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Its user.
    pub uid: u32,
    /// Its groups.
    pub groups: BTreeSet<u32>,
}

impl Person {
    /// Whether it has these permissions (4 read, 2 write, 1 search) of a file. Who owns it is judged by
    /// the owner's alone (POSIX.1, "File Access Permissions").
    fn has(&self, metadata: &Metadata, wanted: u32) -> bool {
        let class = if metadata.uid() == self.uid {
            6
        } else if self.groups.contains(&metadata.gid()) {
            3
        } else {
            0
        };
        self.uid == 0 || (metadata.mode() >> class) & wanted == wanted
    }

    /// Whether it gets to a file and has these permissions of it; none if there is no such file.
    fn reaches(&self, view: &View, path: &Path, wanted: u32) -> Result<bool, Blindness> {
        let mut way: Vec<&Path> = path.ancestors().collect();
        way.reverse();
        for step in &way {
            let metadata = match view.metadata(step) {
                Ok(metadata) => metadata,
                Err(none) if matches!(none.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Ok(false);
                }
                Err(refused) => return Err(Blindness::denied(format!("{}: {refused}", step.display()))),
            };
            // To this process something else lies there.
            if metadata.is_symlink() {
                return Ok(false);
            }
            let wanted = if *step == path { wanted } else { 1 };
            if !self.has(&metadata, wanted) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What processes reach: looked for now and then, for it seldom changes.
#[derive(Debug, Default)]
pub(super) struct Reached(HashMap<(u32, u64), Looked>);

#[derive(Debug)]
struct Looked {
    at: Instant,
    found: Result<Vec<Secret>, Blindness>,
}

/// As long as it is not looked for again.
const LASTS: Duration = Duration::from_mins(1);

impl Reached {
    /// What a process of this user, whose home is there, reaches of its own and of others.
    pub(super) fn by(
        &mut self,
        process: &Process,
        uid: u32,
        home: Option<PathBuf>,
        view: &View,
    ) -> Result<Vec<Secret>, Blindness> {
        self.0.retain(|_, looked| looked.at.elapsed() < LASTS);
        let key = (process.pid, process.started);
        if let Some(looked) = self.0.get(&key) {
            return looked.found.clone();
        }
        let person = Person { uid, groups: platform::groups(process.pid) };
        let mut homes = homes_here();
        homes.extend(home.filter(|home| home != Path::new("/") && !homes.contains(home)));
        let found = of(view, &person, &homes);
        self.0.insert(key, Looked { at: Instant::now(), found: found.clone() });
        found
    }
}

/// The homes of this host's people, a few dozen at most.
#[must_use]
pub fn homes_here() -> Vec<PathBuf> {
    platform::homes()
}

/// The secrets in these homes, and the engines of this host, that a process reaches.
pub fn of(view: &View, person: &Person, homes: &[PathBuf]) -> Result<Vec<Secret>, Blindness> {
    let mut found = Vec::new();
    let in_homes = homes
        .iter()
        .take(MAX_HOMES)
        .flat_map(|home| IN_HOMES.iter().map(move |(name, what)| (home.join(name), *what, 4)));
    let engines = ENGINES.iter().map(|path| (PathBuf::from(path), "a container engine: root", 2));
    for (path, what, wanted) in in_homes.chain(engines) {
        // People keep such things behind links; what this host's links lead to is what is judged.
        let real = match std::fs::canonicalize(&path) {
            Ok(real) => real,
            Err(none) if matches!(none.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(_) => path.clone(),
        };
        if person.reaches(view, &real, wanted)? {
            found.push(Secret { path, what: what.to_owned() });
        }
    }
    Ok(found)
}

/// The homes of people in passwd(5): users from 1000 on, as login.defs(5) has them.
#[must_use]
pub fn homes(passwd: &str) -> Vec<PathBuf> {
    let of = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let uid: u32 = fields.get(2)?.parse().ok()?;
        let home = PathBuf::from(fields.get(5)?);
        ((1000..60_000).contains(&uid) && home.is_absolute() && home != Path::new("/")).then_some(home)
    };
    let homes: BTreeSet<PathBuf> = passwd.lines().filter_map(of).collect();
    homes.into_iter().take(MAX_HOMES).collect()
}

#[cfg(target_os = "linux")]
mod platform {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use crate::gateway::procfs;
    use crate::listeners::passwd;

    pub(super) fn groups(pid: u32) -> BTreeSet<u32> {
        procfs::read(pid, "status").map(|status| procfs::groups(&status)).unwrap_or_default()
    }

    pub(super) fn homes() -> Vec<PathBuf> {
        super::homes(&passwd::read())
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    /// Every person of a Mac is in `staff`; which other groups a process is in, launchd decides.
    pub(super) fn groups(_: u32) -> BTreeSet<u32> {
        BTreeSet::from([20])
    }

    /// A Mac keeps its people out of passwd(5), and their homes in one place.
    pub(super) fn homes() -> Vec<PathBuf> {
        let entries = std::fs::read_dir("/Users").into_iter().flatten().take(super::MAX_HOMES).flatten();
        let homes = entries.map(|entry| entry.path());
        homes
            .filter(|home| home.file_name().is_some_and(|name| name != "Shared" && name != "Guest"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A home with keys, and those who do not own it: `tempfile` makes folders for their owner alone.
    fn home() -> (tempfile::TempDir, PathBuf, Person) {
        let top = tempfile::tempdir().unwrap();
        mode(top.path(), 0o755);
        // Where temporary files lie behind a link, as on a Mac.
        let home = fs::canonicalize(top.path()).unwrap().join("ana");
        fs::create_dir_all(home.join(".ssh")).unwrap();
        fs::write(home.join(".npmrc"), "").unwrap();
        mode(&home, 0o755);
        mode(&home.join(".ssh"), 0o700);
        mode(&home.join(".npmrc"), 0o644);
        (top, home, Person { uid: 4_000_000, groups: BTreeSet::new() })
    }

    fn found(person: &Person, home: &Path) -> Vec<PathBuf> {
        let all = of(&View::own().unwrap(), person, &[home.to_owned()]).unwrap();
        let in_home = all.into_iter().map(|it| it.path).filter(|it| it.starts_with(home));
        in_home.collect()
    }

    #[test]
    fn another_user_reaches_what_the_permissions_give_away() {
        let (_top, home, stranger) = home();
        assert_eq!(found(&stranger, &home), [home.join(".npmrc")]);
        mode(&home, 0o750);
        assert_eq!(found(&stranger, &home), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_group_counts_and_the_owner_is_judged_as_the_owner() {
        let (_top, home, stranger) = home();
        let metadata = fs::metadata(&home).unwrap();
        mode(&home, 0o750);
        let member = Person { groups: BTreeSet::from([metadata.gid()]), ..stranger };
        assert_eq!(found(&member, &home), [home.join(".npmrc")]);
        if metadata.uid() != 0 {
            let owner = Person { uid: metadata.uid(), groups: BTreeSet::new() };
            assert_eq!(found(&owner, &home), [home.join(".ssh"), home.join(".npmrc")]);
            mode(&home.join(".npmrc"), 0o044);
            assert_eq!(found(&owner, &home), [home.join(".ssh")]);
        }
    }

    #[test]
    fn root_reaches_everything_and_what_links_lead_to() {
        let (_top, home, _) = home();
        std::os::unix::fs::symlink("/nonexistent", home.join(".netrc")).unwrap();
        fs::rename(home.join(".ssh"), home.join("keys")).unwrap();
        std::os::unix::fs::symlink("keys", home.join(".ssh")).unwrap();
        let root = Person { uid: 0, groups: BTreeSet::new() };
        assert_eq!(found(&root, &home), [home.join(".ssh"), home.join(".npmrc")]);
    }

    #[test]
    fn people_have_homes_and_services_do_not() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/bash\n\
                      _openclaw:x:998:998::/var/lib/openclaw:/bin/false\nbroken\nb:x:1001\n\
                      c:x:1002:1002::relative:/bin/sh\nd:x:1003:1003::/:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n";
        assert_eq!(homes(passwd), [PathBuf::from("/home/ana")]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_borne(text in ".{0,300}") {
            let _ = homes(&text);
        }
    }
}
