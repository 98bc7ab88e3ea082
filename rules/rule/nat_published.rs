//! The packet filter sends connections of others to a gateway, with or without a listening socket
//! where they arrive.

use std::net::{IpAddr, SocketAddr};

use crate::address::unmap;
use crate::catalog::Rule;
use crate::fact::{Redirect, Redirects};
use crate::finding::{Answer, Finding, Severity};
use crate::scene::{Behind, Beyond, Scene};

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let Some(redirects) = scene.redirects() else { return Vec::new() };
    match &redirects.rules {
        Ok(rules) => rules.iter().filter_map(|it| of_redirect(rule, scene, redirects, it)).collect(),
        // Without a gateway there is nothing that they could lead to.
        Err(_) if !scene.may_have_a_gateway() => Vec::new(),
        Err(why) => {
            unread(rule, scene, redirects, format!("its rules cannot be read: {why}")).into_iter().collect()
        }
    }
}

/// Rules that cannot be read matter where they could lead to a gateway.
fn unread(rule: &Rule, scene: &Scene<'_>, redirects: &Redirects, why: String) -> Option<Finding> {
    let finding = rule.unknown(&"the packet filter", vec![why]);
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
            let exposed_to_rules =
                scene.gateways.iter().flat_map(|it| &it.listeners).any(|it| !it.ip().is_loopback());
            exposed_to_rules.then_some(Finding { severity: Severity::Warning, ..finding })
        }
        None => Some(Finding { severity: Severity::Warning, ..finding }),
    }
}

fn of_redirect(rule: &Rule, scene: &Scene<'_>, all: &Redirects, redirect: &Redirect) -> Option<Finding> {
    let mut evidence = vec![format!("the packet filter has the rule {}", redirect.text)];
    let own = |ip: IpAddr| {
        let ip = unmap(ip);
        ip.is_unspecified() || ip.is_loopback() || scene.own_addresses().iter().any(|it| it.address == ip)
    };
    let answer = if own(redirect.to.ip()) {
        match scene.behind(redirect.to.port()) {
            Behind::Nothing => return None,
            Behind::Gateway => Answer::Yes,
            Behind::Perhaps => {
                evidence.push(format!("whether a gateway is at {} cannot be told", redirect.to));
                Answer::Unknown
            }
        }
    } else {
        match redirect.guest.as_ref()? {
            access if access.is_gateway() && !is_a_known_container(scene, redirect.to) => {
                evidence.push(format!("a gateway answers at {}", redirect.to));
                Answer::Yes
            }
            _ => return None,
        }
    };
    let finding = Finding { answer, ..rule.yes(&redirect.to, evidence) };
    Some(if is_within_the_allowed(scene, redirect) {
        let mut finding = finding;
        finding.evidence.push("it applies to allowed networks only".to_owned());
        Finding { severity: Severity::Info, ..finding }
    } else if let Some(why) = is_without_effect(scene, all, redirect) {
        let mut finding = finding;
        finding.evidence.push(why);
        Finding { severity: Severity::Warning, ..finding }
    } else {
        finding
    })
}

/// `container-published` speaks of it.
fn is_a_known_container(scene: &Scene<'_>, to: SocketAddr) -> bool {
    let ports = scene.engines().into_iter().filter_map(|it| it.ports.as_ref().ok()).flatten();
    ports.into_iter().any(|port| port.to == Some(to) && port.access.is_gateway())
}

/// What matches the rule comes from a network that the policy allows.
fn is_within_the_allowed(scene: &Scene<'_>, redirect: &Redirect) -> bool {
    let by_source = redirect.from.is_some_and(|from| {
        scene.policy.networks.iter().any(|allowed| {
            allowed.network.contains(&from.network()) && allowed.network.contains(&from.broadcast())
        })
    });
    let by_address = redirect.arriving_at.is_some_and(|at| {
        at.is_loopback() || matches!(scene.beyond_at(SocketAddr::new(at, redirect.to.port())), Beyond::Addresses(beyond) if beyond.is_empty())
    });
    let by_interface = redirect.arriving_on.as_deref().is_some_and(|interface| {
        let own = scene.own_addresses();
        let mut on_it = own.iter().filter(|it| it.interface == interface).peekable();
        on_it.peek().is_some() && on_it.all(|it| scene.policy.allows_own(it))
    });
    by_source || by_address || by_interface
}

/// Why packets that the rule sends on arrive nowhere, as things are now.
fn is_without_effect(scene: &Scene<'_>, all: &Redirects, redirect: &Redirect) -> Option<String> {
    let to = redirect.to.ip();
    if to.is_ipv6() && to.is_loopback() {
        return Some("the kernel drops packets of others that are sent to ::1".to_owned());
    }
    if to.is_loopback() && all.reaches_loopback == Some(false) {
        return Some(
            "the kernel drops packets of others that are sent to 127/8, as long as route_localnet is not set"
                .to_owned(),
        );
    }
    let nobody_beyond =
        to.is_unspecified() && scene.on_port(redirect.to.port()).all(|door| door.listener.is_loopback_only());
    nobody_beyond.then(|| "nobody listens there but on loopback, for now".to_owned())
}
