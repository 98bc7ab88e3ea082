//! What a local peer of a gateway has to do with other hosts.

use std::collections::HashMap;

use guardian_rules::fact::Flow;

use super::Question;
use super::admission::Admission;
use super::pairing::is_local;
use crate::listeners::socket::Socket;

/// As many as a person reads.
pub const MAX_FLOWS: usize = 8;

/// Collects flows by process, a few of each: those with strangers before those with hosts that may
/// be here, accepted ones before others.
pub struct Flows<'a> {
    question: &'a Question,
    by_pid: HashMap<u32, Vec<Flow>>,
}

impl<'a> Flows<'a> {
    /// None so far.
    #[must_use]
    pub fn new(question: &'a Question) -> Self {
        Self { question, by_pid: HashMap::new() }
    }

    /// Notes a socket of a process, if it is a connection with another host.
    pub fn note(&mut self, pid: u32, socket: &Socket) {
        if !socket.is_connected() || is_local(socket.remote.ip(), &self.question.own) {
            return;
        }
        // Accepted by this process, or by the one that forked it: the port is listened on.
        let inbound = self.question.listeners.iter().any(|listener| {
            listener.bound.port() == socket.local.port() && listener.covers(socket.local.ip())
        });
        let flow = Flow { local: socket.local, remote: socket.remote, inbound };
        let flows = self.by_pid.entry(pid).or_default();
        flows.push(flow);
        if flows.len() > MAX_FLOWS {
            gravest(flows, &self.question.admission);
        }
    }

    /// The flows of some processes, the gravest first.
    #[must_use]
    pub fn of(&self, pids: &[u32]) -> Vec<Flow> {
        let mut flows: Vec<Flow> =
            pids.iter().filter_map(|pid| self.by_pid.get(pid)).flatten().cloned().collect();
        gravest(&mut flows, &self.question.admission);
        flows
    }
}

fn gravest(flows: &mut Vec<Flow>, admission: &Admission) {
    flows.sort_unstable_by_key(|flow| {
        (admission.admits(flow.local.ip(), flow.remote.ip()), !flow.inbound, flow.local, flow.remote)
    });
    flows.dedup();
    flows.truncate(MAX_FLOWS);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use guardian_rules::fact::{Attribution, Listener};
    use guardian_rules::policy::{AllowedNetwork, Policy};

    use super::*;
    use crate::listeners::socket::State;

    fn socket(local: &str, remote: &str) -> Socket {
        Socket {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            state: State::Established,
            dual_stack: false,
            device: 0,
            uid: None,
            id: 1,
        }
    }

    fn question(bound: &[&str]) -> Question {
        let listener = |bound: &&str| Listener {
            bound: bound.parse().unwrap(),
            dual_stack: false,
            device: None,
            uid: None,
            socket: 9,
            owner: Attribution::Named(vec![1]),
        };
        Question { listeners: bound.iter().map(listener).collect(), ..Question::default() }
    }

    #[test]
    fn a_stranger_is_never_cut_off_by_hosts_that_may_be_here() {
        let allowed = AllowedNetwork { network: "192.0.2.0/24".parse().unwrap(), reason: "kiosk".into() };
        let policy = Policy { networks: vec![allowed], ..Policy::default() };
        let question =
            Question { admission: Admission::new(Arc::new(policy), &[]), ..question(&["0.0.0.0:443"]) };
        let mut flows = Flows::new(&question);
        for port in 1..=20 {
            flows.note(7, &socket("10.0.0.1:443", &format!("192.0.2.1:{port}")));
        }
        flows.note(7, &socket("10.0.0.1:50000", "198.51.100.1:443"));
        for port in 21..=40 {
            flows.note(7, &socket("10.0.0.1:443", &format!("192.0.2.1:{port}")));
        }
        assert_eq!(flows.of(&[7])[0].remote, "198.51.100.1:443".parse().unwrap());
    }

    #[test]
    fn what_came_in_is_kept_before_what_went_out() {
        let question = question(&["0.0.0.0:443"]);
        let mut flows = Flows::new(&question);
        for port in 1..=20 {
            flows.note(7, &socket("10.0.0.1:50000", &format!("192.0.2.1:{port}")));
        }
        flows.note(7, &socket("10.0.0.1:443", "192.0.2.9:1000"));
        flows.note(7, &socket("10.0.0.1:443", "192.0.2.9:1000"));
        let found = flows.of(&[7]);
        assert_eq!(found.len(), MAX_FLOWS);
        assert_eq!(found.iter().map(|flow| flow.inbound).filter(|inbound| *inbound).count(), 1);
        assert!(found[0].inbound);
        assert!(flows.of(&[8]).is_empty());
    }

    #[test]
    fn connections_within_this_host_are_no_flows() {
        let question = Question { own: ["10.0.0.1".parse().unwrap()].into(), ..Question::default() };
        let mut flows = Flows::new(&question);
        flows.note(7, &socket("127.0.0.1:40000", "127.0.0.1:18789"));
        flows.note(7, &socket("10.0.0.1:40000", "10.0.0.1:18789"));
        flows.note(7, &Socket { state: State::Listen, ..socket("10.0.0.1:80", "0.0.0.0:0") });
        assert!(flows.of(&[7]).is_empty());
    }

    #[test]
    fn a_port_listened_on_at_another_address_does_not_make_a_flow_inbound() {
        let question = question(&["127.0.0.1:443"]);
        let mut flows = Flows::new(&question);
        flows.note(7, &socket("10.0.0.1:443", "192.0.2.9:1000"));
        assert!(!flows.of(&[7])[0].inbound);
    }
}
