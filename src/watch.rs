//! The watcher: looks, judges, steps the breaker, and has its effects carried out.
//!
//! Everything that happens comes into one loop, one after the other. Whatever takes time (probes,
//! barriers, messages) is a task of its own that the loop talks with and never waits for.

mod carry_out;
pub(crate) mod review;
pub(crate) mod schedule;
pub(crate) mod sight;
mod standing_orders;
pub(crate) mod stations;
pub(crate) mod target;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use guardian_probes::probe::Ground;
use guardian_rules::fact::{Reached, Stopped};
use guardian_rules::snapshot::ProbeId;
use guardian_rules::verdict::Verdict;
use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use self::schedule::Schedule;
use self::sight::Sight;
use self::standing_orders::Users;
use self::stations::{Looked, Stations, cadence};
use crate::barrier::{Barrier, Held, Target};
use crate::breaker::effect::Notice;
use crate::breaker::event::{Event, Round};
use crate::breaker::state::{Level, State};
use crate::breaker::{self, Rules};
use crate::config::Config;
use crate::control::protocol::{Ask, NoticeLine, Reply, Request};
use crate::enforce::{Enforcer, Report};
use crate::journal::Journal;
use crate::lease::Lease;
use crate::notify::Stamped;
use crate::powers::Powers;
use crate::status::Status;
use crate::sys::clock::{self, Moment, Now};
use crate::sys::paths::Paths;
use crate::sys::wake::Wake;

/// A lease outlives this many rounds, a round being a look at the listeners.
const LEASE_ROUNDS: u32 = 3;
/// A lease lives at least this long: a busy machine is late now and then.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
/// Without a whole round for this long, nothing can be said of the host.
const OVERDUE: Duration = Duration::from_secs(3);
/// A look that is made for a review may take this long; then what is known has to do.
const LOOK: Duration = Duration::from_secs(6);
/// The loop turns at least this often.
const TURN: Duration = Duration::from_millis(500);
/// A turn that comes this late means that time has passed that nobody watched.
const GAP: Duration = Duration::from_secs(2);
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
    pub(crate) enforcer: Enforcer,
    /// Why it begins in this state, if there is anything to say.
    pub(crate) why: Option<String>,
    /// A part of the undo journal cannot be read.
    pub(crate) damaged: bool,
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
    target: Target,
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
    /// When the last whole round without an exposure was.
    clean: Moment,
    verdict: Option<Verdict>,
    times: Times,
    /// What is amiss with the watcher itself, a sentence each.
    trouble: BTreeMap<&'static str, String>,
    /// The processes that were put down, while they are held down.
    put_down: Option<Stopped>,
    /// Those who wait for a review, and since when.
    waiting: Vec<(Request, Moment)>,
    /// The gateways of the last whole picture.
    gateways: Vec<serde_json::Value>,
    told: Moment,
    turned: Moment,
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
    pub(crate) fn new(beginning: Beginning, lines: Lines) -> Self {
        let Beginning {
            config,
            config_path,
            paths,
            powers,
            state,
            mut target,
            latest,
            journal,
            enforcer,
            why,
            damaged,
        } = beginning;
        // The first wall is raised before the first look: it guards what the policy names already.
        target.ports.extend(&config.settings.gateway.ports);
        let now = clock::now();
        let (stations, looks) = Stations::new();
        let schedule = Schedule::new(|probe| config.cadence(probe).unwrap_or_else(|| cadence(probe)));
        let sight = Sight::new(config.policy(now.wall.max(latest)));
        let rules = rules(&config, &powers);
        let users = Users::of(&config);
        let mut watcher = Self {
            config,
            config_path,
            paths,
            powers,
            rules,
            users,
            state,
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
            clean: now.moment,
            verdict: None,
            times: Times::default(),
            trouble: BTreeMap::new(),
            put_down: None,
            waiting: Vec::new(),
            gateways: Vec::new(),
            told: now.moment,
            turned: now.moment,
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
        watcher
    }

    /// Watches until it is told to stop.
    pub(crate) async fn run(mut self) {
        let wake = Wake::new().inspect_err(|failed| tracing::info!(%failed, "changes are not told")).ok();
        let mut reports = self.enforcer.report.clone();
        self.tell_status();
        loop {
            let now = clock::now();
            self.turn(now);
            self.answer_waiting(now).await;
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
                Some(request) = self.lines.requests.recv() => self.asked(request, now).await,
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
    }

    /// What comes with time alone.
    fn turn(&mut self, now: Now) {
        if now.moment.since(self.turned) > GAP {
            // Asleep, stopped or starved: what was seen before says nothing of now.
            tracing::info!(gap = ?now.moment.since(self.turned), "time has passed that nobody watched");
            self.lines.lease.send_replace(None);
            self.schedule.doubt_all();
            self.sight.doubt();
        }
        self.turned = now.moment;
        self.latest = self.latest.max(now.wall);
        self.sight.set_policy(self.config.policy(self.latest));
        if self.enforcer.is_alive() {
            self.trouble.remove("enforcer");
        } else {
            self.trouble.insert("enforcer", "the barriers are not looked after any more".to_owned());
        }
        match &self.state {
            State::HalfOpen(_) => self.step(Event::Tick, now),
            State::Closed(_) | State::Open(_) => {}
        }
        let round = self.round.unwrap_or(self.clean);
        if now.moment.since(round) > OVERDUE {
            let overdue = Round { verdict: Verdict::Blind, findings: Vec::new(), open_beyond: false };
            self.verdict = Some(Verdict::Blind);
            self.step(Event::Round(overdue), now);
        }
        if now.moment.since(self.told) >= STATUS {
            self.tell_status();
        }
    }

    fn looked(&mut self, looked: Looked) {
        let probe = looked.probe;
        tracing::trace!(%probe, took = ?looked.took, "looked");
        let changed = self.sight.take(looked);
        self.schedule.finished(probe, changed);
        if changed {
            self.see_target();
        }
        if probe == ProbeId::Reach {
            self.judge_isolation();
        }
        let now = clock::now();
        if let Some(round) = self.sight.accusation(&self.schedule) {
            self.verdict = Some(round.verdict);
            self.step(Event::Round(round), now);
        }
        if (changed || probe == ProbeId::Listeners || self.round.is_none())
            && let Some(judgement) = self.sight.whole(&self.schedule)
        {
            let round = sight::round(judgement);
            self.whole(round, now);
        }
    }

    fn whole(&mut self, round: Round, now: Now) {
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
            self.ready();
        }
    }

    /// Whether a gateway that is cut off is cut off indeed: the firewall stands, and no connection
    /// to its ports came through.
    fn judge_isolation(&mut self) {
        let State::Open(_) = self.state else { return };
        let stands = self.enforcer.report.borrow().held.get(&Barrier::Firewall) == Some(&Held::Yes);
        let answers = self.sight.known.reach.seen();
        let refused = answers.is_some_and(|it| it.iter().all(|answer| answer.reached == Reached::Refused));
        self.step(Event::Isolation { proven: stands && refused }, clock::now());
    }

    fn reported(&mut self, report: &Report) {
        if let (State::Open(_), Some(began), None) = (&self.state, self.times.began, self.times.block)
            && report.orders.open
            && report.holds()
        {
            self.times.block = Some(report.at.since(began));
        }
        self.tell_status();
    }

    /// A review is made of what is seen after it was asked for: whoever has just mended something
    /// is not to be told of what was.
    async fn asked(&mut self, request: Request, now: Now) {
        let reviews = matches!(request.ask, Ask::Review | Ask::Recover);
        if reviews && matches!(self.state, State::Open(_)) {
            self.schedule.doubt_all();
            self.sight.doubt();
            self.waiting.push((request, now.moment));
        } else {
            self.answer(request).await;
        }
    }

    /// Answers those who have waited for a whole look, or long enough.
    async fn answer_waiting(&mut self, now: Now) {
        let whole = self.schedule.is_whole();
        let ready = |since: Moment| whole || now.moment.since(since) > LOOK;
        while let Some(at) = self.waiting.iter().position(|(_, since)| ready(*since)) {
            let (request, _) = self.waiting.remove(at);
            self.answer(request).await;
        }
    }

    async fn answer(&mut self, request: Request) {
        let Request { asker, ask, reply } = request;
        let now = clock::now();
        let answer = match ask {
            Ask::Review => Some(Reply::Review(self.review().await)),
            Ask::Reload if !asker.owner => Some(Reply::Refused(breaker::effect::Refusal::NotOwner)),
            Ask::Reload => Some(match self.reload() {
                Ok(()) => Reply::Done,
                Err(why) => Reply::Failed(why),
            }),
            Ask::Trip { reason } => self.step_for(Event::Trip { by: asker, reason }, now),
            Ask::Recover => {
                let review = self.review().await.failing();
                self.step_for(Event::Recover { by: asker, review }, now)
            }
            Ask::Close => self.step_for(Event::Close { by: asker }, now),
        };
        self.tell_status();
        if let Some(answer) = answer {
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
    }

    /// Reads the policy again. One that cannot be used is refused, and the old one stays.
    fn reload(&mut self) -> Result<(), String> {
        let loaded = Config::load(self.config_path.as_deref()).map_err(|failed| crate::cli::chain(&failed));
        match loaded {
            Ok(config) => {
                self.config = config;
                self.rules = rules(&self.config, &self.powers);
                self.users = Users::of(&self.config);
                let cadences = &self.config;
                self.schedule.set_cadences(|probe| cadences.cadence(probe).unwrap_or_else(|| cadence(probe)));
                self.sight.set_policy(self.config.policy(self.latest));
                self.lines.owners.send_replace(self.config.owner_ids());
                self.trouble.remove("policy");
                self.record("policy reloaded", serde_json::Value::Null);
                self.give_orders();
                self.tell_status();
                Ok(())
            }
            Err(why) => {
                let sentence = format!("the new policy is refused, the old one stays: {why}");
                tracing::warn!("{sentence}");
                self.record("policy refused", serde_json::json!({ "why": why }));
                self.trouble.insert("policy", sentence);
                self.tell_status();
                Err(why)
            }
        }
    }

    /// Takes in what belongs to gateways now. While the circuit is open what has gone is
    /// remembered: it is what a recovery brings back.
    fn see_target(&mut self) {
        let seen = target::target(&self.sight.policy, &self.sight.known);
        match self.state {
            State::Closed(_) => self.target = seen,
            State::Open(_) | State::HalfOpen(_) => self.target.remember(seen),
        }
        self.give_orders();
    }

    /// Notes what has been put down, so that whoever runs again is known to have been revived.
    fn renew_stopped(&mut self) {
        let stopped = matches!(&self.state, State::Open(open) if open.level == Level::Stopped);
        if stopped && self.put_down.is_none() {
            let processes = self.target.processes.iter().map(|it| (it.pid, it.started)).collect();
            self.put_down = Some(Stopped { processes });
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
