//! What people ask of the loop over the control socket.

use guardian_rules::fact::{Intent, Suspicion};

use super::stations::cadence;
use super::trouble::Part;
use super::{Watcher, rules, users};
use crate::breaker::effect::{Notice, Refusal};
use crate::breaker::event::{Event, Review};
use crate::breaker::state::State;
use crate::cli::chain;
use crate::config::Config;
use crate::control::protocol::{Ask, Reply, Request};
use crate::memory::policy;
use crate::notify::Ways;
use crate::sys::clock::{self, Moment, Now};

/// A look that is made for a review may take this long; then it fails. What probes may take one after the other fits into
/// it: a recovery must not fail for ever because somebody on the way is slow.
const LOOK: std::time::Duration = std::time::Duration::from_secs(45);

/// Somebody who waits for a review.
pub(super) struct Waiting {
    request: Request,
    since: Moment,
}

impl Watcher {
    /// A review is made of what is seen after it was asked for: whoever has just mended something
    /// is not to be told of what was, and nobody recovers on what was seen before.
    pub(super) fn asked(&mut self, request: Request, now: Now) {
        let reviews = match request.ask {
            Ask::Review => request.asker.owner,
            Ask::Recover => request.asker.owner && matches!(self.state, State::Open(_)),
            _ => false,
        };
        if !reviews {
            self.answer(request, now);
            return;
        }
        if matches!(self.state, State::Open(_)) {
            self.doubt_all();
        }
        self.waiting.push(Waiting { request, since: now.moment });
        self.reader.read(self.target.configs.clone(), now.moment);
    }

    /// Answers those who have waited for a whole look and for their configurations, or too long.
    pub(super) fn answer_waiting(&mut self, now: Now) {
        self.reader.hear();
        let whole = self.schedule.is_whole();
        let (ready, late): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|it| whole && self.reader.since(it.since).is_some());
        let (late, waiting) = late.into_iter().partition(|it| now.moment.since(it.since) > LOOK);
        self.waiting = waiting;
        let ready = ready.into_iter().map(|it| (it, true));
        let late = <Vec<Waiting>>::into_iter(late).map(|it| (it, false));
        for (Waiting { request, since }, in_time) in ready.chain(late) {
            let report = self.review(self.reader.since(since).unwrap_or_default(), in_time);
            match request.ask {
                Ask::Recover => {
                    let by = request.asker.clone();
                    let answer = self.step_for(Event::Recover { by, review: report.failing() }, now);
                    reply(request, answer);
                }
                _ => reply(request, Some(Reply::Review(report))),
            }
        }
        if self.waiting.iter().any(|it| self.reader.since(it.since).is_none()) {
            // It was at it when they asked.
            self.reader.read(self.target.configs.clone(), now.moment);
        }
    }

    fn answer(&mut self, request: Request, now: Now) {
        let by = request.asker.clone();
        let answer = match &request.ask {
            Ask::Review => Some(Reply::Refused(Refusal::NotOwner)),
            Ask::Reload { .. } if !by.owner => Some(Reply::Refused(Refusal::NotOwner)),
            Ask::Reload { accept_clock } => Some(match self.reload() {
                Ok(()) => {
                    if *accept_clock {
                        self.accept_clock(now);
                    }
                    Reply::Done
                }
                Err(why) => Reply::Failed(why),
            }),
            Ask::Report { suspicions, waiting } => {
                self.reported = Some(now.moment);
                self.sight.set_suspicions(one_of_each(suspicions));
                self.gatekeeper.set_waiting(waiting);
                Some(Reply::Done)
            }
            Ask::Trip { reason } => self.step_for(Event::Trip { by, reason: reason.clone() }, now),
            // Of somebody who is not the owner, or with nothing to recover from: refused unseen.
            Ask::Recover => self.step_for(Event::Recover { by, review: Review::default() }, now),
            Ask::Close => self.step_for(Event::Close { by }, now),
        };
        self.tell_status();
        reply(request, answer);
    }

    /// Keeps the policy for the next start; or says that the written one is refused, and what is gone by instead.
    pub(super) fn begin_with_policy(&mut self, refused: Option<String>, now: Now) {
        let Some(why) = refused else {
            self.keep_policy();
            return;
        };
        self.record("policy refused", serde_json::json!({ "why": why }));
        self.notice(&Notice::PolicyRefused(why.clone()), now);
        self.trouble.note(Part::Policy, Err(why));
    }

    fn keep_policy(&mut self) {
        let kept = policy::keep(&self.paths, &self.config).map_err(|failed| chain(&failed));
        self.trouble.note(Part::KeptPolicy, kept);
    }

    /// Reads the policy again. One that cannot be used is refused, and the old one stays.
    pub(super) fn reload(&mut self) -> Result<(), String> {
        let loaded = Config::load(self.config_path.as_deref()).map_err(|failed| failed.brief());
        // What the next start would refuse is refused now, while somebody is there to read it.
        let loaded = loaded.and_then(|config| match Ways::of(&config.settings.notify) {
            Ok(_) => Ok(config),
            Err(failed) => Err(chain(&failed)),
        });
        match loaded {
            Ok(config) => {
                let before = std::mem::replace(&mut self.config, config).settings;
                let now = clock::moment();
                self.powers = self.powers.clone().under(&self.config);
                self.look_at_equipment(now);
                self.rules = rules(&self.config, &self.powers);
                self.users.follow(&self.config.settings, users::AT_RELOAD, now);
                let cadences = &self.config;
                self.schedule.set_cadences(|probe| cadences.cadence(probe).unwrap_or_else(|| cadence(probe)));
                self.sight.set_policy(self.config.policy(self.latest));
                self.lines.owners.send_replace(self.users.owners());
                self.trouble.note(Part::Policy, Ok(()));
                self.keep_policy();
                let changed = self.config.settings.changed_since(&before);
                self.record("policy reloaded", serde_json::json!({ "changed": changed }));
                self.record_allowed(&before.allowance);
                self.give_orders();
                self.metrics.follow(self.config.settings.metrics.listen, now);
                self.tell_status();
                Ok(())
            }
            Err(why) => {
                let sentence = format!("the new policy is refused, the old one stays: {why}");
                self.record("policy refused", serde_json::json!({ "why": why }));
                self.trouble.note(Part::Policy, Err(sentence));
                self.tell_status();
                Err(why)
            }
        }
    }
}

/// A report is bounded: one of a kind.
fn one_of_each(suspicions: &[Suspicion]) -> Vec<Suspicion> {
    let of = |intent| suspicions.iter().find(|suspicion| suspicion.intent == intent).cloned();
    Intent::ALL.into_iter().filter_map(of).collect()
}

fn reply(request: Request, answer: Option<Reply>) {
    if let Some(answer) = answer {
        // Whoever asked may have gone.
        let _ = request.reply.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use guardian_rules::snapshot::ProbeId;

    use super::*;
    use crate::watch::stations::deadline;

    #[test]
    fn whatever_probes_may_take_one_after_the_other_is_waited_for() {
        use ProbeId::{Access, Handshake, Listeners, Owner, Panel, Router};
        for last in [Handshake, Router] {
            let chain = [Listeners, Owner, Panel, Access, last];
            let most: Duration = chain.into_iter().map(deadline).sum();
            assert!(most < LOOK, "{chain:?} may take {most:?}");
        }
        for probe in ProbeId::ALL {
            assert!(deadline(probe) < LOOK, "{probe}");
        }
        assert!(LOOK < crate::control::client::REVIEW, "or whoever asks has gone");
    }
}
