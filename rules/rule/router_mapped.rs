//! A router carries a port of the internet to a gateway.

use std::net::SocketAddr;

use crate::address::{Scope, scope};
use crate::catalog::Rule;
use crate::fact::{Mapping, Router};
use crate::finding::{Answer, Finding, Severity};
use crate::scene::{Behind, Scene};
use crate::way;

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    scene.routers().into_iter().flat_map(|router| of_router(rule, scene, router)).collect()
}

fn of_router(rule: &Rule, scene: &Scene<'_>, router: &Router) -> Vec<Finding> {
    match &router.mappings {
        Ok(mappings) => {
            mappings.iter().filter_map(|mapping| of_mapping(rule, scene, router, mapping)).collect()
        }
        Err(why) => {
            let evidence = vec![format!("the router at {} does not tell what it carries: {why}", router.at)];
            let remedy = "Look at its port forwards yourself, and switch UPnP off there.".to_owned();
            vec![Finding { severity: Severity::Warning, remedy, ..rule.unknown(&router.at.ip(), evidence) }]
        }
    }
}

fn of_mapping(rule: &Rule, scene: &Scene<'_>, router: &Router, mapping: &Mapping) -> Option<Finding> {
    let Mapping { external, to, text } = mapping;
    let public = router.public.map_or_else(
        || format!("port {external} of the router {}", router.at.ip()),
        |public| SocketAddr::new(public, *external).to_string(),
    );
    // A router behind another one has no public address: who comes in is who is between them.
    let who = match router.public.map(|public| scope("", public)) {
        None | Some(Scope::Global) => "the whole internet",
        Some(nearer) => nearer.audience(),
    };
    let mut evidence = vec![format!(
        "the router {} carries {public} to {to}, as somebody asked it to ({text}): {who}",
        router.at.ip()
    )];
    let answer = match scene.behind(to.port()) {
        Behind::Nothing => return None,
        Behind::Gateway => Answer::Yes,
        Behind::Perhaps => {
            evidence.push(format!("whether a gateway is at {to} cannot be told"));
            Answer::Unknown
        }
    };
    let finding = Finding { answer, ..rule.yes(&public, evidence) };
    Some(if scene.allows_path(way::ROUTER) {
        finding.allowed()
    } else if !router.is_the_way_out {
        let mut finding = finding;
        finding.evidence.push(
            "it is not the router that this host goes to the internet by: any device can say so".to_owned(),
        );
        Finding { severity: Severity::Warning, ..finding }
    } else if scene.doors_at(*to).is_empty() {
        let mut finding = finding;
        finding.evidence.push(format!("nobody listens on {to}, for now"));
        Finding { severity: Severity::Warning, ..finding }
    } else {
        finding
    })
}
