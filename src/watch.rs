//! The watcher: looks, judges, steps the breaker, and has its effects carried out.
//!
//! Everything that happens comes into one loop, one after the other. Whatever takes time (probes,
//! barriers, messages) is a task of its own that the loop talks with and never waits for.

mod asked;
mod carry_out;
mod configurations;
mod pins;
pub(crate) mod review;
pub(crate) mod schedule;
pub(crate) mod sight;
mod standing_orders;
pub(crate) mod stations;
mod supervisor;
pub(crate) mod target;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use guardian_probes::probe::Ground;
use guardian_rules::fact::{Reached, Stopped};
use guardian_rules::snapshot::ProbeId;
use guardian_rules::verdict::Verdict;
use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use self::asked::Waiting;
use self::configurations::Reader;
use self::pins::Pins;
use self::schedule::Schedule;
use self::sight::Sight;
use self::standing_orders::Users;
use self::stations::{Looked, Stations, cadence};
use crate::barrier::{Held, Target};
use crate::breaker::effect::Notice;
use crate::breaker::event::{Event, Round};
use crate::breaker::state::{Level, State};
use crate::breaker::{PROOF, Rules};
use crate::config::Config;
use crate::control::protocol::{NoticeLine, Request};
use crate::enforce::{Enforcer, Report};
use crate::journal::Journal;
use crate::lease::Lease;
use crate::notify::Stamped;
use crate::powers::Powers;
use crate::status::Status;
use crate::sys::clock::{self, Moment, Now};
use crate::sys::paths::Paths;
use crate::sys::wake::Wake;
use crate::undo::Undo;

/// A lease outlives this many rounds, a round being a look at the listeners.
const LEASE_ROUNDS: u32 = 3;
/// A lease lives at least this long: a busy machine is late now and then.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
/// Without a whole round for this long, nothing can be said of the host.
const OVERDUE: Duration = Duration::from_secs(3);
/// A whole picture that is older than this is waited for: what changes meanwhile comes after it.
const HASTE: Duration = Duration::from_millis(300);
/// The loop turns at least this often.
const TURN: Duration = Duration::from_millis(500);
/// A turn that comes this late means that time has passed that nobody watched.
const GAP: Duration = Duration::from_secs(2);
/// A system that was awake for so much less than time has passed has slept.
const SLEEP: Duration = Duration::from_secs(1);
/// What belongs to gateways is written down at most this often.
const SAVES: Duration = Duration::from_secs(1);
/// The status is renewed this often though nothing happens.
const STATUS: Duration = Duration::from_secs(1);

/// Everything that the loop talks with.
pub(crate) struct Lines {
    /// Questions over the control socket.
    pub(crate) requests: mpsc::Receiver<Request>,
    /// The status, for whoever asks.
    pub(crate) status: watch::Sender<Status>,
    /// The lease, for the gate.
    pub(crate) lease: watch::Sender<Option<Lease>>,
    /// What people want to know, for notifiers.
    pub(crate) notices: broadcast::Sender<NoticeLine>,
    /// The same for the hook and the webhook.
    pub(crate) messages: mpsc::Sender<Stamped>,
    /// Who may recover and close, beside root.
    pub(crate) owners: watch::Sender<BTreeSet<u32>>,
    /// The policy is to be read again.
    pub(crate) reload: mpsc::Receiver<()>,
    /// The watcher is to end.
    pub(crate) stop: oneshot::Receiver<()>,
}

/// The tasks that look after the barriers have ended before their time.
#[derive(Debug, thiserror::Error)]
#[error("the barriers are not looked after any more: start the daemon again")]
pub(crate) struct BarriersDied;

/// What the watcher begins with.
pub(crate) struct Beginning {
    pub(crate) config: Config,
    pub(crate) config_path: Option<std::path::PathBuf>,
    pub(crate) paths: Paths,
    pub(crate) powers: Powers,
    pub(crate) state: State,
    pub(crate) target: Target,
    pub(crate) latest: Timestamp,
    pub(crate) journal: Option<Journal>,
    pub(crate) undo: Undo,
    /// Why it begins in this state, if there is anything to say.
    pub(crate) why: Option<String>,
}

/// The loop's own state.
pub(crate) struct Watcher {
    config: Config,
    config_path: Option<std::path::PathBuf>,
    paths: Paths,
    powers: Powers,
    rules: Rules,
    users: Users,
    state: State,
    schedule: Schedule,
    stations: Stations,
    looks: mpsc::Receiver<Looked>,
    sight: Sight,
    /// What belongs to gateways: what lasts, and what is seen now.
    target: Target,
    /// What lasts, though it is not seen now: it was so in a whole picture, or when it tripped.
    lasting: Target,
    /// When exactly its processes were born.
    pins: Pins,
    /// The target as it was last written down, and when.
    saved: (Target, Moment),
    /// The latest wall time ever seen: a clock that was set back revives no allowance.
    latest: Timestamp,
    journal: Option<Journal>,
    enforcer: Enforcer,
    lines: Lines,
    serial: u64,
    /// Notices so far.
    noticed: u64,
    /// When the last whole round was.
    round: Option<Moment>,
    /// Since when a whole round is waited for.
    fresh: Moment,
    /// When the last whole round without an exposure was.
    clean: Moment,
    verdict: Option<Verdict>,
    times: Times,
    /// What is amiss with the watcher itself, a sentence each.
    trouble: BTreeMap<&'static str, String>,
    /// The processes that were put down, while they are held down.
    put_down: Option<Stopped>,
    /// Those who wait for a review.
    waiting: Vec<Waiting>,
    /// Reads the configurations for it.
    reader: Reader,
    /// The gateways of the last whole picture.
    gateways: Vec<serde_json::Value>,
    told: Moment,
    turned: Moment,
    /// How long the system had been awake then.
    awake: Duration,
    /// Since when the wall of the present state has been found standing; none while it is not.
    walled: Option<Moment>,
    /// Open and isolated: since when that could not be proven; none while it is.
    unproven: Option<Moment>,
    /// A connection came through though the wall stands.
    pierced: bool,
    /// A round was whole since time last passed that nobody watched.
    rested: bool,
}

/// How long a trip took.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    /// When the present trip began.
    began: Option<Moment>,
    /// From the last clean round to the lock on the disk.
    detect: Option<Duration>,
    /// From the trip to the last barrier that was found standing.
    block: Option<Duration>,
}

impl Watcher {
    /// Sets the watcher up; [`Watcher::run`] lets it work.
    pub(crate) fn new(beginning: Beginning, lines: Lines) -> io::Result<Self> {
        let Beginning { config, config_path, paths, powers, state, target, latest, journal, undo, why } =
            beginning;
        let now = clock::now();
        let (stations, looks) = Stations::new();
        let schedule = Schedule::new(|probe| config.cadence(probe).unwrap_or_else(|| cadence(probe)));
        let sight = Sight::new(config.policy(now.wall.max(latest)));
        let rules = rules(&config, &powers);
        let users = Users::of(&config);
        let damaged = !undo.damaged().is_empty();
        let first = standing_orders::of(&config, &powers, &users, &sight, &state, &target);
        let enforcer = Enforcer::start(undo, paths.endings(), first)?;
        let mut watcher = Self {
            config,
            config_path,
            paths,
            powers,
            rules,
            users,
            state,
            saved: (target.clone(), now.moment),
            lasting: target.clone(),
            pins: Pins::default(),
            schedule,
            stations,
            looks,
            sight,
            target,
            latest,
            journal,
            enforcer,
            lines,
            serial: 0,
            noticed: 0,
            round: None,
            fresh: now.moment,
            clean: now.moment,
            verdict: None,
            times: Times::default(),
            trouble: BTreeMap::new(),
            put_down: None,
            waiting: Vec::new(),
            reader: Reader::new(),
            gateways: Vec::new(),
            told: now.moment,
            turned: now.moment,
            awake: clock::awake(),
            walled: None,
            unproven: None,
            pierced: false,
            rested: true,
        };
        // Before the journal: a journal without a memory is a memory that was lost.
        watcher.save();
        watcher.record("started", serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "why": why }));
        if damaged {
            let lines = "lines of the undo journal cannot be read: they are kept in undo.damaged.jsonl";
            watcher.trouble.insert("undo", lines.to_owned());
        }
        watcher.renew_stopped();
        watcher.give_orders();
        Ok(watcher)
    }

    /// Watches until it is told to stop. An error: the barriers are not looked after any more, which
    /// a start may mend.
    pub(crate) async fn run(mut self) -> Result<(), BarriersDied> {
        let wake = Wake::new().inspect_err(|failed| tracing::info!(%failed, "changes are not told")).ok();
        let mut reports = self.enforcer.report.clone();
        self.tell_status();
        loop {
            let now = clock::now();
            if !self.enforcer.is_alive() {
                self.lines.lease.send_replace(None);
                self.record("barriers died", serde_json::Value::Null);
                return Err(BarriersDied);
            }
            self.turn(now);
            self.answer_waiting(now);
            for probe in self.schedule.due(now.moment) {
                self.schedule.started(probe, now.moment);
                let known = self.sight.known.clone();
                self.stations.look(probe, Ground { policy: self.sight.policy.clone(), known });
            }
            let rest = self.schedule.next(now.moment).since(now.moment).clamp(Duration::from_millis(5), TURN);
            tokio::select! {
                biased;
                _ = &mut self.lines.stop => break,
                Some(looked) = self.looks.recv() => self.looked(looked),
                Some(request) = self.lines.requests.recv() => self.asked(request, now),
                Ok(()) = reports.changed() => {
                    let report = reports.borrow_and_update().clone();
                    self.reported(&report);
                }
                Some(()) = self.lines.reload.recv() => { let _ = self.reload(); }
                () = changed(wake.as_ref()) => self.schedule.hurry(ProbeId::Interfaces),
                () = tokio::time::sleep(rest) => {}
            }
        }
        self.lines.lease.send_replace(None);
        self.record("stopped", serde_json::Value::Null);
        self.enforcer.end().await;
        Ok(())
    }

    /// What comes with time alone.
    fn turn(&mut self, now: Now) {
        self.notice_gap(now);
        self.latest = self.latest.max(now.wall);
        self.sight.set_policy(self.config.policy(self.latest));
        match &self.state {
            State::HalfOpen(_) => self.step(Event::Tick, now),
            State::Open(_) => self.doubt_isolation(now),
            State::Closed(_) => {}
        }
        if now.moment.since(self.fresh) > OVERDUE {
            let overdue = Round { verdict: Verdict::Blind, findings: Vec::new(), open_beyond: false };
            self.verdict = Some(Verdict::Blind);
            self.step(Event::Round(overdue), now);
        }
        if !self.target.lasts_as(&self.saved.0) && now.moment.since(self.saved.1) >= SAVES {
            self.save();
        }
        if now.moment.since(self.told) >= STATUS {
            self.tell_status();
        }
    }

    /// Asleep, stopped or starved: what was seen before says nothing of now. It was no blindness
    /// either, unless it comes again and again and nothing is seen in between.
    fn notice_gap(&mut self, now: Now) {
        let gap = now.moment.since(self.turned);
        let asleep = gap.saturating_sub(clock::awake().saturating_sub(self.awake));
        (self.turned, self.awake) = (now.moment, clock::awake());
        if gap <= GAP {
            return;
        }
        tracing::info!(?gap, ?asleep, "time has passed that nobody watched");
        self.lines.lease.send_replace(None);
        self.doubt_all();
        if asleep >= SLEEP || std::mem::take(&mut self.rested) {
            (self.fresh, self.clean) = (now.moment, now.moment);
            self.step(Event::Slept, now);
        }
    }

    /// What was seen so far says nothing of now.
    fn doubt_all(&mut self) {
        self.schedule.doubt_all();
        self.sight.doubt();
    }

    fn looked(&mut self, looked: Looked) {
        let probe = looked.probe;
        let now = clock::now();
        let began = now.moment.before(looked.took);
        tracing::trace!(%probe, took = ?looked.took, "looked");
        if sight::may_wait(probe) && now.moment.since(self.fresh) > HASTE {
            // What comes and goes all the time must not keep every picture from being whole.
            self.conclude(now);
            if !self.schedule.is_whole() {
                self.look_ahead(looked, now);
                return;
            }
        }
        let changed = self.sight.take(looked);
        self.schedule.finished(probe, changed);
        if changed {
            self.see_target();
        }
        if probe == ProbeId::Reach {
            self.judge_isolation(began);
        }
        if let Some(round) = self.sight.accusation(&self.schedule) {
            self.verdict = Some(round.verdict);
            self.step(Event::Round(round), now);
        }
        if changed || probe == ProbeId::Listeners || self.round.is_none() || self.sight.looks_ahead() {
            self.conclude(now);
        }
    }

    /// Keeps what is newer for the next picture, unless it accuses: then the one under way is worth
    /// nothing any more.
    fn look_ahead(&mut self, looked: Looked, now: Now) {
        let probe = looked.probe;
        let accused = self.sight.look_ahead(looked, &self.schedule);
        self.schedule.finished(probe, false);
        if let Some(round) = accused {
            self.catch_up();
            self.verdict = Some(round.verdict);
            self.step(Event::Round(round), now);
        }
    }

    /// Goes on to what is newest.
    fn catch_up(&mut self) {
        let changed = self.sight.catch_up();
        for probe in &changed {
            self.schedule.changed(*probe);
        }
        if !changed.is_empty() {
            self.see_target();
        }
    }

    /// Judges the picture if it is whole, and goes on to the next one.
    fn conclude(&mut self, now: Now) {
        let Some(judgement) = self.sight.whole(&self.schedule) else { return };
        let round = sight::round(judgement);
        self.whole(round, now);
        self.catch_up();
    }

    fn whole(&mut self, round: Round, now: Now) {
        (self.fresh, self.rested) = (now.moment, true);
        if round.verdict != Verdict::Blind {
            let seen = self.seen_target();
            match self.state {
                // All of it is seen: what is not there any more is forgotten.
                State::Closed(_) => self.lasting = seen,
                // What has gone is what a recovery brings back.
                State::Open(_) | State::HalfOpen(_) => self.lasting.remember(seen),
            }
            self.see_target();
        }
        let first = self.round.replace(now.moment).is_none();
        let news = self.verdict != Some(round.verdict);
        self.verdict = Some(round.verdict);
        let findings = round.findings.clone();
        let clean = round.verdict != Verdict::Exposed;
        self.step(Event::Round(round), now);
        if clean {
            self.clean = now.moment;
        }
        if news {
            let about = serde_json::json!({ "verdict": self.verdict, "findings": findings });
            self.record("verdict", about);
            self.tell_status();
        }
        if first {
            supervisor::ready(self.state.circuit(), self.verdict);
        }
    }

    /// Whether a gateway that is cut off is cut off indeed: the firewall stands, and since then no
    /// connection to a place that it holds came through. A look that began before says nothing.
    fn judge_isolation(&mut self, began: Moment) {
        let (State::Open(_), Some(walled)) = (&self.state, self.walled) else { return };
        if began < walled {
            return;
        }
        let held = |at: SocketAddr| {
            let orders = self.enforcer.orders.borrow();
            orders.wall.as_ref().is_some_and(|wall| wall.holds(at))
        };
        let answers = self.sight.known.reach.seen().into_iter().flatten();
        let reached: Vec<&Reached> =
            answers.filter(|answer| held(answer.at)).map(|answer| &answer.reached).collect();
        self.pierced = reached.contains(&&Reached::Accepted);
        if !reached.is_empty() && reached.iter().all(|reached| **reached == Reached::Refused) {
            self.unproven = None;
            self.step(Event::Isolation { proven: true }, clock::now());
        } else {
            self.unproven.get_or_insert(clock::moment());
        }
    }

    /// A gateway that is cut off and is not proven to be for too long is stopped.
    fn doubt_isolation(&mut self, now: Now) {
        let State::Open(open) = &self.state else { return };
        if open.level != Level::Isolated {
            return;
        }
        let stands = self.wall_stands(&self.enforcer.report.borrow());
        if !stands {
            self.walled = None;
            self.unproven.get_or_insert(now.moment);
        }
        // A wall that reads back as it was put up is worth more patience than none.
        let patience = if stands && !self.pierced { 5 * PROOF } else { PROOF };
        if self.unproven.is_some_and(|since| now.moment.since(since) >= patience) {
            self.step(Event::Isolation { proven: false }, now);
        }
    }

    /// The wall that is to be there now was found standing.
    fn wall_stands(&self, report: &Report) -> bool {
        let wanted = &self.enforcer.orders.borrow().wall;
        wanted.as_ref().is_some_and(|wall| report.wall(wall) == Held::Yes)
    }

    fn reported(&mut self, report: &Report) {
        if let (State::Open(_), Some(began), None) = (&self.state, self.times.began, self.times.block)
            && let Some(at) = report.blocked_at(&self.enforcer.orders.borrow())
        {
            self.times.block = Some(at.since(began));
        }
        if self.walled.is_none() && self.wall_stands(report) {
            self.walled = Some(clock::moment());
            match self.state {
                State::Closed(_) => {}
                // Whether it holds indeed is shown by a connection that fails.
                State::Open(_) => self.schedule.hurry(ProbeId::Reach),
                // What was blocked until now answers otherwise from now on.
                State::HalfOpen(_) => self.doubt_all(),
            }
        }
        self.tell_status();
    }

    /// Takes in what belongs to gateways now. Between two whole pictures somebody's listener may be
    /// taken for a gateway's for a moment: that counts now, and is not remembered.
    fn see_target(&mut self) {
        let seen = self.seen_target();
        if !matches!(self.state, State::Closed(_)) {
            self.lasting.services.extend(seen.services.iter().cloned());
            self.lasting.configs.extend(seen.configs.iter().cloned());
        }
        self.target = self.lasting.clone();
        self.target.remember(seen);
        self.give_orders();
    }

    /// What belongs to gateways now, its processes told from any that get their numbers later.
    fn seen_target(&mut self) -> Target {
        let mut seen = self.sight.target().clone();
        seen.processes = seen.processes.into_iter().map(|process| self.pins.pin(process)).collect();
        self.pins.forget_all_but(&seen.processes);
        seen
    }

    /// Notes what has been put down, so that whoever runs again is known to have been revived.
    fn renew_stopped(&mut self) {
        let stopped = matches!(&self.state, State::Open(open) if open.level == Level::Stopped);
        if stopped && self.put_down.is_none() {
            let processes = self.target.processes.iter().map(|it| (it.pid, it.started)).collect();
            let at = self.state.trip().map_or(self.latest, |trip| trip.at);
            let since = u64::try_from(at.as_second()).unwrap_or(0);
            self.put_down = Some(Stopped { since, processes });
        } else if !stopped {
            self.put_down = None;
        }
        self.sight.set_stopped(self.put_down.clone());
    }

    fn notice(&mut self, notice: &Notice, now: Now) {
        let stamped = Stamped { at: now.wall, notice: notice.clone() };
        self.noticed += 1;
        if self.config.settings.notify.desktop {
            let line = NoticeLine { serial: self.noticed, at: now.wall, notice: notice.clone() };
            // Without a notifier nobody listens.
            let _ = self.lines.notices.send(line);
        }
        if self.lines.messages.try_send(stamped).is_err() {
            self.trouble.insert("messages", "a message was dropped: too many are waiting".to_owned());
        }
    }
}

/// Waits for a change of the network, for ever where none is told.
async fn changed(wake: Option<&Wake>) {
    match wake {
        Some(wake) => {
            if wake.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}

fn rules(config: &Config, powers: &Powers) -> Rules {
    let settings = &config.settings;
    Rules {
        observes: settings.mode == crate::config::Mode::Observe,
        stops: settings.enforce == crate::config::Enforce::Stop,
        can_isolate: powers.firewall(),
        patience: settings.patience.0,
        rounds: settings.half_open.rounds.get(),
        recovery: settings.half_open.max.0,
        boot: clock::boot_id(),
    }
}
