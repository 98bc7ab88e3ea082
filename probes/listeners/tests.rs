//! The inventory of this very host, against sockets made for the purpose.

use std::net::{SocketAddr, TcpListener};

use guardian_rules::fact::{Attribution, Listener};

use super::Inventory;

fn listed() -> Vec<Listener> {
    Inventory::open().unwrap().look().unwrap()
}

fn at(list: &[Listener], address: SocketAddr) -> Vec<&Listener> {
    list.iter().filter(|listener| listener.bound == address).collect()
}

fn the_one(list: &[Listener], address: SocketAddr) -> &Listener {
    let found = at(list, address);
    assert_eq!(found.len(), 1, "{address} in {list:#?}");
    found[0]
}

/// Looks until these processes hold the listener. A process that another test is starting holds
/// all that we hold until it has become its program.
fn assert_held_by(mut look: impl FnMut() -> Vec<Listener>, address: SocketAddr, pids: &[u32]) {
    let mut holders = pids.to_vec();
    holders.sort_unstable();
    let expected = Attribution::Named(holders);
    for _ in 0..50 {
        if the_one(&look(), address).owner == expected {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(the_one(&look(), address).owner, expected);
}

#[test]
fn a_listener_is_listed_with_its_process() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let list = listed();
    let listener = the_one(&list, address);
    assert!(!listener.dual_stack && listener.device.is_none());
    assert_held_by(listed, address, &[std::process::id()]);
}

#[test]
fn a_listener_that_closes_is_gone_at_the_next_look() {
    let mut inventory = Inventory::open().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    assert_eq!(at(&inventory.look().unwrap(), address).len(), 1);
    drop(socket);
    assert!(at(&inventory.look().unwrap(), address).is_empty());
}

#[test]
fn a_listener_that_opens_is_there_at_the_next_look() {
    let mut inventory = Inventory::open().unwrap();
    inventory.look().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let list = inventory.look().unwrap();
    assert!(the_one(&list, socket.local_addr().unwrap()).owner.pids().contains(&std::process::id()));
}

#[test]
fn the_list_has_an_order() {
    let list = listed();
    assert!(list.is_sorted_by_key(|listener| (listener.bound, listener.socket)));
}

#[test]
fn canaries_are_listeners_like_others_but_no_facts() {
    let one = super::canary::Canary::bind().unwrap();
    let mut inventory = Inventory::open().unwrap();
    let sockets = super::table::Table::default().listeners().unwrap();
    assert!(sockets.iter().any(|socket| socket.local == one.address()));
    assert!(at(&inventory.look().unwrap(), one.address()).is_empty());
}

#[tokio::test]
async fn the_probe_keeps_its_inventory_between_looks() {
    use crate::probe::{Ground, Isolated};
    use std::sync::Arc;
    let mut probe = Isolated::new(super::Listeners::default);
    let ground = || Ground { policy: Arc::default(), known: Arc::default() };
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..2 {
        let list = probe.look(ground()).await.unwrap();
        assert_eq!(at(&list, socket.local_addr().unwrap()).len(), 1);
    }
}

#[cfg(target_os = "linux")]
mod linux;
