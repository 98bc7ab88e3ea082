//! What is said on the control socket: lines of JSON, version 1.
//!
//! A question is `{"v":1,"ask":"status"}` or `{"v":1,"ask":"trip","reason":"..."}`. Answers are
//! `{"v":1,"ok":...}` and `{"v":1,"error":{"kind":"...","said":"..."}}`. In a stream that has
//! nothing to say, `{"v":1,"alive":true}` comes every five seconds.

use std::net::SocketAddr;

use guardian_rules::fact::Suspicion;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::breaker::effect::{Answer, Notice, Refusal};
use crate::breaker::event::Asker;
use crate::gate::keeper::Given;
use crate::review::ReviewReport;

/// The version of the protocol.
pub(super) const VERSION: u64 = 1;
/// The longest question, in bytes.
pub(super) const LONGEST_QUESTION: usize = 4096;
/// The longest answer, in bytes.
pub(super) const LONGEST_ANSWER: usize = 4 * 1024 * 1024;
/// The longest reason for a trip, in characters; more is cut.
const LONGEST_REASON: usize = 500;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(super) enum Question {
    /// The status, once.
    Status,
    /// The status now and whenever it changes.
    Watch,
    /// Notices as they come.
    Notices,
    /// Leases as they are minted, null when there is none any more.
    Lease,
    /// Open the circuit.
    Trip {
        /// Why.
        #[serde(default)]
        reason: String,
    },
    /// What stands in the way of a recovery.
    Review,
    /// Begin to recover.
    Recover {
        /// The owner's, for whoever asks in the owner's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passphrase: Option<Passphrase>,
        /// The code that goes with it, where codes are on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<Passphrase>,
    },
    /// Close the circuit.
    Close {
        /// Likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passphrase: Option<Passphrase>,
        /// Likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<Passphrase>,
    },
    /// Read the policy again.
    Reload {
        /// And go by the clock as it is now, though it was ahead once.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        accept_clock: bool,
    },
    /// What the gate finds suspicious; the gate's user and owners only.
    Report {
        /// All of it; a report takes the place of the one before.
        suspicions: Vec<Suspicion>,
        /// Addresses that it would listen at, but that no card of this host has.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        waiting: Vec<SocketAddr>,
    },
}

/// A passphrase, or a code, on its way; it is not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Passphrase(pub(super) String);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// What the daemon's loop is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Open the circuit; anybody may.
    Trip {
        /// Why, in the words of whoever asks; may be empty.
        reason: String,
    },
    /// Review the configuration.
    Review,
    /// Begin to recover; the owner only.
    Recover,
    /// Close the circuit; the owner only.
    Close,
    /// Read the policy again; the owner only.
    Reload {
        /// And go by the clock as it is now, though it was ahead once.
        accept_clock: bool,
    },
    /// Hear what the gate finds suspicious.
    Report {
        /// All of it.
        suspicions: Vec<Suspicion>,
        /// Where it would listen, but no card of this host has the address.
        waiting: Vec<SocketAddr>,
    },
}

/// Somebody asks the daemon's loop for something.
#[derive(Debug)]
pub(crate) struct Request {
    /// Who.
    pub(crate) asker: Asker,
    /// For what.
    pub(crate) ask: Ask,
    /// Where the answer goes. Whoever asked may have gone.
    pub(crate) reply: oneshot::Sender<Reply>,
}

/// What the daemon's loop answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// It was done.
    Done,
    /// It was so already.
    AlreadySo,
    /// It was not done, for the breaker's reasons.
    Refused(Refusal),
    /// The checklist.
    Review(ReviewReport),
    /// It could not be done; a sentence says why.
    Failed(String),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Done => Self::Done,
            Answer::AlreadySo => Self::AlreadySo,
            Answer::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// A notice as it goes through the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NoticeLine {
    /// Grows by one with every notice of this daemon: a gap is a notice that was missed.
    pub(crate) serial: u64,
    /// When it happened.
    pub(crate) at: Timestamp,
    /// What happened.
    pub(crate) notice: Notice,
}

/// Kinds of failures that the server answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The question is not understood.
    Malformed,
    /// Another version of the protocol.
    Version,
    /// The question or its answer is too long.
    TooLong,
    /// The question did not come in time.
    Slow,
    /// Too many connections, or a loop that does not answer.
    Busy,
    /// Something failed inside.
    Failed,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A failure on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) said: String,
}

/// What an answer's line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame<T> {
    /// An answer.
    Ok(T),
    /// Nothing, but somebody is there.
    Alive,
    /// A failure.
    Error(Failure),
}

impl Failure {
    pub(super) fn new(kind: Kind, said: impl Into<String>) -> Self {
        Self { kind, said: said.into() }
    }

    /// As a line.
    pub(super) fn line(&self) -> Vec<u8> {
        line(&serde_json::json!({ "v": VERSION, "error": self }))
    }
}

impl From<Ask> for Question {
    fn from(ask: Ask) -> Self {
        match ask {
            Ask::Trip { reason } => Self::Trip { reason: reason_of(&reason) },
            Ask::Review => Self::Review,
            Ask::Recover => Self::Recover { passphrase: None, code: None },
            Ask::Close => Self::Close { passphrase: None, code: None },
            Ask::Reload { accept_clock } => Self::Reload { accept_clock },
            Ask::Report { suspicions, waiting } => Self::Report { suspicions, waiting },
        }
    }
}

impl Question {
    /// The same, asked in the owner's name.
    pub(super) fn with(self, given: Given) -> Self {
        let (passphrase, code) = (Some(Passphrase(given.passphrase)), given.code.map(Passphrase));
        match self {
            Self::Recover { .. } => Self::Recover { passphrase, code },
            Self::Close { .. } => Self::Close { passphrase, code },
            other => other,
        }
    }
}

/// What somebody gives who asks in the owner's name.
pub(super) fn given(passphrase: Option<Passphrase>, code: Option<Passphrase>) -> Option<Given> {
    let Passphrase(passphrase) = passphrase?;
    Some(Given { passphrase, code: code.map(|Passphrase(code)| code) })
}

/// The line of a question.
pub(super) fn question_line(question: &Question) -> Vec<u8> {
    #[derive(Serialize)]
    struct Envelope<'a> {
        v: u64,
        #[serde(flatten)]
        question: &'a Question,
    }
    line(&Envelope { v: VERSION, question })
}

/// Reads a question. What it holds beyond what is known is left aside.
pub(super) fn question(line: &[u8]) -> Result<Question, Failure> {
    let malformed = |error: serde_json::Error| Failure::new(Kind::Malformed, error.to_string());
    let value: Value = serde_json::from_slice(line).map_err(malformed)?;
    versioned(&value).map_err(|said| Failure::new(Kind::Version, said))?;
    let question = serde_json::from_value(value).map_err(malformed)?;
    Ok(match question {
        Question::Trip { reason } => Question::Trip { reason: reason_of(&reason) },
        other => other,
    })
}

/// The line of an answer.
pub(super) fn answer_line(answer: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        v: u64,
        ok: &'a T,
    }
    let line = line(&Envelope { v: VERSION, ok: answer });
    if line.len() > LONGEST_ANSWER {
        return Failure::new(Kind::TooLong, "the answer is too long to be sent").line();
    }
    line
}

/// The line that says that somebody is there.
pub(super) fn alive_line() -> Vec<u8> {
    line(&serde_json::json!({ "v": VERSION, "alive": true }))
}

/// Reads an answer; a sentence says why it cannot be read.
pub(super) fn frame<T: DeserializeOwned>(line: &[u8]) -> Result<Frame<T>, String> {
    let mut value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    versioned(&value)?;
    let mut take = |key| value.as_object_mut().and_then(|object| object.remove(key));
    if let Some(answer) = take("ok") {
        return serde_json::from_value(answer).map(Frame::Ok).map_err(|error| error.to_string());
    }
    if let Some(failure) = take("error") {
        return serde_json::from_value(failure).map(Frame::Error).map_err(|error| error.to_string());
    }
    match take("alive") {
        Some(_) => Ok(Frame::Alive),
        None => Err("it is neither an answer nor a failure".to_owned()),
    }
}

fn versioned(value: &Value) -> Result<(), String> {
    match value.get("v") {
        Some(version) if version.as_u64() == Some(VERSION) => Ok(()),
        Some(version) => Err(format!("version {version} is not spoken here, but {VERSION}")),
        None => Err(format!("the version is missing: \"v\":{VERSION}")),
    }
}

/// A reason that can be shown and written down: one line of bounded length.
fn reason_of(said: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    said.trim().chars().take(LONGEST_REASON).map(clean).collect()
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_else(|_| {
        // No type of this protocol has keys that are not strings, which alone could fail.
        br#"{"v":1,"error":{"kind":"failed","said":"the answer cannot be put into JSON"}}"#.to_vec()
    });
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
