use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn allowed(networks: &[&str]) -> Leaves {
    let networks = networks.iter().map(|network| (network.parse().unwrap(), jiff::Timestamp::MAX));
    Leaves::new(networks, crate::sys::clock::now())
}

fn card(interface: &str, index: u32, address: &str) -> InterfaceAddress {
    InterfaceAddress {
        interface: interface.to_owned(),
        index: Some(index),
        address: address.parse().unwrap(),
        prefix: 24,
        tunnel: false,
    }
}

fn vpn(index: u32) -> Place {
    Place::Vpn("wg0".to_owned(), Some(index))
}

#[test]
fn loopback_needs_no_leave_and_every_address_at_once_is_refused_whatever_is_allowed() {
    let everything = allowed(&["0.0.0.0/0", "::/0"]);
    for loopback in ["127.0.0.1:1", "[::1]:1", "127.8.8.8:1"] {
        assert_eq!(place(at(loopback), &allowed(&[])).unwrap(), Some(Place::Loopback), "{loopback}");
    }
    for wildcard in ["0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1"] {
        assert!(matches!(place(at(wildcard), &everything), Err(ListenError::Wildcard(_))), "{wildcard}");
    }
}

#[test]
fn an_address_that_no_card_has_is_waited_for_and_one_of_another_card_is_refused() {
    let (up, down) = ([card("wg0", 7, "10.8.0.2"), card("eth0", 2, "192.168.1.5")], []);
    let nobody = allowed(&[]);
    assert_eq!(place_on(at("10.8.0.2:1"), &up, &nobody).unwrap(), Some(vpn(7)));
    assert_eq!(place_on(at("10.8.0.2:1"), &down, &nobody).unwrap(), None);
    assert!(matches!(place_on(at("192.168.1.5:1"), &up, &nobody), Err(ListenError::Beyond(_))));
    // Of one that could be a VPN's nothing is known yet; one of the internet can be none.
    assert_eq!(place_on(at("192.168.1.5:1"), &down, &nobody).unwrap(), None);
    assert!(matches!(place_on(at("8.8.8.8:1"), &down, &nobody), Err(ListenError::Beyond(_))));
    assert_eq!(place_on(at("8.8.8.8:1"), &down, &allowed(&["8.8.8.8/32"])).unwrap(), None);
}

#[test]
fn a_card_that_was_made_anew_is_listened_on_anew_and_nothing_else_is_touched() {
    assert_eq!(turn(Some(&vpn(7)), Some(vpn(7))), Turn::Keep);
    assert_eq!(turn(Some(&vpn(7)), Some(vpn(9))), Turn::Listen(vpn(9)));
    assert_eq!(turn(Some(&vpn(7)), None), Turn::Wait);
    assert_eq!(turn(None, None), Turn::Wait);
    assert_eq!(turn(None, Some(vpn(9))), Turn::Listen(vpn(9)));
    // What is no VPN's any more, and allowed, is heard on every card.
    assert_eq!(turn(Some(&vpn(7)), Some(Place::Allowed)), Turn::Listen(Place::Allowed));
    for other in [Place::Loopback, Place::Allowed] {
        assert_eq!(turn(Some(&other), None), Turn::Keep);
        assert_eq!(turn(Some(&other), Some(other.clone())), Turn::Keep);
    }
}

#[tokio::test]
async fn what_waits_is_bound_when_it_comes_and_refused_where_others_would_reach_it() {
    let networks = Rc::new(allowed(&[]));
    let mut wanted = Wanted { at: at("10.8.0.2:1"), now: Standing::Waits(None) };
    wanted.look_again(&[], &networks).await;
    assert!(matches!(wanted.now, Standing::Waits(None)) && !wanted.has_ended());
    wanted.look_again(&[card("eth0", 2, "10.8.0.2")], &networks).await;
    assert!(matches!(&wanted.now, Standing::Refused(why) if why.contains("10.8.0.2")) && wanted.has_ended());
    // Its card is down again, and may come up as another one.
    wanted.look_again(&[], &networks).await;
    assert!(matches!(wanted.now, Standing::Waits(None)), "{wanted:?}");
    let mut local = Wanted { at: at("127.0.0.1:0"), now: Standing::Waits(None) };
    local.look_again(&[], &networks).await;
    assert!(matches!(local.now, Standing::Bound(Place::Loopback, _)), "{local:?}");
}

#[tokio::test]
async fn a_kernel_that_takes_its_time_to_list_the_cards_holds_nobody_up() {
    let wanted = vec![Wanted { at: at("10.8.0.2:1"), now: Standing::Waits(None) }];
    let mut listening = Listening { wanted, networks: Rc::new(allowed(&[])), tls: None };
    let slow = || {
        std::thread::sleep(Duration::from_millis(500));
        Err(Blindness::timed_out("it does not answer"))
    };
    tokio::select! {
        biased;
        () = listening.look_again(slow) => panic!("nobody else had a turn"),
        () = sleep(Duration::from_millis(1)) => {}
    }
    listening.look_again(slow).await;
    assert!(matches!(listening.wanted[0].now, Standing::Waits(None)), "nothing is known");
}

#[test]
fn an_address_that_others_reach_needs_a_written_allowance() {
    let network = allowed(&["203.0.113.0/24"]);
    assert!(matches!(place(at("203.0.113.7:1"), &allowed(&[])), Err(ListenError::Beyond(_))));
    assert_eq!(place(at("203.0.113.7:1"), &network).unwrap(), None, "no card has it yet");
    let cards = [card("eth0", 2, "203.0.113.7")];
    assert_eq!(place_on(at("203.0.113.7:1"), &cards, &network).unwrap(), Some(Place::Allowed));
    assert!(matches!(place(at("198.51.100.1:1"), &network), Err(ListenError::Beyond(_))));
}
