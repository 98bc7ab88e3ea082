//! What nginx and its kin are told to carry.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::file::{Links, View};
use crate::routes::Age;
use crate::routes::argument::Instruction;
use crate::routes::glob::{MAX_MATCHES, matching};
use crate::routes::nginx::syntax::{Directive, parse};
use crate::routes::target::{Target, split};

pub mod syntax;

/// Programs with this configuration.
pub const PROGRAMS: [&str; 4] = ["nginx", "openresty", "angie", "freenginx"];

/// Where packages put it.
const USUAL: [&str; 7] = [
    "/etc/nginx/nginx.conf",
    "/opt/homebrew/etc/nginx/nginx.conf",
    "/usr/local/etc/nginx/nginx.conf",
    "/usr/local/nginx/conf/nginx.conf",
    "/usr/local/openresty/nginx/conf/nginx.conf",
    "/etc/openresty/nginx.conf",
    "/etc/angie/angie.conf",
];

/// Folders to which a relative path may belong, as built into packages.
const PREFIXES: [&str; 5] =
    ["/usr/share/nginx", "/etc/nginx", "/usr/local/nginx", "/opt/homebrew", "/usr/local/openresty/nginx"];

const MAX_FILE: u64 = 1024 * 1024;
const MAX_TOTAL: u64 = 16 * MAX_FILE;
const MAX_FILES: usize = 256;
const MAX_INCLUDES: usize = 8;

/// Instructions found in all; a hostile configuration could multiply them.
const MAX_INSTRUCTIONS: usize = 4096;

/// What a configuration says.
#[derive(Debug, Default)]
pub struct Told {
    /// To carry to a host and a port.
    pub instructions: Vec<Instruction>,
    /// Ports at which it takes connections that may lead to what is not among the instructions: to a socket of a file, to
    /// an application, by a variable. None if it may be at any port, for something could not be read.
    pub astray: Option<BTreeSet<u16>>,
    /// Those of them that may lead to a host and a port which are not known. None if it may be at any port.
    pub vague: Option<BTreeSet<u16>>,
}

/// The instructions in the configuration of a running nginx, and the file in which it begins. None
/// if it cannot be found or read; what is wrong with an included file costs only that file.
#[must_use]
pub(crate) fn instructions(view: &View, argv: &[String], age: &mut Age) -> Option<(PathBuf, Told)> {
    let exists = |path: &Path| view.stamp(path).is_some();
    let arguments = arguments(argv);
    let main = main_file(&arguments, &exists)?;
    let mut reading =
        Reading { view, folder: main.parent()?.to_owned(), files: 0, left: MAX_TOTAL, missed: false, age };
    let tree = reading.file(&main, 0)?;
    // With `-g` whole blocks may stand among the arguments.
    reading.missed |= arguments.iter().any(|argument| argument.contains('{'));
    let Told { instructions, astray, vague } = interpret(&tree);
    let is_whole = |_: &BTreeSet<u16>| !reading.missed;
    Some((main, Told { instructions, astray: astray.filter(is_whole), vague: vague.filter(is_whole) }))
}

/// The arguments as given: the master process writes them into its title.
fn arguments(argv: &[String]) -> Vec<String> {
    match argv.first().and_then(|first| first.split_once("master process ")) {
        Some((_, line)) => line.split_whitespace().map(str::to_owned).collect(),
        None => argv.to_vec(),
    }
}

/// The file in which the configuration begins: `-c`, below `-p` if relative, else the usual one.
fn main_file(arguments: &[String], exists: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let value = |option: &str| {
        arguments.iter().enumerate().skip(1).find_map(|(at, argument)| {
            match argument.strip_prefix(option)? {
                "" => arguments.get(at + 1).cloned(),
                attached => Some(attached.to_owned()),
            }
        })
    };
    let prefix = value("-p").map(PathBuf::from);
    let below = |path: &str| -> Vec<PathBuf> {
        match &prefix {
            Some(prefix) => vec![prefix.join(path)],
            None => PREFIXES.iter().map(|prefix| Path::new(prefix).join(path)).collect(),
        }
    };
    let candidates: Vec<PathBuf> = match value("-c") {
        Some(path) if path.starts_with('/') => vec![path.into()],
        Some(path) => below(&path),
        None => prefix
            .iter()
            .map(|prefix| prefix.join("conf/nginx.conf"))
            .chain(USUAL.map(PathBuf::from))
            .collect(),
    };
    candidates.into_iter().find(|path| path.is_absolute() && exists(path))
}

/// Reads files and puts included ones in the place of their directive.
struct Reading<'a> {
    view: &'a View,
    folder: PathBuf,
    files: usize,
    left: u64,
    /// A file that is included was not read.
    missed: bool,
    age: &'a mut Age,
}

impl Reading<'_> {
    fn file(&mut self, path: &Path, depth: usize) -> Option<Vec<Directive>> {
        self.files += 1;
        if self.files > MAX_FILES || depth > MAX_INCLUDES {
            tracing::warn!(path = %path.display(), "too many files are included");
            return None;
        }
        let content = self
            .view
            .read(path, MAX_FILE.min(self.left), Links::Follow)
            .inspect_err(|why| tracing::info!(path = %path.display(), %why, "not read"))
            .ok()?;
        self.left = self.left.saturating_sub(u64::try_from(content.bytes.len()).unwrap_or(u64::MAX));
        self.age.note(&content.stamp);
        let directives = parse(&String::from_utf8_lossy(&content.bytes))
            .inspect_err(|why| tracing::info!(path = %path.display(), %why, "not understood"))
            .ok()?;
        Some(self.included(directives, depth))
    }

    fn included(&mut self, directives: Vec<Directive>, depth: usize) -> Vec<Directive> {
        let mut all = Vec::new();
        for mut directive in directives {
            match directive.arguments.first() {
                Some(pattern) if directive.name == "include" => {
                    let pattern = self.folder.join(pattern);
                    let paths = matching(self.view, &pattern);
                    // A file that is gone leaves its trace in its folder.
                    if let Some(folder) = pattern.parent().filter(|_| paths.as_slice() != [pattern.as_path()])
                    {
                        self.age.note_at(self.view, folder);
                    }
                    // There may be more than are told.
                    self.missed |= paths.len() >= MAX_MATCHES;
                    for path in paths {
                        let file = self.file(&path, depth + 1);
                        self.missed |= file.is_none();
                        all.extend(file.unwrap_or_default());
                    }
                }
                _ => {
                    directive.block = self.included(directive.block, depth);
                    all.push(directive);
                }
            }
        }
        all
    }
}

/// What a whole configuration says.
#[must_use]
pub fn interpret(tree: &[Directive]) -> Told {
    let mut told =
        Told { instructions: Vec::new(), astray: Some(BTreeSet::new()), vague: Some(BTreeSet::new()) };
    for section in tree.iter().filter(|directive| matches!(directive.name.as_str(), "http" | "stream")) {
        let upstreams = section
            .block
            .iter()
            .filter(|directive| directive.name == "upstream")
            .filter_map(|directive| Some((directive.arguments.first()?.as_str(), servers(directive))))
            .collect();
        let is_http = section.name == "http";
        for server in section.block.iter().filter(|directive| directive.name == "server") {
            let listens = listens(server, is_http, &mut told);
            let mut variables = HashMap::new();
            set(&section.block, &mut variables);
            let scope = Scope { upstreams: &upstreams, listens: &listens, is_http };
            scope.walk(&server.block, &variables, &mut told);
        }
    }
    told
}

/// Where a server takes connections.
fn listens(server: &Directive, is_http: bool, told: &mut Told) -> Vec<SocketAddr> {
    let directives = || server.block.iter().filter(|directive| directive.name == "listen");
    let first = |directive: &Directive| directive.arguments.first().cloned().unwrap_or_default();
    let mut listens: Vec<SocketAddr> = directives().filter_map(|it| listen(&first(it))).collect();
    if directives().any(|it| listen(&first(it)).is_none() && !first(it).starts_with("unix:")) {
        // A name, or many ports: what is said of this server is said of nobody knows which.
        told.astray = None;
    }
    if is_http && directives().next().is_none() {
        listens.push((Ipv4Addr::UNSPECIFIED, 80).into());
    }
    listens
}

/// The servers of an upstream.
#[derive(Clone, Default)]
struct Upstream {
    targets: Vec<Target>,
    /// There are others, or something else chooses.
    strays: bool,
    /// Of those, some may be hosts and ports.
    is_vague: bool,
}

/// `server HOST[:PORT] …` in an upstream.
fn servers(upstream: &Directive) -> Upstream {
    let mut found = Upstream::default();
    for directive in &upstream.block {
        match (directive.name.as_str(), directive.arguments.first()) {
            ("server", Some(told)) => {
                if let Some(target) = authority(told, 80) {
                    found.targets.push(target);
                } else {
                    found.strays = true;
                    found.is_vague |= !told.starts_with("unix:");
                }
            }
            (name, _) => {
                found.strays |= strays(name);
                found.is_vague |= strays(name);
            }
        }
    }
    found
}

/// Whether a directive leads to what is no host and port: an application, a script.
fn strays(name: &str) -> bool {
    name == "pass"
        || name.ends_with("_pass")
        || name.contains("_by_lua")
        || name.starts_with("js_")
        || name == "perl"
}

/// Variables that are set to a plain text or to other such variables.
fn set(block: &[Directive], variables: &mut HashMap<String, String>) {
    for directive in block.iter().filter(|directive| directive.name == "set") {
        if let [name, value] = directive.arguments.as_slice()
            && let Some(name) = name.strip_prefix('$')
        {
            match substituted(value, variables) {
                Some(value) => variables.insert(name.to_owned(), value),
                None => variables.remove(name),
            };
        }
    }
}

struct Scope<'a> {
    upstreams: &'a HashMap<&'a str, Upstream>,
    listens: &'a [SocketAddr],
    is_http: bool,
}

impl Scope<'_> {
    fn walk(&self, block: &[Directive], outer: &HashMap<String, String>, told: &mut Told) {
        let mut variables = outer.clone();
        set(block, &mut variables);
        for directive in block {
            if told.instructions.len() >= MAX_INSTRUCTIONS {
                (told.astray, told.vague) = (None, None);
                return;
            }
            match (directive.name.as_str(), directive.arguments.first()) {
                ("proxy_pass" | "grpc_pass", Some(to)) => {
                    let upstream = substituted(to, &variables).map_or_else(
                        || Upstream { is_vague: true, ..Upstream::default() },
                        |to| self.upstream(&to),
                    );
                    if let Some(vague) = told.vague.as_mut().filter(|_| upstream.is_vague) {
                        vague.extend(self.listens.iter().map(SocketAddr::port));
                    }
                    // A variable may be another one by the time that somebody comes.
                    if upstream.strays || upstream.targets.is_empty() || to.contains('$') {
                        self.stray(told);
                    }
                    for target in upstream.targets {
                        let text = format!("{} {to}", directive.name);
                        told.instructions.push(Instruction { listens: self.listens.to_vec(), target, text });
                    }
                    if told.instructions.len() > MAX_INSTRUCTIONS {
                        told.instructions.truncate(MAX_INSTRUCTIONS);
                        (told.astray, told.vague) = (None, None);
                    }
                }
                (name, _) => {
                    if strays(name) {
                        self.stray(told);
                    }
                    self.walk(&directive.block, &variables, told);
                }
            }
        }
    }

    /// What is taken here leads nobody knows where.
    fn stray(&self, told: &mut Told) {
        if let Some(astray) = &mut told.astray {
            astray.extend(self.listens.iter().map(SocketAddr::port));
        }
    }

    fn upstream(&self, told: &str) -> Upstream {
        let (scheme, rest) = match told.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, told),
        };
        if self.is_http && scheme.is_none() {
            return Upstream::default();
        }
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let usual = if matches!(scheme, Some("https" | "grpcs")) { 443 } else { 80 };
        self.upstreams.get(host).cloned().unwrap_or_else(|| {
            let targets: Vec<Target> = authority(host, usual).into_iter().collect();
            let is_vague = targets.is_empty() && !host.starts_with("unix:");
            Upstream { targets, strays: false, is_vague }
        })
    }
}

/// `HOST[:PORT]`; sockets of files are none.
fn authority(text: &str, usual: u16) -> Option<Target> {
    if text.starts_with("unix:") || text.is_empty() {
        return None;
    }
    let (host, port) = split(text);
    let port = port.map_or(Some(usual), |port| port.parse().ok())?;
    Some(Target { host: host.to_owned(), port })
}

/// `80`, `127.0.0.1:80`, `127.0.0.1`, `*:80`, `[::]:80`, `[::1]`.
fn listen(text: &str) -> Option<SocketAddr> {
    if let Ok(port) = text.parse::<u16>() {
        return Some((Ipv4Addr::UNSPECIFIED, port).into());
    }
    let (host, port) = split(text);
    let port = port.map_or(Some(80), |port| port.parse().ok())?;
    let ip: IpAddr = match host {
        "*" => Ipv4Addr::UNSPECIFIED.into(),
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        "::" => Ipv6Addr::UNSPECIFIED.into(),
        other => other.parse().ok()?,
    };
    Some(SocketAddr::new(ip, port))
}

/// The text with its variables replaced; none if one of them is not known.
fn substituted(text: &str, variables: &HashMap<String, String>) -> Option<String> {
    /// A text that grows beyond this is no address.
    const MAX_LENGTH: usize = 1024;
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('$') {
        whole.push_str(before);
        let end = from.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(from.len());
        let (name, after) = match from.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => from.split_at(end),
        };
        match variables.get(name) {
            Some(value) => whole.push_str(value),
            // What follows a whole address is the path of the request.
            None if has_address(&whole) => whole.push('/'),
            None => return None,
        }
        if whole.len() > MAX_LENGTH {
            return None;
        }
        rest = after;
    }
    whole.push_str(rest);
    Some(whole)
}

fn has_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| !rest.is_empty() && !rest.ends_with(['.', ':', '-']))
}

#[cfg(test)]
mod tests;
