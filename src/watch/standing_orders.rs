//! What is to be so on the host, by the state of the circuit.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Watcher;
use super::carried;
use super::sight::Sight;
use super::target::{Allowed, allowed};
use super::users::Users;
use crate::barrier::Target;
use crate::barrier::firewall::wall::{Stance, Wall};
use crate::breaker::state::{Level, State};
use crate::config::{Config, Mode};
use crate::enforce::{Leaning, Orders, Others};
use crate::powers::Powers;

/// What the orders depend on beside the state.
#[derive(Debug, Clone, Default)]
struct Means {
    /// The firewall can be used.
    firewall: bool,
    /// There is to be a seal while the circuit is closed.
    seals: bool,
    allowed: Allowed,
    /// The ports that the policy names: they are held before the first look.
    ports: BTreeSet<u16>,
    /// Who may connect on loopback.
    local_users: BTreeSet<u32>,
    /// The gateway's own user, if the policy names one.
    gateway_user: Option<u32>,
    /// Connections of other users.
    others: Others,
    /// A gateway answers there that is in none of this host's processes.
    elsewhere: Option<SocketAddr>,
}

/// Whether there is to be a seal while the circuit is closed.
pub(super) fn seals(config: &Config) -> bool {
    config.settings.seal && config.settings.mode != Mode::Observe
}

/// What is to be so, as far as is seen.
pub(super) fn of(
    config: &Config,
    powers: &Powers,
    users: &Users,
    sight: &Sight,
    state: &State,
    target: &Target,
    others: Others,
) -> Orders {
    let mut local_users = users.local();
    match users.gateway() {
        Some(gateway) => local_users.extend([gateway]),
        None => local_users.extend(&target.users),
    }
    let means = Means {
        firewall: powers.firewall(),
        seals: seals(config),
        allowed: allowed(&sight.policy, &sight.known),
        ports: sight.policy.ports.iter().copied().collect(),
        local_users,
        gateway_user: users.gateway(),
        others,
        elsewhere: carried::still_there(&target.carried, &sight.known),
    };
    orders(state, &means, target)
}

impl Watcher {
    /// Tells the enforcer what is to be so, if that has changed. Answers whether that put all in doubt that was concluded.
    pub(super) fn give_orders(&mut self) -> bool {
        let Self { config, powers, users, sight, state, target, round, leans_on_the_seal, .. } = self;
        // Whom the wall is to admit depends on whose the gateways are.
        let others = if round.is_some() { Others::Go } else { Others::Stay };
        let leaning = if *leans_on_the_seal { Leaning::Somebody } else { Leaning::Nobody };
        let orders = Orders { leaning, ..of(config, powers, users, sight, state, target, others) };
        self.enforcer.orders.send_if_modified(|standing| {
            let changed = *standing != orders;
            if changed {
                *standing = orders;
            }
            changed
        });
        self.renew_seal()
    }
}

fn orders(state: &State, means: &Means, target: &Target) -> Orders {
    let wall = |stance| {
        // What makes no difference is left out, so that a tunnel that comes up changes no wall.
        let sealed = stance == Stance::Seal;
        let admits = stance != Stance::Block;
        means.firewall.then(|| Wall {
            stance,
            ports: &target.ports | &means.ports,
            // Whoever carries a gateway that nobody can stop here is held itself, but only while the circuit is open:
            // a recovery has to ask it, and a seal is not for what others serve.
            doors: if admits { target.doors.clone() } else { &target.doors | &target.carried },
            vpn: if sealed { means.allowed.vpn.clone() } else { BTreeSet::new() },
            // A gateway that is bound to nothing but the VPN's address is tried there, too.
            own: if admits { means.allowed.own.clone() } else { BTreeSet::new() },
            networks: if sealed { means.allowed.networks.clone() } else { BTreeSet::new() },
            local_users: Some(if admits { means.local_users.clone() } else { BTreeSet::new() }),
            gateway_user: means.gateway_user,
        })
    };
    match state {
        // Processes come and go: while nothing is to be done to them they are left out, so that
        // orders stay the same.
        State::Closed(_) => {
            let wall = if means.seals { wall(Stance::Seal) } else { None };
            Orders { wall, others: means.others, ..let_go() }
        }
        State::HalfOpen(_) => Orders { wall: wall(Stance::Loopback), others: means.others, ..let_go() },
        State::Open(open) => {
            let stopped = open.level == Level::Stopped;
            Orders {
                wall: wall(Stance::Block),
                open: true,
                stopped,
                restart: false,
                others: Others::Stay,
                leaning: Leaning::Nobody,
                target: if stopped { target.clone() } else { Target::default() },
                elsewhere: if stopped { means.elsewhere } else { None },
            }
        }
    }
}

/// Gateways may run, and services that were stopped are started again.
fn let_go() -> Orders {
    Orders {
        wall: None,
        open: false,
        stopped: false,
        restart: true,
        others: Others::Stay,
        leaning: Leaning::Nobody,
        target: Target::default(),
        elsewhere: None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::breaker::state::{Closed, HalfOpen, Open};
    use crate::sys::clock::Moment;
    use crate::trip::{Cause, Trip};

    fn means() -> Means {
        Means { firewall: true, seals: true, ..Means::default() }
    }

    fn trip() -> Trip {
        Trip::new(Timestamp::UNIX_EPOCH, Cause::Exposed, "because", &[])
    }

    fn open(level: Level) -> State {
        Open { since: Timestamp::UNIX_EPOCH, began: Moment::default(), trip: trip(), level }.into()
    }

    fn target() -> Target {
        Target { ports: BTreeSet::from([18789]), ..Target::default() }
    }

    fn stance(orders: &Orders) -> Option<Stance> {
        orders.wall.as_ref().map(|wall| wall.stance)
    }

    #[test]
    fn closed_is_sealed_where_it_can_be_and_nothing_else_is_done() {
        let closed = State::from(Closed::since(Timestamp::UNIX_EPOCH));
        let sealed = orders(&closed, &means(), &target());
        assert_eq!(stance(&sealed), Some(Stance::Seal));
        assert!(!sealed.open && !sealed.stopped);
        for without in [Means { firewall: false, ..means() }, Means { seals: false, ..means() }] {
            assert_eq!(stance(&orders(&closed, &without, &target())), None);
        }
    }

    #[test]
    fn there_is_no_seal_for_whoever_wants_none_or_only_observes() {
        for (text, seal) in [("", true), ("seal = false", false), ("mode = \"observe\"", false)] {
            let config = Config::of_text("guardian.toml".as_ref(), text).unwrap();
            assert_eq!(seals(&config), seal, "{text}");
        }
    }

    #[test]
    fn the_ports_of_the_policy_are_held_before_anything_was_seen() {
        let closed = State::from(Closed::since(Timestamp::UNIX_EPOCH));
        let means = Means { ports: BTreeSet::from([18789]), ..means() };
        for state in [closed, open(Level::Isolated), open(Level::Stopped)] {
            let unseen = orders(&state, &means, &Target::default());
            assert_eq!(unseen.wall.unwrap().ports, BTreeSet::from([18789]));
        }
    }

    #[test]
    fn open_blocks_everybody_and_stops_only_at_that_level() {
        let isolated = orders(&open(Level::Isolated), &means(), &target());
        assert_eq!((stance(&isolated), isolated.stopped), (Some(Stance::Block), false));
        let stopped = orders(&open(Level::Stopped), &means(), &target());
        assert_eq!((stance(&stopped), stopped.stopped), (Some(Stance::Block), true));
        assert_eq!(stopped.target, target());
        let observing = Means { seals: false, ..means() };
        assert_eq!(stance(&orders(&open(Level::Isolated), &observing, &target())), Some(Stance::Block));
    }

    #[test]
    fn whoever_carries_a_gateway_from_elsewhere_is_held_while_the_circuit_is_open_and_only_then() {
        let door: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        let target = Target { carried: BTreeSet::from([door]), ..target() };
        let holds = |state: State| orders(&state, &means(), &target).wall.unwrap().holds(door);
        for level in [Level::Isolated, Level::Stopped] {
            assert!(holds(open(level)), "{level:?}");
        }
        let (since, began, level) = (Timestamp::UNIX_EPOCH, Moment::default(), Level::Isolated);
        assert!(!holds(HalfOpen { since, began, trip: trip(), level, safe: 0 }.into()));
        assert!(!holds(Closed::since(since).into()));
        let means = Means { elsewhere: Some(door), ..means() };
        let told = |level| orders(&open(level), &means, &target).elsewhere;
        assert_eq!((told(Level::Stopped), told(Level::Isolated)), (Some(door), None));
    }

    #[test]
    fn without_a_firewall_it_is_stopped_by_what_is_left() {
        let unprivileged = Means { firewall: false, ..means() };
        let stopped = orders(&open(Level::Stopped), &unprivileged, &target());
        assert!(stopped.wall.is_none() && stopped.stopped);
    }

    #[test]
    fn half_open_admits_loopback_only_and_lets_services_go() {
        let half = HalfOpen {
            since: Timestamp::UNIX_EPOCH,
            began: Moment::default(),
            trip: trip(),
            level: Level::Isolated,
            safe: 0,
        };
        let allowed = Allowed { own: BTreeSet::from(["100.64.0.7".parse().unwrap()]), ..means().allowed };
        let means = Means { seals: false, allowed, ..means() };
        let half = orders(&half.into(), &means, &target());
        assert_eq!(stance(&half), Some(Stance::Loopback));
        // A gateway may be bound to nothing but the VPN's address: this host is to try it there.
        assert_eq!(half.wall.as_ref().unwrap().own, means.allowed.own);
        assert!(orders(&open(Level::Isolated), &means, &target()).wall.unwrap().own.is_empty());
        assert!(half.restart && !half.stopped);
    }

    #[test]
    fn connections_of_others_are_left_until_it_is_known_whom_to_admit() {
        let closed = State::from(Closed::since(Timestamp::UNIX_EPOCH));
        for (others, known) in [(Others::Stay, false), (Others::Go, true)] {
            let means = Means { others, ..means() };
            assert_eq!(orders(&closed, &means, &target()).others == Others::Go, known);
            // A block ends every connection in any case.
            assert_eq!(orders(&open(Level::Isolated), &means, &target()).others, Others::Stay);
        }
    }
}
