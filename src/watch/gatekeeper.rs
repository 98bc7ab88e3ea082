//! Whether the gate runs, as far as the watcher can tell: one that does takes its leases.

use std::net::SocketAddr;
use std::time::Duration;

use crate::control::gates::Gates;
use crate::install::typed;
use crate::status::GateStatus;
use crate::sys::clock::Moment;

/// A gate that starts, or starts again, is there after this time.
const GRACE: Duration = Duration::from_secs(5);

/// What is known of the gate.
pub(super) struct Gatekeeper {
    gates: Gates,
    /// When a gate was seen last; until then, when the watcher began.
    since: Moment,
    /// A gate was seen.
    known: bool,
    /// Where it would listen, but no card of this host has the address.
    waiting: Vec<SocketAddr>,
}

impl Gatekeeper {
    pub(super) fn new(gates: Gates, now: Moment) -> Self {
        Self { gates, since: now, known: false, waiting: Vec::new() }
    }

    /// How it is now; nothing where there is to be no gate, and as long as it may be starting.
    pub(super) fn look(&mut self, now: Moment) -> Option<GateStatus> {
        if self.gates.any() {
            (self.since, self.known) = (now, true);
            return Some(GateStatus::Running);
        }
        self.missing(now, typed::gate_is_installed)
    }

    /// Where it would listen if it could, as it reports.
    pub(super) fn set_waiting(&mut self, waiting: &[SocketAddr]) {
        self.waiting = waiting.to_vec();
    }

    /// That a gate that runs is not heard everywhere yet.
    pub(super) fn waits(&self, gate: Option<GateStatus>) -> Option<String> {
        let runs = gate == Some(GateStatus::Running) && !self.waiting.is_empty();
        let at: Vec<String> = self.waiting.iter().map(ToString::to_string).collect();
        runs.then(|| {
            format!(
                "gate: it waits for {}, which no card of this host has now (a VPN that is down?), and listens there as \
                 soon as one does",
                at.join(", ")
            )
        })
    }

    fn missing(&self, now: Moment, is_installed: impl Fn() -> bool) -> Option<GateStatus> {
        let late = now.since(self.since) > GRACE;
        (late && (self.known || is_installed())).then_some(GateStatus::Absent)
    }
}

/// That it does not run, and what to type.
pub(super) fn amiss(gate: Option<GateStatus>) -> Option<String> {
    let amiss = || {
        let start =
            if typed::gate_is_installed() { typed::start_of_the_gate() } else { "guardian gate".into() };
        format!("gate: it does not run, and nobody gets to the panel by it; type: {start}")
    };
    (gate == Some(GateStatus::Absent)).then(amiss)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;

    #[test]
    fn a_gate_that_was_there_or_is_installed_is_missed_after_a_grace_and_no_other_one() {
        let begun = clock::moment();
        let after = |seconds| begun + Duration::from_secs(seconds);
        for (known, installed, seconds, expected) in [
            (false, false, 3600, None),
            (false, true, 4, None),
            (false, true, 6, Some(GateStatus::Absent)),
            (true, false, 4, None),
            (true, false, 6, Some(GateStatus::Absent)),
        ] {
            let gatekeeper = Gatekeeper { known, ..Gatekeeper::new(Gates::default(), begun) };
            assert_eq!(
                gatekeeper.missing(after(seconds), || installed),
                expected,
                "{known} {installed} {seconds}"
            );
        }
    }

    #[test]
    fn a_gate_that_waits_for_an_address_says_which_and_one_that_does_not_run_says_nothing() {
        let mut gatekeeper = Gatekeeper::new(Gates::default(), clock::moment());
        assert_eq!(gatekeeper.waits(Some(GateStatus::Running)), None);
        gatekeeper.set_waiting(&["100.100.1.2:18700".parse().unwrap()]);
        let said = gatekeeper.waits(Some(GateStatus::Running)).unwrap();
        assert!(said.contains("waits for 100.100.1.2:18700"), "{said}");
        assert_eq!(gatekeeper.waits(Some(GateStatus::Absent)), None);
        assert_eq!(gatekeeper.waits(None), None);
    }

    #[test]
    fn what_is_said_of_a_gate_that_does_not_run_is_what_to_type() {
        let said = amiss(Some(GateStatus::Absent)).unwrap();
        assert!(said.contains("does not run") && said.contains("type: "), "{said}");
        assert_eq!((amiss(None), amiss(Some(GateStatus::Running))), (None, None));
    }
}
