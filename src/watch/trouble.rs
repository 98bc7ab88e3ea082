//! What is amiss with the watcher itself, a sentence each, and whether a trip suffers by it.

use std::collections::BTreeMap;

/// Where something may be amiss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Journal,
    KeptPolicy,
    Lock,
    Memory,
    Messages,
    Policy,
    Undo,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::KeptPolicy => "kept policy",
            Self::Lock => "lock",
            Self::Memory => "memory",
            Self::Messages => "messages",
            Self::Policy => "policy",
            Self::Undo => "undo",
        }
    }

    /// Whether a trip would lack something: its lock, or that it is known after a restart. What cannot be
    /// written into the journal is blocked all the same, and an old policy stays in force.
    fn weakens_a_trip(self) -> bool {
        matches!(self, Self::Lock | Self::Memory)
    }
}

/// What is amiss now.
#[derive(Debug, Default)]
pub(super) struct Trouble(BTreeMap<Part, String>);

impl Trouble {
    /// How it went with a part this time; what was amiss before is over if it went well.
    pub(super) fn note(&mut self, part: Part, result: Result<(), String>) {
        match result {
            Ok(()) => {
                self.0.remove(&part);
            }
            Err(why) => {
                if self.0.get(&part) != Some(&why) {
                    tracing::error!(%why, "{}", part.name());
                }
                self.0.insert(part, why);
            }
        }
    }

    /// A sentence each.
    pub(super) fn sentences(&self) -> impl Iterator<Item = String> {
        self.0.values().cloned()
    }

    /// A trip would lack something.
    pub(super) fn weakens_a_trip(&self) -> bool {
        self.0.keys().any(|part| part.weakens_a_trip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trip_suffers_where_its_lock_or_its_memory_cannot_be_written_and_nowhere_else() {
        for (part, weakens) in [
            (Part::Lock, true),
            (Part::Memory, true),
            (Part::Journal, false),
            (Part::KeptPolicy, false),
            (Part::Messages, false),
            (Part::Policy, false),
            (Part::Undo, false),
        ] {
            let mut trouble = Trouble::default();
            assert!(!trouble.weakens_a_trip());
            trouble.note(part, Err("the disk is full".to_owned()));
            assert_eq!(trouble.weakens_a_trip(), weakens, "{part:?}");
            assert_eq!(
                trouble.sentences().collect::<Vec<_>>(),
                ["the disk is full"],
                "it is told all the same"
            );
        }
    }

    #[test]
    fn what_went_well_again_is_over_and_nothing_else_is() {
        let mut trouble = Trouble::default();
        trouble.note(Part::Messages, Err("one was dropped".to_owned()));
        trouble.note(Part::Journal, Err("no space".to_owned()));
        trouble.note(Part::Messages, Ok(()));
        assert_eq!(trouble.sentences().collect::<Vec<_>>(), ["no space"]);
    }
}
