//! A gateway runs again although the breaker has stopped it.

use crate::catalog::Rule;
use crate::fact::{GatewayProcess, Process};
use crate::finding::Finding;
use crate::scene::Scene;

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let Some(stopped) = &scene.snapshot.stopped else { return Vec::new() };
    scene
        .gateway_processes()
        .filter_map(|gateway| match scene.process(gateway.pid) {
            Some(process) if stopped.processes.contains(&(process.pid, process.started)) => None,
            // It was there before, and is found to be a gateway only now.
            Some(process) if process.started <= stopped.since => None,
            Some(process) => {
                let (supervisor, how) = supervisor(scene, gateway, process);
                let evidence = format!("{} was started after the trip, {how}", scene.name_of(gateway.pid));
                Some(rule.yes(&supervisor, vec![evidence]))
            }
            // It may be one that is ending.
            None if stopped.processes.iter().any(|(pid, _)| *pid == gateway.pid) => None,
            None => Some(rule.unknown(
                &scene.name_of(gateway.pid),
                vec!["it bears the marks of a gateway, and when it was started is not known".to_owned()],
            )),
        })
        .collect()
}

/// Who starts it, so that it can be told to stop: named alike at every revival.
fn supervisor(scene: &Scene<'_>, gateway: &GatewayProcess, process: &Process) -> (String, String) {
    if let Some(service) = &gateway.service {
        return (service.to_string(), format!("by its supervisor: {service}"));
    }
    let wrapper = |pid: &u32| scene.gateway_process(*pid).is_some();
    let mut parent = process.parent;
    // A wrapper is a part of the gateway, and not what starts it.
    while let Some(pid) = parent.filter(wrapper) {
        parent = scene.process(pid).and_then(|process| process.parent).filter(|above| *above != pid);
    }
    match parent {
        Some(pid) if pid > 1 => {
            let name = scene.name_of(pid);
            (name.clone(), format!("by {name}"))
        }
        _ => ("an unknown supervisor".to_owned(), "and what started it has ended since".to_owned()),
    }
}
