//! What the gate has answered, counted: for people and for Prometheus.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The counters of a running gate.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    answered: RefCell<BTreeMap<u16, u64>>,
    refused: RefCell<BTreeMap<&'static str, u64>>,
    connections: Cell<u64>,
    open: Cell<u64>,
    turned_away: Cell<u64>,
    sockets: Cell<u64>,
}

impl Counts {
    pub(crate) fn answered(&self, status: u16, refused: Option<&'static str>) {
        *self.answered.borrow_mut().entry(status).or_default() += 1;
        if let Some(word) = refused {
            *self.refused.borrow_mut().entry(word).or_default() += 1;
        }
    }

    pub(crate) fn connected(&self) {
        self.connections.set(self.connections.get() + 1);
        self.open.set(self.open.get() + 1);
    }

    pub(crate) fn disconnected(&self) {
        self.open.set(self.open.get().saturating_sub(1));
    }

    /// Somebody came for whom there was no place.
    pub(crate) fn turned_away(&self) {
        self.turned_away.set(self.turned_away.get() + 1);
    }

    pub(crate) fn socket_opened(&self) {
        self.sockets.set(self.sockets.get() + 1);
    }

    pub(crate) fn socket_closed(&self) {
        self.sockets.set(self.sockets.get().saturating_sub(1));
    }

    /// All of them in Prometheus' text format; `vouched` is whether a lease is live.
    pub(crate) fn prometheus(&self, vouched: bool) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str| {
            // Writing into a string cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            std::mem::take(&mut text)
        };
        let mut all =
            metric("guardian_gate_vouched", "gauge", "Whether the watcher vouches for the gateway.");
        let _ = writeln!(all, "guardian_gate_vouched {}", u8::from(vouched));
        all += &metric("guardian_gate_requests_total", "counter", "Requests answered, by status.");
        for (status, count) in &*self.answered.borrow() {
            let _ = writeln!(all, "guardian_gate_requests_total{{status=\"{status}\"}} {count}");
        }
        all += &metric("guardian_gate_refused_total", "counter", "Requests not forwarded, by reason.");
        for (word, count) in &*self.refused.borrow() {
            let _ = writeln!(all, "guardian_gate_refused_total{{reason=\"{word}\"}} {count}");
        }
        all += &metric("guardian_gate_connections_total", "counter", "Connections taken.");
        let _ = writeln!(all, "guardian_gate_connections_total {}", self.connections.get());
        all += &metric(
            "guardian_gate_turned_away_total",
            "counter",
            "Connections for which there was no place.",
        );
        let _ = writeln!(all, "guardian_gate_turned_away_total {}", self.turned_away.get());
        all += &metric("guardian_gate_connections", "gauge", "Connections open now.");
        let _ = writeln!(all, "guardian_gate_connections {}", self.open.get());
        all += &metric("guardian_gate_websockets", "gauge", "WebSockets open now.");
        let _ = writeln!(all, "guardian_gate_websockets {}", self.sockets.get());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_is_counted_by_status_and_reason() {
        let counts = Counts::default();
        counts.answered(200, None);
        counts.answered(401, Some("no-credential"));
        counts.answered(401, Some("no-credential"));
        counts.connected();
        counts.socket_opened();
        counts.turned_away();
        let text = counts.prometheus(true);
        for line in [
            "# TYPE guardian_gate_requests_total counter",
            "guardian_gate_vouched 1",
            "guardian_gate_requests_total{status=\"401\"} 2",
            "guardian_gate_refused_total{reason=\"no-credential\"} 2",
            "guardian_gate_turned_away_total 1",
            "guardian_gate_connections 1",
            "guardian_gate_websockets 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }
}
