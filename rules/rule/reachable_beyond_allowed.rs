//! A gateway's port takes connections on an address beyond the allowed networks.

use crate::blindness::Cause;
use crate::catalog::Rule;
use crate::fact::{InterfaceAddress, ReachAnswer, Reached};
use crate::finding::Finding;
use crate::rule::audience;
use crate::scene::Scene;

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let own = scene.own_addresses();
    let ports = scene.gateway_ports();
    let tried = scene.reach().into_iter().filter(|answer| ports.contains(&answer.at.port()));
    tried
        .filter_map(|answer| {
            let address = own.iter().find(|own| own.is_at(answer.at) && !scene.policy.allows_own(own))?;
            of_answer(rule, scene, answer, address)
        })
        .collect()
}

fn of_answer(
    rule: &Rule,
    scene: &Scene<'_>,
    answer: &ReachAnswer,
    address: &InterfaceAddress,
) -> Option<Finding> {
    let who = audience(address, address.scope());
    let doors = scene.doors_at(answer.at);
    // A socket that is tied to another interface takes connections from this host all the same.
    let gateways = doors.iter().find(|door| door.part.is_gateways() && door.beyond.may_have(address));
    let nothing_there = doors.is_empty();
    match (&answer.reached, gateways) {
        (Reached::Refused | Reached::Absent, _) => None,
        (Reached::Accepted, Some(door)) => {
            Some(rule.yes(&answer.at, vec![format!("{} accepted a connection", scene.holder_of(door)), who]))
        }
        (Reached::Accepted, None) if nothing_there => Some(if scene.snapshot.listeners.known().is_some() {
            let hidden = "a connection was accepted, and no listening socket is known there".to_owned();
            rule.yes(&answer.at, vec![hidden, who])
        } else {
            let unnamed = "a connection was accepted, and who listens on this host is not known".to_owned();
            rule.unknown(&answer.at, vec![unnamed, who])
        }),
        (Reached::Unknown(why), Some(_)) => {
            Some(rule.unknown(&answer.at, vec![format!("no connection, no refusal: {why}"), who]))
        }
        // A port that nothing is bound to and that drops packets lets nobody in; one that could
        // not be tried may be redirected.
        (Reached::Unknown(why), None) if nothing_there && why.cause != Cause::TimedOut => {
            Some(rule.unknown(&answer.at, vec![format!("it could not be tried: {why}"), who]))
        }
        // Another program's socket on the same port is judged by what it answers.
        (Reached::Accepted | Reached::Unknown(_), None) => None,
    }
}
