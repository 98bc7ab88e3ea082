//! Another listener carries a gateway beyond the allowed networks.

use std::collections::BTreeSet;

use crate::catalog::Rule;
use crate::fact::{Access, Process, Product, Role};
use crate::finding::{Finding, Severity};
use crate::rule::audiences;
use crate::scene::{Beyond, Door, Part, Scene};

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    scene.doors.iter().filter_map(|door| of_door(rule, scene, door)).collect()
}

fn of_door(rule: &Rule, scene: &Scene<'_>, door: &Door<'_>) -> Option<Finding> {
    let bound = door.listener.bound;
    let held = format!("{} listens on {bound}", scene.holder_of(door));
    let reachable = match &door.beyond {
        Beyond::Addresses(addresses) if addresses.is_empty() => return None,
        Beyond::Addresses(addresses) => audiences(addresses),
        Beyond::Unknown(why) => vec![why.clone()],
    };
    match &door.part {
        Part::Carries(how) => {
            let mut evidence = vec![held, how.clone()];
            evidence.extend(protection(door));
            evidence.extend(reachable);
            let finding = match door.beyond {
                Beyond::Addresses(_) => rule.yes(&bound, evidence),
                Beyond::Unknown(_) => rule.unknown(&bound, evidence),
            };
            Some(as_allowed(scene, door, finding))
        }
        // Who may carry the gateway may also leave open whether it does.
        Part::Doubtful(why) => {
            let mut evidence = vec![held, why.clone()];
            evidence.extend(reachable);
            let finding = Finding { remedy: remedy(rule, scene, door), ..rule.unknown(&bound, evidence) };
            Some(as_allowed(scene, door, finding))
        }
        Part::Odd(why) => Some(Finding {
            severity: Severity::Info,
            remedy: "Nothing, if you know this program.".to_owned(),
            ..rule.unknown(
                &bound,
                vec![held, why.clone(), "nothing suggests that a gateway is behind it".to_owned()],
            )
        }),
        Part::Unrelated => {
            let likeness = likeness(door)?;
            Some(Finding {
                severity: Severity::Info,
                remedy: "Nothing, if you know this page.".to_owned(),
                ..rule.unknown(
                    &bound,
                    vec![
                        held,
                        format!("its page looks like the {likeness} panel, but no gateway answers there"),
                    ],
                )
            })
        }
        Part::Gateway | Part::BesideGateway | Part::PerhapsGateway(_) => None,
    }
}

/// Whether the owner has allowed every process that holds the door.
fn as_allowed(scene: &Scene<'_>, door: &Door<'_>, finding: Finding) -> Finding {
    let pids = door.listener.owner.pids();
    let allowed = !pids.is_empty() && pids.iter().all(|pid| scene.allows_process(*pid));
    if allowed { finding.allowed() } else { finding }
}

/// What to do about what may be a door, before the patience ends. The very allowance to type is said of a proxy of
/// root's alone: what the agent, or anybody else of this machine, calls itself is nothing that the owner should allow.
fn remedy(rule: &Rule, scene: &Scene<'_>, door: &Door<'_>) -> String {
    let holders: Option<Vec<&Process>> =
        door.listener.owner.pids().iter().map(|pid| scene.process(*pid)).collect();
    let holders = holders.unwrap_or_default();
    let programs: BTreeSet<&str> = holders.iter().map(|it| it.program()).collect();
    let is_proxy = holders.iter().all(|it| it.role == Role::Proxy);
    let is_roots = holders.iter().any(|it| it.uid == Some(0));
    let is_plain = |name: &&str| {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+');
        !name.is_empty() && !name.starts_with('-') && name.chars().all(word)
    };
    let only = programs.first().copied().filter(|_| is_proxy && is_roots && programs.len() == 1);
    let is_engines =
        !holders.is_empty() && holders.iter().all(|it| it.role == Role::ContainerEngine && it.uid == Some(0));
    match only.filter(is_plain) {
        None if is_engines => {
            "Publish that container on loopback alone, or allow what containers publish for a while: \
                               `guardian allow --path container --reason TEXT --until 2h`."
                .to_owned()
        }
        None => rule.remedy.to_owned(),
        Some(name) => format!(
            "Stop that program, bind it to loopback or the VPN, or allow it for a while: `guardian allow --path {name} \
             --reason TEXT --until 2h`."
        ),
    }
}

/// What stands between a stranger and the gateway, as the answers tell.
fn protection(door: &Door<'_>) -> Option<String> {
    door.who_gets_in().and_then(|access| match access {
        Access::Open => Some("it asks for no credentials".to_owned()),
        Access::Required => Some("the gateway behind it asks for credentials".to_owned()),
        Access::RefusesProxy => {
            Some("the gateway refuses this proxy for now (proxy_attribution_required)".to_owned())
        }
        Access::Fronted => Some("the program itself asks for credentials first".to_owned()),
        Access::NoGateway | Access::Unknown(_) => None,
    })
}

fn likeness(door: &Door<'_>) -> Option<Product> {
    door.pages().find_map(|page| page.structure.or(page.title))
}
