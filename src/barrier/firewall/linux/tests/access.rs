//! Who gets in.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::lab::{LAN, LAN6, PORT, VPN, as_user, carries, connect, lab, listen, reaches, refused, run};
use super::{ANA, BOB, generous, raised, wall};
use crate::barrier::firewall::wall::{Stance, Wall};

#[test]
fn a_sealed_gateway_on_every_address_is_reached_over_loopback_alone() {
    lab(|lab| {
        let _gateway = listen(PORT);
        assert!(lab.far_reaches(LAN, PORT) && lab.far_reaches(LAN6, PORT) && lab.far_reaches(VPN, PORT));
        let _firewall = raised(lab, &wall(Stance::Seal));
        assert!(reaches("127.0.0.1", PORT) && reaches("127.8.8.8", PORT) && reaches("::1", PORT));
        for address in [LAN, LAN6, VPN] {
            assert!(lab.far(|| refused(address, PORT)), "{address} from afar");
            assert!(refused(address, PORT), "{address} from this host");
        }
    });
}

#[test]
fn other_ports_are_nobodys_business() {
    lab(|lab| {
        let _web = listen(8080);
        for stance in [Stance::Seal, Stance::Loopback, Stance::Block] {
            let _firewall = raised(lab, &Wall { local_users: Some(BTreeSet::new()), ..wall(stance) });
            assert!(lab.far_reaches(LAN, 8080) && reaches("127.0.0.1", 8080), "{stance:?}");
        }
        // Neither is a gateway of somebody else, nor what comes back from it.
        let theirs = lab.far(|| listen(PORT));
        let mut asked = connect("10.9.0.2", PORT).unwrap();
        assert!(carries(&mut asked, &mut theirs.accept().unwrap().0));
    });
}

#[test]
fn over_loopback_only_the_users_listed_get_in() {
    lab(|lab| {
        let _gateway = listen(PORT);
        let listed = Some(BTreeSet::from([0, ANA]));
        for stance in [Stance::Seal, Stance::Loopback] {
            let _firewall = raised(lab, &Wall { local_users: listed.clone(), ..generous(stance) });
            for address in ["127.0.0.1", "::1"] {
                assert!(reaches(address, PORT) && as_user(ANA, || reaches(address, PORT)));
                assert!(as_user(BOB, || refused(address, PORT)), "{stance:?} {address}");
            }
            assert!(as_user(BOB, || refused(VPN, PORT)), "{stance:?}");
        }
        let ask = |uid| {
            let ask = format!("exec 3<>/dev/tcp/127.0.0.1/{PORT}");
            let mut shell = Command::new("bash");
            shell.args(["-c", &ask]).uid(uid).gid(uid).stderr(std::process::Stdio::null());
            shell.status().unwrap().success()
        };
        assert!(ask(ANA) && !ask(BOB), "a process of that user");
        let _firewall = raised(lab, &Wall { local_users: Some(BTreeSet::new()), ..wall(Stance::Seal) });
        assert!(refused("127.0.0.1", PORT), "nobody is listed, not even root");
    });
}

#[test]
fn a_tunnel_is_let_through_to_its_own_address_and_no_other_way() {
    lab(|lab| {
        let _gateway = listen(PORT);
        let wall = Wall { networks: BTreeSet::new(), ..generous(Stance::Seal) };
        let _firewall = raised(lab, &wall);
        assert!(lab.far_reaches(VPN, PORT) && reaches(VPN, PORT));
        assert!(!lab.far_reaches(LAN, PORT) && !lab.far_reaches("fd0a::1", PORT));
        // The same addresses by the wrong wires.
        lab.far(|| run(&format!("ip route add {VPN}/32 via {LAN} dev eth0")));
        assert!(!lab.far_reaches(VPN, PORT));
        lab.far(|| run(&format!("ip route del {VPN}/32")));
        assert!(lab.far_reaches(VPN, PORT));
        lab.far(|| run(&format!("ip route add {LAN}/32 via {VPN} dev wg0 src 100.64.0.2")));
        assert!(!lab.far_reaches(LAN, PORT));
    });
}

#[test]
fn an_allowed_network_is_let_through_in_both_families() {
    lab(|lab| {
        let _gateway = listen(PORT);
        let _firewall = raised(lab, &Wall { vpn: BTreeSet::new(), ..generous(Stance::Seal) });
        assert!(lab.far_reaches(LAN, PORT) && lab.far_reaches(LAN6, PORT));
        assert!(!lab.far_reaches(VPN, PORT));
        let _firewall = raised(lab, &Wall { networks: BTreeSet::new(), ..generous(Stance::Seal) });
        assert!(!lab.far_reaches(LAN, PORT) && !lab.far_reaches(LAN6, PORT));
    });
}

#[test]
fn a_recovery_is_for_this_host_whatever_is_allowed_otherwise() {
    lab(|lab| {
        let _gateway = listen(PORT);
        let _firewall = raised(lab, &generous(Stance::Loopback));
        assert!(reaches("127.0.0.1", PORT) && reaches("::1", PORT));
        assert!(reaches(VPN, PORT) && !reaches(LAN, PORT), "this host, at what was allowed of it");
        assert!(!lab.far_reaches(LAN, PORT) && !lab.far_reaches(LAN6, PORT) && !lab.far_reaches(VPN, PORT));
    });
}

#[test]
fn a_blocked_gateway_is_reached_by_nobody() {
    lab(|lab| {
        let _gateway = listen(PORT);
        let _firewall = raised(lab, &generous(Stance::Block));
        for address in ["127.0.0.1", "::1", LAN, VPN] {
            assert!(refused(address, PORT), "{address}");
        }
        assert!(!lab.far_reaches(LAN, PORT) && !lab.far_reaches(LAN6, PORT) && !lab.far_reaches(VPN, PORT));
    });
}

#[test]
fn the_gateways_user_is_held_on_any_port() {
    lab(|lab| {
        let _hers = as_user(ANA, || listen(40000));
        let _elses = listen(40001);
        let held = |stance| Wall { gateway_user: Some(ANA), ..generous(stance) };
        let firewall = raised(lab, &held(Stance::Seal));
        assert!(reaches("127.0.0.1", 40000) && reaches("::1", 40000));
        assert!(lab.far_reaches(VPN, 40000) && lab.far_reaches(LAN, 40000) && lab.far_reaches(LAN6, 40000));
        drop(firewall);
        let _firewall =
            raised(lab, &Wall { networks: BTreeSet::new(), vpn: BTreeSet::new(), ..held(Stance::Seal) });
        assert!(
            !lab.far_reaches(VPN, 40000) && !lab.far_reaches(LAN, 40000) && !lab.far_reaches(LAN6, 40000)
        );
        assert!(reaches(VPN, 40000) && !reaches(LAN, 40000) && !reaches(LAN6, 40000), "from this host");
        let _firewall = raised(lab, &held(Stance::Loopback));
        assert!(reaches("127.0.0.1", 40000) && reaches(VPN, 40000) && !lab.far_reaches(VPN, 40000));
        let _firewall = raised(lab, &held(Stance::Block));
        assert!(!reaches("127.0.0.1", 40000) && !reaches("::1", 40000) && !lab.far_reaches(LAN, 40000));
        assert!(lab.far_reaches(LAN, 40001) && reaches(LAN, 40001), "another user's");
    });
}

#[test]
fn every_network_there_is_may_be_allowed() {
    lab(|lab| {
        let _gateway = listen(PORT);
        let everywhere = ["0.0.0.0/0", "10.0.0.0/8", "::/0", "fd09::2/128"].map(|it| it.parse().unwrap());
        let _firewall = raised(lab, &Wall { networks: everywhere.into(), ..wall(Stance::Seal) });
        assert!(lab.far_reaches(LAN, PORT) && lab.far_reaches(LAN6, PORT));
    });
}
