//! What `iptables-save -t nat` prints: iptables-save(8), iptables-extensions(8).

use std::collections::BTreeMap;
use std::net::IpAddr;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Redirect;
use ipnet::IpNet;

use super::condition::{Conditions, Target, addresses, addresses_of, ports};
use super::nft::MAX_REDIRECTS;

#[cfg(test)]
mod tests;

/// Rules looked at, each as often as a jump leads to it; more is blind.
const MAX_STEPS: usize = 256 * 1024;

/// Further than this no chain calls another one.
const MAX_DEPTH: usize = 64;

/// A rule's options, in order; an option that is negated has no value here.
type Options<'a> = Vec<(&'a str, Option<&'a str>)>;

/// What the rules of the table `nat` do to arriving connections. `program` goes before the text of
/// a rule: "iptables".
pub fn read(program: &str, saved: &str) -> Result<Vec<Redirect>, Blindness> {
    let mut chains: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    let mut in_nat = false;
    for saved_line in saved.lines() {
        match saved_line.strip_prefix('*') {
            Some(table) => in_nat = table.trim() == "nat",
            None if in_nat && saved_line.starts_with("-A ") => {
                let mut words = split(saved_line).into_iter().skip(1);
                if let Some(chain) = words.next() {
                    chains.entry(chain).or_default().push(words.collect());
                }
            }
            None => {}
        }
    }
    let mut walk = Walk { program, chains: &chains, redirects: Vec::new(), steps: 0 };
    walk.chain("PREROUTING", &Conditions::default(), 0)?;
    Ok(walk.redirects)
}

/// The words of a line: quotes keep spaces, a backslash keeps the character after it.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut begun, mut quoted) = (String::new(), false, false);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => (quoted, begun) = (!quoted, true),
            '\\' => word.extend(rest.next()),
            c if c.is_whitespace() && !quoted => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

struct Walk<'a> {
    program: &'a str,
    chains: &'a BTreeMap<String, Vec<Vec<String>>>,
    redirects: Vec<Redirect>,
    steps: usize,
}

impl Walk<'_> {
    fn chain(&mut self, name: &str, outer: &Conditions, depth: usize) -> Result<(), Blindness> {
        let Some(rules) = self.chains.get(name).filter(|_| depth <= MAX_DEPTH) else { return Ok(()) };
        for words in rules {
            self.steps += 1;
            if self.steps > MAX_STEPS || self.redirects.len() > MAX_REDIRECTS {
                return Err(Blindness::new(Cause::TooMuch, "the packet filter has too many rules to follow"));
            }
            let options = options(words);
            let Some(inner) = conditions(&options) else { continue };
            let conditions = outer.and(inner);
            let value =
                |names: &[&str]| -> Option<&str> { options.iter().find(|(name, _)| names.contains(name))?.1 };
            let targets = match value(&["-j", "--jump", "-g", "--goto"]) {
                Some("DNAT") => value(&["--to-destination"]).and_then(destination),
                Some("REDIRECT") => match value(&["--to-ports"]) {
                    Some(told) => ports(told).map(|ports| vec![Target { ip: None, ports: Some(ports) }]),
                    None => Some(vec![Target { ip: None, ports: None }]),
                },
                Some("NETMAP") => {
                    let network = value(&["--to"]).and_then(network).and_then(addresses_of);
                    network
                        .map(|ips| ips.into_iter().map(|ip| Target { ip: Some(ip), ports: None }).collect())
                }
                Some(chain) => {
                    self.chain(chain, &conditions, depth + 1)?;
                    continue;
                }
                None => continue,
            };
            let text = format!("{} -t nat -A {name} {}", self.program, words.join(" "));
            self.redirects.extend(conditions.redirects(targets, &text));
        }
        Ok(())
    }
}

/// Options with their values. `!` stands before an option that is negated.
fn options(words: &[String]) -> Options<'_> {
    let mut options: Options<'_> = Vec::new();
    let mut negated = false;
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        if word == "!" {
            negated = true;
        } else if word.starts_with('-') {
            // What a person wrote may look like anything.
            let is_prose = matches!(word, "--comment" | "--log-prefix" | "--nflog-prefix");
            let value = words.next_if(|next| is_prose || (!next.starts_with('-') && *next != "!"));
            options.push((word, value.filter(|_| !std::mem::take(&mut negated))));
        }
    }
    options
}

/// What the rule is for; none if it is not for TCP.
fn conditions(options: &Options<'_>) -> Option<Conditions> {
    let mut conditions = Conditions::default();
    for (name, value) in options {
        let Some(value) = *value else { continue };
        match *name {
            "-p" | "--protocol" if !matches!(value, "tcp" | "6" | "all" | "0") => return None,
            // `eth+` names many.
            "-i" | "--in-interface" if !value.ends_with('+') => conditions.on = vec![value.to_owned()],
            "-s" | "--source" => conditions.from = network(value).into_iter().collect(),
            "-d" | "--destination" => {
                conditions.at = network(value).and_then(addresses_of).unwrap_or_default();
            }
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" => {
                let all: Option<Vec<_>> = value.split(',').map(ports).collect();
                conditions.ports = all.unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(conditions)
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// `10.0.0.1`, `10.0.0.1-10.0.0.4:80-90`, `:80`, `10.0.0.1:8000-8010/8000`, `[2001:db8::5]:80`.
fn destination(text: &str) -> Option<Vec<Target>> {
    let (address, told) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        (address, rest.strip_prefix(':'))
    } else if text.matches(':').count() > 1 {
        (text, None)
    } else {
        text.split_once(':').map_or((text, None), |(address, told)| (address, Some(told)))
    };
    // After the slash: where the range begins that it is shifted from.
    let ports = match told {
        Some(told) => Some(ports(told.split('/').next()?)?),
        None => None,
    };
    if address.is_empty() {
        return Some(vec![Target { ip: None, ports }]);
    }
    let (first, last) = address.split_once('-').unwrap_or((address, address));
    let ips = addresses(first.parse().ok()?, last.parse().ok()?)?;
    Some(ips.into_iter().map(|ip| Target { ip: Some(ip), ports }).collect())
}
