//! How many connections there may be: of all, of each source, and of each kind of source, so that neither one
//! of them nor many together take every place.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::source::{Source, is_loopback};

/// Connections at a time.
const MOST: usize = 10_000;
/// Of one source: a browser opens six, and a socket for each of its windows; programs keep a few.
const OF_ONE: usize = 256;
/// Of this host, where every client has the same address: all but what others need.
const OF_THIS_HOST: usize = 8_000;
/// Of all other hosts together: all but what this one needs.
const OF_OTHERS: usize = 8_000;
/// Of those among them who are let in nowhere, and are only told so.
const OF_STRANGERS: usize = 512;

/// Who is in. There are no more sources than connections.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    of: RefCell<HashMap<Source, usize>>,
    all: Cell<usize>,
    others: Cell<usize>,
    strangers: Cell<usize>,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ThisHost,
    Guest,
    Stranger,
}

/// A place for one connection, and for what it becomes.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Rc<Crowd>,
    source: Source,
    kind: Kind,
}

impl Crowd {
    /// A place for a connection from there, if there is one. `admitted` is whether anybody from there is let
    /// in at this door.
    pub(crate) fn enter(self: &Rc<Self>, remote: IpAddr, admitted: bool) -> Option<Place> {
        let kind = match (is_loopback(remote), admitted) {
            (true, _) => Kind::ThisHost,
            (false, true) => Kind::Guest,
            (false, false) => Kind::Stranger,
        };
        let most = if kind == Kind::ThisHost { OF_THIS_HOST } else { OF_ONE };
        let source = Source::of(remote);
        let there = self.of.borrow().get(&source).copied().unwrap_or(0);
        let full = self.all.get() >= MOST
            || there >= most
            || (kind != Kind::ThisHost && self.others.get() >= OF_OTHERS)
            || (kind == Kind::Stranger && self.strangers.get() >= OF_STRANGERS);
        if full {
            return None;
        }
        self.of.borrow_mut().insert(source, there + 1);
        self.count(kind, |count| count + 1);
        Some(Place { crowd: Rc::clone(self), source, kind })
    }

    fn count(&self, kind: Kind, becomes: impl Fn(usize) -> usize) {
        self.all.set(becomes(self.all.get()));
        if kind != Kind::ThisHost {
            self.others.set(becomes(self.others.get()));
        }
        if kind == Kind::Stranger {
            self.strangers.set(becomes(self.strangers.get()));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.count(self.kind, |count| count.saturating_sub(1));
        let mut of = self.crowd.of.borrow_mut();
        match of.get_mut(&self.source) {
            Some(there) if *there > 1 => *there -= 1,
            _ => {
                of.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn v4(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    fn v6(network: u16, host: u16) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host).into()
    }

    /// As many places as one gets who asks without end, each time from another of these addresses.
    fn flood(crowd: &Rc<Crowd>, from: impl Fn(u16) -> IpAddr) -> Vec<Place> {
        (0..20_000).filter_map(|number| crowd.enter(from(number), true)).collect()
    }

    #[test]
    fn a_source_that_floods_leaves_room_for_another() {
        let crowd = Rc::new(Crowd::default());
        let flooded = flood(&crowd, |_| v4(1));
        assert_eq!(flooded.len(), OF_ONE);
        assert!(crowd.enter(v4(2), true).is_some() && crowd.enter(v6(1, 1), true).is_some());
        drop(flooded);
        assert!(crowd.enter(v4(1), true).is_some());
    }

    #[test]
    fn this_host_leaves_room_for_others_and_has_room_for_many() {
        let crowd = Rc::new(Crowd::default());
        let here =
            flood(&crowd, |number| Ipv4Addr::new(127, 0, 0, u8::try_from(number % 200).unwrap() + 1).into());
        assert_eq!(here.len(), OF_THIS_HOST, "however many addresses it has");
        assert!(crowd.enter(Ipv6Addr::LOCALHOST.into(), true).is_none());
        assert_eq!(flood(&crowd, |_| v4(1)).len(), OF_ONE);
    }

    #[test]
    fn a_network_of_the_internet_is_one_source_and_a_mapped_address_is_the_one_it_maps() {
        let crowd = Rc::new(Crowd::default());
        let network = flood(&crowd, |host| v6(1, host));
        assert_eq!(network.len(), OF_ONE);
        assert!(crowd.enter(v6(2, 1), true).is_some());
        let mapped = flood(&crowd, |number| {
            if number % 2 == 0 { v4(1) } else { Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into() }
        });
        assert_eq!(mapped.len(), OF_ONE);
    }

    #[test]
    fn there_is_an_end_to_all_of_them_and_nothing_is_kept_of_whoever_is_gone() {
        let crowd = Rc::new(Crowd::default());
        let mut all: Vec<Place> = (0..20_000).filter_map(|number| crowd.enter(v4(number), true)).collect();
        assert_eq!((all.len(), crowd.of.borrow().len()), (OF_OTHERS, OF_OTHERS));
        all.extend(flood(&crowd, |_| Ipv4Addr::LOCALHOST.into()));
        assert_eq!(all.len(), MOST, "this host has what others cannot take");
        drop(all);
        assert!(crowd.of.borrow().is_empty());
        assert_eq!((crowd.all.get(), crowd.others.get(), crowd.strangers.get()), (0, 0, 0));
    }

    #[test]
    fn however_many_strangers_come_they_take_no_place_of_those_who_are_let_in() {
        let crowd = Rc::new(Crowd::default());
        let strangers: Vec<Place> = (0..20_000).filter_map(|number| crowd.enter(v4(number), false)).collect();
        assert_eq!(strangers.len(), OF_STRANGERS);
        let guests = (0..20_000).filter_map(|number| crowd.enter(v4(100_000 + number), true));
        assert_eq!(guests.collect::<Vec<_>>().len(), OF_OTHERS - OF_STRANGERS);
        drop(strangers);
        assert!(crowd.enter(v4(1), false).is_some());
    }
}
