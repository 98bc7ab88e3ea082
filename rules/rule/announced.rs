//! A gateway announces itself in the local network.

use crate::catalog::Rule;
use crate::fact::{Announcement, Heard};
use crate::finding::{Finding, Severity};
use crate::scene::Scene;

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    scene.announcements().into_iter().map(|it| of_announcement(rule, scene, it)).collect()
}

fn of_announcement(rule: &Rule, scene: &Scene<'_>, announcement: &Announcement) -> Finding {
    let who = announcement.pid.map_or_else(|| "a program of this host".to_owned(), |pid| scene.name_of(pid));
    match &announcement.heard {
        Ok(heard) => of_heard(rule, scene, &who, heard),
        Err(why) => {
            let evidence = vec![format!("whether {who} announces itself cannot be told: {why}")];
            Finding { severity: Severity::Info, ..rule.unknown(&who, evidence) }
        }
    }
}

fn of_heard(rule: &Rule, scene: &Scene<'_>, who: &str, heard: &Heard) -> Finding {
    let Heard { service, port, tells, on } = heard;
    // An address that has just gone is nobody's any more, and still was heard of.
    let is_allowed = |address| {
        let mut own = scene.own_addresses().into_iter().filter(|own| own.address == address).peekable();
        own.peek().is_some() && own.all(|own| scene.policy.allows_own(own))
    };
    let (allowed, beyond): (Vec<_>, Vec<_>) = on.iter().partition(|address| is_allowed(**address));
    let places = |on: &[&_]| on.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let leads = port.map_or_else(String::new, |port| format!(", on port {port}"));
    let mut evidence = vec![format!(
        "{who} announces {service}{leads}, on the networks of {}",
        places(if beyond.is_empty() { &allowed } else { &beyond })
    )];
    if !tells.is_empty() {
        evidence.push(format!("it tells {} beside that", tells.join(", ")));
    }
    let finding = rule.yes(service, evidence);
    if beyond.is_empty() {
        let mut finding = finding;
        finding
            .evidence
            .push("these are allowed; in another network it would announce itself too".to_owned());
        Finding { severity: Severity::Info, ..finding }
    } else {
        finding
    }
}
