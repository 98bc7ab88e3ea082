//! Sessions of people who have signed in, in memory alone: whoever restarts the gate signs them out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::admit::Caller;
use super::secret::{self, Fingerprint, NoRandomness};
use crate::sys::clock::Moment;

/// The cookie that holds a session's secret.
pub(crate) const COOKIE_NAME: &str = "guardian_session";
/// Sessions at a time; a new one takes the place of the one that was used longest ago.
const MOST: usize = 64;
/// A session ends when nobody used it for this long,
const IDLE: Duration = Duration::from_hours(1);
/// and this long after the sign-in in any case.
const LONGEST: Duration = Duration::from_hours(12);

/// The sessions there are.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    of: HashMap<u64, Session>,
    serial: u64,
    /// Some have ended since that was last asked.
    ended: bool,
}

#[derive(Debug)]
struct Session {
    caller: Caller,
    begun: Moment,
    used: Moment,
}

impl Session {
    fn lives(&self, now: Moment) -> bool {
        now.since(self.begun) < LONGEST && now.since(self.used) < IDLE
    }

    /// Something that it was let in for is under way: an open WebSocket is no idleness.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.caller.credential) > 1
    }
}

impl Sessions {
    /// Begins a session with a secret of its own, whatever cookie the client came with; tells it.
    pub(crate) fn begin(&mut self, who: &Arc<str>, now: Moment) -> Result<String, NoRandomness> {
        let secret = secret::fresh()?;
        self.sweep(now);
        if self.of.len() >= MOST
            && let Some(oldest) = self.of.iter().min_by_key(|(_, session)| session.used).map(|(key, _)| *key)
        {
            self.of.remove(&oldest);
            self.ended = true;
        }
        self.serial += 1;
        let caller = Caller::new(who, Fingerprint::of(&secret));
        self.of.insert(self.serial, Session { caller, begun: now, used: now });
        Ok(secret)
    }

    /// Whose session this is, if it lives; using it keeps it alive.
    pub(crate) fn find(&mut self, secret: &str, now: Moment) -> Option<Caller> {
        let key = self.key(&Fingerprint::of(secret))?;
        let session = self.of.get_mut(&key).filter(|session| session.lives(now))?;
        session.used = now;
        Some(session.caller.clone())
    }

    /// Whether the session of this fingerprint lives.
    pub(crate) fn lives(&self, fingerprint: &Fingerprint, now: Moment) -> bool {
        self.key(fingerprint).and_then(|key| self.of.get(&key)).is_some_and(|session| session.lives(now))
    }

    /// Forgets those that have ended, and notes those that are in use.
    pub(crate) fn sweep(&mut self, now: Moment) {
        let before = self.of.len();
        self.of.retain(|_, session| {
            let lives = session.lives(now);
            if session.is_held() {
                session.used = now;
            }
            lives
        });
        self.ended |= self.of.len() < before;
    }

    /// Whether some have ended since this was last asked.
    pub(crate) fn take_ended(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// Ends a session.
    pub(crate) fn end(&mut self, secret: &str) {
        if let Some(key) = self.key(&Fingerprint::of(secret)) {
            self.of.remove(&key);
            self.ended = true;
        }
    }

    /// Ends all.
    pub(crate) fn end_all(&mut self) {
        self.of.clear();
        self.ended = true;
    }

    fn key(&self, fingerprint: &Fingerprint) -> Option<u64> {
        let mut found = None;
        for (key, session) in &self.of {
            if session.caller.credential.is(fingerprint) {
                found = Some(*key);
            }
        }
        found
    }
}

/// The value of `Set-Cookie` that begins a session.
pub(crate) fn cookie(secret: &str, tls: bool) -> String {
    let secure = if tls { "; Secure" } else { "" };
    let age = LONGEST.as_secs();
    format!("{COOKIE_NAME}={secret}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

/// The value that ends one.
pub(crate) fn no_cookie(tls: bool) -> String {
    let secure = if tls { "; Secure" } else { "" };
    format!("{COOKIE_NAME}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict{secure}")
}

/// What may be a session's secret in a `Cookie` field. A page of another port of this host can plant
/// one beside the real one: all are looked at, up to a bound.
pub(crate) fn in_cookies(cookies: &str) -> impl Iterator<Item = &str> {
    const MOST: usize = 8;
    cookies
        .split(';')
        .filter_map(|cookie| cookie.split_once('='))
        .filter(|(name, _)| name.trim() == COOKIE_NAME)
        .map(|(_, value)| value.trim())
        .take(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Moment {
        Moment::after_boot(Duration::from_mins(minutes))
    }

    #[test]
    fn a_session_ends_an_hour_after_its_last_use_and_twelve_after_its_beginning() {
        let mut sessions = Sessions::default();
        let owner: Arc<str> = "owner".into();
        let secret = sessions.begin(&owner, at(0)).unwrap();
        assert_eq!(sessions.find(&secret, at(59)).as_ref().map(|it| &*it.name), Some("owner"));
        assert!(sessions.find(&secret, at(119)).is_none(), "sixty minutes later");
        let secret = sessions.begin(&owner, at(0)).unwrap();
        for minute in (0..720).step_by(30) {
            assert!(sessions.find(&secret, at(minute)).is_some(), "{minute}");
        }
        assert!(sessions.find(&secret, at(720)).is_none());
    }

    #[test]
    fn a_session_whose_websocket_is_open_is_in_use_and_ends_all_the_same() {
        let mut sessions = Sessions::default();
        let secret = sessions.begin(&"owner".into(), at(0)).unwrap();
        let held = sessions.find(&secret, at(1)).unwrap();
        for minute in (0..720).step_by(30) {
            sessions.sweep(at(minute));
            assert!(sessions.lives(&held.credential, at(minute)) && !sessions.take_ended(), "{minute}");
        }
        sessions.sweep(at(720));
        assert!(!sessions.lives(&held.credential, at(720)) && sessions.take_ended());
    }

    #[test]
    fn whoever_waits_for_the_end_of_a_session_is_told_of_it_once() {
        let mut sessions = Sessions::default();
        let secret = sessions.begin(&"owner".into(), at(0)).unwrap();
        assert!(!sessions.take_ended());
        sessions.end(&secret);
        assert!(sessions.take_ended() && !sessions.take_ended());
    }

    #[test]
    fn signing_out_ends_one_session_and_not_another() {
        let mut sessions = Sessions::default();
        let owner: Arc<str> = "owner".into();
        let (one, other) = (sessions.begin(&owner, at(0)).unwrap(), sessions.begin(&owner, at(0)).unwrap());
        sessions.end(&one);
        assert!(sessions.find(&one, at(1)).is_none() && sessions.find(&other, at(1)).is_some());
        sessions.end_all();
        assert!(sessions.find(&other, at(1)).is_none());
    }

    #[test]
    fn there_are_never_more_than_sixty_four() {
        let mut sessions = Sessions::default();
        let owner: Arc<str> = "owner".into();
        let first = sessions.begin(&owner, at(0)).unwrap();
        let second = sessions.begin(&owner, at(0)).unwrap();
        assert!(sessions.find(&second, at(1)).is_some());
        for _ in 0..63 {
            sessions.begin(&owner, at(2)).unwrap();
        }
        assert_eq!(sessions.of.len(), 64);
        assert!(sessions.find(&first, at(2)).is_none() && sessions.find(&second, at(2)).is_some());
    }

    #[test]
    fn a_cookie_is_for_this_host_alone_and_for_no_script() {
        for (cookie, secure) in
            [(cookie("s", true), true), (cookie("s", false), false), (no_cookie(true), true)]
        {
            assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");
            assert!(!cookie.contains("Domain") && cookie.contains("Secure") == secure, "{cookie}");
        }
    }

    #[test]
    fn a_session_is_found_among_other_cookies_and_one_that_was_planted() {
        let found = |cookies| in_cookies(cookies).collect::<Vec<_>>();
        assert_eq!(found("a=b; guardian_session=s; c=d"), ["s"]);
        assert_eq!(found("guardian_session=a; guardian_session=b"), ["a", "b"]);
        assert_eq!(in_cookies(&"guardian_session=x;".repeat(100)).count(), 8);
        for none in ["", "a=b", "xguardian_session=s", "guardian_session"] {
            assert!(found(none).is_empty(), "{none}");
        }
    }
}
