//! Somebody was paired with a gateway while it was exposed.

use crate::catalog::Rule;
use crate::fact::{Device, Exposure, GatewayProcess};
use crate::finding::{Answer, Finding};
use crate::scene::Scene;

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let exposures = scene.snapshot.exposures.as_slice();
    if exposures.is_empty() {
        return Vec::new();
    }
    scene.gateway_processes().flat_map(|gateway| of_gateway(rule, scene, gateway, exposures)).collect()
}

fn of_gateway(
    rule: &Rule,
    scene: &Scene<'_>,
    gateway: &GatewayProcess,
    exposures: &[Exposure],
) -> Vec<Finding> {
    let name = scene.name_of(gateway.pid);
    match &gateway.devices {
        Err(why) => {
            let lost = format!("it has been exposed, and who is paired with it cannot be told: {why}");
            let remedy = "Look yourself: `openclaw devices list`, and remove what you do not know. It falls silent after thirty days.";
            vec![Finding { remedy: remedy.to_owned(), ..rule.unknown(&name, vec![lost]) }]
        }
        Ok(devices) => {
            devices.iter().filter_map(|device| of_device(rule, &name, device, exposures)).collect()
        }
    }
}

fn of_device(rule: &Rule, gateway: &str, device: &Device, exposures: &[Exposure]) -> Option<Finding> {
    let from = device.remote.as_deref().map_or_else(String::new, |from| format!(" from {from}"));
    let (answer, when) = match device.paired {
        None => (Answer::Unknown, "at a time that the gateway did not note"),
        Some(at) if exposures.iter().any(|it| it.from.is_some() && it.covers(at)) => {
            (Answer::Yes, "while the gateway was exposed")
        }
        // Since when it was exposed, nobody knows.
        Some(at) if exposures.iter().any(|it| it.covers(at)) => {
            (Answer::Unknown, "before it was known that the gateway was exposed")
        }
        Some(_) => return None,
    };
    let evidence = vec![format!("{} ({}) was paired with {gateway}{from}, {when}", device.client, device.id)];
    Some(Finding { answer, ..rule.yes(&format!("{}{from} ({})", device.client, device.id), evidence) })
}
