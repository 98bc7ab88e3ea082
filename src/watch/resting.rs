//! What gateways that do not run would start with: read beside the watch, and waited for by nobody.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use guardian_probes::gateway::at_rest::AtRest;

use crate::at_rest;
use crate::sys::clock::Moment;

/// Between two looks: whoever mends a configuration and asks again is not to read of the one before.
const EVERY: Duration = Duration::from_secs(5);

/// The configurations in the homes of this machine.
#[derive(Debug, Default)]
pub(super) struct Resting {
    begun: Option<Moment>,
    /// What comes of the look under way.
    coming: Option<Receiver<Vec<AtRest>>>,
    /// What has come of it so far.
    gathered: Vec<AtRest>,
    /// What the last look found.
    pub(super) found: Vec<AtRest>,
}

impl Resting {
    /// Takes in what has come, and looks again when it is time: never while a look is under way, which may hang.
    pub(super) fn turn(&mut self, now: Moment) {
        self.turn_with(now, at_rest::look);
    }

    fn turn_with(&mut self, now: Moment, look: impl FnOnce() -> Receiver<Vec<AtRest>>) {
        while let Some(coming) = &self.coming {
            match coming.try_recv() {
                Ok(home) => self.gathered.extend(home),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.coming = None;
                    self.found = std::mem::take(&mut self.gathered);
                }
            }
        }
        if self.begun.is_none_or(|begun| now.since(begun) >= EVERY) {
            (self.begun, self.coming) = (Some(now), Some(look()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use guardian_rules::fact::ConfigState;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_boot(Duration::from_secs(seconds))
    }

    fn of(home: &str) -> Vec<AtRest> {
        vec![AtRest { path: home.into(), state: ConfigState::Absent }]
    }

    #[test]
    fn what_was_found_stays_until_the_next_look_is_over_and_one_that_hangs_is_the_only_one() {
        let mut resting = Resting::default();
        let (tell, told) = channel();
        resting.turn_with(at(1), || told);
        for home in ["/home/ana", "/home/ben"] {
            tell.send(of(home)).unwrap();
            resting.turn_with(at(60), || panic!("one is under way"));
            assert_eq!(resting.found, []);
        }
        drop(tell);
        let (tell, told) = channel();
        resting.turn_with(at(61), || told);
        assert_eq!(resting.found.len(), 2);
        resting.turn_with(at(62), || panic!("one is under way"));
        drop(tell);
        resting.turn_with(at(65), || panic!("it is too early"));
        assert_eq!(resting.found, [], "mended");
    }
}
