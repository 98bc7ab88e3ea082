//! How much each source, and all of them together, may ask; and how soon after a wrong credential.
//!
//! Memory is bounded whoever asks: when there are more sources than places, the new ones share one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::source::{Source, is_loopback};
use crate::sys::clock::Moment;

/// Sources that are told apart.
const PLACES: usize = 4096;
/// Wrong credentials that cost nothing.
const FREE: u32 = 5;
/// After one more, doubled with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// At most.
const LONGEST_WAIT: Duration = Duration::from_mins(15);
/// On this host, where a neighbour has the owner's address: no longer than the owner can wait.
const LONGEST_WAIT_HERE: Duration = Duration::from_secs(30);
/// Wrong credentials are forgotten when none came for this long.
const FORGOTTEN: Duration = Duration::from_mins(15);

/// Between two looks through a full table for places that may go.
const SWEEP: Duration = Duration::from_secs(1);

/// So many requests a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Requests a second.
    pub(crate) per_second: u32,
    /// Requests that may come at once.
    pub(crate) burst: u32,
}

impl From<crate::config::Rate> for Rate {
    fn from(rate: crate::config::Rate) -> Self {
        Self { per_second: rate.per_second.get(), burst: rate.burst.get() }
    }
}

/// The budgets.
#[derive(Debug)]
pub(crate) struct Throttle {
    each: Rate,
    all: Rate,
    together: Bucket,
    sources: Places<Bucket>,
    callers: HashMap<Box<str>, Bucket>,
    /// Wrong tokens: they slow down whoever comes with them, and nobody else.
    tokens: Places<Tries>,
    /// Wrong passphrases.
    passphrases: Places<Tries>,
}

/// What was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Token,
    Passphrase,
}

/// What is left of a budget, in millionths of a request.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u64,
    at: Moment,
}

/// Wrong credentials of a source.
#[derive(Debug, Clone, Copy)]
struct Tries {
    wrong: u32,
    latest: Moment,
}

const ONE: u64 = 1_000_000;

impl Bucket {
    fn full(rate: Rate, now: Moment) -> Self {
        Self { left: u64::from(rate.burst) * ONE, at: now }
    }

    fn fill(&mut self, rate: Rate, now: Moment) {
        let micros = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        let most = u64::from(rate.burst) * ONE;
        self.left = micros.saturating_mul(u64::from(rate.per_second)).saturating_add(self.left).min(most);
        self.at = now;
    }

    /// Takes one; else says when there will be one.
    fn take(&mut self, rate: Rate, now: Moment) -> Result<(), Duration> {
        self.fill(rate, now);
        match self.left.checked_sub(ONE) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Duration::from_micros((ONE - self.left).div_ceil(u64::from(rate.per_second.max(1))))),
        }
    }
}

impl Tries {
    fn open_at(&self, longest: Duration) -> Moment {
        let Some(beyond) = self.wrong.checked_sub(FREE) else { return Moment::default() };
        let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(beyond)).min(longest);
        self.latest + wait
    }
}

/// A bounded table by source; one place beside it for those that find it full.
#[derive(Debug)]
struct Places<T> {
    of: HashMap<Source, T>,
    overflow: Option<T>,
    /// When it was last looked through for those that may go.
    swept: Moment,
}

impl<T> Places<T> {
    fn new() -> Self {
        Self { of: HashMap::new(), overflow: None, swept: Moment::default() }
    }

    fn get(&self, source: Source) -> Option<&T> {
        let full = self.of.len() >= PLACES;
        self.of.get(&source).or(self.overflow.as_ref().filter(|_| full))
    }

    /// The place of a source; when the table is full, those that `idle` says may go go first.
    fn place(
        &mut self,
        source: Source,
        now: Moment,
        idle: impl Fn(&T) -> bool,
        new: impl FnOnce() -> T,
    ) -> &mut T {
        if self.of.len() >= PLACES && !self.of.contains_key(&source) {
            // Looking through it costs: a flood of sources must not make every request pay.
            if now.since(self.swept) >= SWEEP {
                self.swept = now;
                self.of.retain(|_, it| !idle(it));
            }
            if self.of.len() >= PLACES {
                return self.overflow.get_or_insert_with(new);
            }
        }
        self.of.entry(source).or_insert_with(new)
    }
}

impl Throttle {
    /// Budgets for each source, and for all of them.
    pub(crate) fn new(each: Rate, all: Rate, now: Moment) -> Self {
        Self {
            each,
            all,
            together: Bucket::full(all, now),
            sources: Places::new(),
            callers: HashMap::new(),
            tokens: Places::new(),
            passphrases: Places::new(),
        }
    }

    /// Takes a request out of the budget that somebody has whose credential is right, whatever others
    /// ask from the same address.
    pub(crate) fn take_as(&mut self, caller: &str, now: Moment) -> Result<(), Duration> {
        let each = self.each;
        // There are as many callers as tokens, and the owner.
        if self.callers.len() > PLACES {
            self.callers.clear();
        }
        self.callers.entry(caller.into()).or_insert_with(|| Bucket::full(each, now)).take(each, now)
    }

    /// Takes a request out of the budget of its source and of all; else says how long to wait.
    pub(crate) fn take(&mut self, source: IpAddr, now: Moment) -> Result<(), Duration> {
        let (each, all) = (self.each, self.all);
        let idle = move |bucket: &Bucket| {
            let mut bucket = *bucket;
            bucket.fill(each, now);
            bucket.left >= u64::from(each.burst) * ONE
        };
        self.sources.place(Source::of(source), now, idle, || Bucket::full(each, now)).take(each, now)?;
        self.together.take(all, now)
    }

    fn table(&mut self, kind: Kind) -> &mut Places<Tries> {
        match kind {
            Kind::Token => &mut self.tokens,
            Kind::Passphrase => &mut self.passphrases,
        }
    }

    /// How long a source has to wait until another credential of a kind is looked at.
    pub(crate) fn wait(&mut self, kind: Kind, source: IpAddr, now: Moment) -> Option<Duration> {
        let longest = if is_loopback(source) { LONGEST_WAIT_HERE } else { LONGEST_WAIT };
        let wait = self.table(kind).get(Source::of(source))?.open_at(longest).since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// A source came with a wrong credential; how many it has come with.
    pub(crate) fn wrong(&mut self, kind: Kind, source: IpAddr, now: Moment) -> u32 {
        let forgotten = move |tries: &Tries| now.since(tries.latest) > FORGOTTEN;
        let new = || Tries { wrong: 0, latest: now };
        let tries = self.table(kind).place(Source::of(source), now, forgotten, new);
        if forgotten(tries) {
            tries.wrong = 0;
        }
        tries.wrong = tries.wrong.saturating_add(1);
        tries.latest = now;
        tries.wrong
    }

    /// What a source came with was not looked at, and is not counted.
    pub(crate) fn not_looked_at(&mut self, kind: Kind, source: IpAddr) {
        if let Some(tries) = self.table(kind).of.get_mut(&Source::of(source)) {
            tries.wrong = tries.wrong.saturating_sub(1);
        }
    }

    /// A source came with a right one.
    pub(crate) fn right(&mut self, kind: Kind, source: IpAddr) {
        self.table(kind).of.remove(&Source::of(source));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    const EACH: Rate = Rate { per_second: 10, burst: 20 };
    const ALL: Rate = Rate { per_second: 100, burst: 100 };

    fn at(milliseconds: u64) -> Moment {
        Moment::after_boot(Duration::from_millis(milliseconds))
    }

    fn source(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn a_source_has_its_burst_and_then_its_rate() {
        let mut throttle = Throttle::new(EACH, ALL, at(0));
        for _ in 0..20 {
            assert_eq!(throttle.take(source(1), at(0)), Ok(()));
        }
        assert_eq!(throttle.take(source(1), at(0)), Err(Duration::from_millis(100)));
        assert_eq!(throttle.take(source(1), at(99)), Err(Duration::from_millis(1)));
        assert_eq!(throttle.take(source(1), at(100)), Ok(()));
        assert_eq!(throttle.take(source(2), at(100)), Ok(()), "another source has its own");
    }

    #[test]
    fn all_sources_together_have_a_budget_too() {
        let mut throttle = Throttle::new(EACH, ALL, at(0));
        let taken = (0..1000).filter(|number| throttle.take(source(*number), at(0)).is_ok()).count();
        assert_eq!(taken, 100);
    }

    #[test]
    fn an_ipv6_host_is_its_network_and_a_mapped_address_is_the_one_it_maps() {
        let mut throttle = Throttle::new(EACH, ALL, at(0));
        let of = |tail: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, tail));
        let taken = (0..100).filter(|tail| throttle.take(of(*tail), at(0)).is_ok()).count();
        assert_eq!(taken, 20);
        let mapped = Ipv4Addr::new(10, 0, 0, 1);
        for _ in 0..20 {
            assert_eq!(throttle.take(mapped.into(), at(0)), Ok(()));
        }
        assert!(throttle.take(mapped.to_ipv6_mapped().into(), at(0)).is_err());
    }

    #[test]
    fn wrong_credentials_are_slowed_down_and_a_right_one_ends_it() {
        let mut throttle = Throttle::new(EACH, ALL, at(0));
        for _ in 0..5 {
            assert_eq!(throttle.wait(Kind::Passphrase, source(1), at(0)), None);
            throttle.wrong(Kind::Passphrase, source(1), at(0));
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            waits.push(throttle.wait(Kind::Passphrase, source(1), at(0)).map_or(0, |wait| wait.as_secs()));
            throttle.wrong(Kind::Passphrase, source(1), at(0));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(throttle.wait(Kind::Passphrase, source(2), at(0)), None, "nobody else waits");
        assert_eq!(throttle.wait(Kind::Token, source(1), at(0)), None, "and nothing else does");
        let here = Ipv4Addr::LOCALHOST.into();
        for _ in 0..40 {
            throttle.wrong(Kind::Passphrase, here, at(0));
        }
        assert_eq!(throttle.wait(Kind::Passphrase, here, at(0)), Some(Duration::from_secs(30)));
        throttle.wrong(Kind::Passphrase, here, at(0));
        throttle.not_looked_at(Kind::Passphrase, here);
        assert_eq!(throttle.wrong(Kind::Passphrase, here, at(0)), 41, "one is taken back, and no more");
        throttle.right(Kind::Passphrase, source(1));
        assert_eq!(throttle.wait(Kind::Passphrase, source(1), at(0)), None);
    }

    #[test]
    fn wrong_credentials_are_forgotten_after_a_quarter_of_an_hour() {
        let mut throttle = Throttle::new(EACH, ALL, at(0));
        for _ in 0..9 {
            throttle.wrong(Kind::Passphrase, source(1), at(0));
        }
        assert_eq!(throttle.wrong(Kind::Passphrase, source(1), at(15 * 60 * 1000 + 1)), 1);
    }

    #[test]
    fn a_million_sources_take_no_more_room_than_four_thousand() {
        let mut throttle = Throttle::new(EACH, ALL, at(0));
        for number in 0..1_000_000 {
            let _ = throttle.take(source(number), at(0));
            throttle.wrong(Kind::Passphrase, source(number), at(0));
        }
        assert!(throttle.sources.of.len() <= PLACES && throttle.passphrases.of.len() <= PLACES);
        assert!(
            throttle.wait(Kind::Passphrase, source(2_000_000), at(0)).is_some(),
            "the newcomers share a place"
        );
        // An hour later the old ones have gone.
        let _ = throttle.take(source(7_000_000), at(3_600_000));
        assert_eq!(throttle.sources.of.len(), 1);
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_burst_and_rate(gaps in prop::collection::vec(0_u64..500, 1..200)) {
            let mut throttle = Throttle::new(EACH, ALL, at(0));
            let (mut now, mut taken) = (0, 0);
            for gap in gaps {
                now += gap;
                taken += u64::from(throttle.take(source(1), at(now)).is_ok());
            }
            prop_assert!(taken <= 20 + now * 10 / 1000);
        }
    }
}
