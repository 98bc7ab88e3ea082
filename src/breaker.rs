//! The circuit breaker: a pure step from a state and an event to a state and effects.
//!
//! Closed is traffic flows, open is blocked. The way from closed to open is short and anybody's;
//! the way back has two steps, and only the owner can take them.

pub(crate) mod effect;
pub(crate) mod event;
pub(crate) mod state;

use std::time::Duration;

use guardian_rules::verdict::Verdict;

use crate::doubt::Doubt;
use crate::sys::clock::Now;
use crate::trip::{Cause, Evidence, FINDINGS, Trip};
use effect::{Answer, Effect, Notice, Reach, Refusal};
use event::{Asker, Event, Review, Round};
use state::{Closed, HalfOpen, Level, Open, State};

/// How long isolation may take until it is proven.
pub(crate) const PROOF: Duration = Duration::from_secs(2);

/// A doubt that has lasted so long is announced: what a gateway leaves open while it starts is asked again, and
/// settled, before. With little patience it is a quarter of that.
const LASTING: Duration = Duration::from_secs(2);
/// A doubt that comes and goes is announced this often at most.
const AGAIN: Duration = Duration::from_mins(10);
/// As many are announced in that time.
const DOUBTS: usize = 256;
/// Between two messages to people about doubts: whoever opens one door after another does not fill their screens.
const TOLD: Duration = Duration::from_mins(1);

/// What the policy says of the breaker, and what this host lets it do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// It only reports what it would have done.
    pub(crate) observes: bool,
    /// A trip stops the gateway at once, whatever isolation could do.
    pub(crate) stops: bool,
    /// The firewall can be used: a gateway can be cut off and live on.
    pub(crate) can_isolate: bool,
    /// Blind for this long trips.
    pub(crate) patience: Duration,
    /// Safe rounds in a row before a recovery can be closed: as many looks at the listening sockets, each judged with what
    /// all probes have brought back since the recovery began.
    pub(crate) rounds: u16,
    /// How long a recovery may take.
    pub(crate) recovery: Duration,
    /// The present boot, if the system tells: a trip names it.
    pub(crate) boot: Option<String>,
}

impl Rules {
    /// What is doubtful since then.
    pub(crate) fn doubt<'a>(&self, since: Now, findings: impl Iterator<Item = &'a Evidence>) -> Doubt {
        Doubt::new(since, (!self.observes).then_some(self.patience), findings)
    }
}

/// One step.
#[must_use]
pub(crate) fn step(rules: &Rules, state: State, event: Event, now: Now) -> (State, Vec<Effect>) {
    let (state, mut effects) = expire(rules, state, now);
    // Its review was made for a recovery that is over.
    if !effects.is_empty() && matches!(event, Event::Recover { .. }) {
        effects.push(Effect::Answer(Answer::Refused(Refusal::Expired)));
        return (state, effects);
    }
    let (state, more) = match state {
        State::Closed(closed) => while_closed(rules, closed, event, now),
        State::Open(open) => while_open(open, event, now),
        State::HalfOpen(half) => while_half_open(rules, half, event, now),
    };
    effects.extend(more);
    (state, effects)
}

/// A recovery that has taken too long is over, whatever the event.
fn expire(rules: &Rules, state: State, now: Now) -> (State, Vec<Effect>) {
    match state {
        State::HalfOpen(half) if now.moment.since(half.began) >= rules.recovery => {
            let why = "the recovery was not closed in time";
            open(rules, Trip::new(now.wall, Cause::Expired, why, &half.trip.findings), false, now)
        }
        other => (other, Vec::new()),
    }
}

fn while_closed(rules: &Rules, mut closed: Closed, event: Event, now: Now) -> (State, Vec<Effect>) {
    match event {
        Event::Round(round) => match round.verdict {
            Verdict::Safe => {
                closed.blind = None;
                closed.told.clear();
                (closed.into(), vec![Effect::MintLease(Reach::Allowed)])
            }
            Verdict::Blind => {
                let since = *closed.blind.get_or_insert(now);
                if now.moment.since(since.moment) < rules.patience {
                    let mut effects = vec![Effect::RevokeLease];
                    effects.extend(announce(rules, &mut closed, &round, now));
                    return (closed.into(), effects);
                }
                let trip = Trip::new(now.wall, Cause::Blind, blind_for(rules), &round.findings);
                trip_or_tell(rules, closed, trip, false, now)
            }
            Verdict::Exposed => {
                let trip = exposed(&round, now);
                trip_or_tell(rules, closed, trip, round.open_beyond, now)
            }
        },
        Event::Trip { by, reason } => asked(rules, &by, &reason, &[], now),
        Event::Recover { .. } => refuse(closed.into(), Refusal::NotOpen),
        Event::Close { .. } => (closed.into(), vec![Effect::Answer(Answer::AlreadySo)]),
        // Nobody could have looked: that is no blindness. It counts from now on.
        Event::Slept => {
            closed.blind = None;
            (closed.into(), vec![Effect::RevokeLease])
        }
        Event::Isolation { .. } | Event::Tick => (closed.into(), Vec::new()),
    }
}

fn while_open(mut open: Open, event: Event, now: Now) -> (State, Vec<Effect>) {
    match event {
        Event::Round(round) => {
            let mut effects = vec![Effect::RevokeLease];
            let news = open.trip.learn(&round.findings);
            if round.open_beyond {
                effects.extend(stop(&mut open, "it lets anyone in without credentials"));
            }
            if news {
                effects.extend([
                    Effect::Save,
                    Effect::Record("found while open"),
                    Effect::Tell(Notice::News(open.trip.clone())),
                ]);
            }
            (open.into(), effects)
        }
        Event::Isolation { proven: false } if now.moment.since(open.began) >= PROOF => {
            let effects = stop(&mut open, "its isolation cannot be proven");
            (open.into(), effects)
        }
        Event::Recover { by, review } => recover(open, &by, &review, now),
        Event::Close { by } => {
            let refusal = if by.owner { Refusal::RecoverFirst } else { Refusal::NotOwner };
            refuse(open.into(), refusal)
        }
        Event::Trip { .. } => (open.into(), vec![Effect::Answer(Answer::AlreadySo)]),
        Event::Isolation { .. } | Event::Slept | Event::Tick => (open.into(), Vec::new()),
    }
}

fn while_half_open(rules: &Rules, mut half: HalfOpen, event: Event, now: Now) -> (State, Vec<Effect>) {
    match event {
        Event::Round(round) => match round.verdict {
            Verdict::Safe => {
                half.safe = half.safe.saturating_add(1);
                (half.into(), vec![Effect::MintLease(Reach::Loopback)])
            }
            // A gateway that starts does not answer at once: that takes the count back, no more.
            Verdict::Blind => {
                half.safe = 0;
                (half.into(), vec![Effect::RevokeLease])
            }
            Verdict::Exposed => open(rules, exposed(&round, now), round.open_beyond, now),
        },
        Event::Trip { by, reason } => asked(rules, &by, &reason, &half.trip.findings, now),
        Event::Recover { .. } => (half.into(), vec![Effect::Answer(Answer::AlreadySo)]),
        Event::Close { by } => close(rules, half, &by, now),
        Event::Slept => {
            half.safe = 0;
            (half.into(), vec![Effect::RevokeLease])
        }
        Event::Isolation { .. } | Event::Tick => (half.into(), Vec::new()),
    }
}

/// Says what is doubtful while there is time to do something about it, and says it once.
fn announce(rules: &Rules, closed: &mut Closed, round: &Round, now: Now) -> Vec<Effect> {
    let Some(since) = closed.blind else { return Vec::new() };
    if now.moment.since(since.moment) < LASTING.min(rules.patience / 4) {
        return Vec::new();
    }
    closed.doubted.retain(|_, announced| now.moment.since(*announced) < AGAIN);
    let doubted = &mut closed.doubted;
    let room = FINDINGS.min(DOUBTS.saturating_sub(doubted.len()));
    let news: Vec<&Evidence> = round
        .findings
        .iter()
        .filter(|finding| {
            let (rule, subject) = finding.key();
            !finding.is_proof() && !doubted.contains_key(&(rule.to_owned(), subject.to_owned()))
        })
        // Those beyond are announced in the next round.
        .take(room)
        .collect();
    if news.is_empty() {
        return Vec::new();
    }
    for finding in &news {
        let (rule, subject) = finding.key();
        doubted.insert((rule.to_owned(), subject.to_owned()), now.moment);
    }
    let doubt = rules.doubt(since, news.into_iter());
    let mut effects = vec![Effect::RecordDoubt(doubt.clone())];
    if closed.doubt_told.is_none_or(|told| now.moment.since(told) >= TOLD) {
        closed.doubt_told = Some(now.moment);
        effects.push(Effect::Tell(Notice::Doubt(doubt)));
    }
    effects
}

/// Opens the circuit, or says that it would have.
fn trip_or_tell(
    rules: &Rules,
    mut closed: Closed,
    trip: Trip,
    open_beyond: bool,
    now: Now,
) -> (State, Vec<Effect>) {
    if !rules.observes {
        return open(rules, trip, open_beyond, now);
    }
    let key = |finding: &Evidence| (finding.rule.clone(), finding.subject.clone());
    let news = trip.findings.iter().filter(|finding| closed.told.insert(key(finding))).count();
    let mut effects = vec![Effect::RevokeLease];
    if news > 0 {
        effects.extend([Effect::Record("would have tripped"), Effect::Tell(Notice::WouldTrip(trip))]);
    }
    (closed.into(), effects)
}

/// The lease goes first, then the lock is written, then the host is touched.
fn open(rules: &Rules, mut trip: Trip, open_beyond: bool, now: Now) -> (State, Vec<Effect>) {
    trip.boot.clone_from(&rules.boot);
    let stopped = rules.stops || open_beyond || !rules.can_isolate;
    let level = if stopped { Level::Stopped } else { Level::Isolated };
    let effects = vec![
        Effect::RevokeLease,
        Effect::Lock(trip.clone()),
        Effect::Hold,
        Effect::Save,
        Effect::Record("tripped"),
        Effect::Tell(Notice::Tripped(trip.clone())),
    ];
    (Open { since: now.wall, began: now.moment, trip, level }.into(), effects)
}

fn stop(open: &mut Open, why: &str) -> Vec<Effect> {
    if open.level == Level::Stopped {
        return Vec::new();
    }
    open.level = Level::Stopped;
    open.trip.why = format!("{}; stopped: {why}", open.trip.why);
    vec![Effect::Save, Effect::Hold, Effect::Record("isolated no longer, stopped")]
}

fn asked(rules: &Rules, by: &Asker, reason: &str, known: &[Evidence], now: Now) -> (State, Vec<Effect>) {
    let why = if reason.is_empty() {
        format!("{} asked for it", by.name)
    } else {
        format!("{}: {reason}", by.name)
    };
    let (state, mut effects) = open(rules, Trip::new(now.wall, Cause::Asked, why, known), false, now);
    effects.push(Effect::Answer(Answer::Done));
    (state, effects)
}

fn recover(open: Open, by: &Asker, review: &Review, now: Now) -> (State, Vec<Effect>) {
    if !by.owner {
        return refuse(open.into(), Refusal::NotOwner);
    }
    if !review.failing.is_empty() {
        return refuse(open.into(), Refusal::Review(review.failing.clone()));
    }
    let effects = vec![
        Effect::Unlock,
        Effect::Save,
        Effect::Hold,
        Effect::Record("recovery began"),
        Effect::Tell(Notice::Recovering(by.name.clone())),
        Effect::Answer(Answer::Done),
    ];
    let Open { trip, level, .. } = open;
    (HalfOpen { since: now.wall, began: now.moment, trip, level, safe: 0 }.into(), effects)
}

fn close(rules: &Rules, half: HalfOpen, by: &Asker, now: Now) -> (State, Vec<Effect>) {
    if !by.owner {
        return refuse(half.into(), Refusal::NotOwner);
    }
    if half.safe < rules.rounds {
        let refusal = Refusal::TooEarly { safe: half.safe, wanted: rules.rounds };
        return refuse(half.into(), refusal);
    }
    let effects = vec![
        Effect::Save,
        Effect::Hold,
        Effect::Record("closed"),
        Effect::Tell(Notice::Closed(by.name.clone())),
        Effect::Answer(Answer::Done),
    ];
    (Closed::since(now.wall).into(), effects)
}

fn refuse(state: State, refusal: Refusal) -> (State, Vec<Effect>) {
    (state, vec![Effect::Answer(Answer::Refused(refusal))])
}

fn exposed(round: &Round, now: Now) -> Trip {
    let mut proofs: Vec<Evidence> = round.findings.iter().filter(|it| it.is_proof()).cloned().collect();
    proofs.extend(round.findings.iter().filter(|it| !it.is_proof()).cloned());
    let why = match proofs.first() {
        Some(first) => format!("{} at {}", first.rule, first.subject),
        None => "a gateway is exposed".to_owned(),
    };
    Trip::new(now.wall, Cause::Exposed, why, &proofs)
}

fn blind_for(rules: &Rules) -> String {
    format!("not everything could be seen for {:?}", rules.patience)
}

#[cfg(test)]
mod tests;
