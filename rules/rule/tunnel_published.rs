//! A tunnel says that it publishes a gateway, or does not tell what it publishes.

use crate::catalog::Rule;
use crate::fact::{Access, Audience, Publication, Tunnel, TunnelKind};
use crate::finding::{Answer, Finding, Severity};
use crate::scene::{Behind, Scene};

pub(crate) fn judge(rule: &Rule, scene: &Scene<'_>) -> Vec<Finding> {
    let told = scene.tunnels().into_iter().flat_map(|tunnel| of_tunnel(rule, scene, tunnel));
    told.chain(of_hidden_processes(rule, scene)).collect()
}

/// Nobody knows what runs that cannot be seen. Without a gateway there is nothing that it could publish.
fn of_hidden_processes(rule: &Rule, scene: &Scene<'_>) -> Option<Finding> {
    let why = scene.hidden_processes().filter(|_| scene.may_have_a_gateway())?;
    let evidence = vec![format!("tunnels and forwarders of other users cannot be seen: {why}")];
    let remedy =
        "Run Guardian as root, or add its user to the group that may see all processes (`gid` of proc(5)).";
    Some(Finding { remedy: remedy.to_owned(), ..rule.unknown(&"the processes of other users", evidence) })
}

fn of_tunnel(rule: &Rule, scene: &Scene<'_>, tunnel: &Tunnel) -> Vec<Finding> {
    let name = scene.name_of(tunnel.pid);
    match &tunnel.publishes {
        Ok(publications) => {
            publications.iter().filter_map(|it| of_publication(rule, scene, tunnel, &name, it)).collect()
        }
        // Without a gateway there is nothing that it could publish.
        Err(_) if !scene.may_have_a_gateway() => Vec::new(),
        Err(why) => {
            let evidence = vec![format!("what {name} publishes cannot be told: {why}")];
            let finding = Finding {
                remedy: "Let it tell: run Guardian as root, leave the program's API on, or name its configuration in its arguments; \
                         restart it if its configuration was changed, for a reload leaves no trace. Or allow it for a while: `guardian allow --path NAME --reason TEXT --until 2h`, with its program's name."
                    .to_owned(),
                ..rule.unknown(&name, evidence)
            };
            vec![match tunnel.kind {
                _ if allows(scene, tunnel, &tunnel.program) => finding.allowed(),
                TunnelKind::Public => finding,
                // It serves a VPN, an account or nobody, and everybody only if it was told so.
                TunnelKind::Vpn | TunnelKind::Account | TunnelKind::Seldom => {
                    Finding { severity: Severity::Warning, ..finding }
                }
            }]
        }
    }
}

fn of_publication(
    rule: &Rule,
    scene: &Scene<'_>,
    tunnel: &Tunnel,
    name: &str,
    publication: &Publication,
) -> Option<Finding> {
    let Publication { path, audience, public, to_port, guest } = publication;
    let who = match audience {
        Audience::Internet => "the whole internet",
        Audience::Vpn => "the members of the VPN",
    };
    let mut evidence = Vec::new();
    let mut severity = rule.severity;
    let answer = if let Some(guest) = guest {
        let at = guest.at;
        evidence.push(format!("{name} publishes {at}, a guest of this host, as {public}: {who}"));
        match &guest.access {
            access if access.is_gateway() => {
                evidence.push(format!("a gateway answers at {at}"));
                Answer::Yes
            }
            Access::Unknown(why) => {
                evidence.push(format!("whether a gateway is at {at} cannot be told: {why}"));
                if !guest.is_silent() {
                    severity = Severity::Warning;
                }
                Answer::Unknown
            }
            _ => return None,
        }
    } else {
        evidence.push(format!("{name} publishes port {to_port} of this host as {public}: {who}"));
        match scene.behind(*to_port) {
            Behind::Nothing => return None,
            Behind::Gateway => Answer::Yes,
            Behind::Perhaps => {
                evidence.push(format!("whether a gateway is at port {to_port} cannot be told"));
                Answer::Unknown
            }
        }
    };
    let finding = Finding { severity, answer, ..rule.yes(public, evidence) };
    Some(if allows(scene, tunnel, path) {
        finding.allowed()
    } else if *audience == Audience::Vpn {
        Finding {
            severity: Severity::Info,
            remedy: "Nothing, if the members of the VPN are to reach it.".to_owned(),
            ..finding
        }
    } else {
        finding
    })
}

fn allows(scene: &Scene<'_>, tunnel: &Tunnel, path: &str) -> bool {
    scene.allows_path(path) || scene.allows_process(tunnel.pid)
}
