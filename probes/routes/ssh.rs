//! What an ssh is told to carry from here: `-R` and `-o RemoteForward=…` among its arguments, `RemoteForward` in the
//! files that it reads (ssh(1), `ssh_config(5)`).
//!
//! `-R PORT` alone carries whoever comes in wherever he wants on this host: there is a tunnel, and nobody can tell what it
//! publishes. The other direction (`-L`, `-W`, `-D`) publishes nothing.

use crate::routes::Understood;
use crate::routes::argument::Instruction;
use crate::routes::ssh::config::Gap;
use crate::routes::target::Target;

pub mod config;
mod files;

pub(super) use files::configured;

/// Options that take a value: ssh(1), autossh(1), dbclient(1).
const SSH: &str = "BbcDEeFIiJLlmOoPpQRSWw";
const AUTOSSH: &str = "BbcDEeFIiJLlMmOoPpQRSWw";
const DBCLIENT: &str = "BbcIiJKLlmopRW";

/// Programs that read the files of `ssh_config(5)`, themselves or by the ssh that they start with the same arguments.
pub const READERS: [&str; 2] = ["ssh", "autossh"];

/// Options that take a value, for a program of this kind.
fn with_value(program: &str) -> Option<&'static str> {
    match program {
        "ssh" => Some(SSH),
        "autossh" => Some(AUTOSSH),
        "dbclient" => Some(DBCLIENT),
        _ => None,
    }
}

/// What the arguments say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// Whom it connects to, as typed, without user and port.
    pub host: Option<String>,
    /// `-F`: the one file to read.
    pub file: Option<String>,
    /// The forwards, as `-R` spells them.
    pub forwards: Vec<String>,
    /// Whether it is told to forget all forwards, if it is told.
    pub clears: Option<bool>,
    /// It carries what comes to its own input (`-W`), and no more unless told so.
    pub is_pipe: bool,
    /// It is told that the host may have another name by which files are read again.
    pub renames: bool,
}

impl CommandLine {
    /// Reads the arguments of a program of this kind; none if it is none.
    #[must_use]
    pub fn read(program: &str, arguments: &[String]) -> Option<Self> {
        let with_value = with_value(program)?;
        let mut read = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(options) = argument.strip_prefix('-').filter(|options| !options.is_empty()) else {
                // Options may follow the host; what follows those is a command for the other side.
                if read.host.is_some() {
                    break;
                }
                read.host = Some(host(argument));
                continue;
            };
            if options == "-" {
                if read.host.is_none() {
                    read.host = rest.next().map(|argument| host(argument));
                }
                break;
            }
            let found = options.char_indices().find(|(_, option)| with_value.contains(*option));
            let Some((at, option)) = found else { continue };
            let attached = options.get(at + option.len_utf8()..).unwrap_or_default();
            let value = if attached.is_empty() { rest.next().map(String::as_str) } else { Some(attached) };
            read.option(option, value.unwrap_or_default());
        }
        // dbclient calls other things so, and forgets none.
        if !READERS.contains(&program) {
            (read.is_pipe, read.clears) = (false, None);
        }
        Some(read)
    }

    fn option(&mut self, option: char, value: &str) {
        match option {
            'R' => self.forwards.push(value.to_owned()),
            'F' => self.file = Some(value.to_owned()),
            'W' => self.is_pipe = true,
            'o' => {
                let Some((keyword, words)) = config::line(value) else { return };
                match (keyword.as_str(), words.as_slice()) {
                    ("remoteforward", words) => self.forwards.push(words.join(":")),
                    ("clearallforwardings", [value, ..]) => {
                        self.clears.get_or_insert(config::is_yes(value));
                    }
                    ("canonicalizehostname", [value, ..]) => self.renames |= !config::is_no(value),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Whether it forgets all forwards, wherever they stand; `configured` is what its files say of that.
    fn forgets(&self, configured: Option<bool>) -> bool {
        self.clears.or(configured).unwrap_or(self.is_pipe)
    }
}

/// `ana@host`, `ssh://ana@host:22`.
fn host(argument: &str) -> String {
    let (is_address, rest) = match argument.strip_prefix("ssh://") {
        Some(rest) => (true, rest),
        None => (false, argument),
    };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if is_address {
        crate::routes::target::split(host.trim_end_matches('/')).0.to_owned()
    } else {
        host.to_owned()
    }
}

/// Where a forward carries to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forward {
    /// A host and a port.
    To(Target),
    /// A socket of a file.
    File,
    /// Wherever who comes in wants, or where it is not understood.
    Anywhere,
}

/// `[bind:]port:host:port`, `[bind:]port`, `port:/run/x.sock`.
#[must_use]
pub fn forward(specification: &str) -> Forward {
    if let Some(target) = forwarded_to(specification) {
        return Forward::To(target);
    }
    let is_file =
        specification.rsplit_once(':').is_some_and(|(listen, to)| !listen.is_empty() && to.starts_with('/'));
    if is_file { Forward::File } else { Forward::Anywhere }
}

/// The end of `[bind:]port:host:port`. Sockets of files, and a port alone, name no port here.
pub(super) fn forwarded_to(specification: &str) -> Option<Target> {
    let (front, port) = specification.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let (listen, host) = match front.strip_suffix(']') {
        Some(front) => front.rsplit_once(":[").or_else(|| front.rsplit_once("/["))?,
        None => front.rsplit_once(':')?,
    };
    // Only `bind:port` is left, and that is a proxy for every destination.
    (!listen.is_empty() && port > 0).then(|| Target { host: host.to_owned(), port })
}

/// The instructions in the arguments.
pub(super) fn instructions(program: &str, arguments: &[String]) -> Vec<Instruction> {
    let Some(read) = CommandLine::read(program, arguments) else { return Vec::new() };
    // What its files say of that is not known here.
    if read.forgets(None) {
        return Vec::new();
    }
    let told = read.forwards.iter().filter_map(|specification| match forward(specification) {
        Forward::To(target) => Some(Instruction::elsewhere(target, format!("{program} -R {specification}"))),
        Forward::File | Forward::Anywhere => None,
    });
    told.collect()
}

/// What arguments and files say together, of the files alone as instructions: those of the arguments are told already, but
/// for those that only the files keep from being forgotten.
#[must_use]
pub fn together(read: &CommandLine, found: &config::Found) -> Understood {
    if read.forgets(found.clears) {
        // What the arguments say counts, whatever may stand in a file.
        let whole = read.clears.is_some() || found.unclear.is_none();
        return Understood { instructions: Vec::new(), whole };
    }
    let mut told = Understood { instructions: Vec::new(), whole: found.unclear.is_none() };
    let kept = read.forwards.iter().filter(|_| read.forgets(None)).map(|it| ("-R", it));
    for (word, specification) in found.forwards.iter().map(|it| ("RemoteForward", it)).chain(kept) {
        match forward(specification) {
            Forward::To(target) => {
                let text = format!("{word} {specification}");
                told.instructions.push(Instruction::elsewhere(target, text));
            }
            Forward::File => {}
            Forward::Anywhere => told.whole = false,
        }
    }
    told.whole &= !read.forwards.iter().any(|it| forward(it) == Forward::Anywhere);
    told
}

/// Whether no more is unknown than of many an ssh, of which few forward anything.
#[must_use]
pub fn is_seldom(read: &CommandLine, found: &config::Found) -> bool {
    let leads_anywhere = found.forwards.iter().any(|it| forward(it) == Forward::Anywhere);
    found.unclear == Some(Gap::Usual) && read.forwards.is_empty() && !leads_anywhere
}

#[cfg(test)]
mod tests;
