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
    /// Whoever makes up gateways all the time has no end of them remembered.
    pub(crate) fn remember(&mut self, seen: Self) {
        fn add<T: Ord>(known: &mut BTreeSet<T>, seen: BTreeSet<T>) {
            for one in seen {
                if known.len() < MOST || known.contains(&one) {
                    known.insert(one);
                }
            }
        }
        add(&mut self.ports, seen.ports);
        add(&mut self.doors, seen.doors);
        add(&mut self.bound, seen.bound);
        add(&mut self.users, seen.users);
        add(&mut self.services, seen.services);
        add(&mut self.configs, seen.configs);
        self.processes = seen.processes;
    }

    /// What lasts beyond a process is the same.
    pub(crate) fn lasts_as(&self, other: &Self) -> bool {
        self.ports == other.ports
            && self.doors == other.doors
            && self.bound == other.bound
            && self.users == other.users
            && self.services == other.services
            && self.configs == other.configs
    }
}

#[cfg(test)]
mod tests {
    use guardian_rules::fact::{
        Attribution, ConfigFile, ConfigState, GatewayProcess, InterfaceAddress, Listener, Manager, Product,
        Service,
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
        target.remember(Target::default());
        assert!(target.processes.is_empty());
        assert!(target.ports.contains(&4711) && target.services.len() == 1);
    }

    #[test]
    fn whoever_makes_up_gateways_without_end_has_no_end_of_them_remembered() {
        let mut target = target(&Policy::default(), &snapshot());
        for port in 1..=60_000_u16 {
            let bound = BTreeSet::from([SocketAddr::from(([127, 0, 0, 9], port))]);
            target.remember(Target { ports: BTreeSet::from([port]), bound, ..Target::default() });
        }
        assert_eq!((target.ports.len(), target.bound.len()), (MOST, MOST));
        assert!(target.ports.contains(&4711), "the first ones stay");
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
