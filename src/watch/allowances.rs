//! What becomes of allowances while the watcher runs, as the journal tells it.

use jiff::Timestamp;

use super::Watcher;
use crate::config::Allowance;
use crate::status::AllowanceStatus;

/// What became of one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    /// What happened.
    what: &'static str,
    /// The allowance.
    allowance: AllowanceStatus,
}

impl Watcher {
    /// Writes down what a new policy allows beside the one before, and what it allows no more.
    pub(super) fn record_allowed(&mut self, before: &[Allowance]) {
        let changes = between(before, &self.config.settings.allowance, self.latest);
        self.record_changes(&changes);
    }

    /// Writes down what has ended by now: since the last turn, or while nobody watched.
    pub(super) fn record_ended(&mut self, before: Timestamp) {
        let changes = ended(&self.config.settings.allowance, before, self.latest);
        self.record_changes(&changes);
    }

    /// Writes down what holds again because the clock that had ended it was wrong.
    pub(super) fn record_revived(&mut self, before: Timestamp) {
        let changes = revived(&self.config.settings.allowance, before, self.latest);
        self.record_changes(&changes);
    }

    fn record_changes(&mut self, changes: &[Change]) {
        for Change { what, allowance } in changes {
            // It can always be put into JSON: texts and an instant.
            self.record(what, serde_json::to_value(allowance).unwrap_or_default());
        }
    }
}

/// From one policy to the next: what has ended is in neither. One whose reason or end is another is
/// removed and added.
fn between(before: &[Allowance], after: &[Allowance], now: Timestamp) -> Vec<Change> {
    let only = |what, these: &[Allowance], those: &[Allowance]| -> Vec<Change> {
        let gone = these.iter().filter(|it| it.until > now && !those.contains(it));
        gone.map(|it| Change { what, allowance: it.into() }).collect()
    };
    let mut changes = only("allowance removed", before, after);
    changes.extend(only("allowance added", after, before));
    changes
}

/// What held at an instant, and does not any more.
fn ended(allowances: &[Allowance], before: Timestamp, now: Timestamp) -> Vec<Change> {
    let over = allowances.iter().filter(|it| it.until > before && it.until <= now);
    over.map(|it| Change { what: "allowance ended", allowance: it.into() }).collect()
}

/// What had ended at an instant, and has not at an earlier one.
fn revived(allowances: &[Allowance], before: Timestamp, now: Timestamp) -> Vec<Change> {
    let again = allowances.iter().filter(|it| it.until > now && it.until <= before);
    again.map(|it| Change { what: "allowance holds again", allowance: it.into() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Target;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn allowance(path: &str, until: i64) -> Allowance {
        let target = Target::Path(path.to_owned());
        Allowance { target, reason: format!("{path} is wanted"), until: at(until) }
    }

    fn told(changes: &[Change]) -> Vec<(&str, &str)> {
        changes.iter().map(|it| (it.what, it.allowance.target())).collect()
    }

    #[test]
    fn a_new_policy_tells_which_allowances_came_and_which_went() {
        let (ngrok, nat) = (allowance("ngrok", 100), allowance("nat", 100));
        let longer = allowance("nat", 200);
        let both = [ngrok.clone(), nat.clone()];
        assert_eq!(
            told(&between(&[], &both, at(1))),
            [("allowance added", "ngrok"), ("allowance added", "nat")]
        );
        assert_eq!(
            told(&between(&both, std::slice::from_ref(&nat), at(1))),
            [("allowance removed", "ngrok")]
        );
        let changes = between(&both, &[ngrok.clone(), longer.clone()], at(1));
        assert_eq!(told(&changes), [("allowance removed", "nat"), ("allowance added", "nat")]);
        assert_eq!(changes[1].allowance, AllowanceStatus::from(&longer), "its end and reason with it");
        assert!(between(&both, &[nat, ngrok], at(1)).is_empty(), "their order says nothing");
    }

    #[test]
    fn what_a_wrong_clock_had_ended_and_nothing_else_holds_again() {
        let all = [allowance("ngrok", 100), allowance("nat", 200), allowance("container", 400)];
        assert_eq!(told(&revived(&all, at(300), at(150))), [("allowance holds again", "nat")]);
        assert!(revived(&all, at(100), at(100)).is_empty());
    }

    #[test]
    fn an_allowance_ends_once_and_is_not_taken_away_afterwards() {
        let both = [allowance("ngrok", 100), allowance("nat", 200)];
        assert!(ended(&both, at(98), at(99)).is_empty());
        assert_eq!(told(&ended(&both, at(99), at(100))), [("allowance ended", "ngrok")]);
        assert!(ended(&both, at(100), at(101)).is_empty());
        assert_eq!(ended(&both, at(1), at(300)).len(), 2, "a watcher that was away tells all of them");
        assert_eq!(told(&between(&both, &[], at(100))), [("allowance removed", "nat")]);
    }
}
