//! Instructions in the arguments of forwarders and tunnels.
//!
//! What matters most are those that hold no listening socket here: `ssh -R` and the tunnels take
//! connections elsewhere, and while nobody uses them nothing else gives them away. What listens
//! here is judged by its answers as well.
//!
//! The other direction is none: `ssh -L`, `ssh -W`, `kubectl port-forward` and `cloudflared access`
//! carry from this host. `ssh -R PORT` alone is a proxy for every destination and names no port here;
//! forwardings in `ssh_config`, and tunnels that are set up elsewhere, are in no argument.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::routes::reverse;
use crate::routes::ssh::{self, forwarded_to};
use crate::routes::target::{Target, split};

/// An instruction to carry connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Where it takes them on this host; empty if elsewhere.
    pub listens: Vec<SocketAddr>,
    /// Where it carries them.
    pub target: Target,
    /// Itself, without anything that it does not need.
    pub text: String,
}

impl Instruction {
    pub(super) fn elsewhere(target: Target, text: String) -> Self {
        Self { listens: Vec::new(), target, text }
    }
}

/// The instructions in the arguments of a program, itself left out.
#[must_use]
pub fn instructions(program: &str, arguments: &[String]) -> Vec<Instruction> {
    match program {
        "ssh" | "autossh" | "dbclient" => ssh::instructions(program, arguments),
        "socat" => socat(arguments).into_iter().collect(),
        "chisel" => chisel(arguments),
        "caddy" => caddy(arguments),
        "frpc" => frpc(arguments),
        "wstunnel" | "gost" | "websocat" => {
            reverse::told(program, arguments).map(|told| told.instructions).unwrap_or_default()
        }
        _ => TUNNELS
            .iter()
            .filter(|tunnel| tunnel.programs.contains(&program))
            .flat_map(|tunnel| tunnel.instructions(program, arguments))
            .collect(),
    }
}

/// `socat TCP-LISTEN:8080,fork TCP:127.0.0.1:18789`, either way round.
fn socat(arguments: &[String]) -> Option<Instruction> {
    let mut last = arguments.iter().rev();
    let (second, first) = (last.next()?, last.next()?);
    let (listens, target, at) = match (address(first)?, address(second)?) {
        (Address::Connects(target), other) => (other.listens()?, target, first),
        (other, Address::Connects(target)) => (other.listens()?, target, second),
        _ => return None,
    };
    let text = match listens.first() {
        Some(listens) => format!("socat {listens} {at}"),
        None => format!("socat {at}"),
    };
    Some(Instruction { listens, target, text })
}

/// One end of a socat.
enum Address {
    Listens(Option<SocketAddr>),
    Connects(Target),
    /// Another network: TLS elsewhere, UDP, a proxy.
    Network,
    /// A terminal, a file, a program: the user at the keyboard.
    Local,
}

impl Address {
    /// Where it takes connections; none for what takes none from anybody.
    fn listens(self) -> Option<Vec<SocketAddr>> {
        match self {
            Self::Listens(at) => Some(at.into_iter().collect()),
            // Both ends connect: the first goes elsewhere and brings connections from there.
            Self::Connects(_) | Self::Network => Some(Vec::new()),
            Self::Local => None,
        }
    }
}

fn address(text: &str) -> Option<Address> {
    let (specification, options) = match text.split_once(',') {
        Some((specification, options)) => (specification, options),
        None => (text, ""),
    };
    let (keyword, value) = specification.split_once(':').unwrap_or((specification, ""));
    let keyword = keyword.to_ascii_uppercase();
    let v6 = keyword.starts_with("TCP6") || options.split(',').any(|option| option == "pf=ip6");
    let kind = keyword.replacen("TCP4", "TCP", 1).replacen("TCP6", "TCP", 1).replacen("SSL", "OPENSSL", 1);
    Some(match kind.replacen("OPENOPENSSL", "OPENSSL", 1).as_str() {
        "TCP-LISTEN" | "TCP-L" | "OPENSSL-LISTEN" | "OPENSSL-L" => {
            let port = value.parse().ok();
            let bind = options.split(',').find_map(|option| option.strip_prefix("bind="));
            let any: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
            let ip = bind.map_or(Some(any), |bind| bind.trim_matches(['[', ']']).parse().ok());
            Address::Listens(port.zip(ip).map(|(port, ip)| SocketAddr::new(ip, port)))
        }
        "TCP" | "TCP-CONNECT" | "OPENSSL" | "OPENSSL-CONNECT" => Address::Connects(Target::parse(value)?),
        "UDP" | "UDP4" | "UDP6" | "UDP-LISTEN" | "SOCKS4" | "SOCKS4A" | "SOCKS5" | "PROXY"
        | "VSOCK-CONNECT" | "VSOCK-LISTEN" | "WEBSOCKET" | "SCTP" | "SCTP-LISTEN" | "QUIC" => {
            Address::Network
        }
        _ => Address::Local,
    })
}

/// `chisel client SERVER R:8080:localhost:18789`.
fn chisel(arguments: &[String]) -> Vec<Instruction> {
    arguments
        .iter()
        .filter_map(|argument| {
            let specification = argument.strip_prefix("R:")?.trim_end_matches("/tcp");
            let target = forwarded_to(specification).or_else(|| {
                // `R:18789` and `R:host:port` carry to the port of the same number.
                let (host, port) = split(specification);
                match port {
                    Some(port) => Some(Target { host: host.to_owned(), port: port.parse().ok()? }),
                    None => Target::parse(host),
                }
            })?;
            Some(Instruction::elsewhere(target, format!("chisel {argument}")))
        })
        .collect()
}

/// `caddy reverse-proxy --from :8080 --to 127.0.0.1:18789`.
fn caddy(arguments: &[String]) -> Vec<Instruction> {
    if arguments.first().is_none_or(|first| first != "reverse-proxy") {
        return Vec::new();
    }
    let listens: Vec<SocketAddr> = values(arguments, &["--from", "-f"])
        .filter_map(crate::routes::caddy::site)
        .map(|port| (Ipv4Addr::UNSPECIFIED, port).into())
        .collect();
    values(arguments, &["--to", "-t"])
        .filter_map(|to| {
            let text = format!("caddy reverse-proxy --to {to}");
            Some(Instruction { listens: listens.clone(), target: Target::parse(to)?, text })
        })
        .collect()
}

/// `frpc tcp --local-port 18789`; without such a word it has a configuration file.
fn frpc(arguments: &[String]) -> Vec<Instruction> {
    const KINDS: [&str; 6] = ["tcp", "http", "https", "stcp", "xtcp", "tcpmux"];
    if arguments.first().is_none_or(|first| !KINDS.contains(&first.as_str())) {
        return Vec::new();
    }
    let ip = values(arguments, &["-i", "--local-ip", "--local_ip"]).next().unwrap_or("127.0.0.1");
    values(arguments, &["-l", "--local-port", "--local_port"])
        .filter_map(|port| {
            let target = Target { host: ip.to_owned(), port: port.parse().ok().filter(|port| *port > 0)? };
            Some(Instruction::elsewhere(target, format!("frpc --local-port {port}")))
        })
        .collect()
}

/// How a tunnel is told what to carry.
struct Tunnel {
    programs: &'static [&'static str],
    /// Words of which one must precede; none needed if empty.
    after: &'static [&'static str],
    /// Words that make it something else.
    unless: &'static [&'static str],
    /// Options whose value is a target; if there are none, any other argument may be one.
    options: &'static [&'static str],
}

const TUNNELS: &[Tunnel] = &[
    Tunnel { programs: &["cloudflared"], after: &[], unless: &["access"], options: &["--url"] },
    Tunnel { programs: &["ngrok"], after: &["http", "https", "tcp", "tls"], unless: &[], options: &[] },
    Tunnel { programs: &["lt", "localtunnel"], after: &[], unless: &[], options: &["-p", "--port"] },
    Tunnel { programs: &["tmole", "tunnelmole"], after: &[], unless: &[], options: &[] },
    Tunnel { programs: &["bore"], after: &["local"], unless: &[], options: &[] },
    Tunnel { programs: &["zrok"], after: &["share"], unless: &[], options: &[] },
    Tunnel { programs: &["loophole"], after: &["http"], unless: &[], options: &[] },
    Tunnel { programs: &["devtunnel"], after: &["host"], unless: &[], options: &["-p", "--port-numbers"] },
    Tunnel { programs: &["inlets"], after: &[], unless: &["server"], options: &["--upstream"] },
    Tunnel { programs: &["tunnelto"], after: &[], unless: &[], options: &["-p", "--port"] },
    Tunnel { programs: &["jprq", "portr"], after: &["http", "tcp"], unless: &[], options: &[] },
    Tunnel { programs: &["holesail"], after: &[], unless: &[], options: &["--live"] },
    Tunnel { programs: &["localxpose", "loclx"], after: &["tunnel"], unless: &[], options: &["--to"] },
];

impl Tunnel {
    fn instructions(&self, program: &str, arguments: &[String]) -> Vec<Instruction> {
        let begin = if self.after.is_empty() {
            0
        } else {
            match arguments.iter().position(|argument| self.after.contains(&argument.as_str())) {
                Some(word) => word + 1,
                None => return Vec::new(),
            }
        };
        if arguments.iter().any(|argument| self.unless.contains(&argument.as_str())) {
            return Vec::new();
        }
        let rest = arguments.get(begin..).unwrap_or_default();
        let told: Vec<&str> = if self.options.is_empty() {
            rest.iter().map(String::as_str).filter(|argument| !argument.starts_with('-')).collect()
        } else {
            values(rest, self.options).collect()
        };
        told.into_iter()
            .filter_map(|told| {
                let text = format!("{program} {}", told.rsplit_once('@').map_or(told, |(_, host)| host));
                Some(Instruction::elsewhere(Target::parse(told)?, text))
            })
            .collect()
    }
}

/// The values of an option: `--url X`, `--url=X`, `-pX`.
pub(crate) fn values<'a>(arguments: &'a [String], options: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    arguments.iter().enumerate().filter_map(move |(at, argument)| {
        options.iter().find_map(|option| {
            let rest = argument.strip_prefix(option)?;
            match rest.strip_prefix('=') {
                Some(value) => Some(value),
                None if rest.is_empty() => arguments.get(at + 1).map(String::as_str),
                None => (option.len() == 2).then_some(rest),
            }
        })
    })
}

#[cfg(test)]
mod tests;
