//! How many connections there may be, and whose: nobody's crowd keeps the owner out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Connections at once.
const ALL: usize = 64;
/// Connections at once of one user other than root.
const EACH: usize = 8;
/// Of all connections, so many are kept for root and the owners.
const KEPT: usize = 16;

/// The connections that there are, by user.
#[derive(Debug, Clone, Default)]
pub(super) struct Seats(Arc<Mutex<BTreeMap<u32, usize>>>);

/// A connection's place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    uid: u32,
}

impl Seats {
    /// A place for a user, if there is one.
    pub(super) fn take(&self, uid: u32, owner: bool) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(&uid).copied().unwrap_or(0);
        let room = if owner { ALL } else { ALL - KEPT };
        if all >= room || (uid != 0 && own >= EACH) {
            return None;
        }
        taken.insert(uid, own + 1);
        Some(Seat { seats: self.clone(), uid })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get(&self.uid).copied() {
            Some(more @ 2..) => drop(taken.insert(self.uid, more - 1)),
            _ => drop(taken.remove(&self.uid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_has_eight_places_and_gets_one_back_for_each_that_is_left() {
        let seats = Seats::default();
        let mut taken: Vec<Seat> = (0..EACH).map(|_| seats.take(1000, false).unwrap()).collect();
        assert!(seats.take(1000, false).is_none() && seats.take(1001, false).is_some());
        taken.pop();
        taken.push(seats.take(1000, false).unwrap());
        drop(taken);
        assert!(seats.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_crowd_of_users_leaves_room_for_the_owner_and_for_root() {
        let seats = Seats::default();
        let crowd: Vec<Seat> = (1000..1064).filter_map(|uid| seats.take(uid, false)).collect();
        assert_eq!(crowd.len(), ALL - KEPT);
        let owner: Vec<Seat> = (0..ALL).filter_map(|_| seats.take(500, true)).collect();
        let root: Vec<Seat> = (0..ALL).filter_map(|_| seats.take(0, true)).collect();
        assert_eq!((owner.len(), root.len()), (EACH, KEPT - EACH));
    }
}
