//! A connection to a gateway from this host belongs to a forwarder or tunnel, or one is told to
//! make such connections.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Rule;
use crate::fact::{
    Access, Attribution, Audience, ConfigState, Flow, Guest, Origin, Peer, Publication, Role, Route,
    RouteSource, Tailscale, Tunnel,
};
use crate::finding::{Answer, Finding, Severity};
use crate::scene::{Behind, Part, Scene};
use crate::way;

/// Without root not even one's own `sshd` shows its sockets.
const UNNAMED: &str = "End that connection, or run guardian as root, which sees every process. A tunnel of your own can lead to \
                       the gate instead: `ssh -L 18700:127.0.0.1:18700`.";

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    // One finding a process, the gravest: a proxy keeps many connections.
    let mut by_subject: BTreeMap<String, Finding> = BTreeMap::new();
    let attached = scene.peers().into_iter().flat_map(|peer| of_peer(rule, scene, peer));
    let instructed = scene.routes_to_gateways().filter_map(|route| of_route(rule, scene, route));
    let perhaps = scene.routes_to_look_alikes().filter_map(|route| {
        let finding = of_route(rule, scene, route)?;
        let mut evidence = finding.evidence;
        evidence.push(
            "what is there looks like a gateway's panel, and whether it is one cannot be told".to_owned(),
        );
        Some(Finding { answer: Answer::Unknown, evidence, ..finding })
    });
    let to_proxies = scene.routes_to_vague_proxies().filter_map(|route| {
        let finding = of_route(rule, scene, route)?;
        let mut evidence = finding.evidence;
        evidence.push(
            "what is there is a proxy, and where it leads by other names cannot all be told".to_owned(),
        );
        Some(Finding { answer: Answer::Unknown, evidence, ..finding })
    });
    let to_guests =
        scene.routes_to_guests().filter_map(|(route, guest)| of_route_to_guest(rule, scene, route, guest));
    for finding in attached.chain(instructed).chain(perhaps).chain(to_guests).chain(to_proxies) {
        let weight = |finding: &Finding| (finding.severity, finding.answer == Answer::Yes);
        match by_subject.get(&finding.subject) {
            Some(known) if weight(known) >= weight(&finding) => {}
            _ => {
                by_subject.insert(finding.subject.clone(), finding);
            }
        }
    }
    by_subject.into_values().collect()
}

fn of_peer(rule: &Rule, scene: &Scene<'_>, peer: &Peer) -> Vec<Finding> {
    let Origin::Here { owner, flows } = &peer.origin else { return Vec::new() };
    match owner {
        Attribution::Unnamed(why) => vec![Finding {
            remedy: UNNAMED.to_owned(),
            ..rule.unknown(
                &format!("connection to {}", peer.gateway),
                vec![format!("a process that cannot be named is connected to the gateway: {why}")],
            )
        }],
        Attribution::Named(pids) => {
            pids.iter().filter_map(|pid| Attached::new(scene, *pid, peer, flows).judge(rule)).collect()
        }
    }
}

/// A process of this host with a connection to a gateway.
struct Attached<'s, 'a> {
    scene: &'s Scene<'a>,
    pid: u32,
    peer: &'a Peer,
    /// Its connections with other hosts.
    flows: BTreeSet<&'a Flow>,
}

impl<'s, 'a> Attached<'s, 'a> {
    fn new(scene: &'s Scene<'a>, pid: u32, peer: &'a Peer, flows: &'a [Flow]) -> Self {
        Self { scene, pid, peer, flows: flows.iter().collect() }
    }

    fn judge(&self, rule: &Rule) -> Option<Finding> {
        let Self { scene, pid, .. } = self;
        if scene.gateway_process(*pid).is_some() {
            return None;
        }
        let name = scene.name_of(*pid);
        let evidence = self.evidence(&name);
        let yes = |why: &str| rule.yes(&name, with(&evidence, why));
        let unknown = |why: &str| rule.unknown(&name, with(&evidence, why));
        let Some(process) = scene.process(*pid) else {
            return Some(unknown("the process could not be described"));
        };
        if scene.allows_process(*pid) {
            return Some(rule.yes(&name, evidence).allowed());
        }
        match process.role {
            Role::Proxy | Role::ContainerEngine
                if self.carries_within_the_allowed() && !self.serves_strangers() =>
            {
                Some(info(yes("it takes connections on allowed addresses only")))
            }
            // A forwarder's own connections elsewhere are what it forwards.
            Role::Forwarder
                if self.carries_within_the_allowed() && self.flows.iter().all(|flow| scene.admits(flow)) =>
            {
                Some(info(yes("it takes connections on allowed addresses only")))
            }
            role @ (Role::Proxy | Role::Forwarder | Role::Tunnel | Role::ContainerEngine) => {
                Some(yes(&format!("its program is {}", role.as_a())))
            }
            Role::Vpn => Some(match self.audience() {
                Some(Audience::Internet) => {
                    let funnel = yes("the gateway is published by a funnel: the whole internet");
                    if scene.allows_path(way::TAILSCALE_FUNNEL) { funnel.allowed() } else { funnel }
                }
                Some(Audience::Vpn) => info(yes("it serves the members of the VPN alone")),
                None => self.by_configuration(&evidence, rule, &name),
            }),
            Role::Session => Some(info(yes("an authenticated user's SSH session forwards it (`ssh -L`)"))),
            Role::Guardian => None,
            _ if self.serves_strangers() => {
                Some(yes("it serves other hosts while it is connected to the gateway, as a forwarder does"))
            }
            Role::Browser | Role::Client => None,
            Role::Gateway | Role::OtherService | Role::Runtime | Role::Unknown if !self.flows.is_empty() => {
                let finding = yes(
                    "it is connected with other hosts at the same time, as a tunnel is, and so are many clients",
                );
                Some(Finding { severity: Severity::Warning, ..finding })
            }
            Role::Gateway | Role::OtherService | Role::Runtime | Role::Unknown => None,
        }
    }

    fn evidence(&self, name: &str) -> Vec<String> {
        let mut evidence = vec![format!("{name} is connected to the gateway at {}", self.peer.gateway)];
        // Who comes in says more than where it goes.
        let inbound_first = [true, false]
            .into_iter()
            .flat_map(|inbound| self.flows.iter().filter(move |flow| flow.inbound == inbound));
        evidence.extend(inbound_first.take(3).map(|flow| {
            let verb = if flow.inbound { "takes a connection from" } else { "is connected to" };
            format!("the same process {verb} {}", flow.remote)
        }));
        evidence
    }

    /// It has accepted a connection from a host that the policy does not admit.
    fn serves_strangers(&self) -> bool {
        self.flows.iter().any(|flow| flow.inbound && !self.scene.admits(flow))
    }

    /// It carries the gateway to hosts that the policy admits, and nowhere else: it has a door
    /// beyond loopback, and every door is within the allowed networks. Who comes to a door on
    /// loopback, nobody knows.
    fn carries_within_the_allowed(&self) -> bool {
        let mut doors = self.scene.doors_of(self.pid);
        let carries_elsewhere = self
            .scene
            .doors_of(self.pid)
            .any(|door| matches!(door.part, Part::Carries(_)) && !door.listener.is_loopback_only());
        carries_elsewhere && doors.all(|door| door.beyond.is_none())
    }

    /// Whom a VPN's daemon carries to the gateway, as itself says; none if it does not tell. Seen
    /// now, its word clears; seen earlier, it only accuses.
    fn audience(&self) -> Option<Audience> {
        let told: Vec<&Tunnel> =
            self.scene.tunnels().into_iter().filter(|tunnel| tunnel.pid == self.pid).collect();
        let port = self.peer.gateway.port();
        let funnels = told.iter().filter_map(|tunnel| tunnel.publishes.as_ref().ok()).flatten().any(|it| {
            let leads = it.to_port == port || self.scene.behind(it.to_port) == Behind::Gateway;
            it.audience == Audience::Internet && leads
        });
        if funnels {
            return Some(Audience::Internet);
        }
        let perhaps = |it: &Publication| {
            it.audience == Audience::Internet && self.scene.behind(it.to_port) == Behind::Perhaps
        };
        let clears = |tunnel: &&Tunnel| {
            tunnel.publishes.as_ref().is_ok_and(|publications| !publications.iter().any(perhaps))
        };
        let is_told = self.scene.sees_tunnels() && !told.is_empty() && told.iter().all(clears);
        is_told.then_some(Audience::Vpn)
    }

    /// What a VPN's daemon does that does not tell: as the gateway's own configuration asks.
    fn by_configuration(&self, evidence: &[String], rule: &Rule, name: &String) -> Finding {
        let yes = |why: &str| rule.yes(name, with(evidence, why));
        match self.tailscale() {
            Some(Tailscale::Funnel) => {
                let funnel = yes("the gateway's configuration asks for a funnel: the whole internet");
                if self.scene.allows_path(way::TAILSCALE_FUNNEL) { funnel.allowed() } else { funnel }
            }
            Some(Tailscale::Serve) => {
                info(yes("the gateway's configuration asks to be served within the VPN"))
            }
            Some(Tailscale::Off) | None => rule.unknown(
                name,
                with(evidence, "whether it serves the VPN alone or the internet is not known"),
            ),
        }
    }

    /// What the gateway at the other end is told to do with Tailscale; of all gateways, where it
    /// is not known which it is.
    fn tailscale(&self) -> Option<Tailscale> {
        let told = |pid: Option<u32>| match &self.scene.gateway_process(pid?)?.config.state {
            ConfigState::Read(config) => Some(config.tailscale),
            ConfigState::Absent | ConfigState::Unreadable(_) => None,
        };
        let doors = self.scene.doors_at(self.peer.gateway);
        let gravest = |modes: &mut dyn Iterator<Item = Tailscale>| {
            modes.max_by_key(|mode| match mode {
                Tailscale::Off => 0,
                Tailscale::Serve => 1,
                Tailscale::Funnel => 2,
            })
        };
        if doors.is_empty() {
            let everyone = self.scene.gateway_processes().map(|process| process.pid);
            gravest(&mut everyone.filter_map(|pid| told(Some(pid))))
        } else {
            gravest(&mut doors.into_iter().filter_map(|door| told(door.holder)))
        }
    }
}

fn with(evidence: &[String], why: &str) -> Vec<String> {
    evidence.iter().cloned().chain([why.to_owned()]).collect()
}

fn info(finding: Finding) -> Finding {
    Finding { severity: Severity::Info, ..finding }
}

/// A forwarder that is told to carry a guest of this host elsewhere.
fn of_route_to_guest(rule: &Rule, scene: &Scene<'_>, route: &Route, guest: &Guest) -> Option<Finding> {
    let finding = of_route(rule, scene, route)?;
    let mut evidence = finding.evidence;
    let at = guest.at;
    match &guest.access {
        access if access.is_gateway() => {
            evidence.push(format!("that is {at}, a guest of this host, where a gateway answers"));
            Some(Finding { evidence, ..finding })
        }
        Access::Unknown(why) => {
            evidence.push(format!(
                "that is {at}, a guest of this host, and whether it is a gateway cannot be told: {why}"
            ));
            let severity =
                if guest.is_silent() { finding.severity } else { finding.severity.min(Severity::Warning) };
            Some(Finding { answer: Answer::Unknown, severity, evidence, ..finding })
        }
        _ => None,
    }
}

/// A forwarder that is told to carry a gateway's port elsewhere, whether or not it does so now.
/// Those that listen on this host are judged by their sockets.
fn of_route(rule: &Rule, scene: &Scene<'_>, route: &Route) -> Option<Finding> {
    if !route.listens.is_empty() {
        return None;
    }
    let place = match &route.source {
        RouteSource::File(path) => format!("in {}", path.display()),
        RouteSource::Arguments => "in its arguments".to_owned(),
        RouteSource::Itself => "as it says itself".to_owned(),
    };
    let name = scene.name_of(route.pid);
    let evidence =
        vec![format!("{name} is told {place} to carry port {} elsewhere: {}", route.to_port, route.text)];
    let finding = rule.yes(&name, evidence);
    let allowed = scene.allows_path(&route.program) || scene.allows_process(route.pid);
    Some(if allowed { finding.allowed() } else { finding })
}
