//! Carries steps out.

use std::fs::{self, DirBuilder};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::User;

use super::InstallError;
use super::manifest::Manifest;
use super::plan::{Step, line};
use super::site::{Scope, Site};
use crate::config::GATE_USER;
use crate::sys::durable;
use crate::sys::trusted::{self, TrustError};
use guardian_probes::command::{CommandError, Tool};

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
    manifest: Manifest,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Became {
    Done,
    AlreadySo,
}

impl Became {
    fn so(done: bool) -> Self {
        if done { Self::Done } else { Self::AlreadySo }
    }
}

impl<'a> Installer<'a> {
    pub(crate) fn new(site: &'a Site) -> Self {
        Self { site, manifest: Manifest::read(&site.paths) }
    }

    /// What was added, now and earlier.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Does one step.
    pub(crate) async fn apply(&mut self, step: &Step) -> Result<Became, InstallError> {
        match step {
            Step::Account { commands } => self.account(commands).await,
            Step::RemoveAccount { commands } => self.remove_account(commands).await,
            Step::Program { from, to } => self.program(from, to),
            Step::Folder { path, for_gate } => self.folder(path, *for_gate),
            Step::GateFiles => {
                self.site.paths.hand_over_gate()?;
                Ok(Became::AlreadySo)
            }
            Step::File { path, text, kept } => self.file(path, text.as_bytes(), *kept),
            Step::Command { tool, may_fail } => match run(tool).await {
                Err(cause) if !may_fail => Err(InstallError::Command { line: line(tool), cause }),
                _ => Ok(Became::Done),
            },
            Step::RemoveProgram { path } => {
                let removed = remove(path)?;
                self.manifest.program = None;
                self.note()?;
                Ok(removed)
            }
            Step::Remove { path } => remove(path),
            Step::RemoveEmpty { path } => match fs::remove_dir(path) {
                Ok(()) => Ok(Became::Done),
                Err(kept)
                    if matches!(kept.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) =>
                {
                    Ok(Became::AlreadySo)
                }
                Err(cause) => Err(InstallError::Folder { path: path.clone(), cause }),
            },
            Step::RemoveAll { path } => match fs::remove_dir_all(path) {
                Ok(()) => Ok(Became::Done),
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(Became::AlreadySo),
                Err(cause) => Err(InstallError::Folder { path: path.clone(), cause }),
            },
        }
    }

    /// Writes down what was added, as soon as there is a place for it.
    fn note(&self) -> Result<(), InstallError> {
        if self.site.paths.state.exists() { self.manifest.write(&self.site.paths) } else { Ok(()) }
    }

    async fn account(&mut self, commands: &[Tool]) -> Result<Became, InstallError> {
        if gates_user().is_some() {
            return Ok(Became::AlreadySo);
        }
        // Written down first: half a user is to be taken away too.
        self.manifest.account = true;
        self.note()?;
        self.all(commands).await?;
        Ok(Became::Done)
    }

    async fn remove_account(&mut self, commands: &[Tool]) -> Result<Became, InstallError> {
        if gates_user().is_none() {
            return Ok(Became::AlreadySo);
        }
        self.all(commands).await?;
        self.manifest.account = false;
        self.note()?;
        Ok(Became::Done)
    }

    async fn all(&self, commands: &[Tool]) -> Result<(), InstallError> {
        for tool in commands {
            run(tool).await.map_err(|cause| InstallError::Command { line: line(tool), cause })?;
        }
        Ok(())
    }

    fn program(&mut self, from: &Path, to: &Path) -> Result<Became, InstallError> {
        self.parents(to)?;
        self.manifest.program = Some(to.to_owned());
        self.note()?;
        let bytes = fs::read(from).map_err(InstallError::Program)?;
        let same = says(to, &bytes);
        if !same {
            durable::replace(to, &bytes, PROGRAM)?;
        }
        self.trusts(to)?;
        Ok(Became::so(!same))
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
        // That there is an installation is known even where nothing had to be added for it.
        if *path == self.site.paths.state && !self.site.paths.manifest().exists() {
            self.note()?;
        }
        if for_gate && let Some(user) = gates_user() {
            std::os::unix::fs::lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .map_err(|cause| InstallError::Folder { path: path.to_owned(), cause })?;
        }
        Ok(Became::so(made))
    }

    fn parents(&mut self, path: &Path) -> Result<(), InstallError> {
        path.parent().map_or(Ok(()), |parent| self.make(parent).map(drop))
    }

    /// Makes a folder and those above it, and remembers which. One that somebody else could change is
    /// nothing to put root's files into.
    fn make(&mut self, path: &Path) -> Result<bool, InstallError> {
        let there = fs::metadata(path).is_ok_and(|it| it.is_dir());
        if !there {
            self.parents(path)?;
            DirBuilder::new()
                .mode(FOLDER)
                .create(path)
                .map_err(|cause| InstallError::Folder { path: path.to_owned(), cause })?;
            if !self.manifest.folders.iter().any(|known| known == path) {
                self.manifest.folders.push(path.to_owned());
            }
            self.note()?;
        }
        self.trusts(path)?;
        Ok(!there)
    }

    /// On the whole machine's behalf only what root alone can change is relied on.
    fn trusts(&self, path: &Path) -> Result<(), InstallError> {
        if self.site.scope == Scope::User || self.is_gates(path) {
            return Ok(());
        }
        trust(path)
    }

    fn is_gates(&self, path: &Path) -> bool {
        path == self.site.logs().join("gate")
    }
}

/// Removes a file that may not be there. Where nothing can be removed, as on a disk that is read only, there may
/// be nothing to remove either.
fn remove(path: &Path) -> Result<Became, InstallError> {
    if fs::symlink_metadata(path).is_err_and(|none| none.kind() == io::ErrorKind::NotFound) {
        return Ok(Became::AlreadySo);
    }
    durable::remove(path)?;
    Ok(Became::Done)
}

fn gates_user() -> Option<User> {
    User::from_name(GATE_USER).ok().flatten()
}

/// Whether a file is a plain one that says exactly this.
fn says(path: &Path, bytes: &[u8]) -> bool {
    let plain = fs::symlink_metadata(path).is_ok_and(|it| it.is_file() && it.len() == bytes.len() as u64);
    let mut there = Vec::new();
    plain && fs::File::open(path).is_ok_and(|mut file| file.read_to_end(&mut there).is_ok()) && there == bytes
}

/// Whether nobody but root, or whoever runs this, can change a file or folder, wherever its links lead,
/// or any folder on the way to it.
pub(crate) fn trust(path: &Path) -> Result<(), InstallError> {
    let untrusted = |cause| InstallError::Untrusted { path: path.to_owned(), cause };
    let unreadable = |it: &Path, cause| TrustError::Unreadable { path: it.display().to_string(), cause };
    let real = fs::canonicalize(path).map_err(|cause| untrusted(unreadable(path, cause)))?;
    real.ancestors().try_for_each(|it| {
        let metadata = fs::metadata(it).map_err(|cause| untrusted(unreadable(it, cause)))?;
        trusted::judge(it, &metadata).map_err(untrusted)
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
