//! What the barriers have to act on, as far as it is seen.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use guardian_rules::address::Scope;
use guardian_rules::fact::{Process, Role};
use guardian_rules::policy::Policy;
use guardian_rules::scene::{Door, Part, Scene};
use guardian_rules::snapshot::Snapshot;
use ipnet::IpNet;

use crate::barrier::{Identity, Target};

/// As much of each kind is remembered while the circuit is open.
const MOST: usize = 4096;

/// What belongs to gateways.
pub(crate) fn target(policy: &Policy, known: &Snapshot) -> Target {
    let scene = Scene::new(policy, known);
    let gateways = || scene.doors.iter().filter(|door| door.part.is_gateways());
    // A descriptor can be handed to anybody: whoever holds one without being a gateway counts only
    // if it is of the user who made the socket.
    let holders = gateways().flat_map(|door| {
        let pids = door.listener.owner.pids().iter().filter_map(|pid| scene.process(*pid));
        pids.filter(|process| process.uid.is_some() && process.uid == door.listener.uid)
    });
    let marked = scene.gateway_processes().filter_map(|it| scene.process(it.pid));
    let pids: BTreeSet<u32> = holders.chain(marked).map(|process| process.pid).collect();
    let processes = pids
        .into_iter()
        .filter_map(|pid| scene.process(pid))
        .filter(|process| process.pid > 1 && !is_the_systems(process))
        // A proxy that holds a gateway's socket relays for others too.
        .filter(|process| process.role != Role::Guardian && !process.role.relays())
        .map(|process| Identity {
            pid: process.pid,
            started: process.started,
            birth: None,
            uid: process.uid,
            name: scene.name_of(process.pid),
        })
        .collect();
    let (doors, ports) = doors_and_ports(&scene);
    Target {
        ports,
        doors,
        carried: scene.ways_elsewhere(),
        bound: gateways().map(|door| door.listener.bound).collect(),
        users: gateways().filter_map(|door| door.listener.uid).collect(),
        processes,
        services: scene.gateway_processes().filter_map(|it| it.service.clone()).collect(),
        configs: scene.gateway_processes().filter_map(|it| it.config.path.clone()).collect(),
    }
}

/// The ports that are the gateways' alone, and where they are on those that somebody else, of another
/// user, has as well. That user's service must not go with them: anybody can put something that looks
/// like a gateway beside it. The ports of the policy are held in any case.
fn doors_and_ports(scene: &Scene<'_>) -> (BTreeSet<SocketAddr>, BTreeSet<u16>) {
    let mut ports = scene.gateway_ports();
    let mut doors = BTreeSet::new();
    for door in scene.doors.iter().filter(|door| door.part.is_gateways()) {
        let (bound, uid) = (door.listener.bound, door.listener.uid);
        let anothers = |other: &&Door<'_>| {
            other.listener.bound.port() == bound.port()
                && !other.part.is_gateways()
                && !matches!(other.part, Part::Carries(..))
                && other.listener.uid.is_some()
                && other.listener.uid != uid
        };
        if scene.policy.ports.contains(&bound.port()) || !scene.doors.iter().any(|it| anothers(&it)) {
            continue;
        }
        ports.remove(&bound.port());
        doors.insert(bound);
        if door.listener.dual_stack {
            doors.insert(SocketAddr::from((Ipv4Addr::UNSPECIFIED, bound.port())));
        }
    }
    (doors, ports)
}

/// A supervisor or a bus, which may hold the sockets of what it starts and carries a whole session.
/// By its file: its name is its own choice.
fn is_the_systems(process: &Process) -> bool {
    const PROGRAMS: &[&str] = &[
        "/lib/systemd/systemd",
        "/usr/lib/systemd/systemd",
        "/usr/bin/dbus-daemon",
        "/usr/bin/dbus-broker",
        "/usr/bin/dbus-broker-launch",
        "/sbin/launchd",
    ];
    process.exe.as_deref().is_some_and(|exe| PROGRAMS.iter().any(|program| exe == Path::new(program)))
}

/// What the policy allows, as a packet filter needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Tunnel interfaces.
    pub(crate) vpn: BTreeSet<String>,
    /// Addresses of this host that are allowed, loopback left out.
    pub(crate) own: BTreeSet<IpAddr>,
    /// Networks allowed in writing.
    pub(crate) networks: BTreeSet<IpNet>,
}

/// What the policy allows on this host. Addresses that are not known are not allowed.
pub(crate) fn allowed(policy: &Policy, known: &Snapshot) -> Allowed {
    let own = || known.interfaces.seen().into_iter().flatten();
    Allowed {
        vpn: own().filter(|it| it.scope() == Scope::Vpn).map(|it| it.interface.clone()).collect(),
        own: own()
            .filter(|it| it.scope() != Scope::Loopback && policy.allows_own(it))
            .map(|it| it.address.to_canonical())
            .collect(),
        networks: policy.networks.iter().map(|allowed| allowed.network).collect(),
    }
}

impl Target {
    /// Remembers what has gone in the meantime: a service that was stopped has no process to name
    /// it. Processes are as they are now.
    ///
    /// Whoever makes up gateways all the time has no end of them remembered, and keeps no other one from being
    /// remembered: what is seen now goes in, and what was there from the `first` stays.
    pub(crate) fn remember(&mut self, seen: Self, first: &Self) {
        add(&mut self.ports, seen.ports, &first.ports);
        add(&mut self.doors, seen.doors, &first.doors);
        add(&mut self.carried, seen.carried, &first.carried);
        add(&mut self.bound, seen.bound, &first.bound);
        add(&mut self.users, seen.users, &first.users);
        add(&mut self.services, seen.services, &first.services);
        add(&mut self.configs, seen.configs, &first.configs);
        self.processes = seen.processes;
    }

    /// Remembers where one comes to gateways elsewhere, within the same bounds.
    pub(crate) fn remember_carried(&mut self, seen: BTreeSet<SocketAddr>, first: &Self) {
        add(&mut self.carried, seen, &first.carried);
    }

    /// The same with all that is seen now.
    pub(crate) fn add(&mut self, seen: Self) {
        let known = self.clone();
        self.remember(seen, &known);
    }

    /// What lasts beyond a process is the same.
    pub(crate) fn lasts_as(&self, other: &Self) -> bool {
        self.ports == other.ports
            && self.doors == other.doors
            && self.carried == other.carried
            && self.bound == other.bound
            && self.users == other.users
            && self.services == other.services
            && self.configs == other.configs
    }
}

/// Adds what is seen now. Of what is known, what was not there at first goes for it where there would be too much.
fn add<T: Ord>(known: &mut BTreeSet<T>, seen: BTreeSet<T>, first: &BTreeSet<T>) {
    let mut over = known.union(&seen).count().saturating_sub(MOST);
    known.retain(|one| {
        let goes = over > 0 && !seen.contains(one) && !first.contains(one);
        over -= usize::from(goes);
        !goes
    });
    known.extend(seen);
}

#[cfg(test)]
mod tests {
    use guardian_rules::blindness::Blindness;
    use guardian_rules::fact::{
        Access, AccessAnswer, Attribution, ConfigFile, ConfigState, ContainerPort, Destination, Engine,
        GatewayProcess, InterfaceAddress, Listener, Manager, Product, Redirect, Redirects, Service,
        Transport,
    };
    use guardian_rules::observation::Observation;
    use guardian_rules::policy::AllowedNetwork;

    use super::*;

    fn process(pid: u32, role: Role) -> Process {
        Process {
            pid,
            parent: Some(1),
            started: 1_780_000_000,
            uid: Some(1000),
            user: Some("ana".to_owned()),
            name: "node".to_owned(),
            exe: None,
            argv: Vec::new(),
            role,
        }
    }

    fn snapshot() -> Snapshot {
        let listener = |bound: &str, pids: &[u32]| Listener {
            bound: bound.parse().unwrap(),
            dual_stack: false,
            device: None,
            uid: Some(1000),
            socket: 1,
            owner: Attribution::Named(pids.to_vec()),
        };
        let service = Service { name: "openclaw-gateway.service".to_owned(), manager: Manager::User(1000) };
        let gateway = GatewayProcess {
            pid: 812,
            product: Some(Product::Openclaw),
            marks: Vec::new(),
            service: Some(service),
            config: ConfigFile {
                path: Some("/home/ana/.openclaw/openclaw.json".into()),
                state: ConfigState::Absent,
            },
            private_paths: Vec::new(),
            state: None,
            within_reach: Ok(Vec::new()),
            devices: Ok(Vec::new()),
        };
        let own = |interface: &str, address: &str| InterfaceAddress {
            interface: interface.to_owned(),
            index: None,
            address: address.parse().unwrap(),
            prefix: 24,
            tunnel: false,
        };
        Snapshot {
            listeners: Observation::Seen(vec![
                listener("0.0.0.0:4711", &[1, 812]),
                listener("0.0.0.0:8088", &[900]),
            ]),
            owner: Observation::Seen(vec![
                process(1, Role::Unknown),
                process(812, Role::Gateway),
                process(900, Role::Proxy),
            ]),
            gateway: Observation::Seen(vec![gateway]),
            interfaces: Observation::Seen(vec![
                own("lo", "127.0.0.1"),
                own("eth0", "192.168.1.5"),
                own("wg0", "10.9.0.2"),
            ]),
            ..Snapshot::default()
        }
    }

    #[test]
    fn the_gateways_port_process_and_service_are_the_target_and_nobody_elses() {
        let target = target(&Policy::default(), &snapshot());
        assert_eq!(target.ports, BTreeSet::from([4711, 18789]));
        assert_eq!(
            target.processes.iter().map(|it| it.pid).collect::<Vec<_>>(),
            [812],
            "neither init nor nginx"
        );
        assert_eq!(target.services.len(), 1);
        assert_eq!(target.configs.len(), 1);
    }

    #[test]
    fn whoever_was_handed_a_gateways_socket_is_not_the_gateway() {
        let mut snapshot = snapshot();
        let Observation::Seen(processes) = &mut snapshot.owner else { unreachable!() };
        processes.extend([
            Process { uid: Some(0), ..process(500, Role::Unknown) },
            Process { uid: None, ..process(501, Role::Unknown) },
            Process { exe: Some("/usr/lib/systemd/systemd".into()), ..process(502, Role::Unknown) },
            process(503, Role::Runtime),
        ]);
        let Observation::Seen(listeners) = &mut snapshot.listeners else { unreachable!() };
        listeners[0].owner = Attribution::Named(vec![500, 501, 502, 503, 812]);
        let ended = |snapshot: &Snapshot| {
            let target = target(&Policy::default(), snapshot);
            target.processes.iter().map(|it| it.pid).collect::<Vec<_>>()
        };
        assert_eq!(ended(&snapshot), [503, 812], "of its own user, and bearing the marks");
        let Observation::Seen(processes) = &mut snapshot.owner else { unreachable!() };
        for process in processes.iter_mut().filter(|it| it.pid == 812) {
            process.uid = Some(0);
        }
        assert!(ended(&snapshot).contains(&812), "its marks are enough");
    }

    #[test]
    fn whoever_carries_a_gateway_that_is_not_here_is_part_of_the_target_and_an_ordinary_proxy_is_not() {
        let mut snapshot = snapshot();
        assert!(target(&Policy::default(), &snapshot).carried.is_empty(), "nobody answers as a gateway");
        let answer = |bound: &str, access| AccessAnswer {
            at: bound.parse().unwrap(),
            bound: bound.parse().unwrap(),
            transport: Transport::Plain,
            access,
        };
        let carried = |snapshot: &Snapshot| {
            target(&Policy::default(), snapshot).carried.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        snapshot.access = Observation::Seen(vec![answer("0.0.0.0:8088", Access::Required)]);
        assert_eq!(carried(&snapshot), ["0.0.0.0:8088"], "no gateway of this host answers");
        let both = [answer("0.0.0.0:8088", Access::Required), answer("0.0.0.0:4711", Access::Required)];
        snapshot.access = Observation::Seen(both.to_vec());
        assert!(carried(&snapshot).is_empty(), "the gateway that is held is behind it");
        let Observation::Seen(processes) = &mut snapshot.owner else { unreachable!() };
        for process in processes.iter_mut().filter(|it| it.pid == 900) {
            process.role = Role::ContainerEngine;
        }
        assert_eq!(carried(&snapshot), ["0.0.0.0:8088"], "nothing of this host is behind a container engine");
    }

    #[test]
    fn what_an_engine_publishes_and_what_the_packet_filter_leads_to_is_part_of_it_where_a_gateway_answers() {
        let port = |access| ContainerPort {
            container: "box".to_owned(),
            image: "box".to_owned(),
            is_named_like_a_gateway: true,
            on: "0.0.0.0:8080".parse().unwrap(),
            to: Some("172.17.0.2:3000".parse().unwrap()),
            access,
        };
        let redirect = |guest| Redirect {
            to: Some(Destination { ip: "172.17.0.3".parse().unwrap(), ports: (18789, 18789) }),
            arriving_at: Vec::new(),
            arriving_on: Vec::new(),
            from: Vec::new(),
            guest: Some(guest),
            text: "dnat to 172.17.0.3:18789".to_owned(),
        };
        let unknown = || Access::Unknown(Blindness::timed_out("after 1 s"));
        for (access, is_roots, places) in [
            (Access::Required, true, 3),
            // It may name whatever somebody wants to be held.
            (Access::Required, false, 1),
            (Access::NoGateway, true, 0),
            (unknown(), true, 0),
        ] {
            let snapshot = Snapshot {
                containers: Observation::Seen(vec![Engine {
                    name: "docker".to_owned(),
                    socket: "/var/run/docker.sock".into(),
                    is_roots,
                    ports: Ok(vec![port(access.clone())]),
                }]),
                redirects: Observation::Seen(Redirects {
                    rules: Ok(vec![redirect(access.clone())]),
                    reaches_loopback: Some(false),
                    open_cards: Vec::new(),
                }),
                ..snapshot()
            };
            assert_eq!(target(&Policy::default(), &snapshot).carried.len(), places, "{access:?}");
        }
    }

    #[test]
    fn a_look_alike_beside_anothers_service_takes_its_port_only_where_it_listens() {
        let mut snapshot = snapshot();
        let Observation::Seen(listeners) = &mut snapshot.listeners else { unreachable!() };
        listeners[0].bound = "127.0.0.2:5432".parse().unwrap();
        let mut postgres = Listener { bound: "127.0.0.1:5432".parse().unwrap(), ..listeners[1].clone() };
        (postgres.uid, postgres.owner) = (Some(70), Attribution::Named(vec![70]));
        listeners.push(postgres);
        let shared = target(&Policy::default(), &snapshot);
        assert_eq!(shared.ports, BTreeSet::from([18789]));
        assert_eq!(shared.doors, BTreeSet::from(["127.0.0.2:5432".parse().unwrap()]));
        let named = Policy { ports: vec![5432], ..Policy::default() };
        let held = target(&named, &snapshot);
        assert!(held.ports.contains(&5432) && held.doors.is_empty(), "the owner says whose port it is");
        let Observation::Seen(listeners) = &mut snapshot.listeners else { unreachable!() };
        for listener in listeners.iter_mut() {
            listener.uid = Some(1000);
        }
        let alone = target(&Policy::default(), &snapshot);
        assert!(alone.ports.contains(&5432) && alone.doors.is_empty(), "its own user's");
    }

    #[test]
    fn what_has_gone_is_remembered_but_not_its_processes() {
        let mut target = target(&Policy::default(), &snapshot());
        target.remember(Target::default(), &Target::default());
        assert!(target.processes.is_empty());
        assert!(target.ports.contains(&4711) && target.services.len() == 1);
    }

    #[test]
    fn whoever_makes_up_gateways_without_end_has_no_end_of_them_remembered_and_keeps_no_new_one_out() {
        let mut target = target(&Policy::default(), &snapshot());
        let first = target.clone();
        for port in (1..=6_000_u16).rev() {
            let bound = BTreeSet::from([SocketAddr::from(([127, 0, 0, 9], port))]);
            let seen = Target { ports: BTreeSet::from([port]), bound: bound.clone(), ..Target::default() };
            target.remember(seen, &first);
            target.remember_carried(bound.clone(), &first);
            assert!(target.carried.is_superset(&bound));
            assert!(target.ports.contains(&port) && target.bound.is_superset(&bound), "what is there now");
        }
        assert_eq!((target.ports.len(), target.bound.len(), target.carried.len()), (MOST, MOST, MOST));
        assert!(target.ports.contains(&4711), "what was there when it tripped stays");
        // Whatever there is at once is held, however much it is.
        let all: BTreeSet<u16> = (1..=60_000).collect();
        target.remember(Target { ports: all.clone(), ..Target::default() }, &first);
        assert!(target.ports.is_superset(&all));
    }

    #[test]
    fn vpns_and_written_networks_are_allowed() {
        let policy = Policy {
            networks: vec![AllowedNetwork {
                network: "192.168.1.0/24".parse().unwrap(),
                reason: "r".to_owned(),
            }],
            ..Policy::default()
        };
        let allowed = allowed(&policy, &snapshot());
        assert_eq!(allowed.vpn, BTreeSet::from(["wg0".to_owned()]));
        assert_eq!(allowed.own.len(), 2);
        assert_eq!(allowed.networks.len(), 1);
        let unseen = super::allowed(&policy, &Snapshot::default());
        assert!(unseen.own.is_empty() && unseen.vpn.is_empty());
    }
}
