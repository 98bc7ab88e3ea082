//! What of a trip is still so, or may be: as far as can be told while the barriers keep others away.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use guardian_rules::fact::{GatewayProcess, Listener};
use guardian_rules::finding::Severity;

use crate::status::Found;
use crate::trip::Evidence;

/// What is seen now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Present<'a> {
    /// How much each rule found in the last whole picture.
    pub(super) found: &'a [Found],
    pub(super) listeners: &'a [Listener],
    pub(super) gateways: &'a [GatewayProcess],
    /// Gateways are kept from running.
    pub(super) stopped: bool,
    /// This machine could reach the gateway while the last whole picture was made.
    pub(super) lets_in: bool,
    /// The sockets as they were seen last, however new that is; none if they were not.
    pub(super) newest: Option<&'a [Listener]>,
    /// Whether there is no such process.
    pub(super) has_ended: fn(u32) -> bool,
}

impl Present<'_> {
    /// The rules of these findings that still find something, may, or cannot tell.
    pub(super) fn rules_of(&self, findings: &[Evidence]) -> Vec<String> {
        let still = findings.iter().filter(|it| self.has(it)).map(|it| it.rule.as_str());
        still.collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
    }

    /// What these findings are about, where that very thing is there no more. It proves nothing: a program may come
    /// back, and what it did shows only once it could do it. So it clears nothing, and is told beside what is to be done.
    pub(super) fn gone_of(&self, findings: &[Evidence]) -> Vec<String> {
        let published: BTreeSet<&str> = findings
            .iter()
            .filter(|it| it.rule == "panel-republished")
            .map(|it| it.subject.as_str())
            .collect();
        let is_gone = |it: &&Evidence| match it.rule.as_str() {
            "panel-republished" => self.is_closed(&it.subject),
            // A gateway's own socket is gone whenever it is stopped.
            "open-without-credentials" => {
                published.contains(it.subject.as_str()) && self.is_closed(&it.subject)
            }
            "forwarder-attached" => process_of(&it.subject).is_some_and(self.has_ended),
            _ => false,
        };
        let gone: BTreeSet<&str> = findings.iter().filter(is_gone).map(|it| it.subject.as_str()).collect();
        gone.into_iter().map(str::to_owned).collect()
    }

    fn is_closed(&self, at: &str) -> bool {
        self.newest.is_some_and(|newest| !may_listen(newest, at))
    }

    /// Whether a finding is still so, or may be. What is not named here the barriers themselves may hide.
    fn has(&self, finding: &Evidence) -> bool {
        let Evidence { rule, subject, .. } = finding;
        let is_found = || self.found.iter().any(|it| it.severity == Severity::Critical && it.rule == *rule);
        match rule.as_str() {
            // A configuration is read of a gateway that runs.
            "config-incomplete" => is_found() || !self.reads(Path::new(subject)),
            // One that does not run listens nowhere, and will again.
            "bound-beyond-allowed" | "side-door-open" => {
                is_found() || self.stopped || self.gateways.is_empty()
            }
            "nat-published" | "tunnel-published" => is_found(),
            // A proxy answers otherwise that reaches the gateway no more.
            "panel-republished" => is_found() || may_listen(self.listeners, subject),
            // What the wall keeps away is not seen to be attached. In a recovery it would be.
            "forwarder-attached" => {
                let ended = process_of(subject).is_some_and(self.has_ended);
                is_found() || !(self.lets_in && ended)
            }
            // No connection is taken that the wall refuses; none is there to be taken where nobody listens.
            "reachable-beyond-allowed" => is_found() || may_listen(self.listeners, subject),
            _ => true,
        }
    }

    fn reads(&self, file: &Path) -> bool {
        self.gateways.iter().any(|gateway| gateway.config.path.as_deref() == Some(file))
    }
}

/// Whether somebody may take what was taken at this address. By its port: one address is bound to in many ways,
/// `0.0.0.0` also as `[::]`.
fn may_listen(listeners: &[Listener], at: &str) -> bool {
    let Ok(at) = at.parse::<SocketAddr>() else { return true };
    listeners.iter().any(|it| it.bound.port() == at.port())
}

/// The process that a finding is about, by what names it: `socat (pid 950, user bob)`, or `pid 950`. What a program calls
/// itself stands before that.
fn process_of(subject: &str) -> Option<u32> {
    let (_, rest) = subject.rsplit_once("pid ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use guardian_rules::fact::{Attribution, ConfigFile, ConfigState};
    use guardian_rules::finding::Answer;

    use super::*;

    const FILE: &str = "/home/ana/.openclaw/openclaw.json";

    /// What was found of it, or beside it, before.
    const MENDED: [(&str, &str); 7] = [
        ("bound-beyond-allowed", "0.0.0.0:18789"),
        ("side-door-open", "0.0.0.0:18791"),
        ("config-incomplete", FILE),
        ("panel-republished", "0.0.0.0:8088"),
        ("reachable-beyond-allowed", "192.168.1.5:19999"),
        ("nat-published", "the packet filter"),
        ("tunnel-published", "ngrok"),
    ];

    fn finding(rule: &str, subject: &str) -> Evidence {
        Evidence {
            rule: rule.to_owned(),
            severity: Severity::Critical,
            answer: Answer::Yes,
            subject: subject.to_owned(),
            evidence: Vec::new(),
            remedy: String::new(),
        }
    }

    fn listener(bound: &str) -> Listener {
        Listener {
            bound: bound.parse().unwrap(),
            dual_stack: false,
            device: None,
            uid: None,
            socket: 1,
            owner: Attribution::Named(vec![812]),
        }
    }

    fn gateway() -> GatewayProcess {
        GatewayProcess {
            pid: 812,
            product: None,
            marks: Vec::new(),
            service: None,
            config: ConfigFile { path: Some(FILE.into()), state: ConfigState::Absent },
            private_paths: Vec::new(),
            state: None,
            within_reach: Ok(Vec::new()),
            devices: Ok(Vec::new()),
        }
    }

    /// A sound gateway runs on loopback, and nothing is found any more.
    fn mended() -> (Vec<Found>, Vec<Listener>, Vec<GatewayProcess>) {
        (Vec::new(), vec![listener("127.0.0.1:18789")], vec![gateway()])
    }

    fn present(
        (found, listeners, gateways): &(Vec<Found>, Vec<Listener>, Vec<GatewayProcess>),
    ) -> Present<'_> {
        let newest = Some(listeners.as_slice());
        Present {
            found,
            listeners,
            gateways,
            stopped: false,
            lets_in: false,
            newest,
            has_ended: |pid| pid == 950,
        }
    }

    #[test]
    fn what_was_mended_is_gone() {
        let now = mended();
        for (rule, subject) in MENDED {
            assert!(!present(&now).has(&finding(rule, subject)), "{rule}");
        }
    }

    #[test]
    fn what_is_found_is_there() {
        let mut now = mended();
        for (rule, subject) in MENDED {
            now.0 = vec![Found { rule: rule.to_owned(), severity: Severity::Critical, count: 1 }];
            assert!(present(&now).has(&finding(rule, subject)), "{rule}");
            now.0 = vec![Found { rule: rule.to_owned(), severity: Severity::Info, count: 1 }];
            assert!(!present(&now).has(&finding(rule, subject)), "allowed: {rule}");
        }
    }

    #[test]
    fn of_a_gateway_that_does_not_run_nothing_is_known() {
        let now = (Vec::new(), Vec::new(), Vec::new());
        for (rule, subject) in [("bound-beyond-allowed", "0.0.0.0:18789"), ("config-incomplete", FILE)] {
            assert!(present(&now).has(&finding(rule, subject)), "{rule}");
        }
        // Another one that runs says nothing of the one that is kept from it.
        let other = mended();
        let stopped = Present { stopped: true, ..present(&other) };
        assert!(stopped.has(&finding("bound-beyond-allowed", "0.0.0.0:18789")));
        assert!(present(&other).has(&finding("config-incomplete", "/home/ben/.openclaw/openclaw.json")));
    }

    #[test]
    fn what_the_wall_hides_is_not_gone() {
        let mut now = mended();
        now.1.extend([listener("0.0.0.0:8088"), listener("0.0.0.0:19999")]);
        for (rule, subject) in [
            ("panel-republished", "0.0.0.0:8088"),
            ("reachable-beyond-allowed", "192.168.1.5:19999"),
            ("foreign-peer", "198.51.100.4:50111"),
            ("forwarder-attached", "pid 950"),
            ("a rule of a later version", "x"),
        ] {
            assert!(present(&now).has(&finding(rule, subject)), "{rule}");
        }
    }

    #[test]
    fn what_it_was_about_is_gone_and_clears_nothing() {
        let now = mended();
        let present = present(&now);
        let findings = [
            finding("panel-republished", "0.0.0.0:8088"),
            finding("open-without-credentials", "0.0.0.0:8088"),
            finding("forwarder-attached", "socat (pid 951) (pid 950, user bob)"),
            finding("forwarder-attached", "ssh (pid 951, user bob)"),
            finding("forwarder-attached", "connection to 127.0.0.1:18789"),
            // The gateway's own, of a gateway that is stopped.
            finding("open-without-credentials", "0.0.0.0:18789"),
            finding("bound-beyond-allowed", "0.0.0.0:18789"),
        ];
        assert_eq!(present.gone_of(&findings), ["0.0.0.0:8088", "socat (pid 951) (pid 950, user bob)"]);
        assert!(present.has(&findings[1]) && present.has(&findings[2]), "until it is proven");
        let there = [listener("0.0.0.0:8088")];
        let back = Present { newest: Some(&there), has_ended: |_| false, ..present };
        assert_eq!(back.gone_of(&findings), [""; 0]);
        let unseen = Present { newest: None, has_ended: |_| false, ..present };
        assert_eq!(unseen.gone_of(&findings), [""; 0], "who cannot look does not say that it is gone");
    }

    #[test]
    fn what_listens_on_the_same_port_in_another_way_is_not_gone() {
        let proxy = finding("panel-republished", "0.0.0.0:8088");
        for bound in ["0.0.0.0:8088", "[::]:8088", "192.168.1.5:8088", "[fe80::1%2]:8088"] {
            let mut now = mended();
            now.1.push(listener(bound));
            assert!(present(&now).gone_of(std::slice::from_ref(&proxy)).is_empty(), "{bound}");
            assert!(present(&now).has(&proxy), "{bound}");
        }
        let now = mended();
        let nameless = finding("panel-republished", "nobody's");
        assert!(present(&now).gone_of(&[nameless]).is_empty());
        assert_eq!(present(&now).gone_of(&[proxy]), ["0.0.0.0:8088"]);
    }

    #[test]
    fn a_forwarder_that_has_ended_is_not_seen_any_more_once_it_could_be() {
        let mut now = mended();
        let forwarder = finding("forwarder-attached", "socat (pid 950, user bob)");
        assert!(present(&now).has(&forwarder));
        assert!(!Present { lets_in: true, ..present(&now) }.has(&forwarder));
        assert!(Present { lets_in: true, has_ended: |_| false, ..present(&now) }.has(&forwarder));
        now.0 = vec![Found { rule: "forwarder-attached".to_owned(), severity: Severity::Critical, count: 1 }];
        assert!(Present { lets_in: true, ..present(&now) }.has(&forwarder), "another one is");
    }

    #[test]
    fn each_rule_is_named_once() {
        let now = mended();
        let findings =
            [finding("foreign-peer", "a"), finding("foreign-peer", "b"), finding("nat-published", "c")];
        assert_eq!(present(&now).rules_of(&findings), ["foreign-peer"]);
    }
}
