//! A gateway lets a request in without credentials, by whatever door.

use crate::catalog::Rule;
use crate::fact::{Access, Reply, Transport};
use crate::finding::{Finding, Severity};
use crate::rule::audiences;
use crate::scene::{Beyond, Door, Part, Scene};

/// What to do about a proxy that is allowed, and that the seal keeps from the gateway.
const KEPT_AWAY: &str = "It carries nothing while the seal stands. Use the gate in its place; or, once the circuit is closed, set `seal = false` in \
                         guardian.toml and type `guardian config reload`: then it is judged by what it answers.";

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    scene.doors.iter().filter_map(|door| of_door(rule, scene, door)).collect()
}

fn of_door(rule: &Rule, scene: &Scene<'_>, door: &Door<'_>) -> Option<Finding> {
    let bound = door.listener.bound;
    let mut evidence = vec![format!("{} listens on {bound}", scene.holder_of(door))];
    let open: Vec<String> = opened(door);
    if !open.is_empty() {
        evidence.extend(open);
        match &door.beyond {
            Beyond::Addresses(addresses) if addresses.is_empty() => {
                evidence.push(
                    "on allowed addresses only, for now: whatever is forwarded here is open to all"
                        .to_owned(),
                );
            }
            Beyond::Addresses(addresses) => evidence.extend(audiences(addresses)),
            Beyond::Unknown(why) => evidence.push(why.clone()),
        }
        return Some(rule.yes(&bound, evidence));
    }
    if door.is_away {
        return None;
    }
    if let Part::PerhapsGateway(why) = &door.part {
        evidence.push(format!(
            "a gateway is expected on this port, and whether this is one cannot be told: {why}"
        ));
        return Some(rule.unknown(&bound, evidence));
    }
    // The path may be allowed. That nobody can tell who gets in by it is not.
    let matters = !door.beyond.is_none() || scene.policy.ports.contains(&bound.port());
    let carries = matches!(door.part, Part::Carries(_)) && matters;
    let unseen = door.panel.iter().find_map(|answer| match &answer.reply {
        Reply::Unknown(why) => Some(why.to_string()),
        _ => None,
    });
    let why = match door.who_gets_in() {
        Some(Access::Unknown(why)) if carries || door.part == Part::Gateway => why.to_string(),
        _ if door.part != Part::Gateway => unseen.filter(|_| carries)?,
        Some(Access::Required | Access::RefusesProxy) => return None,
        Some(Access::Fronted | Access::NoGateway) => {
            "its answer is not one that a known gateway gives".to_owned()
        }
        Some(Access::Open | Access::Unknown(_)) | None => "nobody asked it".to_owned(),
    };
    evidence.push(format!("whether it asks for credentials could not be told: {why}"));
    if carries && scene.is_kept_away(door) {
        evidence.push(
            "Guardian's own filter keeps its user from the gateway: nobody gets in by it while that stands"
                .to_owned(),
        );
        return Some(Finding {
            severity: Severity::Warning,
            remedy: KEPT_AWAY.to_owned(),
            ..rule.unknown(&bound, evidence)
        });
    }
    let remedy = if carries {
        "Guardian's own filter keeps whoever is not the gateway's user from it, a proxy too: while the circuit is not closed, \
         and as long as there is a seal (`seal = false` takes it away). Stop that proxy until the circuit is closed; if that is \
         not why, look again once it answers."
    } else {
        "Look again once it runs and answers. While Guardian blocks it, nobody is to ask it; it is asked in the recovery."
    };
    Some(Finding { remedy: remedy.to_owned(), ..rule.unknown(&bound, evidence) })
}

fn opened(door: &Door<'_>) -> Vec<String> {
    let scheme = |transport| match transport {
        Transport::Plain => "http",
        Transport::Tls => "https",
    };
    let http = door.access.iter().filter(|answer| answer.access == Access::Open).map(|answer| {
        format!(
            "{}://{} let a request without credentials through to its tools",
            scheme(answer.transport),
            answer.at
        )
    });
    let websocket = door
        .handshake
        .iter()
        .filter(|answer| answer.access == Access::Open)
        .map(|answer| format!("a WebSocket to {} was welcomed without credentials", answer.at));
    http.chain(websocket).collect()
}
