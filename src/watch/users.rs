//! The users whom the policy names, by number.
//!
//! Names may come from a directory that is not up yet when the watcher starts, or that hangs. They are looked up in a
//! thread apart, for which the loop waits a moment at most; while one is unknown it is looked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use crate::config::{Config, Settings};
use crate::sys::clock::Moment;

/// A start waits for the names so long.
pub(super) const AT_START: Duration = Duration::from_secs(1);
/// The loop waits for them so long when the policy is read again.
pub(super) const AT_RELOAD: Duration = Duration::from_millis(200);
/// While a name is unknown it is looked for this often,
const SOON: Duration = Duration::from_secs(5);
/// and this often when it has been unknown for longer than a boot takes.
const LATER: Duration = Duration::from_mins(1);
const BOOT: Duration = Duration::from_mins(10);

/// Looks names up. It may hang.
type LookUp = fn(&BTreeSet<String>) -> Found;

/// Users that the policy names.
#[derive(Debug)]
pub(super) struct Users {
    owners: BTreeSet<String>,
    gateway: Option<String>,
    found: Found,
    look_up: LookUp,
    /// Somebody is looking.
    looking: Option<Receiver<Found>>,
    since: Moment,
    next: Moment,
}

/// The numbers of names, and that of the gate's user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Found {
    numbers: BTreeMap<String, u32>,
    gate: Option<u32>,
}

impl Users {
    /// Looks the names of a policy up, and waits for that at most so long.
    pub(super) fn of(settings: &Settings, wait: Duration, now: Moment) -> Self {
        Self::looked_up_by(system, settings, wait, now)
    }

    fn looked_up_by(look_up: LookUp, settings: &Settings, wait: Duration, now: Moment) -> Self {
        let mut users = Self {
            owners: BTreeSet::new(),
            gateway: None,
            found: Found::default(),
            look_up,
            looking: None,
            since: now,
            next: now,
        };
        users.follow(settings, wait, now);
        users
    }

    /// Goes on by another policy. Until its names have been looked up those stay known that were.
    pub(super) fn follow(&mut self, settings: &Settings, wait: Duration, now: Moment) {
        self.owners = settings.owners.iter().cloned().collect();
        self.gateway.clone_from(&settings.gateway.user);
        (self.since, self.looking) = (now, None);
        let names = self.names();
        self.found.numbers.retain(|name, _| names.contains(name));
        // A number needs nobody to look it up.
        self.found.numbers.extend(names.iter().filter_map(|name| Some((name.clone(), name.parse().ok()?))));
        self.look(now);
        if let Some(looking) = &self.looking {
            match looking.recv_timeout(wait) {
                Ok(found) => {
                    self.looking = None;
                    self.take(found);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.looking = None,
            }
        }
    }

    /// Takes in what was found, and looks again where it is time to. Answers whether anything is otherwise now.
    pub(super) fn turn(&mut self, now: Moment) -> bool {
        let heard = self.looking.as_ref().map(Receiver::try_recv);
        let changed = match heard {
            Some(Ok(found)) => {
                self.looking = None;
                let before = self.found.clone();
                self.take(found);
                self.found != before
            }
            Some(Err(TryRecvError::Disconnected)) => {
                self.looking = None;
                false
            }
            Some(Err(TryRecvError::Empty)) | None => false,
        };
        // One that hangs is waited for: there are never two.
        if self.looking.is_none() && now >= self.next && self.unknown().next().is_some() {
            self.look(now);
        }
        changed
    }

    /// Whoever was known stays so while the policy names him: a directory that is out for a moment knows nobody.
    fn take(&mut self, found: Found) {
        self.found.numbers.extend(found.numbers);
        self.found.gate = found.gate.or(self.found.gate);
    }

    fn look(&mut self, now: Moment) {
        let pause = if now.since(self.since) > BOOT { LATER } else { SOON };
        self.next = now + pause;
        let (tell, heard) = channel();
        let (names, look_up) = (self.names(), self.look_up);
        let begun = thread::Builder::new().name("names".to_owned()).spawn(move || {
            // Nobody may be there any more.
            let _ = tell.send(look_up(&names));
        });
        self.looking = begun.is_ok().then_some(heard);
    }

    fn names(&self) -> BTreeSet<String> {
        self.owners.iter().chain(&self.gateway).cloned().collect()
    }

    fn number(&self, name: &String) -> Option<u32> {
        self.found.numbers.get(name).copied()
    }

    /// Those who may recover and close, beside root.
    pub(super) fn owners(&self) -> BTreeSet<u32> {
        self.owners.iter().filter_map(|name| self.number(name)).collect()
    }

    /// Those who may always connect on loopback: root, the owners and the gate.
    pub(super) fn local(&self) -> BTreeSet<u32> {
        self.owners().into_iter().chain(self.found.gate).chain([0]).collect()
    }

    /// The gateway's own, if the policy names one that is known.
    pub(super) fn gateway(&self) -> Option<u32> {
        self.gateway.as_ref().and_then(|name| self.number(name))
    }

    fn unknown(&self) -> impl Iterator<Item = &String> {
        self.owners.iter().chain(&self.gateway).filter(|name| self.number(name).is_none())
    }

    /// What it means that owners are unknown, a sentence for each.
    pub(super) fn unknown_owners(&self) -> impl Iterator<Item = String> {
        self.owners.iter().filter(|name| self.number(name).is_none()).map(|name| {
            format!(
                "owners: there is no user {name:?} on this host now, who can neither recover nor close, and whom the \
                 seal does not admit; it is looked for again"
            )
        })
    }

    /// What it means that the gateway's user is unknown.
    pub(super) fn unknown_gateway(&self) -> Option<String> {
        let name = self.gateway.as_ref().filter(|name| self.number(name).is_none())?;
        Some(format!(
            "gateway.user: there is no user {name:?} on this host now, and the seal goes by whoever passes for a \
             gateway; it is looked for again"
        ))
    }
}

fn system(names: &BTreeSet<String>) -> Found {
    let numbers = names.iter().filter_map(|name| Some((name.clone(), Config::user(name)?)));
    Found { numbers: numbers.collect(), gate: Config::gate_user() }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const BEN: u32 = 1001;

    fn settings(text: &str) -> Settings {
        Config::of_text("guardian.toml".as_ref(), text).unwrap().settings
    }

    fn at(seconds: u64) -> Moment {
        Moment::after_boot(Duration::from_secs(seconds))
    }

    /// Turns until whoever looks has come back.
    fn heard(users: &mut Users, now: Moment) -> bool {
        let mut changed = false;
        for _ in 0..1000 {
            changed |= users.turn(now);
            if users.looking.is_none() {
                return changed;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("nobody came back");
    }

    #[test]
    fn users_are_known_by_name_or_number_and_unknown_ones_are_told() {
        let settings = settings(
            "owners = [\"root\", \"4711\", \"nobody-of-this-name\"]\n[gateway]\nuser = \"nor-this\"",
        );
        let users = Users::of(&settings, Duration::from_secs(20), at(0));
        assert_eq!(users.owners(), BTreeSet::from([0, 4711]));
        assert!(users.local().is_superset(&BTreeSet::from([0, 4711])));
        assert_eq!(users.gateway(), None);
        let told: Vec<String> = users.unknown_owners().collect();
        assert!(told.len() == 1 && told[0].contains("nobody-of-this-name"), "{told:?}");
        assert!(users.unknown_gateway().unwrap().contains("nor-this"));
    }

    #[test]
    fn a_name_whose_directory_comes_up_later_is_known_then_and_not_looked_for_any_more() {
        static LOOKS: Mutex<u32> = Mutex::new(0);
        fn directory(names: &BTreeSet<String>) -> Found {
            let mut looks = LOOKS.lock().unwrap();
            *looks += 1;
            let known = if *looks > 2 { names.clone() } else { BTreeSet::new() };
            Found { numbers: known.into_iter().map(|name| (name, BEN)).collect(), gate: Some(7) }
        }
        let settings = settings("owners = [\"ben\"]\n[gateway]\nuser = \"ben\"");
        let mut users = Users::looked_up_by(directory, &settings, Duration::from_secs(20), at(0));
        assert!(users.owners().is_empty() && users.local() == BTreeSet::from([0, 7]));
        assert!(!users.turn(at(4)) && *LOOKS.lock().unwrap() == 1, "it is not asked all the time");
        assert!(!heard(&mut users, at(6)) && users.unknown_owners().count() == 1);
        assert!(heard(&mut users, at(12)), "{users:?}");
        assert_eq!((users.owners(), users.gateway()), (BTreeSet::from([BEN]), Some(BEN)));
        assert_eq!((users.unknown_owners().count(), users.unknown_gateway()), (0, None));
        assert!(!users.turn(at(3600)) && *LOOKS.lock().unwrap() == 3);
    }

    #[test]
    fn a_directory_that_is_out_for_a_moment_takes_nobody_away_who_was_known() {
        fn knows_ben(names: &BTreeSet<String>) -> Found {
            let ben = names.iter().filter(|name| *name == "ben").cloned();
            Found { numbers: ben.map(|name| (name, BEN)).collect(), gate: Some(7) }
        }
        let settings = settings("owners = [\"ben\", \"bne\"]\n[gateway]\nuser = \"ben\"");
        let mut users = Users::looked_up_by(knows_ben, &settings, Duration::from_secs(20), at(0));
        assert_eq!(users.unknown_owners().count(), 1, "so everybody is looked up again");
        users.look_up = |_| Found::default();
        assert!(!heard(&mut users, at(6)));
        assert_eq!((users.owners(), users.gateway()), (BTreeSet::from([BEN]), Some(BEN)));
        assert!(users.local().contains(&7));
    }

    #[test]
    fn a_directory_that_hangs_holds_nobody_up_and_is_asked_once() {
        static LOOKS: Mutex<u32> = Mutex::new(0);
        fn hangs(_: &BTreeSet<String>) -> Found {
            *LOOKS.lock().unwrap() += 1;
            thread::sleep(Duration::from_mins(10));
            Found::default()
        }
        let settings = settings("owners = [\"ben\", \"4711\"]");
        let mut users = Users::looked_up_by(hangs, &settings, Duration::from_millis(10), at(0));
        assert_eq!(users.owners(), BTreeSet::from([4711]), "a number needs nobody");
        for seconds in [10, 20, 3600] {
            assert!(!users.turn(at(seconds)));
        }
        assert_eq!(*LOOKS.lock().unwrap(), 1);
    }

    #[test]
    fn another_policy_keeps_whom_it_names_still_until_they_are_looked_up_and_nobody_else() {
        fn known(names: &BTreeSet<String>) -> Found {
            Found { numbers: names.iter().map(|name| (name.clone(), BEN)).collect(), gate: None }
        }
        fn hangs(_: &BTreeSet<String>) -> Found {
            thread::sleep(Duration::from_mins(10));
            Found::default()
        }
        let first = settings("owners = [\"ben\", \"ana\"]");
        let mut users = Users::looked_up_by(known, &first, Duration::from_secs(20), at(0));
        users.look_up = hangs;
        users.follow(&settings("owners = [\"ben\"]"), Duration::from_millis(1), at(1));
        assert_eq!(users.owners(), BTreeSet::from([BEN]));
        users.follow(&settings("owners = [\"eve\"]"), Duration::from_millis(1), at(2));
        assert!(users.owners().is_empty());
    }
}
