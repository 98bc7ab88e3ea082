//! Carries steps out.

use std::fs::{self, DirBuilder};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::User;

use super::InstallError;
use super::account;
use super::manifest::{Manifest, Written};
use super::plan::{Step, When, line};
use super::site::{Scope, Site};
use crate::config::GATE_USER;
use crate::sys::command::{CommandError, Tool};
use crate::sys::durable;
use crate::sys::trusted::{self, TrustError};

/// What can be read and passed through by all, for it holds no secret.
const FILE: u32 = 0o644;
const PROGRAM: u32 = 0o755;
const FOLDER: u32 = 0o755;
/// launchd has not let go yet of a job that was taken from it (`launchctl error 5`: input/output error).
const BUSY: i32 = 5;
/// It has the job (`launchctl error 37`: operation already in progress).
const LOADED: i32 = 37;
const LET_GO: Duration = Duration::from_secs(40);

/// Steps on their way.
#[derive(Debug)]
pub(crate) struct Installer<'a> {
    site: &'a Site,
    /// What was added, now and earlier.
    pub(crate) manifest: Manifest,
    /// Something was changed.
    changed: bool,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Became {
    Done,
    AlreadySo,
}

impl<'a> Installer<'a> {
    pub(crate) fn new(site: &'a Site) -> Self {
        Self { site, manifest: Manifest::read(&site.paths), changed: false }
    }

    /// Does one step.
    pub(crate) async fn apply(&mut self, step: &Step) -> Result<Became, InstallError> {
        let became = match step {
            Step::Account { commands } => self.account(commands).await?,
            Step::Program { from, to } => self.program(from, to)?,
            Step::Folder { path, for_gate } => self.folder(path, *for_gate)?,
            Step::File { path, text, kept } => self.file(path, text.as_bytes(), *kept)?,
            Step::Command { tool, when, may_fail } => {
                let due = match when {
                    When::Always => true,
                    When::Changed => self.changed,
                    When::Unchanged => !self.changed,
                };
                if due {
                    match run(tool).await {
                        Err(cause) if !may_fail => {
                            return Err(InstallError::Command { line: line(tool), cause });
                        }
                        _ => {}
                    }
                }
                // Whether it changed anything only the command knows.
                return Ok(if due { Became::Done } else { Became::AlreadySo });
            }
            Step::Remove { path } => {
                let there = fs::symlink_metadata(path).is_ok();
                durable::remove(path)?;
                if there { Became::Done } else { Became::AlreadySo }
            }
            Step::RemoveEmpty { path } => match fs::remove_dir(path) {
                Ok(()) => Became::Done,
                Err(kept)
                    if matches!(kept.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) =>
                {
                    Became::AlreadySo
                }
                Err(cause) => return Err(InstallError::Folder { path: path.clone(), cause }),
            },
            Step::RemoveAll { path } => match fs::remove_dir_all(path) {
                Ok(()) => Became::Done,
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => Became::AlreadySo,
                Err(cause) => return Err(InstallError::Folder { path: path.clone(), cause }),
            },
        };
        self.changed |= became == Became::Done;
        Ok(became)
    }

    async fn account(&mut self, commands: &[Tool]) -> Result<Became, InstallError> {
        if User::from_name(GATE_USER).ok().flatten().is_some() {
            return Ok(Became::AlreadySo);
        }
        // Written down first: half a user is to be taken away too.
        self.manifest.account = Some(account::unmake(self.site.manager).iter().map(Written::of).collect());
        for tool in commands {
            run(tool).await.map_err(|cause| InstallError::Command { line: line(tool), cause })?;
        }
        Ok(Became::Done)
    }

    fn program(&mut self, from: &Path, to: &Path) -> Result<Became, InstallError> {
        self.parents(to)?;
        let bytes = fs::read(from).map_err(InstallError::Program)?;
        if !says(to, &bytes) {
            durable::replace(to, &bytes, PROGRAM)?;
            self.changed = true;
        }
        if self.site.scope == Scope::Machine {
            trust(to).map_err(|cause| InstallError::Untrusted { path: to.to_owned(), cause })?;
        }
        let known = self.manifest.program.replace(to.to_owned());
        Ok(if known.is_some() && !self.changed { Became::AlreadySo } else { Became::Done })
    }

    fn file(&mut self, path: &Path, bytes: &[u8], kept: bool) -> Result<Became, InstallError> {
        self.parents(path)?;
        if says(path, bytes) || (kept && fs::symlink_metadata(path).is_ok()) {
            return Ok(Became::AlreadySo);
        }
        durable::replace(path, bytes, FILE)?;
        Ok(Became::Done)
    }

    fn folder(&mut self, path: &Path, for_gate: bool) -> Result<Became, InstallError> {
        let made = self.make(path)?;
        if for_gate && let Some(user) = User::from_name(GATE_USER).ok().flatten() {
            std::os::unix::fs::lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .map_err(|cause| InstallError::Folder { path: path.to_owned(), cause })?;
        }
        Ok(if made { Became::Done } else { Became::AlreadySo })
    }

    fn parents(&mut self, path: &Path) -> Result<(), InstallError> {
        path.parent().map_or(Ok(()), |parent| self.make(parent).map(drop))
    }

    /// Makes a folder and those above it, and remembers which.
    fn make(&mut self, path: &Path) -> Result<bool, InstallError> {
        if fs::metadata(path).is_ok_and(|it| it.is_dir()) {
            return Ok(false);
        }
        self.parents(path)?;
        match DirBuilder::new().mode(FOLDER).create(path) {
            Ok(()) => {}
            Err(cause) => return Err(InstallError::Folder { path: path.to_owned(), cause }),
        }
        if !self.manifest.folders.iter().any(|known| known == path) {
            self.manifest.folders.push(path.to_owned());
        }
        Ok(true)
    }
}

/// Whether a file is a plain one that says exactly this.
fn says(path: &Path, bytes: &[u8]) -> bool {
    let plain = fs::symlink_metadata(path).is_ok_and(|it| it.is_file() && it.len() == bytes.len() as u64);
    let mut there = Vec::new();
    plain && fs::File::open(path).is_ok_and(|mut file| file.read_to_end(&mut there).is_ok()) && there == bytes
}

/// Whether nobody but root can change a program, or any folder on the way to it.
fn trust(path: &Path) -> Result<(), TrustError> {
    path.ancestors().filter(|it| !it.as_os_str().is_empty()).try_for_each(|it| {
        let metadata = fs::metadata(it)
            .map_err(|cause| TrustError::Unreadable { path: it.display().to_string(), cause })?;
        trusted::judge(it, &metadata)
    })
}

/// Runs a command; a job that launchd still holds is asked for again, and one that it has is there.
async fn run(tool: &Tool) -> Result<(), CommandError> {
    let begun = Instant::now();
    loop {
        let bootstraps = tool.arguments.first().is_some_and(|first| first == "bootstrap");
        match tool.run().await {
            Err(failed) if bootstraps && failed.code() == Some(LOADED) => return Ok(()),
            Err(failed) if bootstraps && failed.code() == Some(BUSY) && begun.elapsed() < LET_GO => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            other => return other.map(drop),
        }
    }
}

#[cfg(test)]
mod tests;
