//! The side of whoever asks. A server that is silent, endless or garbled is an error, never a hang.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::unistd::Uid;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, timeout};

pub(crate) use super::ControlError;
use super::line::{LineError, Lines};
use super::protocol::{Ask, Frame, LONGEST_ANSWER, NoticeLine, Question, Reply, frame, question_line};
use crate::gate::keeper::Given;
use crate::lease::Lease;
use crate::status::Status;
use crate::sys::paths::Paths;

/// A connection is made, and a question taken, within this time.
const CONNECT: Duration = Duration::from_secs(5);
/// Between two attempts where the queue of connections is full.
const AGAIN: Duration = Duration::from_millis(20);
/// A server waits for a question for longer than this.
const FRESH: Duration = Duration::from_secs(2);
/// An answer comes within this time; a stream says something this often, or nobody is there.
const ANSWER: Duration = Duration::from_secs(15);
/// A review looks at everything anew, and waits for whoever is slow.
pub(crate) const REVIEW: Duration = Duration::from_mins(1);

/// A daemon that can be asked. Every question has a connection of its own.
#[derive(Debug)]
pub(crate) struct Client {
    paths: Paths,
    /// The connection that showed that somebody is there; the first question goes over it.
    first: Mutex<Option<(UnixStream, Instant)>>,
}

/// A stream of answers. To drop a `next` that is under way loses nothing.
#[derive(Debug)]
pub(crate) struct Stream<T> {
    lines: Lines<OwnedReadHalf>,
    /// The next line comes within this time, or nobody is there.
    patience: Duration,
    /// Open, so that the server does not take it for hung up.
    _writer: OwnedWriteHalf,
    of: PhantomData<fn() -> T>,
}

impl Client {
    /// Connects to the daemon of these folders; where nobody listens there and they are the usual
    /// ones of a user, to root's.
    pub(crate) async fn connect(paths: &Paths) -> Result<Self, ControlError> {
        let places = paths.to_ask();
        for place in &places {
            match Self::connect_to(place).await {
                Err(ControlError::NoDaemon(_)) => {}
                other => return other,
            }
        }
        Err(ControlError::NoDaemon(places.iter().map(Paths::control).collect()))
    }

    /// Connects to the daemon of these folders and to no other one.
    pub(crate) async fn connect_to(paths: &Paths) -> Result<Self, ControlError> {
        let first = Mutex::new(Some((open(paths).await?, Instant::now())));
        Ok(Self { paths: paths.clone(), first })
    }

    /// Asks for something to be done.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Reply, ControlError> {
        self.once(&Question::from(ask)).await
    }

    /// Asks for something in the owner's name: the daemon checks what is given.
    pub(crate) async fn ask_as_owner(&self, ask: Ask, given: Given) -> Result<Reply, ControlError> {
        self.once(&Question::from(ask).with(given)).await
    }

    /// The status.
    pub(crate) async fn status(&self) -> Result<Status, ControlError> {
        self.once(&Question::Status).await.map(Status::judged)
    }

    /// The status now and whenever it changes.
    pub(crate) async fn watch(&self) -> Result<Stream<Status>, ControlError> {
        self.stream(&Question::Watch).await
    }

    /// Notices from now on.
    pub(crate) async fn notices(&self) -> Result<Stream<NoticeLine>, ControlError> {
        self.stream(&Question::Notices).await
    }

    /// The lease now and whenever it changes; none when it is revoked.
    pub(crate) async fn leases(&self) -> Result<Stream<Option<Lease>>, ControlError> {
        self.stream(&Question::Lease).await
    }

    async fn once<T: DeserializeOwned>(&self, question: &Question) -> Result<T, ControlError> {
        let mut stream = self.stream(question).await?;
        stream.patience = patience(question);
        // One that only says that it is there does not keep anybody waiting.
        timeout(stream.patience, stream.next()).await.map_err(|_| ControlError::Silent)?
    }

    async fn stream<T>(&self, question: &Question) -> Result<Stream<T>, ControlError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let connection = match first {
            Some((connection, since)) if since.elapsed() < FRESH => connection,
            _ => open(&self.paths).await?,
        };
        let (reader, mut writer) = connection.into_split();
        // A server that is full says so and hangs up before it reads: what it said is read below.
        if timeout(CONNECT, writer.write_all(&question_line(question))).await.is_err() {
            return Err(ControlError::Silent);
        }
        let lines = Lines::new(reader, LONGEST_ANSWER);
        Ok(Stream { lines, patience: ANSWER, _writer: writer, of: PhantomData })
    }
}

/// An answer to this comes within this time.
fn patience(question: &Question) -> Duration {
    match question {
        Question::Review | Question::Recover { .. } => REVIEW,
        _ => ANSWER,
    }
}

impl<T: DeserializeOwned> Stream<T> {
    /// The next answer.
    pub(crate) async fn next(&mut self) -> Result<T, ControlError> {
        loop {
            let line = match timeout(self.patience, self.lines.next()).await {
                Err(_) => return Err(ControlError::Silent),
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None) | Err(LineError::Failed(_))) => return Err(ControlError::Closed),
                Ok(Err(odd)) => return Err(ControlError::Garbled(odd.to_string())),
            };
            match frame(&line).map_err(ControlError::Garbled)? {
                Frame::Ok(answer) => return Ok(answer),
                Frame::Alive => {}
                Frame::Error(failure) => {
                    return Err(ControlError::Told { kind: failure.kind, said: failure.said });
                }
            }
        }
    }
}

/// Opens a connection to whoever may be the daemon.
async fn open(paths: &Paths) -> Result<UnixStream, ControlError> {
    let path = paths.control();
    let unreachable = |cause| ControlError::Unreachable { path: path.clone(), cause };
    let stream = match open_socket(&path).await {
        Ok(stream) => stream,
        Err(nobody) if is_absence(&nobody) => return Err(ControlError::NoDaemon(vec![path])),
        Err(cause) => return Err(unreachable(cause)),
    };
    let uid = stream.peer_cred().map_err(unreachable)?.uid();
    if !may_serve(&paths.runtime).contains(&uid) {
        return Err(ControlError::Impostor { path, uid });
    }
    Ok(stream)
}

/// Connects; where the queue of connections is full, again and again until the time is over.
async fn open_socket(path: &Path) -> io::Result<UnixStream> {
    let end = Instant::now() + CONNECT;
    loop {
        match timeout(CONNECT, UnixStream::connect(path)).await {
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(Err(full)) if full.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                sleep(AGAIN).await;
            }
            Ok(result) => return result,
        }
    }
}

/// Nobody has bound the socket, or whoever had has died.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | ConnectionRefused)
}

/// The users who may be the daemon: root, whoever asks, and the owner of the folder.
fn may_serve(runtime: &Path) -> BTreeSet<u32> {
    let owner = fs::metadata(runtime).ok().map(|folder| folder.uid());
    [0, Uid::effective().as_raw()].into_iter().chain(owner).collect()
}
