//! A gateway's user is a person, or reaches a person's secrets: whoever gets through the gateway has
//! them.

use crate::catalog::Rule;
use crate::finding::{Finding, Severity};
use crate::scene::Scene;

/// As many secrets are named.
const FEW: usize = 8;

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    scene
        .gateway_processes()
        .filter_map(|gateway| {
            let name = scene.name_of(gateway.pid);
            match &gateway.within_reach {
                Ok(secrets) if secrets.is_empty() => None,
                Ok(secrets) => {
                    let mut sorted: Vec<_> = secrets.iter().collect();
                    sorted.sort_unstable();
                    let mut evidence: Vec<String> = sorted
                        .iter()
                        .take(FEW)
                        .map(|it| format!("it can read {} ({})", it.path.display(), it.what))
                        .collect();
                    if secrets.len() > FEW {
                        evidence.push(format!("and {} more", secrets.len() - FEW));
                    }
                    let finding = rule.yes(&name, evidence);
                    Some(if is_a_service(scene, gateway.pid) {
                        let remedy =
                            "Close it to others: `chmod o-rwx` on the home named here, as its owner or root.";
                        Finding { remedy: remedy.to_owned(), ..finding }
                    } else {
                        finding
                    })
                }
                Err(why) => {
                    let unknown = format!("whose files it can read cannot be told: {why}");
                    Some(Finding { severity: Severity::Info, ..rule.unknown(&name, vec![unknown]) })
                }
            }
        })
        .collect()
}

/// Its user is a service's already, as a bulkhead makes it: by custom their names begin so.
fn is_a_service(scene: &Scene<'_>, pid: u32) -> bool {
    scene.process(pid).and_then(|it| it.user.as_ref()).is_some_and(|user| user.starts_with('_'))
}
