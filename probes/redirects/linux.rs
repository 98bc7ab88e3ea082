//! Reads the rules of nftables and iptables.

use std::fs;
use std::io;
use std::path::Path;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Redirect;

use super::condition::Conditions;
use super::{generation, iptables, nft};
use crate::command::{CommandError, OUTPUT, Tool};
use crate::probe::blocking;

/// Rules that change while they are read are read again, this often.
const ATTEMPTS: u32 = 3;

/// Sets and maps whose elements are asked for; more is blind.
const MAX_SETS: usize = 64;

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Filter(Option<Read>);

#[derive(Debug)]
struct Read {
    generation: u32,
    redirects: Vec<Redirect>,
}

impl Filter {
    /// What the rules do to arriving connections.
    pub(super) async fn redirects(&mut self) -> Result<Vec<Redirect>, Blindness> {
        let (mut redirects, legacy) = (self.of_nftables().await?, of_legacy_iptables().await?);
        redirects.extend(legacy);
        Ok(redirects)
    }

    async fn of_nftables(&mut self) -> Result<Vec<Redirect>, Blindness> {
        let mut attempt = 1;
        loop {
            let before = match blocking(|| Ok(generation::now())).await? {
                Ok(generation) => generation,
                Err(why) if is_absent(&why) => return Ok(Vec::new()),
                Err(why) => return Err(of_io(&why, "the kernel does not tell whether rules have changed")),
            };
            if generation::is_untouched(before) {
                return Ok(Vec::new());
            }
            if let Some(read) = self.0.as_ref().filter(|read| read.generation == before) {
                return Ok(read.redirects.clone());
            }
            self.0 = None;
            let (redirects, is_dynamic) = read().await?;
            let after = blocking(|| Ok(generation::now().ok())).await?;
            if after == Some(before) {
                if !is_dynamic {
                    self.0 = Some(Read { generation: before, redirects: redirects.clone() });
                }
                return Ok(redirects);
            }
            if attempt == ATTEMPTS {
                let often =
                    format!("the packet filter's rules changed {ATTEMPTS} times while they were read");
                return Err(Blindness::new(Cause::Interrupted, often));
            }
            attempt += 1;
        }
    }
}

/// The kernel has no nftables.
fn is_absent(why: &io::Error) -> bool {
    use nix::errno::Errno;
    let absent = [Errno::EPROTONOSUPPORT, Errno::EAFNOSUPPORT, Errno::EOPNOTSUPP, Errno::EINVAL];
    let number = why.raw_os_error();
    absent.iter().any(|it| number == Some(*it as i32)) && !fs::exists("/sys/module/nf_tables").unwrap_or(true)
}

/// Reads the rules, and whether they may change without being counted.
async fn read() -> Result<(Vec<Redirect>, bool), Blindness> {
    let mut rules = nft::Ruleset::default();
    // Sets may have a hundred thousand elements: they are listed where they matter only.
    rules.add(&printed(&Tool::new("nft", ["-j", "-s", "-t", "list", "ruleset"])).await?)?;
    let wanted = rules.read()?.wanted;
    if wanted.len() > MAX_SETS {
        let many = format!("the packet filter's redirects depend on more than {MAX_SETS} sets");
        return Err(Blindness::new(Cause::TooMuch, many));
    }
    for set in wanted {
        let (family, table, name) = &set;
        let list = |kind| Tool::new("nft", ["-j", "-s", "list", kind, family, table, name]);
        let listed = match printed(&list("map")).await {
            Ok(listed) => Ok(listed),
            Err(_) => printed(&list("set")).await,
        };
        // A set that is too large to be read narrows nothing, and a map is not understood.
        match listed {
            Ok(listed) => {
                rules.add(&listed)?;
                rules.is_listed(set);
            }
            Err(why) => tracing::info!(%why, name, "a set of the packet filter cannot be read"),
        }
    }
    let mut reading = rules.read()?;
    for family in &reading.by_iptables {
        let program = if family == "ip6" { "ip6tables" } else { "iptables" };
        reading.redirects.extend(of_iptables(program, Kind::OnNftables).await?);
    }
    Ok((reading.redirects, rules.is_dynamic))
}

/// The two kinds of iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    OnNftables,
    Legacy,
}

/// What iptables shows of its table `nat`. Where there are rules that it does not show, they are
/// not understood.
async fn of_iptables(program: &str, kind: Kind) -> Result<Vec<Redirect>, Blindness> {
    match saved(program, kind).await {
        Ok(saved) => iptables::read(program, &saved),
        Err(why) => {
            let text = format!("{program} -t nat: what the kernel has of it cannot be shown ({why})");
            Ok(Conditions::default().redirects(None, &text))
        }
    }
}

/// The older kind of iptables has tables of its own. To ask for one makes the kernel load it, so
/// the kernel is asked first which it has.
async fn of_legacy_iptables() -> Result<Vec<Redirect>, Blindness> {
    let mut redirects = Vec::new();
    for (program, names) in
        [("iptables", "/proc/net/ip_tables_names"), ("ip6tables", "/proc/net/ip6_tables_names")]
    {
        let tables = match fs::read_to_string(names) {
            Ok(tables) => tables,
            Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
            Err(why) => return Err(of_io(&why, names)),
        };
        if tables.lines().any(|table| table == "nat") {
            redirects.extend(of_iptables(program, Kind::Legacy).await?);
        }
    }
    Ok(redirects)
}

/// The rules as the program of this kind prints them: under its own name, or under the common one
/// if that is of this kind.
async fn saved(program: &str, kind: Kind) -> Result<String, Blindness> {
    let variant = if kind == Kind::OnNftables { "nft" } else { "legacy" };
    match printed(&Tool::new(format!("{program}-{variant}-save"), ["-t", "nat"])).await {
        Err(why) if why.cause == Cause::ToolMissing => {}
        other => return other,
    }
    // "iptables v1.8.9 (nf_tables)"; before 1.8 there was but the older kind.
    let version = printed(&Tool::new(program, ["--version"])).await?;
    if version.contains("nf_tables") != (kind == Kind::OnNftables) {
        return Err(Blindness::new(
            Cause::ToolMissing,
            format!("{program} is not of the kind that made the rules"),
        ));
    }
    printed(&Tool::new(format!("{program}-save"), ["-t", "nat"])).await
}

async fn printed(tool: &Tool) -> Result<String, Blindness> {
    let printed = tool.run().await.map_err(|why| of_command(&why))?;
    if printed.stdout.len() as u64 >= OUTPUT {
        return Err(Blindness::new(Cause::TooMuch, "the packet filter has more rules than can be read"));
    }
    Ok(printed.stdout)
}

fn of_command(why: &CommandError) -> Blindness {
    let cause = match why {
        CommandError::Missing(_) => Cause::ToolMissing,
        CommandError::TimedOut { .. } => Cause::TimedOut,
        CommandError::Failed { said, .. } if said.contains("not permitted") || said.contains("denied") => {
            Cause::Denied
        }
        CommandError::Unusable { .. } | CommandError::Failed { .. } => Cause::Interrupted,
    };
    Blindness::new(cause, why.to_string())
}

fn of_io(why: &io::Error, what: &str) -> Blindness {
    let cause = match why.kind() {
        io::ErrorKind::PermissionDenied => Cause::Denied,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Cause::TimedOut,
        _ => Cause::Interrupted,
    };
    Blindness::new(cause, format!("{what}: {why}"))
}

/// Who stands for every interface in the kernel's settings, those to come, and loopback itself.
const NO_CARDS: [&str; 3] = ["all", "default", "lo"];

/// The interfaces that take packets of others for 127/8, by the kernel's settings: `all` and `default` among them.
/// Everybody may read that; where it cannot be read, all are taken to.
#[expect(clippy::unnecessary_wraps, reason = "macOS has no such switch")]
pub(super) fn taking_loopback() -> Option<Vec<String>> {
    Some(taking_loopback_in(Path::new("/proc/sys/net/ipv4/conf")))
}

fn taking_loopback_in(settings: &Path) -> Vec<String> {
    let Ok(interfaces) = fs::read_dir(settings) else { return vec!["all".to_owned()] };
    let is_set = |interface: &fs::DirEntry| match fs::read_to_string(interface.path().join("route_localnet"))
    {
        Ok(value) => value.trim() != "0",
        // It has just gone.
        Err(why) => why.kind() != io::ErrorKind::NotFound,
    };
    let name = |interface: &fs::DirEntry| interface.file_name().to_string_lossy().into_owned();
    let all: Vec<(String, bool)> =
        interfaces.flatten().map(|interface| (name(&interface), is_set(&interface))).collect();
    // What is set for all is set for each.
    let every = all.iter().any(|(name, set)| name == "all" && *set);
    let taking = |(name, set): &(String, bool)| *set || (every && !NO_CARDS.contains(&name.as_str()));
    let mut names: Vec<String> = all.into_iter().filter(taking).map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

/// Those of them that have a wire.
pub(super) fn cards(taking: &[String]) -> impl Iterator<Item = &String> {
    taking.iter().filter(|name| !NO_CARDS.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(of: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in of {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("route_localnet"), format!("{value}\n")).unwrap();
        }
        folder
    }

    #[test]
    fn the_cards_that_take_what_is_sent_to_loopback_are_told_by_name() {
        let taking = |of: &[(&str, &str)]| {
            let taking = taking_loopback_in(settings(of).path());
            let cards = cards(&taking).cloned().collect::<Vec<_>>();
            (taking, cards)
        };
        let none = [("all", "0"), ("default", "0"), ("eth0", "0"), ("lo", "0")];
        assert_eq!(taking(&none), (Vec::new(), Vec::new()));
        let one = [("all", "0"), ("eth0", "0"), ("podman0", "1")];
        assert_eq!(taking(&one).1, ["podman0"]);
        let every = [("all", "1"), ("default", "0"), ("eth0", "0"), ("lo", "0"), ("wlan0", "0")];
        assert_eq!(taking(&every).1, ["eth0", "wlan0"], "loopback is no card");
        assert_eq!(taking_loopback_in(Path::new("/nowhere")), ["all"], "what cannot be read");
    }
}
