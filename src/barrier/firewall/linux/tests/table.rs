//! The table as a whole.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use super::lab::{LAN, PORT, lab, listen, nft, reaches, run};
use super::translation::publish;
use super::{ANA, generous, raised, wall};
use crate::barrier::Held;
use crate::barrier::firewall::nft::list;
use crate::barrier::firewall::wall::{Stance, Wall};
use crate::barrier::firewall::{Firewall, FirewallError};

#[test]
fn it_stands_until_somebody_has_a_hand_in_it() {
    lab(|lab| {
        let wall = generous(Stance::Seal);
        let mut firewall = Firewall::new();
        assert_eq!(lab.run(firewall.standing()), Held::No, "it was never raised");
        for harm in [
            "nft flush ruleset",
            "nft delete table inet guardian",
            "nft flush table inet guardian",
            "nft flush set inet guardian ports",
            "nft add element inet guardian networks4 { 198.51.100.0/24 }",
            "nft add table inet guardian { flags dormant; }",
            "nft insert rule inet guardian door accept",
            "nft flush chain inet guardian refuse",
        ] {
            lab.run(firewall.raise(&wall)).unwrap();
            assert_eq!(lab.run(firewall.standing()), Held::Yes);
            run(harm);
            assert_eq!(lab.run(firewall.standing()), Held::No, "{harm}");
        }
        lab.run(firewall.raise(&wall)).unwrap();
        let listing = run("nft -a list chain inet guardian input");
        let rule = listing.lines().find(|line| line.contains("jump door")).unwrap();
        let handle = rule.rsplit(' ').next().unwrap();
        run(&format!("nft delete rule inet guardian input handle {handle}"));
        assert_eq!(lab.run(firewall.standing()), Held::No, "a rule was removed");
        lab.run(firewall.raise(&wall)).unwrap();
        run("nft add table inet another");
        assert_eq!(lab.run(firewall.standing()), Held::Yes, "another table is not ours");
    });
}

#[test]
fn a_wall_replaces_the_last_one_whole() {
    lab(|lab| {
        let (_gateway, _other) = (listen(PORT), listen(PORT + 1));
        let mut firewall = raised(lab, &wall(Stance::Block));
        lab.run(firewall.raise(&Wall { ports: BTreeSet::from([PORT + 1]), ..wall(Stance::Block) })).unwrap();
        assert!(reaches("127.0.0.1", PORT) && lab.far_reaches(LAN, PORT));
        assert!(!reaches("127.0.0.1", PORT + 1));
        let ruleset = run("nft list ruleset");
        assert_eq!(ruleset.matches("table ").count(), 1, "{ruleset}");
    });
}

#[test]
fn nobody_slips_through_while_walls_are_replaced() {
    lab(|lab| {
        let _gateway = listen(PORT);
        let mut firewall = raised(lab, &wall(Stance::Seal));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let knocks = scope.spawn(|| {
                lab.far(|| {
                    let mut knocks = 0;
                    while !done.load(Ordering::Relaxed) {
                        assert!(!reaches(LAN, PORT), "after {knocks}");
                        knocks += 1;
                    }
                    knocks
                })
            });
            for round in 0..30 {
                let stance = [Stance::Seal, Stance::Block, Stance::Loopback][round % 3];
                lab.run(firewall.raise(&wall(stance))).unwrap();
            }
            done.store(true, Ordering::Relaxed);
            let knocks = knocks.join().unwrap();
            assert!(knocks > 100, "only {knocks}");
        });
    });
}

#[test]
fn nothing_is_left_behind_and_nothing_of_others_is_touched() {
    lab(|lab| {
        publish();
        nft("table inet filter {
                set s { type inet_service; elements = { 18789 }; }
                chain input { type filter hook input priority filter; policy drop;
                    iifname lo accept
                    tcp dport @s counter accept
                }
                chain forward { type filter hook forward priority -10; policy accept; }
            }
            table inet guardian2 {
                chain input { type filter hook input priority -10; }
            }");
        let before = run("nft list ruleset");
        lab.run(Firewall::usable()).unwrap();
        assert_eq!(run("nft list ruleset"), before, "asking changes nothing");
        lab.run(Firewall::new().lower()).unwrap();
        assert_eq!(run("nft list ruleset"), before, "there was nothing to take away");
        for stance in [Stance::Seal, Stance::Loopback, Stance::Block] {
            let wall = Wall { stance, ..Wall::sample() };
            let mut firewall = raised(lab, &wall);
            assert_ne!(run("nft list ruleset"), before);
            // As a rescue does it, which has not raised it.
            lab.run(Firewall::new().lower()).unwrap();
            assert_eq!(run("nft list ruleset"), before);
            assert_eq!(lab.run(firewall.standing()), Held::No);
        }
    });
}

#[test]
fn no_ports_and_a_thousand_are_both_taken() {
    lab(|lab| {
        let _gateway = listen(PORT);
        let all_of_it = |ports: BTreeSet<u16>, stance| Wall {
            ports,
            local_users: Some(BTreeSet::from([0])),
            gateway_user: Some(ANA),
            ..generous(stance)
        };
        for stance in [Stance::Seal, Stance::Loopback, Stance::Block] {
            let _firewall = raised(lab, &Wall::empty(stance));
            let _firewall = raised(lab, &all_of_it(BTreeSet::new(), stance));
            assert!(lab.far_reaches(LAN, PORT));
            let _firewall = raised(lab, &all_of_it((18000..19000).collect(), stance));
            assert_eq!(lab.far_reaches(LAN, PORT), stance == Stance::Seal);
        }
    });
}

#[test]
fn only_root_may_change_it() {
    lab(|lab| {
        // What nft says where the kernel refuses.
        let refused = lab.run(async { list().run_as(ANA, ANA).run().await.unwrap_err() });
        assert!(refused.to_string().contains("not permitted"), "{refused}");
        assert_eq!(
            FirewallError::NotRoot.to_string(),
            "the packet filter is root's alone; start guardian as root to use it"
        );
    });
}

#[test]
#[ignore = "measures; run it by name"]
fn what_it_costs() {
    lab(|lab| {
        for ports in [1, 1000] {
            let wall = Wall { ports: (PORT..PORT + ports).collect(), ..generous(Stance::Seal) };
            let mut firewall = raised(lab, &wall);
            let each =
                |what: &str, start: Instant| eprintln!("{ports} ports: {what} {:?}", start.elapsed() / 20);
            let start = Instant::now();
            (0..20).for_each(|_| lab.run(firewall.raise(&wall)).unwrap());
            each("raise", start);
            let start = Instant::now();
            (0..20).for_each(|_| assert_eq!(lab.run(firewall.standing()), Held::Yes));
            each("standing", start);
            let start = Instant::now();
            (0..20).for_each(|_| lab.run(firewall.cut(&wall)).unwrap());
            each("cut of nothing", start);
        }
    });
}
