//! How many connections there may be: of all, and of each source, so that none takes every place.

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

/// Who is in. There are no more sources than connections.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    of: RefCell<HashMap<Source, usize>>,
    all: Cell<usize>,
}

/// A place for one connection, and for what it becomes.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Rc<Crowd>,
    source: Source,
}

impl Crowd {
    /// A place for a connection from there, if there is one.
    pub(crate) fn enter(self: &Rc<Self>, remote: IpAddr) -> Option<Place> {
        let most = if is_loopback(remote) { OF_THIS_HOST } else { OF_ONE };
        let source = Source::of(remote);
        let mut of = self.of.borrow_mut();
        let there = of.get(&source).copied().unwrap_or(0);
        if self.all.get() >= MOST || there >= most {
            return None;
        }
        self.all.set(self.all.get() + 1);
        of.insert(source, there + 1);
        Some(Place { crowd: Rc::clone(self), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of = self.crowd.of.borrow_mut();
        self.crowd.all.set(self.crowd.all.get().saturating_sub(1));
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
        (0..20_000).filter_map(|number| crowd.enter(from(number))).collect()
    }

    #[test]
    fn a_source_that_floods_leaves_room_for_another() {
        let crowd = Rc::new(Crowd::default());
        let flooded = flood(&crowd, |_| v4(1));
        assert_eq!(flooded.len(), OF_ONE);
        assert!(crowd.enter(v4(2)).is_some() && crowd.enter(v6(1, 1)).is_some());
        drop(flooded);
        assert!(crowd.enter(v4(1)).is_some());
    }

    #[test]
    fn this_host_leaves_room_for_others_and_has_room_for_many() {
        let crowd = Rc::new(Crowd::default());
        let here =
            flood(&crowd, |number| Ipv4Addr::new(127, 0, 0, u8::try_from(number % 200).unwrap() + 1).into());
        assert_eq!(here.len(), OF_THIS_HOST, "however many addresses it has");
        assert!(crowd.enter(Ipv6Addr::LOCALHOST.into()).is_none());
        assert_eq!(flood(&crowd, |_| v4(1)).len(), OF_ONE);
    }

    #[test]
    fn a_network_of_the_internet_is_one_source_and_a_mapped_address_is_the_one_it_maps() {
        let crowd = Rc::new(Crowd::default());
        let network = flood(&crowd, |host| v6(1, host));
        assert_eq!(network.len(), OF_ONE);
        assert!(crowd.enter(v6(2, 1)).is_some());
        let mapped = flood(&crowd, |number| {
            if number % 2 == 0 { v4(1) } else { Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into() }
        });
        assert_eq!(mapped.len(), OF_ONE);
    }

    #[test]
    fn there_is_an_end_to_all_of_them_and_nothing_is_kept_of_whoever_is_gone() {
        let crowd = Rc::new(Crowd::default());
        let all: Vec<Place> = (0..20_000).filter_map(|number| crowd.enter(v4(number))).collect();
        assert_eq!((all.len(), crowd.of.borrow().len()), (MOST, MOST));
        drop(all);
        assert!(crowd.of.borrow().is_empty() && crowd.all.get() == 0);
    }
}
