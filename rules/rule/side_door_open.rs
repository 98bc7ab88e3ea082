//! A gateway's process answers on a second socket without asking for credentials.

use crate::catalog::Rule;
use crate::fact::SideDoor;
use crate::finding::{Finding, Severity};
use crate::rule::audiences;
use crate::scene::{Beyond, Scene};

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for door in &scene.doors {
        let Some(side_door) = door.side_door() else { continue };
        let bound = door.listener.bound;
        let what = match side_door {
            SideDoor::BrowserControl => "browser control",
            SideDoor::ExtensionRelay => "the browser extension's relay",
            SideDoor::Inspector if door.part.is_gateways() => "Node's inspector",
            // Somebody else's debugger is no door to a gateway; whose this is cannot be told.
            SideDoor::Inspector if door.holder.is_none() && !door.beyond.is_none() => {
                let evidence = vec![
                    format!("{} answers on {bound}: Node's inspector", scene.holder_of(door)),
                    "it may be a gateway's".to_owned(),
                ];
                findings.push(rule.unknown(&bound, evidence));
                continue;
            }
            SideDoor::Inspector => continue,
        };
        let mut evidence =
            vec![format!("{} answers on {bound} without credentials: {what}", scene.holder_of(door))];
        findings.push(match &door.beyond {
            Beyond::Addresses(addresses) if addresses.is_empty() => {
                let severity = match side_door {
                    // It carries only what the extension was told to hand over.
                    SideDoor::ExtensionRelay => Severity::Info,
                    SideDoor::BrowserControl | SideDoor::Inspector => Severity::Warning,
                };
                evidence.push("on allowed addresses only".to_owned());
                Finding { severity, ..rule.yes(&bound, evidence) }
            }
            Beyond::Addresses(addresses) => {
                evidence.extend(audiences(addresses));
                rule.yes(&bound, evidence)
            }
            Beyond::Unknown(why) => {
                evidence.push(why.clone());
                rule.unknown(&bound, evidence)
            }
        });
    }
    findings
}
