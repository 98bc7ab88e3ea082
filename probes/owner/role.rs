//! What a program is for, judged by the names it goes by.
//!
//! The executable is what the kernel knows. The short name, the arguments and a script's name are
//! what the process chose to show. So any of them may accuse, and only the executable excuses:
//! a runtime that calls itself `redis-server` is a runtime.

use std::path::Path;

use guardian_rules::fact::{Product, Role};

use crate::owner::names::{ROLES, Sign, file_name, without_extension};

/// A process as it shows itself.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The kernel's short name.
    pub name: &'a str,
    /// The executable, if it could be read.
    pub exe: Option<&'a Path>,
    /// The arguments, if they could be read.
    pub argv: &'a [String],
    /// Holds a listening socket.
    pub listens: bool,
}

/// A program that could carry somebody else's connection to a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay<'a> {
    /// What it is for.
    pub role: Role,
    /// The name that tells, as the table spells it.
    pub name: String,
    /// Its arguments, without itself and its interpreter.
    pub arguments: &'a [String],
}

/// What the program is for.
///
/// A bare title (`openclaw`) is a gateway's if a runtime bears it and holds a listening socket:
/// 2026.6.11 has no other title. The command line, which bears it too, listens only for the moments
/// of a login, and on loopback; to take it for a gateway then harms less than to miss one. The
/// desktop app has an executable of its own and stays a client.
#[must_use]
pub fn role(shown: &Shown<'_>) -> Role {
    let roles = &*ROLES;
    let exe = shown.exe.and_then(file_name);
    let by_exe = exe.as_deref().and_then(|exe| roles.of(exe));
    if let Some(relay) = relay(shown) {
        return relay.role;
    }
    let sign = title(shown).or_else(|| script(shown));
    let may_serve = exe.is_none() || by_exe == Some(Role::Runtime);
    match (by_exe, sign) {
        (Some(Role::Runtime) | None, Some(sign)) if sign.gateway || (shown.listens && may_serve) => {
            Role::Gateway
        }
        (Some(Role::Runtime) | None, Some(_)) => Role::Client,
        (Some(role), _) => role,
        (None, None) if exe.is_none() => roles.of(shown.name).unwrap_or(Role::Unknown),
        (None, None) => Role::Unknown,
    }
}

/// What the process relays with, if any of its names is a relay's: the executable, the short name,
/// the first argument (where daemons write "nginx: master process"), or the script that its
/// interpreter runs.
#[must_use]
pub fn relay<'a>(shown: &Shown<'a>) -> Option<Relay<'a>> {
    let roles = &*ROLES;
    let exe = shown.exe.and_then(file_name);
    let first = shown.argv.first().and_then(|first| first.split([':', ' ']).next());
    let shown_program = first.and_then(|first| file_name(Path::new(first)));
    let relays = |name: String| {
        let (role, name) = roles.find(&name).filter(|(role, _)| role.relays())?;
        Some((role, name.to_owned()))
    };
    let after = |at: usize| shown.argv.get(at + 1..).unwrap_or_default();
    let named = [exe.clone(), Some(shown.name.to_owned()), shown_program];
    if let Some((role, name)) = named.into_iter().flatten().find_map(relays) {
        return Some(Relay { role, name, arguments: after(0) });
    }
    let program = exe.unwrap_or_else(|| shown.name.to_owned());
    if let Some(role) = roles.told(&program, after(0)) {
        return Some(Relay { role, name: program, arguments: after(0) });
    }
    if !roles.interprets(&program) {
        return None;
    }
    let (at, script) = script_argument(shown.argv)?;
    let script = file_name(Path::new(script))?;
    let (role, name) = relays(without_extension(&script).to_owned())?;
    Some(Relay { role, name, arguments: after(at) })
}

/// Whether a role that was told by names alone, because the executable could not be read, may
/// stand: it accuses, or the process belongs to the system. Anyone else could have chosen its name.
#[must_use]
pub fn stands_without_executable(role: Role, uid: Option<u32>) -> bool {
    const FIRST_PERSON: u32 = if cfg!(target_os = "macos") { 500 } else { 1000 };
    match role {
        Role::Session | Role::Browser | Role::OtherService => uid.is_some_and(|uid| uid < FIRST_PERSON),
        _ => true,
    }
}

/// The product's title, if the process bears one: as its short name or as its first argument,
/// which is all that remains of the arguments once a title is set.
#[must_use]
pub fn title(shown: &Shown<'_>) -> Option<Sign> {
    let exe = shown.exe.and_then(file_name);
    let shown_title = shown.argv.first().map(|first| first.trim());
    [Some(shown.name), shown_title, exe.as_deref()]
        .into_iter()
        .flatten()
        .filter_map(|title| ROLES.sign(title))
        .max_by_key(|sign| sign.gateway)
}

/// The product's entry script, if the arguments name it.
#[must_use]
pub fn script(shown: &Shown<'_>) -> Option<Sign> {
    let (at, script) = script_argument(shown.argv)?;
    let product = ROLES.entry_script(script)?;
    let mut told = shown.argv.iter().skip(at + 1).skip_while(|argument| *argument != "gateway");
    let gateway =
        told.next().is_some() && told.next().is_none_or(|next| next == "run" || next.starts_with('-'));
    Some(Sign { product, gateway })
}

/// Whether the executable is a JavaScript runtime. Where it cannot be read, the short name tells.
#[must_use]
pub fn is_runtime(shown: &Shown<'_>) -> bool {
    let exe = shown.exe.and_then(file_name);
    ROLES.of(exe.as_deref().unwrap_or(shown.name)) == Some(Role::Runtime)
}

/// The product after which a service is named: `openclaw-gateway-work.service`.
#[must_use]
pub fn product_of_service(unit: &str) -> Option<Product> {
    ROLES.product_of_service(unit)
}

/// The product after which a job of launchd is named: `ai.openclaw.gateway`, `ai.openclaw.work`.
#[must_use]
pub fn product_of_label(label: &str) -> Option<Product> {
    ROLES.product_of_label(label)
}

/// Whether a supervisor may start a gateway by way of a program with this short name: a shell, a
/// JavaScript runtime, or what fetches packages for one.
#[must_use]
pub fn may_wrap(name: &str) -> bool {
    const FETCH: [&str; 4] = ["npm", "npx", "pnpm", "yarn"];
    const SHELLS: [&str; 5] = ["sh", "bash", "dash", "zsh", "ash"];
    let first = name.split(' ').next().unwrap_or_default();
    SHELLS.contains(&name) || FETCH.contains(&first) || ROLES.of(name) == Some(Role::Runtime)
}

/// Whether a relay may go by this short name, or run under it: a process worth a closer look.
#[must_use]
pub fn may_relay(name: &str) -> bool {
    ROLES.of(name).is_some_and(Role::relays) || ROLES.interprets(name) || ROLES.can_be_told(name)
}

/// The script that an interpreter is told to run, and where it stands: the first argument that is
/// neither an option nor an option's value.
fn script_argument(argv: &[String]) -> Option<(usize, &str)> {
    const OPTIONS_WITH_VALUE: [&str; 6] =
        ["-r", "--require", "--import", "--loader", "--experimental-loader", "--env-file"];
    let mut is_value = false;
    argv.iter().enumerate().skip(1).find_map(|(at, argument)| {
        let script = !is_value && !argument.starts_with('-');
        is_value = OPTIONS_WITH_VALUE.contains(&argument.as_str());
        script.then_some((at, argument.as_str()))
    })
}

#[cfg(test)]
mod tests;
