//! The packet filter sends connections of others to a gateway, with or without a listening socket
//! where they arrive.

use std::net::{IpAddr, SocketAddr};

use crate::address::{is_tunnel, unmap};
use crate::blindness::{Blindness, Cause};
use crate::catalog::Rule;
use crate::fact::{Access, Destination, Redirect, Redirects};
use crate::finding::{Answer, Finding, Severity};
use crate::scene::{Behind, Door, Part, Scene};
use crate::way;

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let Some(redirects) = scene.redirects() else { return Vec::new() };
    let neighbours = to_loopback_without_a_rule(rule, scene, redirects);
    let by_rules: Vec<Finding> = match &redirects.rules {
        Ok(rules) => {
            let mut rules: Vec<&Redirect> = rules.iter().collect();
            rules.sort_unstable();
            let found = rules.into_iter().flat_map(|it| of_redirect(rule, scene, redirects, it));
            found.map(|it| if scene.allows_path(way::NAT) { it.allowed() } else { it }).collect::<Vec<_>>()
        }
        // Without a gateway there is nothing that they could lead to.
        Err(_) if !scene.may_have_a_gateway() => Vec::new(),
        Err(why) => unread(rule, scene, redirects, why).into_iter().collect(),
    };
    by_rules.into_iter().chain(neighbours).collect()
}

/// With `route_localnet` a neighbour on the wire needs no rule: what he sends to 127.0.0.1 himself is taken. Guardian's
/// own seal refuses whatever does not come in by loopback.
fn to_loopback_without_a_rule(rule: &Rule, scene: &Scene<'_>, all: &Redirects) -> Vec<Finding> {
    let cards: Vec<&str> =
        all.open_cards.iter().map(String::as_str).filter(|card| !is_tunnel(card)).collect();
    let Some(first) = cards.first() else { return Vec::new() };
    let sealed = |port| scene.snapshot.seal.as_ref().is_some_and(|seal| seal.ports.contains(&port));
    let leads = |door: &&Door<'_>| door.part.is_gateways() || matches!(door.part, Part::Carries(_));
    let of_door = |door: &Door<'_>| {
        let bound = door.listener.bound;
        let evidence = vec![
            format!("{} listens on {bound}", scene.holder_of(door)),
            format!(
                "net.ipv4.conf.{first}.route_localnet is in force: a card takes what a neighbour on its wire sends to \
                 127.0.0.1, without any rule; so do {} cards here",
                cards.len()
            ),
            "whether a filter on the way stops that is not known; Guardian's own seal would, and its daemon tells whether \
             that stands"
                .to_owned(),
        ];
        let remedy = format!(
            "Type `sysctl -w net.ipv4.conf.all.route_localnet=0 net.ipv4.conf.{first}.route_localnet=0`, and the same \
             for each other card that `sysctl -a | grep route_localnet` shows; or let the daemon run as root with its \
             seal."
        );
        let finding = Finding { remedy, ..rule.unknown(&bound, evidence) };
        if scene.allows_path(way::NAT) { finding.allowed() } else { finding }
    };
    let at_risk = |door: &&Door<'_>| {
        let bound = door.listener.bound;
        bound.is_ipv4() && door.listener.is_loopback_only() && !sealed(bound.port())
    };
    scene.doors.iter().filter(leads).filter(at_risk).map(of_door).collect()
}

/// Rules that cannot be read matter where they could lead to a gateway.
fn unread(rule: &Rule, scene: &Scene<'_>, redirects: &Redirects, why: &Blindness) -> Option<Finding> {
    let evidence = vec![format!("its rules cannot be read: {why}")];
    let remedy = to_read_them(why.cause).to_owned();
    let finding = Finding { remedy, ..rule.unknown(&"the packet filter", evidence) };
    if scene.allows_path(way::NAT) {
        return Some(finding.allowed());
    }
    match redirects.reaches_loopback {
        Some(true) => {
            let mut finding = finding;
            finding.evidence.push(
                "net.ipv4.conf.*.route_localnet is set: a rule may carry strangers to loopback".to_owned(),
            );
            Some(finding)
        }
        // A gateway on loopback is out of a rule's reach.
        Some(false) => {
            listens_beyond_loopback(scene).then_some(Finding { severity: Severity::Warning, ..finding })
        }
        None => Some(Finding { severity: Severity::Warning, ..finding }),
    }
}

fn to_read_them(cause: Cause) -> &'static str {
    match cause {
        Cause::Denied => "Run Guardian as root, and it can read them.",
        Cause::ToolMissing => {
            "Install what is missing (on Debian `apt install nftables iptables`), and it can read them."
        }
        Cause::TimedOut | Cause::Interrupted | Cause::NeverRan | Cause::Stale | Cause::Panicked => {
            "Guardian tries again by itself. If it stays so, look yourself: `nft list ruleset`, `pfctl -s nat`; and if no \
             rule leads to a gateway: `guardian allow --path nat --reason TEXT --until 30d`."
        }
        Cause::Malformed | Cause::TooMuch => {
            "Look yourself: `nft list ruleset`, `pfctl -s nat`. If no rule leads to a gateway: `guardian allow --path nat \
             --reason TEXT --until 30d`."
        }
    }
}

fn of_redirect(rule: &Rule, scene: &Scene<'_>, all: &Redirects, redirect: &Redirect) -> Vec<Finding> {
    match &redirect.to {
        None => not_understood(rule, scene, all, redirect).into_iter().collect(),
        Some(to) if is_own(scene, to.ip) => scene
            .leading_within(to.ports)
            .into_iter()
            .map(|(port, behind)| {
                to_this_host(rule, scene, all, redirect, SocketAddr::new(to.ip, port), behind)
            })
            .collect(),
        Some(to) => to_a_guest(rule, scene, redirect, to).into_iter().collect(),
    }
}

/// There is such a rule, and it may lead anywhere.
fn not_understood(rule: &Rule, scene: &Scene<'_>, all: &Redirects, redirect: &Redirect) -> Option<Finding> {
    if !scene.may_have_a_gateway() {
        return None;
    }
    let evidence =
        vec![seen(redirect), "where it sends connections is not understood: it may be a gateway".to_owned()];
    let mut finding = rule.unknown(&redirect.text, evidence);
    if is_within_the_allowed(scene, redirect) {
        finding.evidence.push(WITHIN.to_owned());
        return Some(Finding { severity: Severity::Info, ..finding });
    }
    if all.reaches_loopback == Some(false) && !listens_beyond_loopback(scene) {
        finding.evidence.push(format!("gateways listen on loopback alone, and {DROPPED}"));
        return Some(Finding { severity: Severity::Info, ..finding });
    }
    Some(finding)
}

fn to_this_host(
    rule: &Rule,
    scene: &Scene<'_>,
    all: &Redirects,
    redirect: &Redirect,
    to: SocketAddr,
    behind: Behind,
) -> Finding {
    let mut evidence = vec![seen(redirect)];
    let answer = if behind == Behind::Gateway {
        Answer::Yes
    } else {
        evidence.push(format!("whether a gateway is at port {} cannot be told", to.port()));
        Answer::Unknown
    };
    let mut finding = Finding { answer, ..rule.yes(&to, evidence) };
    if is_within_the_allowed(scene, redirect) {
        finding.evidence.push(WITHIN.to_owned());
        return Finding { severity: Severity::Info, ..finding };
    }
    if let Some(why) = is_without_effect(scene, all, to) {
        finding.evidence.push(why);
        return Finding { severity: Severity::Warning, ..finding };
    }
    finding
}

fn to_a_guest(rule: &Rule, scene: &Scene<'_>, redirect: &Redirect, to: &Destination) -> Option<Finding> {
    let finding = match redirect.guest.as_ref()? {
        access if access.is_gateway() && !is_a_known_container(scene, to) => {
            rule.yes(to, vec![seen(redirect), format!("a gateway answers at {to}")])
        }
        // A guest that does not tell is one of many things: a gateway that engines know of is judged
        // by its name.
        Access::Unknown(why) => {
            let evidence =
                vec![seen(redirect), format!("whether a gateway is at {to} cannot be told: {why}")];
            return Some(Finding { severity: Severity::Info, ..rule.unknown(to, evidence) });
        }
        _ => return None,
    };
    Some(if is_within_the_allowed(scene, redirect) {
        let mut finding = finding;
        finding.evidence.push(WITHIN.to_owned());
        Finding { severity: Severity::Info, ..finding }
    } else {
        finding
    })
}

const WITHIN: &str = "it applies to allowed networks only";

const DROPPED: &str =
    "the kernel drops packets of others that are sent to 127/8, as long as route_localnet is not set";

fn seen(redirect: &Redirect) -> String {
    format!("the packet filter has the rule {}", redirect.text)
}

fn is_own(scene: &Scene<'_>, ip: IpAddr) -> bool {
    let ip = unmap(ip);
    ip.is_unspecified() || ip.is_loopback() || scene.own_addresses().iter().any(|it| unmap(it.address) == ip)
}

fn listens_beyond_loopback(scene: &Scene<'_>) -> bool {
    scene
        .doors
        .iter()
        .filter(|door| scene.behind(door.listener.bound.port()) != Behind::Nothing)
        .any(|door| !door.listener.is_loopback_only())
}

/// `container-published` speaks of it: an engine says that it publishes this beyond the allowed
/// networks.
fn is_a_known_container(scene: &Scene<'_>, to: &Destination) -> bool {
    let ports = scene.engines().into_iter().filter_map(|it| it.ports.as_ref().ok()).flatten();
    ports.into_iter().any(|port| {
        port.to.is_some()
            && port.to == to.only()
            && port.access.is_gateway()
            && !scene.beyond_at(port.on).is_none()
    })
}

/// What matches the rule comes from a network that the policy allows.
fn is_within_the_allowed(scene: &Scene<'_>, redirect: &Redirect) -> bool {
    let Redirect { from, arriving_at, arriving_on, .. } = redirect;
    let by_source = from.iter().all(|from| {
        from.network().is_loopback()
            || scene.policy.networks.iter().any(|allowed| {
                allowed.network.contains(&from.network()) && allowed.network.contains(&from.broadcast())
            })
    });
    let by_address =
        arriving_at.iter().all(|at| at.is_loopback() || scene.beyond_at(SocketAddr::new(*at, 0)).is_none());
    let by_interface = arriving_on.iter().all(|interface| {
        let own = scene.own_addresses();
        let mut on_it = own.iter().filter(|it| it.interface == *interface).peekable();
        on_it.peek().is_some() && on_it.all(|it| scene.policy.allows_own(it))
    });
    (!from.is_empty() && by_source)
        || (!arriving_at.is_empty() && by_address)
        || (!arriving_on.is_empty() && by_interface)
}

/// Why packets that the rule sends on arrive nowhere, as things are now.
fn is_without_effect(scene: &Scene<'_>, all: &Redirects, to: SocketAddr) -> Option<String> {
    let ip = unmap(to.ip());
    if ip.is_ipv6() && ip.is_loopback() {
        return Some("the kernel drops packets of others that are sent to ::1".to_owned());
    }
    if ip.is_loopback() && all.reaches_loopback == Some(false) {
        return Some(DROPPED.to_owned());
    }
    if ip.is_unspecified() {
        let nobody_beyond = scene.on_port(to.port()).all(|door| door.listener.is_loopback_only());
        return nobody_beyond.then(|| "nobody listens there but on loopback, for now".to_owned());
    }
    scene.doors_at(to).is_empty().then(|| format!("nobody listens on {to}, for now"))
}
