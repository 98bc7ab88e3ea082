//! What a probe brought back.

use crate::blindness::Blindness;

/// Facts seen now, or the reason why not, with what was seen last.
///
/// Facts of an earlier look may still accuse; they never clear. That is why blinding an
/// observation cannot improve a verdict: what was exposed stays exposed until a fresh look says
/// otherwise, and what was safe becomes unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Observation<T> {
    /// The whole answer of the last look.
    Seen(T),
    /// The last look failed.
    Blind {
        /// Why it failed.
        why: Blindness,
        /// The facts of the last look that succeeded, if any did.
        last: Option<T>,
    },
}

impl<T> Observation<T> {
    /// A probe that has not run yet.
    pub fn never_ran() -> Self {
        Self::Blind { why: Blindness::never_ran(), last: None }
    }

    /// Facts that may be used to accuse: seen now, or seen last before going blind.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Seen(facts) => Some(facts),
            Self::Blind { last, .. } => last.as_ref(),
        }
    }

    /// Facts that may be used to clear: seen now.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(facts) => Some(facts),
            Self::Blind { .. } => None,
        }
    }

    /// Why the last look failed, if it did.
    pub fn blindness(&self) -> Option<&Blindness> {
        match self {
            Self::Seen(_) => None,
            Self::Blind { why, .. } => Some(why),
        }
    }

    /// The next observation after this one: keeps the last facts when the new look failed.
    pub fn followed_by(self, look: Result<T, Blindness>) -> Self {
        match look {
            Ok(facts) => Self::Seen(facts),
            Err(why) => Self::Blind {
                why,
                last: match self {
                    Self::Seen(facts) => Some(facts),
                    Self::Blind { last, .. } => last,
                },
            },
        }
    }
}

impl<T> From<Result<T, Blindness>> for Observation<T> {
    fn from(look: Result<T, Blindness>) -> Self {
        Self::never_ran().followed_by(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_fails_keeps_what_was_seen_last_to_accuse_but_not_to_clear() {
        let seen = Observation::from(Ok(7));
        let blind = seen.followed_by(Err(Blindness::timed_out("no answer")));
        assert_eq!(blind.known(), Some(&7));
        assert_eq!(blind.seen(), None);
        assert_eq!(blind.clone().followed_by(Err(Blindness::never_ran())).known(), Some(&7));
        assert_eq!(blind.followed_by(Ok(8)), Observation::Seen(8));
    }

    #[test]
    fn a_probe_that_never_ran_knows_nothing() {
        let never: Observation<u8> = Observation::never_ran();
        assert_eq!(never.known(), None);
        assert!(never.blindness().is_some());
    }
}
