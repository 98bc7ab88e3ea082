//! The one table of rules. The engine, `guardian rules`, `guardian explain` and `docs/rules.md`
//! are made from it.

use std::fmt::Display;

use crate::fact::{ConfigState, Product};
use crate::finding::{Answer, Finding, Severity};
use crate::rule;
use crate::scene::Scene;

/// A rule: a pure function of policy and snapshot, and what to say of it.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Stable, in kebab case.
    pub id: &'static str,
    /// How much its findings weigh at most.
    pub severity: Severity,
    /// What it says when it answers yes.
    pub title: &'static str,
    /// Why that matters.
    pub why: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    judge: fn(&Rule, &Scene<'_>) -> Vec<Finding>,
}

impl Rule {
    /// What the rule finds in a scene; nothing means no.
    #[must_use]
    pub fn judge(&self, scene: &Scene<'_>) -> Vec<Finding> {
        (self.judge)(self, scene)
    }

    pub(crate) fn yes(&self, subject: &impl Display, evidence: Vec<String>) -> Finding {
        self.finding(Answer::Yes, subject, evidence)
    }

    pub(crate) fn unknown(&self, subject: &impl Display, evidence: Vec<String>) -> Finding {
        self.finding(Answer::Unknown, subject, evidence)
    }

    fn finding(&self, answer: Answer, subject: &dyn Display, evidence: Vec<String>) -> Finding {
        Finding {
            rule: self.id,
            severity: self.severity,
            answer,
            subject: subject.to_string(),
            evidence,
            remedy: self.remedy.to_owned(),
        }
    }
}

/// What the rule `config-incomplete` says of a configuration by which no gateway runs now.
#[must_use]
pub fn configuration_at_next_start(
    scene: &Scene<'_>,
    product: Option<Product>,
    state: &ConfigState,
    subject: &str,
) -> Vec<Finding> {
    let Some(rule) = rule("config-incomplete") else { return Vec::new() };
    rule::config_incomplete::at_next_start(rule, scene, product, state, &subject.to_owned())
}

/// A rule by its id.
#[must_use]
pub fn rule(id: &str) -> Option<&'static Rule> {
    CATALOG.iter().find(|rule| rule.id == id)
}

/// Every rule, gravest first.
pub static CATALOG: &[Rule] = &[
    Rule {
        id: "open-without-credentials",
        severity: Severity::Critical,
        title: "A gateway lets anyone in without credentials.",
        why: "Whoever reaches this address commands the agent, with your files, your shell and your accounts. \
              Loopback is no protection: any program, web page or container that gets a connection to it is in, \
              and one forwarded port makes it the internet.",
        remedy: "Set a long random token: gateway.auth.mode \"token\" and gateway.auth.token, then restart the gateway.",
        judge: rule::open_without_credentials::judge,
    },
    Rule {
        id: "bound-beyond-allowed",
        severity: Severity::Critical,
        title: "A gateway is bound to an address outside the allowed networks.",
        why: "Everyone in that network can knock at the control panel of an agent that has the keys to this machine. \
              A token then is the only wall, and tokens leak, are guessed, and have been bypassed.",
        remedy: "Set gateway.bind to \"loopback\" and restart the gateway; reach it from elsewhere by VPN or `ssh -L`.",
        judge: rule::bound_beyond_allowed::judge,
    },
    Rule {
        id: "reachable-beyond-allowed",
        severity: Severity::Critical,
        title: "A gateway's port accepts connections on an address outside the allowed networks.",
        why: "A connection was made and accepted. Whatever the configuration and the socket table say, the port is open there.",
        remedy: "Set gateway.bind to \"loopback\" and restart the gateway; if nothing is bound there, look for a \
                 redirect of the packet filter: `nft list ruleset`, `pfctl -s nat`.",
        judge: rule::reachable_beyond_allowed::judge,
    },
    Rule {
        id: "panel-republished",
        severity: Severity::Critical,
        title: "Another program publishes a gateway beyond the allowed networks.",
        why: "A proxy or forwarder in front makes strangers look local to the gateway: this is how most panels ended up \
              on the open internet. A password at the proxy protects as long as nobody changes the proxy.",
        remedy: "Stop that program, or bind it to loopback or the VPN. Or allow it for a while: `guardian allow --path NAME --reason TEXT --until 2h`, \
                 with its program's name, or `--network NET` for the network that may reach it.",
        judge: rule::panel_republished::judge,
    },
    Rule {
        id: "foreign-peer",
        severity: Severity::Critical,
        title: "Somebody outside the allowed networks is connected to a gateway.",
        why: "The connection stands now. Closing the port does not end it.",
        remedy: "Stop the gateway, rotate its token, and review its paired devices before you start it again.",
        judge: rule::foreign_peer::judge,
    },
    Rule {
        id: "forwarder-attached",
        severity: Severity::Critical,
        title: "A forwarder or tunnel carries connections to a gateway.",
        why: "To the gateway the far end of a tunnel looks like this machine, and loopback is where gateways trust most.",
        remedy: "Stop the forwarder, or allow it for a while: `guardian allow --path NAME --reason TEXT --until 2h`, with its program's name. To reach the \
                 gateway from elsewhere use a VPN or `ssh -L` from the other side.",
        judge: rule::forwarder_attached::judge,
    },
    Rule {
        id: "tunnel-published",
        severity: Severity::Critical,
        title: "A tunnel publishes a gateway.",
        why: "A tunnel goes out through every firewall and gives the gateway an address on the internet, with a certificate \
              and no lock. To the gateway everybody who comes by it looks like this machine.",
        remedy: "Stop the tunnel: `tailscale funnel reset` (and gateway.tailscale.mode \"off\", or the gateway asks for it again), `systemctl disable --now` \
                 for a service, else end the program. Or allow it for a while: `guardian allow --path NAME --reason TEXT --until 2h`, with its program's \
                 name, tailscale-funnel or tailscale-serve.",
        judge: rule::tunnel_published::judge,
    },
    Rule {
        id: "container-published",
        severity: Severity::Critical,
        title: "A container engine publishes a gateway beyond the allowed networks.",
        why: "Published ports bypass the host's firewall: ufw says no, and the packet passes. There need not be a listening socket.",
        remedy: "Publish it on loopback: `-p 127.0.0.1:18789:18789` in a new `docker run`, or `ports: [\"127.0.0.1:18789:18789\"]` and `docker compose up -d`; a restart \
                 changes nothing. Or allow it for a while: `guardian allow --path container --reason TEXT --until 2h`.",
        judge: rule::container_published::judge,
    },
    Rule {
        id: "nat-published",
        severity: Severity::Critical,
        title: "The packet filter sends connections of others to a gateway.",
        why: "A redirect needs no listening socket: whoever lists the open ports of this host does not see it. Where Linux has route_localnet set, a neighbour on the wire reaches loopback even without one.",
        remedy: "Take the rule away. Linux: `nft -a list ruleset` shows its handle for `nft delete rule`; `iptables-legacy -t nat -S` shows older ones. macOS: \
                 `pfctl -s nat`, and `pfctl -a ANCHOR -s nat` for an anchor named here. If a VPN or a container engine made it and you want it so: \
                 `guardian allow --path nat --reason TEXT --until 30d`.",
        judge: rule::nat_published::judge,
    },
    Rule {
        id: "router-mapped",
        severity: Severity::Critical,
        title: "A router carries a port of the internet to a gateway.",
        why: "Any program of the local network may ask a router with UPnP to open a port; nothing on this host shows it. Forwards that \
              somebody set by hand, and hosts in the router's DMZ, are not listed: a gateway that the local network reaches may be public.",
        remedy: "Take the forward away in the router, and switch UPnP off there; bind the gateway to loopback. Or allow it for a while: \
                 `guardian allow --path router --reason TEXT --until 2h`.",
        judge: rule::router_mapped::judge,
    },
    Rule {
        id: "revived-while-open",
        severity: Severity::Critical,
        title: "A gateway was started again while the circuit is open.",
        why: "Something keeps reviving what was stopped for a reason. As long as it does, the gateway lives for moments \
              between its start and its end.",
        remedy: "Stop the supervisor or watchdog named here; when the exposure is mended, type `guardian recover`.",
        judge: rule::revived_while_open::judge,
    },
    Rule {
        id: "suspicious-requests",
        severity: Severity::Critical,
        title: "Somebody tries the gate's lock.",
        why: "The gate refuses wrong credentials, pages of other sites and malformed requests. Many of them are no mistake: somebody \
              on this machine or in your VPN, or a page in your browser, is looking for a way in.",
        remedy: "Find out who is at the address named here. It falls away five minutes after the last such request; `gate.suspicious` in guardian.toml says how many are too many.",
        judge: rule::suspicious_requests::judge,
    },
    Rule {
        id: "config-incomplete",
        severity: Severity::Critical,
        title: "A gateway's configuration exposes it, now or at its next start.",
        why: "The socket shows today, the configuration tomorrow: a changed bind waits for the next restart, and switched-off \
              authentication for the first forwarded port.",
        remedy: "Mend the setting named here in the gateway's configuration and restart the gateway.",
        judge: rule::config_incomplete::judge,
    },
    Rule {
        id: "witnesses-disagree",
        severity: Severity::Critical,
        title: "Two ways of listing the listening sockets give different answers.",
        why: "One of them is wrong or is being lied to, and it is not known which.",
        remedy: "Run `guardian check` again; if it stays, compare `ss -ltn` (Linux) or `netstat -an` (macOS) with this report.",
        judge: rule::witnesses_disagree::judge,
    },
    Rule {
        id: "probe-blind",
        severity: Severity::Critical,
        title: "Guardian cannot see all it has to see.",
        why: "What is not seen may be open. Guardian does not call that safe.",
        remedy: "Mend the reason given; most are gone when guardian runs as root.",
        judge: rule::probe_blind::judge,
    },
    Rule {
        id: "side-door-open",
        severity: Severity::Critical,
        title: "A gateway's process has a second socket that asks for no credentials.",
        why: "Browser control (2026.1.24) drives your signed-in browser; an inspector runs any code. On loopback every local \
              program can use them; beyond loopback everybody can.",
        remedy: "Upgrade the gateway, or set browser.enabled to false; never start it with --inspect.",
        judge: rule::side_door_open::judge,
    },
    Rule {
        id: "paired-while-exposed",
        severity: Severity::Warning,
        title: "Somebody was paired with a gateway while it was exposed.",
        why: "A paired device has a token of its own. Closing the port does not end it, and neither does a new gateway token.",
        remedy: "If you do not know it, take it away: `openclaw devices list`, then `openclaw devices remove ID`; before February 2026 `openclaw devices revoke \
                 --device ID --role ROLE` (`clawdbot` in 2026.1.24). It falls silent when the device is gone or paired anew, and after thirty days.",
        judge: rule::paired_while_exposed::judge,
    },
    Rule {
        id: "gateway-as-root",
        severity: Severity::Warning,
        title: "A gateway runs as root.",
        why: "Whoever gets through it owns the whole machine, this guard included.",
        remedy: "Run the gateway as a user of its own: `sudo guardian bulkhead plan` says what that takes.",
        judge: rule::gateway_as_root::judge,
    },
    Rule {
        id: "home-shared",
        severity: Severity::Warning,
        title: "A gateway reaches a person's secrets.",
        why: "Whoever gets through it, or talks the agent into it, reads what the gateway's user reads: keys, browser sessions, \
              the keychain. Behind a bulkhead there is nothing of its owner's to read.",
        remedy: "Give the gateway a user of its own: `sudo guardian bulkhead plan` says what that takes.",
        judge: rule::home_shared::judge,
    },
    Rule {
        id: "secrets-readable",
        severity: Severity::Warning,
        title: "Other users can read or change a gateway's secrets.",
        why: "Its state holds tokens, paired devices and the keys of the services it uses.",
        remedy: "Take the permissions away: chmod -R go-rwx on the path named here.",
        judge: rule::secrets_readable::judge,
    },
    Rule {
        id: "announced",
        severity: Severity::Warning,
        title: "A gateway announces itself in the local network.",
        why: "Whoever is on the same Wi-Fi learns that an agent runs here and on which port; some versions tell the path of their program \
              and the port of ssh too. The announcements go out even while the gateway listens on loopback alone.",
        remedy: "Set discovery.mdns.mode to \"off\" (2026.1.29 and later), or give the gateway the variable OPENCLAW_DISABLE_BONJOUR=1 \
                 (2026.1.24: CLAWDBOT_DISABLE_BONJOUR=1), in its service by `systemctl --user edit openclaw-gateway`; then restart it.",
        judge: rule::announced::judge,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_has_one_stable_id_and_speaks_in_sentences() {
        let ids: BTreeSet<&str> = CATALOG.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), CATALOG.len());
        for rule in CATALOG {
            assert!(rule.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", rule.id);
            for text in [rule.title, rule.why, rule.remedy] {
                assert!(text.ends_with('.') || text.ends_with('`'), "{}: {text}", rule.id);
                assert!(!text.contains("  "), "{}: {text}", rule.id);
            }
            // There is a command for an allowance.
            let by_hand = rule.remedy.contains("allow") && rule.remedy.contains("guardian.toml");
            assert!(!by_hand, "{}: {}", rule.id, rule.remedy);
        }
    }
}
