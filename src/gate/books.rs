//! What the gate knows of those who ask: budgets, tokens, sessions.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use guardian_probes::file::Stamp;
use jiff::Timestamp;

use super::admit::{Books, Caller, Shown};
use super::own::AskedFor;
use super::refusal::Refusal;
use super::secret::NoRandomness;
use super::session::{self, Sessions};
use super::throttle::{Kind, Rate, Throttle};
use super::token::{Token, Tokens};
use crate::cli::chain;
use crate::sys::clock::Moment;
use crate::sys::paths::Paths;

/// How often the file of tokens is looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

/// The books of a running gate.
#[derive(Debug)]
pub(crate) struct GateBooks {
    throttle: Throttle,
    tokens: Tokens,
    paths: Paths,
    looked: Option<Moment>,
    /// What was read last: a file, or none; nothing was read before `looked`.
    tokens_read: Option<Stamp>,
    /// What the sessions began with.
    basis: Basis,
    sessions: Sessions,
    /// The tokens are others than when that was last asked.
    tokens_changed: bool,
}

/// What people sign in with, by the files that hold it: whether it is the same as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Basis {
    passphrase: Option<Stamp>,
    totp: Option<Stamp>,
}

impl Basis {
    fn of(paths: &Paths) -> Self {
        Self { passphrase: Stamp::at(&paths.gate_passphrase()), totp: Stamp::at(&paths.gate_totp()) }
    }
}

impl GateBooks {
    pub(crate) fn new(each: Rate, all: Rate, paths: &Paths, now: Moment) -> Self {
        Self {
            throttle: Throttle::new(each, all, now),
            tokens: Tokens::default(),
            basis: Basis::of(paths),
            paths: paths.clone(),
            looked: None,
            tokens_read: None,
            sessions: Sessions::default(),
            tokens_changed: false,
        }
    }

    /// Reads the tokens again if their file has changed; one that cannot be read holds none. A new
    /// passphrase, or codes that are turned on, end the sessions that began without.
    fn look(&mut self, now: Moment) {
        if self.looked.is_some_and(|looked| now.since(looked) < LOOK) {
            return;
        }
        let first = self.looked.replace(now).is_none();
        self.basis();
        let tokens = self.paths.gate_tokens();
        let stamp = Stamp::at(&tokens);
        if !first && self.tokens_read == stamp {
            return;
        }
        self.tokens = Tokens::read(&tokens).unwrap_or_else(|failed| {
            tracing::error!("no token is taken: {}", chain(&failed));
            Tokens::default()
        });
        self.tokens_read = stamp;
        self.tokens_changed = true;
    }

    /// What people sign in with at this moment; sessions that began with anything else end.
    pub(crate) fn basis(&mut self) -> Basis {
        let basis = Basis::of(&self.paths);
        if basis != self.basis {
            self.basis = basis;
            self.sessions.end_all();
        }
        basis
    }

    /// What whoever signs in is asked for at this moment.
    pub(super) fn asked_for(&mut self) -> AskedFor {
        if self.basis().totp.is_some() { AskedFor::PassphraseAndCode } else { AskedFor::Passphrase }
    }

    /// Looks whether credentials have ended; whether any may have since the last time.
    pub(crate) fn sweep(&mut self, now: Moment) -> bool {
        self.look(now);
        self.sessions.sweep(now);
        self.tokens_changed |= self.tokens.sweep(Timestamp::now());
        std::mem::take(&mut self.tokens_changed) | self.sessions.take_ended()
    }

    /// Whether the credential that let somebody in is still good.
    pub(crate) fn stands(&self, caller: &Caller, now: Moment) -> bool {
        self.sessions.lives(&caller.credential, now)
            || self.tokens.lives(&caller.credential, Timestamp::now())
    }

    /// How long a source has to wait before a passphrase of its is looked at.
    pub(crate) fn wait(&mut self, remote: IpAddr, now: Moment) -> Option<Duration> {
        self.throttle.wait(Kind::Passphrase, remote, now)
    }

    /// A source comes with a passphrase: it counts as wrong until it is known to be right, so that
    /// nobody can take it back by hanging up.
    pub(crate) fn tries(&mut self, remote: IpAddr, now: Moment) -> u32 {
        self.throttle.wrong(Kind::Passphrase, remote, now)
    }

    /// There was nobody to look at it.
    pub(crate) fn not_looked_at(&mut self, remote: IpAddr) {
        self.throttle.not_looked_at(Kind::Passphrase, remote);
    }

    /// It was right.
    pub(crate) fn right(&mut self, remote: IpAddr) {
        self.throttle.right(Kind::Passphrase, remote);
    }

    /// Whose session is in these cookies, if it lives.
    pub(crate) fn session(&mut self, cookies: &str, now: Moment) -> Option<Caller> {
        self.look(now);
        session::in_cookies(cookies).find_map(|secret| self.sessions.find(secret, now))
    }

    /// Somebody signed in with what was asked for when [`Self::basis`] was looked at last: begins a session,
    /// and tells its secret. If anything else is asked for by now, the next look ends it.
    pub(crate) fn signed_in(&mut self, who: &Arc<str>, now: Moment) -> Result<String, NoRandomness> {
        self.sessions.begin(who, now)
    }

    /// Somebody signed out of the sessions in these cookies.
    pub(crate) fn signed_out(&mut self, cookies: &str) {
        for secret in session::in_cookies(cookies) {
            self.sessions.end(secret);
        }
    }

    /// Whose credential it is, whatever it asks for.
    fn known(&mut self, shown: Shown<'_>, now: Moment) -> Option<Caller> {
        match shown {
            Shown::Nothing => None,
            Shown::Token(token) => {
                self.look(now);
                self.tokens.find(token, Timestamp::now).map(Token::caller)
            }
            Shown::Session(cookies) => self.session(cookies, now),
        }
    }
}

impl Books for GateBooks {
    /// Somebody with a right credential has a budget of their own: no neighbour uses it up.
    fn budget(&mut self, remote: IpAddr, shown: Shown<'_>, now: Moment) -> Result<(), Refusal> {
        self.throttle.take(remote, now).or_else(|wait| match self.known(shown, now) {
            Some(caller) => self.throttle.take_as(&caller.name, now).map_err(Refusal::Budget),
            None => Err(Refusal::Budget(wait)),
        })
    }

    /// A right credential is let through however many wrong ones came from the same address: no
    /// neighbour locks the owner out, and nobody guesses 256 bits.
    fn credential(&mut self, remote: IpAddr, shown: Shown<'_>, now: Moment) -> Result<Caller, Refusal> {
        match (self.known(shown, now), shown) {
            (Some(caller), _) => Ok(caller),
            (None, Shown::Token(token)) => {
                // Whoever has it did not guess it, and a program goes on with it for ever.
                if let Some(name) = self.tokens.ended(token, Timestamp::now()) {
                    tracing::info!(%remote, name, "a token that has ended");
                    return Err(Refusal::Ended);
                }
                let wait = self.throttle.wait(Kind::Token, remote, now);
                let wrong = self.throttle.wrong(Kind::Token, remote, now);
                tracing::warn!(%remote, wrong, "a wrong token");
                Err(wait.map_or(Refusal::Wrong, Refusal::Locked))
            }
            // A session that has ended is what every browser comes back with: no try at anything.
            (None, _) => Err(Refusal::Missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 100 };
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// The name of whoever is let in.
    fn who(books: &mut GateBooks, shown: Shown<'_>, now: Moment) -> Result<String, Refusal> {
        books.credential(HERE, shown, now).map(|caller| caller.name.to_string())
    }

    fn at(seconds: u64) -> Moment {
        Moment::after_boot(Duration::from_secs(seconds))
    }

    fn books(folder: &tempfile::TempDir) -> GateBooks {
        let (state, runtime) = (folder.path().to_owned(), folder.path().join("run"));
        std::fs::create_dir(state.join("gate")).unwrap();
        GateBooks::new(RATE, RATE, &Paths { state, runtime }, at(0))
    }

    /// Writes down a token, the only one; its secret.
    fn backups(folder: &tempfile::TempDir) -> String {
        let mut tokens = Tokens::default();
        let secret = tokens.add("backup", Timestamp::now(), None).unwrap();
        tokens.write(&folder.path().join("gate/tokens.json")).unwrap();
        secret
    }

    #[test]
    fn a_token_that_is_made_or_revoked_while_the_gate_runs_counts_within_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = books(&folder);
        assert_eq!(who(&mut books, Shown::Token("gdn_x"), at(1)), Err(Refusal::Wrong));
        let mut tokens = Tokens::default();
        let secret = tokens.add("backup", Timestamp::now(), None).unwrap();
        tokens.write(&folder.path().join("gate/tokens.json")).unwrap();
        assert_eq!(who(&mut books, Shown::Token(&secret), at(2)), Ok("backup".to_owned()));
        tokens.revoke("backup").unwrap();
        tokens.write(&folder.path().join("gate/tokens.json")).unwrap();
        assert_eq!(who(&mut books, Shown::Token(&secret), at(3)), Err(Refusal::Ended));
        for _ in 0..200 {
            assert_eq!(who(&mut books, Shown::Token(&secret), at(3)), Err(Refusal::Ended), "it is no guess");
        }
    }

    #[test]
    fn what_a_token_or_a_session_has_let_in_stands_until_it_is_revoked_or_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gate/tokens.json");
        let mut books = books(&folder);
        let mut tokens = Tokens::default();
        let secrets = ["one", "other"].map(|name| tokens.add(name, Timestamp::now(), None).unwrap());
        tokens.write(&file).unwrap();
        let [one, other] =
            secrets.each_ref().map(|secret| books.credential(HERE, Shown::Token(secret), at(1)).unwrap());
        let session = books.signed_in(&"owner".into(), at(1)).unwrap();
        let cookies = format!("guardian_session={session}");
        let owner = books.session(&cookies, at(1)).unwrap();
        books.sweep(at(2));
        assert!(!books.sweep(at(3)), "nothing has ended");
        tokens.revoke("one").unwrap();
        tokens.write(&file).unwrap();
        assert!(books.sweep(at(5)));
        assert!(!books.stands(&one, at(5)));
        assert!(books.stands(&other, at(5)) && books.stands(&owner, at(5)));
        books.signed_out(&cookies);
        assert!(books.sweep(at(5)) && !books.stands(&owner, at(5)));
    }

    #[test]
    fn a_file_of_tokens_that_cannot_be_read_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = books(&folder);
        let secret = backups(&folder);
        assert!(books.credential(HERE, Shown::Token(&secret), at(1)).is_ok());
        std::fs::write(folder.path().join("gate/tokens.json"), "garbage").unwrap();
        assert!(books.credential(HERE, Shown::Token(&secret), at(2)).is_err());
    }

    #[test]
    fn wrong_tokens_lock_out_the_wrong_ones_and_not_the_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = books(&folder);
        let secret = backups(&folder);
        for _ in 0..5 {
            assert_eq!(who(&mut books, Shown::Token("gdn_x"), at(1)), Err(Refusal::Wrong));
        }
        assert!(matches!(books.credential(HERE, Shown::Token("gdn_x"), at(1)), Err(Refusal::Locked(_))));
        assert!(books.credential(HERE, Shown::Token(&secret), at(1)).is_ok());
    }

    #[test]
    fn a_thousand_sources_that_guess_have_five_tries_each_and_the_owner_is_let_in_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = books(&folder);
        let secret = backups(&folder);
        for number in 0..1000_u32 {
            let source = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            let mut tries = |guess: u32| {
                let token = format!("gdn_{number:060}{guess:04}");
                books.credential(source, Shown::Token(&token), at(1)).map(|caller| caller.name)
            };
            assert!((0..5).all(|guess| tries(guess) == Err(Refusal::Wrong)));
            assert!(matches!(tries(5), Err(Refusal::Locked(_))), "from {source}");
            assert!(
                books.credential(source, Shown::Token(&secret), at(1)).is_ok(),
                "the owner, from {source}"
            );
        }
    }

    #[test]
    fn a_neighbour_who_asks_without_end_uses_up_nobody_elses_budget() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = books(&folder);
        let secret = books.signed_in(&"owner".into(), at(1)).unwrap();
        let cookies = format!("guardian_session={secret}");
        while books.budget(HERE, Shown::Nothing, at(1)).is_ok() {}
        assert!(matches!(books.budget(HERE, Shown::Token("gdn_x"), at(1)), Err(Refusal::Budget(_))));
        let asked = (0..500).filter(|_| books.budget(HERE, Shown::Session(&cookies), at(1)).is_ok()).count();
        assert_eq!(asked, 100, "and the owner's has an end, too");
    }

    #[test]
    fn a_new_passphrase_ends_the_sessions_that_the_old_one_began() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = books(&folder);
        let secret = books.signed_in(&"owner".into(), at(1)).unwrap();
        let cookies = format!("guardian_session=planted; guardian_session={secret}");
        assert!(books.session(&cookies, at(2)).is_some(), "a planted one beside it does not matter");
        std::fs::write(folder.path().join("gate/passphrase"), "another").unwrap();
        assert!(books.session(&cookies, at(4)).is_none());
    }

    #[test]
    fn codes_that_are_turned_on_end_the_sessions_that_began_without() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = books(&folder);
        assert_eq!(books.asked_for(), AskedFor::Passphrase);
        let before = books.basis();
        let secret = books.signed_in(&"owner".into(), at(1)).unwrap();
        std::fs::write(folder.path().join("gate/totp.json"), "{}").unwrap();
        assert_eq!(books.asked_for(), AskedFor::PassphraseAndCode);
        assert!(books.session(&format!("guardian_session={secret}"), at(4)).is_none());
        assert_ne!(books.basis(), before, "and a check that is under way does not count");
    }

    #[test]
    fn whoever_signs_in_with_the_new_passphrase_at_once_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = books(&folder);
        let old = books.signed_in(&"owner".into(), at(1)).unwrap();
        std::fs::write(folder.path().join("gate/passphrase"), "another").unwrap();
        books.basis();
        let new = books.signed_in(&"owner".into(), at(1)).unwrap();
        let mut lives = |secret: &str| books.session(&format!("guardian_session={secret}"), at(9)).is_some();
        assert!(lives(&new) && !lives(&old));
    }

    #[test]
    fn a_session_that_began_just_before_codes_were_turned_on_ends_like_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = books(&folder);
        books.basis();
        std::fs::write(folder.path().join("gate/totp.json"), "{}").unwrap();
        let secret = books.signed_in(&"owner".into(), at(1)).unwrap();
        assert!(books.session(&format!("guardian_session={secret}"), at(4)).is_none());
    }

    #[test]
    fn nothing_shown_and_a_session_that_ended_are_no_wrong_credential() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = books(&folder);
        for _ in 0..20 {
            assert_eq!(who(&mut books, Shown::Nothing, at(1)), Err(Refusal::Missing));
            assert_eq!(who(&mut books, Shown::Session("x"), at(1)), Err(Refusal::Missing));
        }
        assert_eq!(books.wait(HERE, at(1)), None);
    }
}
