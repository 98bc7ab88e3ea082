//! The watcher: looks, judges, steps the breaker, and has its effects carried out.
//!
//! Everything that happens comes into one loop, one after the other. Whatever takes time (probes,
//! barriers, messages) is a task of its own that the loop talks with and never waits for.

mod ahead;
mod allowances;
mod asked;
mod carried;
mod carry_out;
mod configurations;
mod equipment;
mod exposures;
mod gatekeeper;
mod holding;
mod isolation;
mod picture;
mod pins;
mod remains;
mod resting;
pub(crate) mod review;
pub(crate) mod schedule;
pub(crate) mod sight;
mod standing_orders;
pub(crate) mod stations;
mod supervisor;
pub(crate) mod target;
mod tell;
mod trouble;
mod turn;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use guardian_probes::interfaces;
use guardian_probes::probe::Ground;
use guardian_rules::fact::Stopped;
use guardian_rules::snapshot::ProbeId;
use guardian_rules::verdict::Verdict;
use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use self::asked::Waiting;
use self::configurations::Reader;
use self::equipment::Equipment;
use self::gatekeeper::Gatekeeper;
use self::isolation::Isolation;
use self::pins::Pins;
use self::resting::Resting;
use self::schedule::{Looks, Schedule};
use self::sight::Sight;
use self::stations::{Looked, Stations, cadence};
use self::trouble::{Part, Trouble};
use self::users::Users;
use crate::barrier::Target;
use crate::breaker::Rules;
use crate::breaker::effect::Notice;
use crate::breaker::state::State;
use crate::config::Config;
use crate::control::gates::Gates;
use crate::control::protocol::{NoticeLine, Request};
use crate::enforce::{Enforcer, Others};
use crate::journal::Journal;
use crate::lease::Lease;
use crate::memory::Past;
use crate::metrics::Metrics;
use crate::notify::Stamped;
use crate::powers::Powers;
use crate::status::timeline;
use crate::status::{Found, Status};
use crate::sys::clock::{self, Moment, Now};
use crate::sys::paths::Paths;
use crate::sys::wake::Wake;
use crate::trip::Evidence;
use crate::undo::Undo;

/// A lease outlives this many rounds, a round being a look at the listeners.
const LEASE_ROUNDS: u32 = 3;
/// A lease lives at least this long: a busy machine is late now and then.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
/// The loop turns at least this often.
const TURN: Duration = Duration::from_millis(500);

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
    /// The gates that take leases.
    pub(crate) gates: Gates,
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
    /// The policy as it is written is refused, and it goes by another one: a sentence that says so.
    pub(crate) refused: Option<String>,
    pub(crate) paths: Paths,
    pub(crate) powers: Powers,
    pub(crate) state: State,
    pub(crate) target: Target,
    pub(crate) latest: Timestamp,
    pub(crate) past: Past,
    pub(crate) journal: Journal,
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
    equipment: Equipment,
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
    /// What was so when it tripped, or when this watcher began.
    tripped: Target,
    /// When exactly its processes were born.
    pins: Pins,
    /// What was last written down.
    saved: Saved,
    /// The latest wall time ever seen: a clock that was set back revives no allowance.
    latest: Timestamp,
    /// What lasts whatever the state is.
    past: Past,
    journal: Journal,
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
    /// The looks that it rested on.
    clean_looks: Looks,
    /// The same on the wall clock; none if there was none since the start.
    cleared: Option<Timestamp>,
    verdict: Option<Verdict>,
    times: Times,
    /// What is amiss with the watcher itself.
    trouble: Trouble,
    /// The processes that were put down, while they are held down.
    put_down: Option<Stopped>,
    /// Those who wait for a review.
    waiting: Vec<Waiting>,
    /// Reads the configurations for it.
    reader: Reader,
    /// What gateways that do not run would start with.
    resting: Resting,
    /// The gateways of the last whole picture.
    gateways: Vec<serde_json::Value>,
    /// The last whole picture rested on the seal.
    leans_on_the_seal: bool,
    /// How often a wall had been put up when that was last looked at.
    raised: u64,
    /// When each probe began to look, as it was told first.
    looked_at: BTreeMap<ProbeId, Now>,
    /// What it warned of.
    warnings: Vec<Evidence>,
    /// What it could not tell.
    doubtful: Vec<Evidence>,
    /// How much of what it found.
    found: Vec<Found>,
    /// When that was.
    found_at: Option<Moment>,
    /// Whether the gate runs.
    gatekeeper: Gatekeeper,
    /// Who asks for numbers is answered by it.
    metrics: Metrics,
    told: Moment,
    turned: Moment,
    /// How long the system had been awake then.
    awake: Duration,
    /// Whether the wall of the present state holds.
    isolation: Isolation,
    /// The wall of a recovery is to go, and has not been found gone yet: nothing that is seen counts.
    falling: bool,
    /// A round was whole since time last passed that nobody watched.
    rested: bool,
    /// When the gate last said what it finds suspicious.
    reported: Option<Moment>,
}

/// What was last written down, and when.
#[derive(Debug, Clone)]
struct Saved {
    target: Target,
    past: Past,
    at: Moment,
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
        let Beginning {
            config,
            config_path,
            refused,
            paths,
            powers,
            state,
            target,
            latest,
            past,
            journal,
            mut undo,
            why,
        } = beginning;
        let now = clock::now();
        let (stations, looks) = Stations::new();
        let schedule = Schedule::new(|probe| config.cadence(probe).unwrap_or_else(|| cadence(probe)));
        let mut sight = Sight::new(config.policy(now.wall.max(latest)));
        if let Ok(addresses) = interfaces::read() {
            sight.begin_with(addresses);
        }
        let rules = rules(&config, &powers);
        let users = Users::of(&config.settings, users::AT_START, now.moment);
        lines.owners.send_replace(users.owners());
        // A disk that refuses keeps nobody from watching.
        let aside = undo.set_damaged_aside();
        let first = standing_orders::of(&config, &powers, &users, &sight, &state, &target, Others::Stay);
        let enforcer = Enforcer::start(undo, paths.endings(), first)?;
        let metrics = Metrics::of(lines.status.subscribe());
        let gatekeeper = Gatekeeper::new(lines.gates.clone(), now.moment);
        let mut watcher = Self {
            config,
            config_path,
            paths,
            powers,
            equipment: Equipment::looked(now.moment),
            rules,
            users,
            state,
            saved: Saved { target: target.clone(), past: past.clone(), at: now.moment },
            lasting: target.clone(),
            tripped: target.clone(),
            pins: Pins::default(),
            schedule,
            stations,
            looks,
            sight,
            target,
            latest,
            past,
            journal,
            enforcer,
            lines,
            serial: 0,
            noticed: 0,
            round: None,
            fresh: now.moment,
            clean: now.moment,
            clean_looks: Looks::default(),
            cleared: None,
            verdict: None,
            times: Times::default(),
            trouble: Trouble::default(),
            put_down: None,
            waiting: Vec::new(),
            reader: Reader::new(),
            resting: Resting::default(),
            gateways: Vec::new(),
            leans_on_the_seal: false,
            raised: 0,
            looked_at: BTreeMap::new(),
            warnings: Vec::new(),
            doubtful: Vec::new(),
            found: Vec::new(),
            found_at: None,
            gatekeeper,
            metrics,
            told: now.moment,
            turned: now.moment,
            awake: clock::awake(),
            isolation: Isolation::begun(now.moment),
            falling: false,
            rested: true,
            reported: None,
        };
        watcher.note_turn(now.wall);
        // Before the journal: a journal without a memory is a memory that was lost.
        watcher.save();
        watcher.record("started", serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "why": why }));
        watcher.trouble.note(Part::Undo, aside.map_err(|failed| crate::cli::chain(&failed)));
        watcher.begin_with_policy(refused, now);
        exposures::forget(&mut watcher.past.exposures, watcher.latest);
        watcher.sight.set_exposures(&watcher.past.exposures);
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
        self.metrics.follow(self.config.settings.metrics.listen, clock::now().moment);
        loop {
            let now = clock::now();
            if self.metrics.try_again(now.moment) {
                self.tell_status();
            }
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
        self.save();
        self.record("stopped", serde_json::Value::Null);
        self.enforcer.end().await;
        Ok(())
    }

    /// Notes how the circuit is from now on.
    fn note_turn(&mut self, at: Timestamp) {
        timeline::note(&mut self.past.timeline, at, self.state.circuit().into());
    }

    /// What was seen so far says nothing of now.
    fn doubt_all(&mut self) {
        self.schedule.doubt_all();
        self.sight.doubt();
    }

    fn notice(&mut self, notice: &Notice, now: Now) {
        let stamped = Stamped { at: now.wall, notice: notice.clone() };
        self.noticed += 1;
        if self.config.settings.notify.desktop {
            let line = NoticeLine { serial: self.noticed, at: now.wall, notice: notice.clone() };
            // Without a notifier nobody listens.
            let _ = self.lines.notices.send(line);
        }
        let sent = self.lines.messages.try_send(stamped);
        let dropped = "a message to notify.command or notify.webhook was dropped: too many are waiting";
        self.trouble.note(Part::Messages, sent.map_err(|_| dropped.to_owned()));
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
