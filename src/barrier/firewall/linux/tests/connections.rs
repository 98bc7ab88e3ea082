//! Connections that are there already, and those that the gateway makes.

use std::collections::BTreeSet;

use super::lab::{LAN, LAN6, PORT, VPN, as_user, carries, connect, ended, lab, listen, reaches};
use super::{ANA, generous, raised, wall};
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

        lab.run(firewall.cut(&BTreeSet::from([PORT]))).unwrap();
        for (index, end) in ends.iter_mut().enumerate() {
            assert!(ended(end), "end {index}");
        }
        assert!(carries(&mut other, &mut others));
        assert!(carries(&mut asked, &mut theirs.accept().unwrap().0), "the gateway of another host");
        assert!(reaches("127.0.0.1", PORT), "whoever is allowed comes again");
    });
}

#[test]
fn cutting_nothing_and_a_thousand_ports_is_no_failure() {
    lab(|lab| {
        let gateway = listen(PORT);
        let mut client = connect("127.0.0.1", PORT).unwrap();
        let _served = gateway.accept().unwrap().0;
        lab.run(Firewall::new().cut(&BTreeSet::new())).unwrap();
        lab.run(Firewall::new().cut(&(1000..2000).collect())).unwrap();
        lab.run(Firewall::new().cut(&(18000..19000).collect())).unwrap();
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
