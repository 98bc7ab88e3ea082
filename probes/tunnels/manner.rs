//! How a program tells what it publishes, and whom it serves.

use guardian_rules::fact::{Role, TunnelKind};

use crate::routes::argument::instructions;
use crate::routes::reverse;
use crate::routes::ssh::{CommandLine, Forward, forward};

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// tailscaled's `LocalAPI`.
    Tailscale,
    /// The API of ngrok's agent.
    Ngrok,
    /// cloudflared's metrics server.
    Cloudflared,
    /// Nobody: its arguments and its configuration tell, or nothing does.
    Mute,
}

/// How a program is to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// Who is asked.
    pub voice: Voice,
    /// Whom it serves unless it is told otherwise.
    pub kind: TunnelKind,
    /// Its arguments tell everything that it carries.
    pub told: bool,
}

/// Programs of Tailscale's that serve; `tailscale` itself only gives them orders.
const TAILSCALE: [&str; 3] = ["tailscaled", "io.tailscale.ipn.macsys.network-extension", "ipnextension"];

/// Those at the other end of tunnels, and those that publish only themselves.
const NOT_OF_THIS_HOST: [&str; 5] = ["frps", "sish", "nps", "onionshare-cli", "expo"];

/// Editors: they carry themselves, and the ports that their user adds, to who signs in as that user.
const EDITORS: [&str; 6] =
    ["code-tunnel", "code-tunnel-insiders", "cursor-tunnel", "code", "code-insiders", "cursor"];

/// Words by which a program does something else than to carry.
const OTHER_WORDS: &[(&[&str], &[&str])] = &[
    (
        &["ngrok"],
        &["config", "authtoken", "diagnose", "api", "completion", "credits", "update", "version", "help"],
    ),
    (
        &["zrok"],
        &["enable", "disable", "invite", "status", "overview", "access", "config", "version", "help"],
    ),
    (
        &["bore", "chisel", "inlets", "tunnelto", "jprq", "portr"],
        &["server", "auth", "version", "help", "completion"],
    ),
    (
        &["devtunnel"],
        &[
            "user",
            "list",
            "show",
            "create",
            "update",
            "delete",
            "delete-all",
            "access",
            "port",
            "token",
            "set",
            "unset",
            "clusters",
            "limits",
            "echo",
            "ping",
            "connect",
            "help",
        ],
    ),
    (&["frpc"], &["verify", "status", "reload", "stop", "help"]),
];

/// cloudflared's, alone and after `tunnel`.
const CLOUDFLARED: [&str; 9] =
    ["access", "login", "update", "version", "help", "proxy-dns", "tail", "management", "service"];
const CLOUDFLARED_TUNNEL: [&str; 15] = [
    "login", "create", "list", "ls", "delete", "route", "vnet", "info", "token", "cleanup", "ready", "diag",
    "ingress", "health", "help",
];

/// How a program is to be judged; none if it publishes nothing of this host.
#[must_use]
pub fn manner(role: Role, program: &str, arguments: &[String]) -> Option<Manner> {
    let program = program.to_ascii_lowercase();
    let tells = !instructions(&program, arguments).is_empty();
    let manner = |voice, kind, told| Some(Manner { voice, kind, told });
    match role {
        Role::Vpn if TAILSCALE.contains(&program.as_str()) => {
            manner(Voice::Tailscale, TunnelKind::Vpn, false)
        }
        Role::Tunnel if NOT_OF_THIS_HOST.contains(&program.as_str()) => None,
        Role::Tunnel if does_something_else(&program, arguments) => None,
        Role::Tunnel => match program.as_str() {
            "ngrok" => manner(Voice::Ngrok, TunnelKind::Public, tells),
            // What a named tunnel carries is decided elsewhere, whatever else its arguments say.
            "cloudflared" => {
                let named = ["run", "--token", "--token-file", "--name", "--config"];
                let is_named = arguments
                    .iter()
                    .any(|argument| named.contains(&argument.split('=').next().unwrap_or_default()));
                manner(Voice::Cloudflared, TunnelKind::Public, tells && !is_named)
            }
            "chisel" => {
                // Every other remote carries the other way; `R:socks` wherever the far side wants.
                let remotes = arguments.iter().filter(|argument| argument.starts_with("R:")).count();
                let told = instructions(&program, arguments).len() == remotes;
                if remotes == 0 { None } else { manner(Voice::Mute, TunnelKind::Public, told) }
            }
            "devtunnel" => {
                let anyone = ["--allow-anonymous", "-a"];
                let is_public = arguments.iter().any(|argument| anyone.contains(&argument.as_str()));
                let kind = if is_public { TunnelKind::Public } else { TunnelKind::Account };
                manner(Voice::Mute, kind, tells)
            }
            editor if EDITORS.contains(&editor) => manner(Voice::Mute, TunnelKind::Account, false),
            _ => manner(Voice::Mute, TunnelKind::Public, tells),
        },
        Role::Forwarder => match program.as_str() {
            // What their files tell is read elsewhere.
            "ssh" | "autossh" => manner(Voice::Mute, TunnelKind::Public, false),
            "dbclient" => {
                let forwards =
                    CommandLine::read(&program, arguments).map(|it| it.forwards).unwrap_or_default();
                let anywhere = forwards.iter().any(|it| forward(it) == Forward::Anywhere);
                if anywhere { manner(Voice::Mute, TunnelKind::Public, false) } else { None }
            }
            "v2ray" | "xray" => manner(Voice::Mute, TunnelKind::Public, false),
            _ => {
                let told = reverse::told(&program, arguments)?;
                manner(Voice::Mute, TunnelKind::Public, told.whole)
            }
        },
        _ => None,
    }
}

/// The same of one whose arguments are not all known: what is told, and what it does not do, may be otherwise.
#[must_use]
pub fn of_cut(role: Role, found: Option<Manner>) -> Option<Manner> {
    let public = Manner { voice: Voice::Mute, kind: TunnelKind::Public, told: false };
    match role {
        Role::Tunnel | Role::Forwarder => Some(found.map_or(public, |found| Manner { told: false, ..found })),
        _ => found,
    }
}

/// Whether the first word says that the program carries nothing.
fn does_something_else(program: &str, arguments: &[String]) -> bool {
    let mut words = arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with('-'));
    let Some(first) = words.next() else {
        return arguments.iter().any(|argument| ["--version", "--help", "-h"].contains(&argument.as_str()));
    };
    if program == "cloudflared" {
        let carries = ["run", "--url", "--config", "--name", "--token", "--hello-world"];
        let may_carry = || {
            arguments.iter().any(|argument| carries.contains(&argument.split('=').next().unwrap_or_default()))
        };
        let mut second = || words.next().is_some_and(|second| CLOUDFLARED_TUNNEL.contains(&second));
        return CLOUDFLARED.contains(&first) || (first == "tunnel" && !may_carry() && second());
    }
    if EDITORS.contains(&program) {
        let other = ["status", "kill", "prune", "rename", "unregister", "user", "restart", "help"];
        return first == "tunnel" && words.next().is_some_and(|second| other.contains(&second));
    }
    if program == "rathole"
        && arguments.iter().any(|argument| ["--server", "-s"].contains(&argument.as_str()))
    {
        return true;
    }
    OTHER_WORDS.iter().any(|(programs, words)| programs.contains(&program) && words.contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(role: Role, line: &str) -> Option<(Voice, TunnelKind, bool)> {
        let mut words = line.split(' ').map(str::to_owned);
        let program = words.next().unwrap();
        let arguments: Vec<String> = words.collect();
        manner(role, &program, &arguments).map(|it| (it.voice, it.kind, it.told))
    }

    #[test]
    fn one_whose_arguments_are_not_all_known_does_not_tell_all() {
        let public = Some(Manner { voice: Voice::Mute, kind: TunnelKind::Public, told: false });
        let chisel = manner(Role::Tunnel, "chisel", &["client".to_owned()]);
        assert_eq!((chisel, of_cut(Role::Tunnel, chisel)), (None, public));
        let told = manner(Role::Tunnel, "lt", &["--port".to_owned(), "1".to_owned()]);
        assert!(told.unwrap().told);
        assert_eq!(of_cut(Role::Tunnel, told), public);
        assert_eq!(of_cut(Role::Forwarder, None), public);
        assert_eq!(of_cut(Role::Vpn, None), None);
    }

    #[test]
    fn programs_that_have_an_api_are_asked() {
        for (line, voice, told) in [
            ("ngrok http 8080", Voice::Ngrok, true),
            ("ngrok start --all", Voice::Ngrok, false),
            ("ngrok http file:///srv", Voice::Ngrok, false),
            ("cloudflared tunnel --url http://localhost:8080", Voice::Cloudflared, true),
            ("cloudflared tunnel --url http://localhost:8080 run box", Voice::Cloudflared, false),
            ("cloudflared --no-autoupdate tunnel run --token x", Voice::Cloudflared, false),
            ("cloudflared --config /etc/cloudflared/config.yml tunnel run", Voice::Cloudflared, false),
            ("cloudflared", Voice::Cloudflared, false),
        ] {
            assert_eq!(of(Role::Tunnel, line), Some((voice, TunnelKind::Public, told)), "{line}");
        }
    }

    #[test]
    fn tailscaled_is_asked_and_no_other_vpn() {
        let expected = Some((Voice::Tailscale, TunnelKind::Vpn, false));
        assert_eq!(of(Role::Vpn, "tailscaled --state=x"), expected);
        assert_eq!(of(Role::Vpn, "io.tailscale.ipn.macsys.network-extension"), expected);
        for other in
            ["tailscale funnel 18789", "openvpn x.conf", "wireguard-go wg0", "zerotier-one -d", "warp-svc"]
        {
            assert_eq!(of(Role::Vpn, other), None, "{other}");
        }
    }

    #[test]
    fn what_arguments_tell_is_told_and_the_rest_is_not() {
        let public = |told| Some((Voice::Mute, TunnelKind::Public, told));
        for line in [
            "lt --port 8080",
            "bore local 8080 --to bore.example",
            "frpc tcp -l 8080 -r 6000",
            "zrok share public 8080",
            "tmole 8080",
            "loophole http 8080",
            "tunnelto --port 8080",
        ] {
            assert_eq!(of(Role::Tunnel, line), public(true), "{line}");
        }
        for line in ["frpc -c frpc.toml", "newt --id x --secret y", "playit", "rathole client.toml", "tor"] {
            assert_eq!(of(Role::Tunnel, line), public(false), "{line}");
        }
    }

    #[test]
    fn a_forwarder_that_brings_connections_here_is_a_tunnel_and_tells_no_more_than_its_arguments() {
        let public = |told| Some((Voice::Mute, TunnelKind::Public, told));
        for line in [
            "ssh -NR 1080 vps",
            "ssh -N vps",
            "autossh -M 0 -N vps",
            "dbclient -NR 1080 vps",
            "wstunnel client -R socks5://1080 wss://r.example",
            "gost -C gost.yml",
            "gost -L rtcp://:8080 -F r.example:1",
            "xray run -c config.json",
        ] {
            assert_eq!(of(Role::Forwarder, line), public(false), "{line}");
        }
        for line in [
            "wstunnel client -R tcp://8080:localhost:3000 wss://r.example",
            "gost -L rtcp://:8080/:3000 -F r.example:1",
            "websocat wss://r.example tcp:127.0.0.1:3000",
        ] {
            assert_eq!(of(Role::Forwarder, line), public(true), "{line}");
        }
        for line in [
            "socat TCP-LISTEN:8080 TCP:127.0.0.1:3000",
            "dbclient -L 1:localhost:1 vps",
            "gost -L :8080",
            "wstunnel server wss://0.0.0.0:80",
            "kubectl port-forward svc/x 1:1",
        ] {
            assert_eq!(of(Role::Forwarder, line), None, "{line}");
        }
    }

    #[test]
    fn commands_that_carry_nothing_are_no_tunnels() {
        for line in [
            "cloudflared access tcp --hostname x.example --url localhost:9000",
            "cloudflared tunnel list",
            "cloudflared --version",
            "cloudflared proxy-dns",
            "ngrok config check",
            "ngrok version",
            "frps -c frps.toml",
            "chisel server --reverse",
            "chisel client server.example 3000:other:80",
            "bore server",
            "rathole --server server.toml",
            "devtunnel list",
            "code tunnel status",
        ] {
            assert_eq!(of(Role::Tunnel, line), None, "{line}");
        }
    }

    #[test]
    fn chisels_client_with_a_reverse_remote_says_so_in_its_arguments() {
        let public = |told| Some((Voice::Mute, TunnelKind::Public, told));
        assert_eq!(of(Role::Tunnel, "chisel client server.example R:8080:localhost:18789"), public(true));
        assert_eq!(of(Role::Tunnel, "chisel client server.example R:8080:x:1 R:socks"), public(false));
    }

    #[test]
    fn editors_and_their_tunnels_serve_who_signs_in() {
        let account = |told| Some((Voice::Mute, TunnelKind::Account, told));
        assert_eq!(of(Role::Tunnel, "code-tunnel --accept-server-license-terms"), account(false));
        assert_eq!(of(Role::Tunnel, "code tunnel"), account(false));
        assert_eq!(of(Role::Tunnel, "devtunnel host -p 8080"), account(true));
        let anyone = Some((Voice::Mute, TunnelKind::Public, true));
        assert_eq!(of(Role::Tunnel, "devtunnel host -p 8080 --allow-anonymous"), anyone);
    }
}
