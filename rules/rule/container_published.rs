//! A container engine publishes a gateway beyond the allowed networks.

use crate::blindness::Cause;
use crate::catalog::Rule;
use crate::fact::{Access, ContainerPort, Engine};
use crate::finding::{Answer, Finding, Severity};
use crate::rule::audiences;
use crate::scene::{Beyond, Scene};
use crate::way;

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        scene.engines().into_iter().flat_map(|engine| of_engine(rule, scene, engine)).collect();
    findings.sort_unstable();
    findings
}

fn of_engine(rule: &Rule, scene: &Scene<'_>, engine: &Engine) -> Vec<Finding> {
    match &engine.ports {
        Ok(ports) => ports.iter().filter_map(|port| of_port(rule, scene, engine, port)).collect(),
        Err(why) => {
            let evidence = vec![
                format!(
                    "{} does not tell at {} what it publishes: {why}",
                    engine.name,
                    engine.socket.display()
                ),
                "what it publishes by a listening socket is seen all the same".to_owned(),
            ];
            let remedy = to_know(why.cause).to_owned();
            vec![Finding { severity: Severity::Info, remedy, ..rule.unknown(&engine.name, evidence) }]
        }
    }
}

fn to_know(cause: Cause) -> &'static str {
    match cause {
        Cause::Denied => "Run Guardian as root, and it can ask.",
        _ => {
            "Guardian asks again by itself. If it stays so, look yourself what is published: `docker ps`, `podman ps`."
        }
    }
}

fn of_port(rule: &Rule, scene: &Scene<'_>, engine: &Engine, port: &ContainerPort) -> Option<Finding> {
    let ContainerPort { container, image, on, .. } = port;
    let mut evidence =
        vec![format!("{} publishes the container {container} (image {image}) on {on}", engine.name)];
    let answer = match &port.access {
        access if access.is_gateway() => {
            evidence.push("a gateway answers in it".to_owned());
            Answer::Yes
        }
        Access::Unknown(why) if port.is_named_like_a_gateway => {
            evidence.push(format!("it is named like a gateway, and does not tell ({why})"));
            Answer::Unknown
        }
        _ => return None,
    };
    let (answer, reachable) = match scene.beyond_at(*on) {
        Beyond::Addresses(addresses) if addresses.is_empty() => return None,
        Beyond::Addresses(addresses) => (answer, audiences(&addresses)),
        Beyond::Unknown(why) => (Answer::Unknown, vec![why]),
    };
    evidence.extend(reachable);
    let finding = Finding { answer, ..rule.yes(on, evidence) };
    Some(if scene.allows_path(way::CONTAINER) { finding.allowed() } else { finding })
}
