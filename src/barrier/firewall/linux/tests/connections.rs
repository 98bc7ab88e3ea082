//! Connections that are there already, and those that the gateway makes.

use std::collections::BTreeSet;

use super::lab::{LAN, LAN6, PATIENCE, PORT, VPN, as_user, carries, connect, ended, lab, listen, reaches};
use super::{ANA, BOB, generous, raised, wall};
use crate::barrier::firewall::Firewall;
use crate::barrier::firewall::wall::{Stance, Wall};

#[test]
fn a_block_ends_live_connections_even_if_they_cannot_be_destroyed() {
    lab(|lab| {
        let gateway = listen(PORT);
        for address in ["127.0.0.1", "::1", LAN] {
            let dial = || connect(address, PORT).unwrap();
            let (mut local, mut far) = (dial(), None);
            let mut served = vec![gateway.accept().unwrap().0];
            if address == LAN {
                far = Some(lab.far(dial));
                served.push(gateway.accept().unwrap().0);
            }
            assert!(carries(&mut local, &mut served[0]));
            let mut firewall = raised(lab, &wall(Stance::Block));
            // The gateway's own next word ends it, or that of the client.
            assert!(!carries(&mut served[0], &mut local), "{address}");
            assert!(!carries(&mut local, &mut served[0]) && ended(&mut local), "{address}");
            if let Some(far) = &mut far {
                assert!(!carries(&mut served[1], far) && !carries(far, &mut served[1]));
                assert!(ended(far) && ended(&mut served[1]));
            }
            lab.run(firewall.lower()).unwrap();
        }
    });
}

#[test]
fn connections_are_cut_at_both_ends_and_no_others() {
    lab(|lab| {
        let (gateway, web) = (listen(PORT), listen(8080));
        let firewall = raised(lab, &generous(Stance::Seal));
        let mut ends = Vec::new();
        for address in ["127.0.0.1", "::1"] {
            ends.push(connect(address, PORT).unwrap());
            ends.push(gateway.accept().unwrap().0);
        }
        for address in [LAN, LAN6, VPN] {
            ends.push(lab.far(|| connect(address, PORT)).unwrap());
            ends.push(gateway.accept().unwrap().0);
        }
        let mut other = connect("127.0.0.1", 8080).unwrap();
        let mut others = web.accept().unwrap().0;
        let theirs = lab.far(|| listen(PORT));
        let mut asked = connect("10.9.0.2", PORT).unwrap();

        lab.run(firewall.cut(&wall(Stance::Block))).unwrap();
        for (index, end) in ends.iter_mut().enumerate() {
            assert!(ended(end), "end {index}");
        }
        assert!(carries(&mut other, &mut others));
        assert!(carries(&mut asked, &mut theirs.accept().unwrap().0), "the gateway of another host");
        assert!(reaches("127.0.0.1", PORT), "whoever is allowed comes again");
    });
}

#[test]
fn connections_of_users_who_are_not_admitted_end_at_both_ends() {
    lab(|lab| {
        let gateway = std::net::TcpListener::bind(("::", PORT)).unwrap();
        let visit = |user, address: &'static str| {
            let client = as_user(user, move || connect(address, PORT)).unwrap();
            let served = gateway.accept().unwrap().0;
            served.set_read_timeout(Some(PATIENCE)).unwrap();
            (client, served)
        };
        let (mut anas, mut bobs) = (Vec::new(), Vec::new());
        for address in ["127.0.0.1", "::1", LAN] {
            anas.push(visit(ANA, address));
            bobs.push(visit(BOB, address));
        }
        let sealed = Wall {
            local_users: Some(BTreeSet::from([ANA])),
            own: BTreeSet::from([LAN.parse().unwrap()]),
            ..wall(Stance::Seal)
        };
        let mut firewall = raised(lab, &sealed);
        lab.run(firewall.evict(&sealed)).unwrap();
        for (client, served) in &mut bobs {
            assert!(ended(client) && ended(served));
        }
        for (client, served) in &mut anas {
            assert!(carries(client, served) && carries(served, client));
        }
        lab.run(firewall.evict(&Wall { local_users: None, ..sealed })).unwrap();
        assert!(anas.iter_mut().all(|(client, served)| carries(client, served)), "a wall without users");
    });
}

fn at(ports: BTreeSet<u16>) -> Wall {
    Wall { ports, ..wall(Stance::Block) }
}

#[test]
fn cutting_nothing_and_a_thousand_ports_is_no_failure() {
    lab(|lab| {
        let gateway = listen(PORT);
        let mut client = connect("127.0.0.1", PORT).unwrap();
        let _served = gateway.accept().unwrap().0;
        lab.run(Firewall::new().cut(&at(BTreeSet::new()))).unwrap();
        lab.run(Firewall::new().cut(&at((1000..2000).collect()))).unwrap();
        lab.run(Firewall::new().cut(&at((18000..19000).collect()))).unwrap();
        assert!(ended(&mut client));
    });
}

#[test]
fn what_the_gateway_asks_of_others_is_not_touched() {
    lab(|lab| {
        let theirs = lab.far(|| listen(443));
        let local = listen(443);
        let _firewall = raised(lab, &Wall { gateway_user: Some(ANA), ..wall(Stance::Block) });
        for (address, listener) in [("10.9.0.2", &theirs), ("fd09::2", &theirs), ("127.0.0.1", &local)] {
            let mut asked = as_user(ANA, || connect(address, 443)).unwrap();
            let mut answers = listener.accept().unwrap().0;
            assert!(carries(&mut asked, &mut answers) && carries(&mut answers, &mut asked), "{address}");
        }
    });
}

#[test]
fn on_a_shared_port_the_gateways_place_is_held_and_nobody_elses() {
    lab(|lab| {
        let turns = [("127.0.0.2", "127.0.0.1"), ("::1", "127.0.0.1"), ("127.0.0.1", "::1")];
        for (port, (theirs, innocents)) in (PORT..).zip(turns) {
            let bind = |address: &str| {
                let address: std::net::IpAddr = address.parse().unwrap();
                std::net::TcpListener::bind((address, port)).unwrap()
            };
            let (gateway, innocent) = (bind(theirs), bind(innocents));
            let dial = |address: &'static str| as_user(BOB, move || connect(address, port));
            let mut held = (dial(theirs).unwrap(), gateway.accept().unwrap().0);
            let mut others = (dial(innocents).unwrap(), innocent.accept().unwrap().0);
            let door = std::net::SocketAddr::new(theirs.parse().unwrap(), port);
            let mut shared = Wall {
                ports: BTreeSet::new(),
                doors: BTreeSet::from([door]),
                local_users: Some(BTreeSet::from([ANA])),
                ..wall(Stance::Seal)
            };
            let mut firewall = raised(lab, &shared);
            assert!(dial(theirs).is_err(), "the seal admits ana alone at {theirs}");
            assert!(as_user(ANA, move || connect(theirs, port)).is_ok());
            assert!(dial(innocents).is_ok(), "{innocents}");
            shared.stance = Stance::Block;
            lab.run(firewall.raise(&shared)).unwrap();
            lab.run(firewall.cut(&shared)).unwrap();
            assert!(as_user(ANA, move || connect(theirs, port)).is_err(), "{theirs}");
            assert!(ended(&mut held.0) && ended(&mut held.1));
            assert!(dial(innocents).is_ok(), "{innocents}");
            assert!(carries(&mut others.0, &mut others.1) && carries(&mut others.1, &mut others.0));
            lab.run(firewall.lower()).unwrap();
        }
    });
}

/// Listens on every address of one family.
fn listen_on(every: &str) -> std::net::TcpListener {
    let at: std::net::SocketAddr = std::net::SocketAddr::new(every.parse().unwrap(), PORT);
    let socket = socket2::Socket::new(socket2::Domain::for_address(at), socket2::Type::STREAM, None).unwrap();
    if at.is_ipv6() {
        socket.set_only_v6(true).unwrap();
    }
    socket.bind(&at.into()).unwrap();
    socket.listen(8).unwrap();
    socket.into()
}

#[test]
fn a_wildcard_of_one_family_holds_none_of_the_other() {
    lab(|lab| {
        let (v4, v6) = (listen_on("0.0.0.0"), listen_on("::"));
        let dial = |address: &'static str, listener: &std::net::TcpListener| {
            let client = lab.far(move || connect(address, PORT)).unwrap();
            let served = listener.accept().unwrap().0;
            served.set_read_timeout(Some(PATIENCE)).unwrap();
            (client, served)
        };
        for (door, held, free) in [("0.0.0.0", (LAN, &v4), (LAN6, &v6)), ("::", (LAN6, &v6), (LAN, &v4))] {
            let mut ended_one = dial(held.0, held.1);
            let mut kept = dial(free.0, free.1);
            let door = std::net::SocketAddr::new(door.parse().unwrap(), PORT);
            let wall = Wall { ports: BTreeSet::new(), doors: BTreeSet::from([door]), ..wall(Stance::Seal) };
            let mut firewall = raised(lab, &wall);
            assert!(!lab.far_reaches(held.0, PORT), "{door}");
            assert!(lab.far_reaches(free.0, PORT), "{door}");
            free.1.accept().unwrap();
            lab.run(firewall.cut(&wall)).unwrap();
            assert!(ended(&mut ended_one.1), "{door}: nobody is left on the line");
            assert!(carries(&mut kept.0, &mut kept.1) && carries(&mut kept.1, &mut kept.0), "{door}");
            lab.run(firewall.lower()).unwrap();
        }
    });
}
