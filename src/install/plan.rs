//! What an installation does, step by step, as data.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::account;
use super::manifest::Manifest;
use super::site::{Manager, Scope, Site};
use super::unit::{self, Unit};
use crate::config::GATE_USER;
use guardian_probes::command::Tool;

/// One thing to do. All of them can be done again without harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The gate's user is there.
    Account { commands: Vec<Tool> },
    /// The program is there, the same as the running one.
    Program { from: PathBuf, to: PathBuf },
    /// The folder is there; `for_gate` gives it to the gate's user.
    Folder { path: PathBuf, for_gate: bool },
    /// The file is there and says this; with `kept` one that is there already says what it said.
    File { path: PathBuf, text: String, kept: bool },
    /// What an earlier Guardian left for its gate belongs to the gate's user.
    GateFiles,
    /// A command.
    Command { tool: Tool, may_fail: bool },
    /// The gate's user is not there.
    RemoveAccount { commands: Vec<Tool> },
    /// The program is not there, and is not known to be of an installation's any more.
    RemoveProgram { path: PathBuf },
    /// The file is not there.
    Remove { path: PathBuf },
    /// The folder is not there, if nothing is in it.
    RemoveEmpty { path: PathBuf },
    /// The folder and what is in it are not there.
    RemoveAll { path: PathBuf },
}

impl Step {
    /// A command that has to succeed.
    pub(crate) fn run(tool: Tool) -> Self {
        Self::Command { tool, may_fail: false }
    }

    /// What it does, for people: the file's text and the command's line included.
    pub(crate) fn told(&self) -> String {
        let mut told = String::new();
        // Writing into a string cannot fail.
        let _ = match self {
            Self::Account { commands } => {
                let _ = writeln!(told, "make the gate's user");
                commands.iter().try_for_each(|tool| writeln!(told, "    $ {}", line(tool)))
            }
            Self::RemoveAccount { commands } => {
                let _ = writeln!(told, "remove the gate's user");
                commands.iter().try_for_each(|tool| writeln!(told, "    $ {}", line(tool)))
            }
            Self::Program { to, .. } => writeln!(told, "copy this program to {}", to.display()),
            Self::GateFiles => writeln!(told, "give the gate's folder to the gate's user"),
            Self::Folder { path, .. } => writeln!(told, "make {}", path.display()),
            Self::File { path, text, kept } => {
                let unless = if *kept { ", unless there is one" } else { "" };
                let _ = writeln!(told, "write {}{unless}", path.display());
                text.lines().try_for_each(|line| writeln!(told, "    | {line}"))
            }
            Self::Command { tool, .. } => writeln!(told, "run\n    $ {}", line(tool)),
            Self::RemoveProgram { path } | Self::Remove { path } => {
                writeln!(told, "remove {}", path.display())
            }
            Self::RemoveEmpty { path } => writeln!(told, "remove {}, if it is empty", path.display()),
            Self::RemoveAll { path } => writeln!(told, "remove {} and all that is in it", path.display()),
        };
        told
    }
}

/// A command as one would type it.
pub(crate) fn line(tool: &Tool) -> String {
    let word = |word: &std::ffi::OsStr| {
        let word = word.to_string_lossy();
        if word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c)) && !word.is_empty() {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    let variables = tool.environment.iter().map(|(name, value)| format!("{}={}", word(name), word(value)));
    let words = std::iter::once(&tool.program).chain(&tool.arguments).map(|it| word(it));
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

/// What installs Guardian: the files first, what runs last.
pub(crate) fn install(site: &Site, account: Vec<Tool>, policy: String) -> Vec<Step> {
    // What is added is written down in there.
    let mut steps = vec![Step::Folder { path: site.paths.state.clone(), for_gate: false }];
    if !account.is_empty() {
        steps.push(Step::Account { commands: account });
    }
    if let Some(from) = &site.copied_from {
        steps.push(Step::Program { from: from.clone(), to: site.program.clone() });
    }
    if site.manager == Manager::Launchd {
        steps.push(Step::Folder { path: site.logs(), for_gate: false });
        if site.scope == Scope::Machine {
            steps.push(Step::Folder { path: site.logs().join("gate"), for_gate: true });
        }
    }
    steps.push(Step::File { path: site.policy.clone(), text: policy, kept: true });
    steps.extend(Unit::ALL.map(|unit| Step::File {
        path: unit.file(site),
        text: unit.text(site),
        kept: false,
    }));
    steps.push(Step::GateFiles);
    steps.extend(unit::reload(site));
    steps.extend(Unit::ALL.into_iter().flat_map(|unit| unit.start(site)));
    steps
}

/// The copy of an earlier installation, which nothing runs once the services run a package's program; typed by
/// its name alone it would come before that one.
pub(crate) fn superseded(site: &Site, manifest: &Manifest) -> Option<Step> {
    let copy = manifest.program.as_ref().filter(|it| **it == site.own_place() && **it != site.program)?;
    Some(Step::RemoveProgram { path: copy.clone() })
}

/// What takes it away before its barriers are lowered: nobody must raise them again.
pub(crate) fn stop(site: &Site) -> Vec<Step> {
    Unit::ALL.into_iter().rev().flat_map(|unit| unit.stop(site)).collect()
}

/// What takes it away after that. State, policy and the gate's user stay, unless all has to go.
pub(crate) fn remove(site: &Site, manifest: &Manifest, purge: bool) -> Vec<Step> {
    let mut steps: Vec<Step> =
        Unit::ALL.into_iter().map(|unit| Step::Remove { path: unit.file(site) }).collect();
    if site.manager == Manager::Systemd {
        steps.extend(unit::reload(site));
    }
    if let Some(program) = manifest.program.as_ref().filter(|it| **it == site.own_place()) {
        steps.push(Step::RemoveProgram { path: program.clone() });
    }
    steps.push(Step::RemoveAll { path: site.paths.runtime.clone() });
    if purge {
        steps.push(Step::Remove { path: site.policy.clone() });
        if site.manager == Manager::Launchd {
            steps.push(Step::RemoveAll { path: site.logs() });
        }
        if manifest.account {
            steps.push(Step::RemoveAccount { commands: account::unmake(site.manager, GATE_USER) });
        }
        // Last, for it knows what else there is.
        steps.push(Step::RemoveAll { path: site.paths.state.clone() });
    }
    steps.extend(manifest.folders.iter().rev().map(|path| Step::RemoveEmpty { path: path.clone() }));
    steps
}

#[cfg(test)]
mod tests;
