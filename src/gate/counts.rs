//! What the gate has answered, counted: for people and for Prometheus.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::exposition::Exposition;

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
        let mut text = Exposition::default();
        text.gauge("guardian_gate_vouched", "Whether the watcher vouches for the gateway.")
            .is(u8::from(vouched));
        let mut requests = text.counter("guardian_gate_requests_total", "Requests answered, by status.");
        for (status, count) in &*self.answered.borrow() {
            requests.with(&[("status", &status.to_string())], count);
        }
        let mut refused = text.counter("guardian_gate_refused_total", "Requests not forwarded, by reason.");
        for (word, count) in &*self.refused.borrow() {
            refused.with(&[("reason", word)], count);
        }
        text.counter("guardian_gate_connections_total", "Connections taken.").is(self.connections.get());
        text.counter("guardian_gate_turned_away_total", "Connections for which there was no place.")
            .is(self.turned_away.get());
        text.gauge("guardian_gate_connections", "Connections open now.").is(self.open.get());
        text.gauge("guardian_gate_websockets", "WebSockets open now.").is(self.sockets.get());
        text.into_text()
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
