//! Tokens for programs: named, with an end, and kept as fingerprints.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::admit::Caller;
use super::secret::{self, Fingerprint, NoRandomness};
use crate::exit;
use crate::sys::durable::{self, WriteError};
use crate::sys::paths::Paths;
use crate::sys::trusted::{self, TrustError};

/// What every token begins with, so that one is recognised wherever it is found.
pub(crate) const PREFIX: &str = "gdn_";
/// Tokens at a time.
const MOST: usize = 256;
/// The longest name, in characters.
const LONGEST_NAME: usize = 64;
/// The longest file, in bytes.
const LIMIT: u64 = 256 * 1024;
/// The version of the file.
const VERSION: u8 = 1;

/// Why tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The file cannot be read, or somebody else could have written it.
    #[error(transparent)]
    Untrusted(#[from] TrustError),
    /// It holds something else.
    #[error("{path} holds no tokens")]
    Garbled {
        /// The file.
        path: String,
        /// Where.
        #[source]
        cause: serde_json::Error,
    },
    /// It is of another version.
    #[error("{} is of version {version}, which this guardian does not know", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Which.
        version: u8,
    },
    /// It cannot be written.
    #[error(transparent)]
    Unwritten(#[from] WriteError),
    /// It cannot be put into JSON.
    #[error("the tokens cannot be put into JSON")]
    Unprintable(#[source] serde_json::Error),
    /// There is one of this name.
    #[error("there is a token named {0:?} already; revoke it first, or take another name")]
    Taken(String),
    /// There is none.
    #[error("there is no token named {0:?}")]
    Unknown(String),
    /// No name for a token.
    #[error("{0:?} is no name: 1 to {LONGEST_NAME} letters, digits, dots, dashes and underscores")]
    Name(String),
    /// There are too many.
    #[error("there are {MOST} tokens; revoke one first")]
    TooMany,
    /// No secret could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl TokenError {
    /// The exit code that goes with it.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Untrusted(_) | Self::Garbled { .. } | Self::Version { .. } => exit::CONFIG,
            Self::Taken(_) | Self::Unknown(_) | Self::Name(_) | Self::TooMany => exit::USAGE,
            Self::Unwritten(_) | Self::Unprintable(_) | Self::NoRandomness(_) => exit::FAILURE,
        }
    }
}

/// A token, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// What it is for.
    pub(crate) name: Arc<str>,
    /// Of its secret.
    fingerprint: Fingerprint,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// When it ends, if it does.
    pub(crate) expires: Option<Timestamp>,
}

/// A token that was: whoever still shows it has not guessed it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    name: Arc<str>,
    fingerprint: Fingerprint,
}

/// The tokens there are, and the latest of those that were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    tokens: Vec<Token>,
    ended: Vec<Ended>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: u8,
    tokens: Vec<Token>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ended: Vec<Ended>,
}

impl Token {
    /// Who shows it.
    pub(crate) fn caller(&self) -> Caller {
        Caller::new(&self.name, self.fingerprint)
    }

    fn lives(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}

impl Tokens {
    /// Those in a file; none where there is no file.
    pub(crate) fn read(path: &Path) -> Result<Self, TokenError> {
        let bytes = match trusted::read_bounded(path, LIMIT) {
            Err(absent) if absent.is_absent() => return Ok(Self::default()),
            other => other?,
        };
        let written: Written = serde_json::from_slice(&bytes)
            .map_err(|cause| TokenError::Garbled { path: path.display().to_string(), cause })?;
        if written.v != VERSION {
            return Err(TokenError::Version { path: path.to_owned(), version: written.v });
        }
        Ok(Self { tokens: written.tokens, ended: written.ended })
    }

    /// Puts them into a file that others can read only if they are of its group.
    pub(crate) fn write(&self, path: &Path) -> Result<(), TokenError> {
        let written = Written { v: VERSION, tokens: self.tokens.clone(), ended: self.ended.clone() };
        let bytes = serde_json::to_vec_pretty(&written).map_err(TokenError::Unprintable)?;
        Ok(durable::replace(path, &bytes, Paths::gate_mode())?)
    }

    /// Makes a token, and tells its secret: nobody can tell it again.
    pub(crate) fn add(
        &mut self,
        name: &str,
        now: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<String, TokenError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
            return Err(TokenError::Name(name.to_owned()));
        }
        // Those that have ended are in nobody's way.
        self.sweep(now);
        if self.tokens.iter().any(|token| &*token.name == name) {
            return Err(TokenError::Taken(name.to_owned()));
        }
        if self.tokens.len() >= MOST {
            return Err(TokenError::TooMany);
        }
        let secret = format!("{PREFIX}{}", secret::fresh()?);
        let fingerprint = Fingerprint::of(&secret);
        self.tokens.push(Token { name: name.into(), fingerprint, created: now, expires });
        Ok(secret)
    }

    /// Takes a token away.
    pub(crate) fn revoke(&mut self, name: &str) -> Result<(), TokenError> {
        if self.end(|token| &*token.name == name) {
            Ok(())
        } else {
            Err(TokenError::Unknown(name.to_owned()))
        }
    }

    /// Those there are.
    pub(crate) fn list(&self) -> &[Token] {
        &self.tokens
    }

    /// The token of this secret, if it has not ended. All are compared, whether or not one fits.
    pub(crate) fn find(&self, secret: &str, now: impl Fn() -> Timestamp) -> Option<&Token> {
        let fingerprint = Fingerprint::of(secret);
        let mut found = None;
        for token in &self.tokens {
            if token.fingerprint.is(&fingerprint) {
                found = Some(token);
            }
        }
        // Few tokens end, and to ask for the time costs more than to compare it.
        found.filter(|token| token.expires.is_none_or(|end| now() < end))
    }

    /// Whether the token of this fingerprint is there and has not ended.
    pub(crate) fn lives(&self, fingerprint: &Fingerprint, now: Timestamp) -> bool {
        self.tokens.iter().any(|token| token.fingerprint.is(fingerprint) && token.lives(now))
    }

    /// The name of the token that this secret was, if it has ended or was revoked.
    pub(crate) fn ended(&self, secret: &str, now: Timestamp) -> Option<&str> {
        let fingerprint = Fingerprint::of(secret);
        let expired = self.tokens.iter().filter(|token| !token.lives(now));
        let expired = expired.map(|token| (&token.name, &token.fingerprint));
        let ended = self.ended.iter().map(|token| (&token.name, &token.fingerprint));
        expired.chain(ended).find(|(_, it)| it.is(&fingerprint)).map(|(name, _)| &**name)
    }

    /// Puts those that have ended aside; whether there were any.
    pub(crate) fn sweep(&mut self, now: Timestamp) -> bool {
        self.end(|token| !token.lives(now))
    }

    fn end(&mut self, mut is_over: impl FnMut(&Token) -> bool) -> bool {
        let over: Vec<Token> = self.tokens.extract_if(.., |token| is_over(token)).collect();
        let any = !over.is_empty();
        self.ended
            .extend(over.into_iter().map(|Token { name, fingerprint, .. }| Ended { name, fingerprint }));
        let surplus = self.ended.len().saturating_sub(MOST);
        self.ended.drain(..surplus);
        any
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-28T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_token_opens_until_its_end_and_no_other_secret_does() {
        let mut tokens = Tokens::default();
        let end = now() + 1.hour();
        let secret = tokens.add("backup", now(), Some(end)).unwrap();
        assert!(secret.starts_with("gdn_") && secret.len() == 68);
        let name = |secret: &str, at| tokens.find(secret, || at).map(|token| token.name.to_string());
        assert_eq!(name(&secret, now()).as_deref(), Some("backup"));
        assert_eq!(name(&secret, end), None, "it has ended");
        for other in ["", "gdn_", &secret[..67], &format!("{secret} "), &secret.to_uppercase()] {
            assert_eq!(name(other, now()), None, "{other}");
        }
    }

    #[test]
    fn the_file_holds_no_secret_and_only_its_group_reads_it() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let mut tokens = Tokens::read(&path).unwrap();
        let secret = tokens.add("backup", now(), None).unwrap();
        tokens.write(&path).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains(&secret[4..]));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, Paths::gate_mode());
        assert!(Tokens::read(&path).unwrap().find(&secret, now).is_some());
        let mut tokens = Tokens::read(&path).unwrap();
        tokens.revoke("backup").unwrap();
        assert!(tokens.find(&secret, now).is_none());
        assert!(matches!(tokens.revoke("backup"), Err(TokenError::Unknown(_))));
    }

    #[test]
    fn a_name_is_taken_once_and_is_free_again_after_its_end() {
        let mut tokens = Tokens::default();
        tokens.add("backup", now(), Some(now() + 1.hour())).unwrap();
        assert!(matches!(tokens.add("backup", now(), None), Err(TokenError::Taken(_))));
        tokens.add("backup", now() + 2.hours(), None).unwrap();
        for name in ["", "a b", "../x", "é", &"x".repeat(65)] {
            assert!(matches!(tokens.add(name, now(), None), Err(TokenError::Name(_))), "{name}");
        }
    }

    #[test]
    fn a_token_that_was_is_known_by_its_name_and_opens_nothing() {
        let mut tokens = Tokens::default();
        let end = now() + 1.hour();
        let expired = tokens.add("expired", now(), Some(end)).unwrap();
        let revoked = tokens.add("revoked", now(), None).unwrap();
        let lives = tokens.add("lives", now(), None).unwrap();
        tokens.revoke("revoked").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        tokens.write(&path).unwrap();
        let mut tokens = Tokens::read(&path).unwrap();
        for swept in [false, true] {
            assert_eq!(tokens.sweep(end), !swept);
            for (secret, name) in [(&expired, "expired"), (&revoked, "revoked")] {
                assert_eq!(tokens.ended(secret, end), Some(name));
                assert!(tokens.find(secret, || end).is_none());
            }
            assert_eq!(tokens.ended(&lives, end), None);
            assert_eq!(tokens.ended("gdn_guess", end), None);
        }
        for number in 0..2 * MOST {
            tokens.add(&number.to_string(), now(), None).unwrap();
            tokens.revoke(&number.to_string()).unwrap();
        }
        assert_eq!(tokens.ended.len(), MOST, "the oldest are forgotten");
    }

    #[test]
    fn there_is_an_end_to_how_many_there_can_be() {
        let mut tokens = Tokens::default();
        for number in 0..MOST {
            tokens.add(&number.to_string(), now(), None).unwrap();
        }
        assert!(matches!(tokens.add("more", now(), None), Err(TokenError::TooMany)));
    }

    #[test]
    fn a_file_of_another_version_or_with_more_in_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        for (text, part) in [
            ("{\"v\":2,\"tokens\":[]}", "version 2"),
            ("{\"v\":1,\"tokens\":[],\"more\":1}", "holds no tokens"),
            ("{\"v\":1,\"tokens\":[{\"name\":\"x\"}]}", "holds no tokens"),
            ("", "holds no tokens"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(Tokens::read(&path).unwrap_err().to_string().contains(part), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_file_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("tokens.json");
            std::fs::write(&path, bytes).unwrap();
            prop_assert!(Tokens::read(&path).is_err());
        }
    }
}
