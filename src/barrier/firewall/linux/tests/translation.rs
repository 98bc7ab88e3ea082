//! Ports that are translated, as container engines do it.

use std::collections::BTreeSet;
use std::net::TcpListener;

use super::lab::{
    INNER, LAN, PORT, VPN, as_user, carries, connect, ended, lab, listen, nft, reaches, refused, run,
};
use super::{BOB, generous, raised, wall};
use crate::barrier::firewall::wall::{Stance, Wall};

/// Translates two ports of this host to two of the inner one: to the gateway's there, and from the
/// gateway's here.
pub(super) fn publish() {
    nft(&format!(
        "table ip engine {{
            chain prerouting {{ type nat hook prerouting priority dstnat;
                iifname {{ eth0, wg0 }} tcp dport 9000 dnat to {INNER}:{PORT}
                iifname {{ eth0, wg0 }} tcp dport {PORT} dnat to {INNER}:80
                iifname {{ eth0, wg0 }} tcp dport 9001 dnat to {INNER}:81
            }}
            chain output {{ type nat hook output priority -100;
                ip daddr {LAN} tcp dport 9000 dnat to {INNER}:{PORT}
                ip daddr {{ {LAN}, {VPN} }} tcp dport {PORT} dnat to {INNER}:80
            }}
        }}"
    ));
}

#[test]
fn forwarding_to_a_gateway_in_a_container_is_guarded_by_both_ports() {
    lab(|lab| {
        publish();
        let _inside: Vec<TcpListener> = lab.inner(|| [PORT, 80, 81].map(listen)).into();
        let ports = [9000, PORT];
        assert!(ports.iter().all(|port| lab.far_reaches(LAN, *port)));
        let sealed = Wall { vpn: BTreeSet::new(), networks: BTreeSet::new(), ..generous(Stance::Seal) };
        for wall in [sealed, generous(Stance::Loopback), generous(Stance::Block)] {
            let _firewall = raised(lab, &wall);
            for port in ports {
                assert!(lab.far(|| refused(LAN, port)), "{port}: {wall:?}");
            }
            assert!(lab.far_reaches(LAN, 9001), "another container's");
        }
        let _firewall = raised(lab, &Wall { vpn: BTreeSet::new(), ..generous(Stance::Seal) });
        assert!(ports.iter().all(|port| lab.far_reaches(LAN, *port) && !lab.far_reaches(VPN, *port)));
        let _firewall = raised(lab, &Wall { networks: BTreeSet::new(), ..generous(Stance::Seal) });
        assert!(ports.iter().all(|port| !lab.far_reaches(LAN, *port) && lab.far_reaches(VPN, *port)));
    });
}

#[test]
fn what_is_forwarded_without_translation_is_left_alone() {
    lab(|lab| {
        let _inside = lab.inner(|| listen(PORT));
        lab.far(|| run(&format!("ip route add {INNER} via {LAN}")));
        let _firewall = raised(lab, &wall(Stance::Block));
        assert!(lab.far_reaches(INNER, PORT), "another host's gateway, behind this router");
    });
}

#[test]
fn live_forwarded_connections_end_with_a_block() {
    lab(|lab| {
        publish();
        let inside = lab.inner(|| listen(80));
        let mut client = lab.far(|| connect(LAN, PORT)).unwrap();
        let mut served = inside.accept().unwrap().0;
        assert!(carries(&mut client, &mut served) && carries(&mut served, &mut client));
        let _firewall = raised(lab, &wall(Stance::Block));
        assert!(!carries(&mut served, &mut client) && !carries(&mut client, &mut served));
        assert!(ended(&mut client) && ended(&mut served));
    });
}

#[test]
fn this_hosts_own_way_to_a_published_port_is_guarded_too() {
    lab(|lab| {
        publish();
        let _inside: Vec<TcpListener> = lab.inner(|| [PORT, 80].map(listen)).into();
        assert!(reaches(LAN, PORT) && reaches(VPN, PORT) && reaches(LAN, 9000));
        let listed = Some(BTreeSet::from([0]));
        let wall = Wall { networks: BTreeSet::new(), local_users: listed, ..generous(Stance::Seal) };
        let _firewall = raised(lab, &wall);
        assert!(!reaches(LAN, PORT) && reaches(VPN, PORT));
        assert!(as_user(BOB, || !reaches(VPN, PORT)));
        let _firewall = raised(lab, &generous(Stance::Block));
        assert!(!reaches(LAN, PORT) && !reaches(VPN, PORT));
    });
}
