//! Against the kernel: hosts that are network namespaces of their own.

use std::collections::BTreeSet;

use super::super::Firewall;
use super::super::wall::{Stance, Wall};
use crate::barrier::Held;

mod access;
mod connections;
mod lab;
mod table;
mod translation;

use lab::{Lab, PORT, VPN};

const ANA: u32 = 4001;
const BOB: u32 = 4002;

fn wall(stance: Stance) -> Wall {
    Wall { ports: BTreeSet::from([PORT]), ..Wall::empty(stance) }
}

/// A wall with all that can be allowed on the hosts of the lab.
fn generous(stance: Stance) -> Wall {
    Wall {
        vpn: BTreeSet::from(["wg0".to_owned()]),
        own: BTreeSet::from([VPN.parse().unwrap()]),
        networks: ["10.9.0.0/24", "fd09::/64"].map(|it| it.parse().unwrap()).into(),
        ..wall(stance)
    }
}

fn raised(lab: &Lab, wall: &Wall) -> Firewall {
    let mut firewall = Firewall::new();
    lab.run(firewall.raise(wall)).unwrap();
    assert_eq!(lab.run(firewall.standing()), Held::Yes);
    firewall
}
