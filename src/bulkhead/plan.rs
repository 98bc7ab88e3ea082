//! What puts a bulkhead up, step by step, as data.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use guardian_probes::command::Tool;
use guardian_rules::fact::{Manager, Product, Service};

use super::USER;
use super::attempt::{Attempt, Deed};
use super::ownership::Owner;
use super::present::{Present, session};
use crate::install::plan::line;
use crate::sys::paths::Paths;

/// What others have no business with in a home.
const OTHERS: u32 = 0o007;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The gateway's user is there.
    Account(Vec<Tool>),
    /// The folder is there, and the gateway's user's; what is in it in the end is `heir`'s.
    Folder { path: PathBuf, heir: Owner },
    /// The folder has these permissions.
    Mode { path: PathBuf, before: u32, after: u32 },
    /// The service does not run, and does not start by itself.
    Stop { service: Service, owner: Owner },
    /// The folder is there instead, and the gateway's user's.
    Move { from: PathBuf, to: PathBuf, owner: Owner },
    /// The file says this.
    Write { path: PathBuf, text: String },
    /// The service of the machine runs, and starts by itself.
    Start { name: String },
    /// The policy says this.
    Policy { path: PathBuf, before: String, after: String },
}

/// What a plan is made of besides what is there.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    /// What makes the user; nothing if it is there.
    pub(crate) account: Vec<Tool>,
    /// The files that describe the new service, and its name.
    pub(crate) files: Vec<(PathBuf, String)>,
    pub(crate) service: String,
    /// The policy file, and what it says, if there is one.
    pub(crate) policy: Option<(PathBuf, String)>,
}

/// Where the gateway's state will be.
pub(crate) fn new_state(present: &Present) -> PathBuf {
    let name = present.state.file_name().unwrap_or_default();
    present.new_home().join(name)
}

/// The variables by which the gateway finds its state.
pub(crate) fn variables(present: &Present) -> Vec<(String, String)> {
    let state = new_state(present);
    let config = |name: &str| state.join(name).display().to_string();
    let mut variables = vec![("HOME".to_owned(), present.new_home().display().to_string())];
    // Without a name the later ones are meant: they know the earlier ones' variables too.
    let (prefix, file) = match present.product {
        Some(Product::Clawdbot) => ("CLAWDBOT", "clawdbot.json"),
        Some(Product::Moltbot) => ("MOLTBOT", "moltbot.json"),
        Some(Product::Openclaw) | None => ("OPENCLAW", "openclaw.json"),
    };
    variables.push((format!("{prefix}_STATE_DIR"), state.display().to_string()));
    variables.push((format!("{prefix}_CONFIG_PATH"), config(file)));
    variables
}

/// The steps, in an order in which nothing of it is ever open to more people than before.
pub(crate) fn steps(present: &Present, ground: Ground) -> Vec<Step> {
    let Ground { account, files, service, policy } = ground;
    let mut steps = Vec::new();
    if !account.is_empty() {
        steps.push(Step::Account(account));
    }
    if present.home_mode & OTHERS != 0 {
        let (before, after) = (present.home_mode, present.home_mode & !OTHERS);
        steps.push(Step::Mode { path: present.home.clone(), before, after });
    }
    steps.push(Step::Stop { service: present.service.clone(), owner: present.owner });
    steps.push(Step::Folder { path: present.new_home(), heir: present.owner });
    steps.push(Step::Move { from: present.state.clone(), to: new_state(present), owner: present.owner });
    steps.extend(files.into_iter().map(|(path, text)| Step::Write { path, text }));
    if let Some((path, before)) = policy
        && let Some(after) = naming(&before)
    {
        steps.push(Step::Policy { path, before, after });
    }
    steps.push(Step::Start { name: service });
    steps
}

/// A policy that names the gateway's user; none if it names one already.
pub(crate) fn naming(policy: &str) -> Option<String> {
    let names = |line: &str| {
        line.trim_start().strip_prefix("user").is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    if policy.lines().any(names) {
        return None;
    }
    let line = format!("user = \"{USER}\"        # written by `guardian bulkhead apply`\n");
    let mut text = String::new();
    let mut done = false;
    for existing in policy.split_inclusive('\n') {
        text.push_str(existing);
        if !done && existing.trim() == "[gateway]" {
            if !existing.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&line);
            done = true;
        }
    }
    if !done {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let _ = write!(text, "\n[gateway]\n{line}");
    }
    Some(text)
}

/// What the gateway's user is to try once the bulkhead stands: all of it has to be refused.
pub(crate) fn attempts(
    secrets: &[PathBuf],
    homes: &[PathBuf],
    paths: &Paths,
    policy: Option<&Path>,
) -> Vec<Attempt> {
    let of = |deed, path: &Path| Attempt { deed, path: path.to_owned() };
    let mut attempts: Vec<Attempt> = homes.iter().map(|home| of(Deed::Read, home)).collect();
    attempts.extend(homes.iter().map(|home| of(Deed::Make, home)));
    attempts.extend(secrets.iter().map(|path| of(Deed::Read, path)));
    attempts.extend(policy.iter().map(|path| of(Deed::Change, path)));
    attempts.push(of(Deed::Make, &paths.state));
    for file in [paths.breaker(), paths.undo(), paths.lock()] {
        attempts.push(of(Deed::Change, &file));
    }
    attempts.push(of(Deed::Make, &paths.runtime));
    let engines = guardian_probes::gateway::secrets::ENGINES.iter().map(Path::new);
    attempts.extend(engines.map(|path| of(Deed::Connect, path)));
    attempts.retain(|it| it.deed == Deed::Make || it.path.symlink_metadata().is_ok());
    attempts
}

impl Step {
    /// What it does, for people: the file's text and the command's line included.
    pub(crate) fn told(&self) -> String {
        let mut told = self.headline();
        match self {
            Self::Account(commands) => {
                for tool in commands {
                    // Writing into a string cannot fail.
                    let _ = writeln!(told, "    $ {}", line(tool));
                }
            }
            Self::Write { text, .. } => {
                for text in text.lines() {
                    let _ = writeln!(told, "    | {text}");
                }
            }
            _ => {}
        }
        told
    }

    /// The first line of it.
    pub(crate) fn headline(&self) -> String {
        match self {
            Self::Account(_) => format!("make the user {USER}\n"),
            Self::Folder { path, .. } => format!("make {}\n", path.display()),
            Self::Mode { path, before, after } => {
                format!("close {} to other users: mode {before:04o} becomes {after:04o}\n", path.display())
            }
            Self::Stop { service, .. } => format!("stop {service}, and do not start it again\n"),
            Self::Move { from, to, .. } => {
                format!("move {} to {}, and give it to {USER}\n", from.display(), to.display())
            }
            Self::Write { path, .. } => format!("write {}\n", path.display()),
            Self::Start { name } => format!("start {name}, now and with the machine\n"),
            Self::Policy { path, .. } => format!("name {USER} in {} as the gateway's user\n", path.display()),
        }
    }
}

/// `systemctl` for a service's manager.
pub(crate) fn systemctl(service: &Service, owner: Owner, arguments: &[&str]) -> Tool {
    let within = std::time::Duration::from_mins(3);
    match (service.manager, session(service)) {
        (Manager::User(_), Some(session)) => {
            Tool::new("systemctl", ["--user", "--no-ask-password", "--no-pager"].iter().chain(arguments))
                .with("XDG_RUNTIME_DIR", session)
                .run_as(owner.uid, owner.gid)
                .within(within)
        }
        _ => system(arguments),
    }
}

/// `systemctl` for the machine's manager.
pub(crate) fn system(arguments: &[&str]) -> Tool {
    Tool::new("systemctl", ["--system", "--no-ask-password", "--no-pager"].iter().chain(arguments))
        .within(std::time::Duration::from_mins(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn present() -> Present {
        Present {
            pid: 812,
            product: Some(Product::Openclaw),
            name: "ana".to_owned(),
            owner: Owner { uid: 1000, gid: 1000 },
            home: "/home/ana".into(),
            home_mode: 0o755,
            state: "/home/ana/.openclaw".into(),
            service: Service { name: "openclaw-gateway.service".to_owned(), manager: Manager::User(1000) },
            within_reach: None,
        }
    }

    fn ground() -> Ground {
        Ground {
            account: Vec::new(),
            files: vec![("/etc/systemd/system/moltbot-gateway.service".into(), "[Unit]\n".to_owned())],
            service: "moltbot-gateway.service".to_owned(),
            policy: None,
        }
    }

    #[test]
    fn the_gateway_stops_before_its_state_moves_and_starts_last() {
        let steps = steps(&present(), ground());
        let at = |which: fn(&Step) -> bool| steps.iter().position(which).unwrap();
        let mode = at(|it| matches!(it, Step::Mode { before: 0o755, after: 0o750, .. }));
        let stop = at(|it| matches!(it, Step::Stop { .. }));
        let moved = at(|it| matches!(it, Step::Move { .. }));
        let start = at(|it| matches!(it, Step::Start { .. }));
        assert!(mode < stop && stop < moved && moved < start && start == steps.len() - 1, "{steps:#?}");
    }

    #[test]
    fn a_home_that_is_closed_stays_as_it_is() {
        let closed = Present { home_mode: 0o2750, ..present() };
        assert!(!steps(&closed, ground()).iter().any(|it| matches!(it, Step::Mode { .. })));
    }

    #[test]
    fn a_policy_names_the_user_and_says_what_it_said() {
        for (policy, ports) in [
            ("", vec![18789]),
            ("mode = \"observe\"", vec![18789]),
            ("[gateway]\nports = [20000]\n\n[gate]\nlisten = []\n", vec![20000]),
            ("[gateway]", vec![18789]),
        ] {
            let text = naming(policy).unwrap();
            let config = Config::of_text(Path::new("guardian.toml"), &text).unwrap();
            assert_eq!(config.settings.gateway.user.as_deref(), Some(USER), "{text}");
            assert_eq!(config.settings.gateway.ports, ports);
            assert_eq!(naming(&text), None, "it is named");
        }
    }

    #[test]
    fn a_plan_can_be_read() {
        let told: String = steps(&present(), ground()).iter().map(Step::told).collect();
        for words in [
            "close /home/ana to other users: mode 0755 becomes 0750",
            "stop openclaw-gateway.service of user 1000, and do not start it again",
            "and give it to _moltbot",
            "    | [Unit]",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
}
