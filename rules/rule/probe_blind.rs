//! A probe that did not see, a gateway's socket whose process cannot be named, or a gateway's
//! process whose socket cannot be told.

use std::collections::BTreeSet;

use crate::catalog::Rule;
use crate::fact::{Attribution, GatewayProcess, Reply};
use crate::finding::Finding;
use crate::scene::{Door, Part, Scene};

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let probes = scene.snapshot.blind().map(|(probe, why)| rule.unknown(&probe, vec![why.to_string()]));
    let unnamed = scene.doors.iter().filter(|door| door.part == Part::Gateway).filter_map(|door| match &door
        .listener
        .owner
    {
        Attribution::Named(_) => None,
        Attribution::Unnamed(why) => Some(rule.unknown(
            &door.listener.bound,
            vec![format!(
                "a gateway listens on {}, and its process cannot be named ({why})",
                door.listener.bound
            )],
        )),
    });
    let lost = lost(scene).into_iter().map(|(process, door)| {
        rule.unknown(
            &scene.name_of(process.pid),
            vec![format!(
                "it bears the marks of a gateway, and which socket is its cannot be told: perhaps {}",
                door.listener.bound
            )],
        )
    });
    probes.chain(unnamed).chain(lost).collect()
}

/// Gateway processes without a socket, and a socket that may be theirs: it cannot be named and
/// does not tell what it is. Where one socket of a user can be named all can; the wrapper of a
/// gateway has none.
fn lost<'s, 'a>(scene: &'s Scene<'a>) -> Vec<(&'a GatewayProcess, &'s Door<'a>)> {
    let seen_through: BTreeSet<u32> = scene
        .doors
        .iter()
        .filter_map(|door| scene.process(door.holder?).and_then(|it| it.uid).or(door.listener.uid))
        .collect();
    scene
        .gateway_processes()
        .filter(|process| scene.doors_of(process.pid).next().is_none())
        .filter_map(|process| {
            let user = scene.process(process.pid).and_then(|it| it.uid);
            if user.is_some_and(|user| seen_through.contains(&user)) {
                return None;
            }
            let may_be_its = |door: &&Door<'_>| {
                let same_user = user.is_none() || door.listener.uid.is_none() || user == door.listener.uid;
                // A packet filter may stand before it: Guardian's own does while the circuit is open.
                let answers_nobody = !door.panel.is_empty()
                    && door.panel.iter().all(|it| matches!(it.reply, Reply::Refused | Reply::Closed));
                let in_doubt = matches!(door.part, Part::Doubtful(_) | Part::PerhapsGateway(_));
                same_user && (in_doubt || answers_nobody)
            };
            let door = scene.doors.iter().filter(|door| door.holder.is_none()).find(may_be_its)?;
            Some((process, door))
        })
        .collect()
}
