//! One connection: a question, and its answer or stream of answers.

use std::net::SocketAddr;
use std::time::Duration;

use guardian_rules::fact::Suspicion;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Desk;
use crate::breaker::effect::Refusal;
use crate::breaker::event::Asker;
use crate::cli::chain;
use crate::config::Config;
use crate::control::line::{LineError, Lines};
use crate::control::peer;
use crate::control::protocol::{
    Ask, Failure, Kind, LONGEST_QUESTION, Question, Reply, Request, alive_line, answer_line, given, question,
};
use crate::control::seats::Seat;
use crate::gate::keeper::Given;
use crate::status::Status;
use crate::sys::clock;

/// The question has to come within this time.
const QUESTION: Duration = Duration::from_secs(5);
/// Whoever does not take an answer within this time does not get it.
const WRITE: Duration = Duration::from_secs(2);
/// The loop takes a request within this time, or it is busy.
const TAKEN: Duration = Duration::from_secs(2);
/// The loop answers within this time, a review included, or it is busy.
const ANSWERED: Duration = Duration::from_secs(10);
/// A stream that has nothing to say says so this often.
const ALIVE: Duration = Duration::from_secs(5);
/// Between two lines of a stream of status.
const PACE: Duration = Duration::from_millis(200);
/// After a wrong passphrase.
const WRONG: Duration = Duration::from_secs(10);
/// A place stays taken after a request for this long: a user who asks in a loop does not keep the
/// daemon's loop from its work.
const REST: Duration = Duration::from_millis(50);
/// As many addresses are heard of from a gate.
const WAITING: usize = 16;

/// A connection of a user who has a place.
#[derive(Debug)]
pub(super) struct Connection {
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    desk: Desk,
    uid: u32,
    state_owner: u32,
    seat: Seat,
}

/// The other side hung up, is too slow, or there is nothing more to say.
#[derive(Debug)]
struct Over;

impl Connection {
    pub(super) fn new(stream: UnixStream, seat: Seat, desk: Desk, uid: u32, state_owner: u32) -> Self {
        let (reader, writer) = stream.into_split();
        Self { lines: Lines::new(reader, LONGEST_QUESTION), writer, desk, uid, state_owner, seat }
    }

    /// Serves it to its end.
    pub(super) async fn serve(mut self) {
        let asked = match self.question().await {
            Ok(Some(question)) => question,
            Ok(None) => return,
            Err(failure) => {
                // The connection ends either way.
                let _ = self.send(&failure.line()).await;
                return;
            }
        };
        let Over = match asked {
            Question::Status => self.status().await,
            Question::Watch => self.watch().await,
            Question::Notices => self.notices().await,
            Question::Lease => self.leases().await,
            Question::Trip { reason } => return self.request(Ask::Trip { reason }, None).await,
            Question::Review => return self.request(Ask::Review, None).await,
            Question::Recover { passphrase, code } => {
                return self.request(Ask::Recover, given(passphrase, code)).await;
            }
            Question::Close { passphrase, code } => {
                return self.request(Ask::Close, given(passphrase, code)).await;
            }
            Question::Reload { accept_clock } => {
                return self.request(Ask::Reload { accept_clock }, None).await;
            }
            Question::Report { suspicions, waiting } => return self.report(suspicions, waiting).await,
        };
    }

    async fn question(&mut self) -> Result<Option<Question>, Failure> {
        match timeout(QUESTION, self.lines.next()).await {
            Err(_) => Err(Failure::new(Kind::Slow, "no question came")),
            Ok(Ok(Some(line))) => question(&line).map(Some),
            Ok(Ok(None) | Err(LineError::Failed(_))) => Ok(None),
            Ok(Err(LineError::Half)) => Err(Failure::new(Kind::Malformed, LineError::Half.to_string())),
            Ok(Err(long @ LineError::TooLong(_))) => Err(Failure::new(Kind::TooLong, long.to_string())),
        }
    }

    async fn send(&mut self, line: &[u8]) -> Result<(), Over> {
        match timeout(WRITE, self.writer.write_all(line)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Over),
        }
    }

    fn status_now(&mut self) -> Status {
        self.desk.status.borrow_and_update().at(clock::moment()).judged()
    }

    async fn status(&mut self) -> Over {
        let status = self.status_now();
        // It ends either way.
        let _ = self.send(&answer_line(&status)).await;
        Over
    }

    /// The status at once, whenever it changes, and now and then so that its age is known.
    async fn watch(&mut self) -> Over {
        let mut told = self.status_now();
        let mut again = true;
        loop {
            if again {
                if self.send(&answer_line(&told)).await.is_err() {
                    return Over;
                }
                tokio::select! {
                    () = sleep(PACE) => {}
                    () = self.lines.ended() => return Over,
                }
            }
            let alive = Instant::now() + ALIVE.saturating_sub(PACE);
            again = loop {
                tokio::select! {
                    changed = self.desk.status.changed() => if changed.is_err() { return Over },
                    () = sleep_until(alive) => {
                        told = self.status_now();
                        break true;
                    }
                    () = self.lines.ended() => return Over,
                }
                let status = self.status_now();
                if status.differs(&told) {
                    told = status;
                    break true;
                }
            };
        }
    }

    async fn notices(&mut self) -> Over {
        let mut notices = self.desk.notices.subscribe();
        // Whoever asked knows that nothing is missed from here on.
        let mut line = alive_line();
        loop {
            if self.send(&line).await.is_err() {
                return Over;
            }
            line = tokio::select! {
                notice = notices.recv() => match notice {
                    Ok(notice) => answer_line(&notice),
                    // The gap in the serial numbers tells.
                    Err(RecvError::Lagged(_)) => alive_line(),
                    Err(RecvError::Closed) => return Over,
                },
                () = sleep(ALIVE) => alive_line(),
                () = self.lines.ended() => return Over,
            };
        }
    }

    async fn leases(&mut self) -> Over {
        let _following = self.is_ours().then(|| self.desk.gates.follow());
        loop {
            let lease = *self.desk.lease.borrow_and_update();
            if self.send(&answer_line(&lease)).await.is_err() {
                return Over;
            }
            loop {
                tokio::select! {
                    changed = self.desk.lease.changed() => {
                        if changed.is_err() {
                            return Over;
                        }
                        break;
                    }
                    () = sleep(ALIVE) => if self.send(&alive_line()).await.is_err() { return Over },
                    () = self.lines.ended() => return Over,
                }
            }
        }
    }

    /// The gate's own user, or somebody who could be it.
    fn is_ours(&self) -> bool {
        let owner = peer::is_owner(self.uid, self.state_owner, &self.desk.owners.borrow());
        owner || Config::gate_user() == Some(self.uid)
    }

    /// What a gate reports counts if it is ours: anybody may open the circuit, but not in its name.
    async fn report(mut self, suspicions: Vec<Suspicion>, mut waiting: Vec<SocketAddr>) {
        if self.is_ours() {
            waiting.truncate(WAITING);
            return self.request(Ask::Report { suspicions, waiting }, None).await;
        }
        // The connection ends either way.
        let _ = self.send(&answer_line(&Reply::Refused(Refusal::NotOwner))).await;
    }

    /// Hands a request to the loop and its answer back.
    async fn request(mut self, ask: Ask, given: Option<Given>) {
        let line = match self.reply(ask, given).await {
            Ok(reply) => answer_line(&reply),
            Err(failure) => failure.line(),
        };
        // It was done, whether or not somebody still wants to know.
        let _ = self.send(&line).await;
        let Self { seat, lines, writer, .. } = self;
        drop((lines, writer));
        if self.uid != 0 {
            sleep(REST).await;
        }
        drop(seat);
    }

    async fn reply(&self, ask: Ask, given: Option<Given>) -> Result<Reply, Failure> {
        // Owners may have changed since the connection was made.
        let owner = peer::is_owner(self.uid, self.state_owner, &self.desk.owners.borrow());
        let mut asker = peer::asker(self.uid, owner).await;
        if let Some(given) = given
            && !owner
        {
            // Where the gate has a user of its own, nobody else comes with what owners type there: a code that
            // somebody saw being used at the gate is not good here once more.
            if Config::gate_user().is_some_and(|gate| gate != self.uid) {
                return Ok(Reply::Refused(Refusal::NotOwner));
            }
            if let Err(denied) = self.desk.passphrase.check(given).await {
                tracing::warn!(by = asker.name, "the owner's passphrase was not given: {}", chain(&denied));
                // Whoever guesses keeps a place meanwhile, and every user has few.
                sleep(WRONG).await;
                return Err(Failure::new(Kind::Failed, chain(&denied)));
            }
            asker = Asker { name: format!("the owner, through {}", asker.name), owner: true };
        }
        let (reply, answer) = oneshot::channel();
        match timeout(TAKEN, self.desk.requests.send(Request { asker, ask, reply })).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Failure::new(Kind::Failed, "the daemon is stopping")),
            Err(_) => return Err(Failure::new(Kind::Busy, "the daemon does not take requests")),
        }
        match timeout(ANSWERED, answer).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(Failure::new(Kind::Failed, "the daemon gave no answer")),
            Err(_) => Err(Failure::new(Kind::Busy, "the daemon does not answer")),
        }
    }
}
