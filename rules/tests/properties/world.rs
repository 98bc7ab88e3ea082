//! Worlds to judge: hosts that could be, and facts that do not fit each other.

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{
    Access, AccessAnswer, Announcement, Attribution, Audience, ContainerPort, Destination, Device, Engine,
    Exposure, Flow, HandshakeAnswer, Intent, InterfaceAddress, Listener, Origin, PanelAnswer, Peer,
    ReachAnswer, Reached, Redirect, Redirects, Role, Router, Secret, SideDoor, Stopped, Suspicion, Tailscale,
    Transport, Witness,
};
use guardian_rules::observation::Observation;
use guardian_rules::policy::{AllowedNetwork, AllowedPath, Policy};
use guardian_rules::snapshot::{ProbeId, Snapshot};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::change::{blinded, removed};
use crate::scenery::*;

/// A policy and what was seen.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) snapshot: Snapshot,
}

/// Any world.
pub(super) fn world() -> impl Strategy<Value = World> {
    let whole = prop_oneof![
        4 => plausible(quiet_program().boxed()),
        4 => plausible(prop_oneof![3 => quiet_program(), 1 => any_program()].boxed()),
        2 => plausible(any_program().boxed()),
        2 => incoherent(),
    ];
    let lost = prop_oneof![4 => Just(Vec::new()), 1 => subsequence(&ProbeId::ALL[..], 0..=3)];
    // Sometimes the breaker has put down what ran before.
    let stopped = option::weighted(0.05, Just(Stopped::default()));
    // Sometimes the gate has refused somebody, more or less often.
    let suspicions = prop_oneof![
        9 => Just(Vec::new()),
        1 => (select(&Intent::ALL[..]), 0_u32..150)
            .prop_map(|(intent, count)| vec![Suspicion { intent, count, last: ip("100.100.1.9") }]),
    ];
    // Sometimes a gateway was exposed, and somebody is paired with it.
    let exposures = prop_oneof![
        9 => Just(Vec::new()),
        1 => option::of(0_u64..9).prop_map(|from| vec![Exposure { from, until: Some(9) }]),
    ];
    // Sometimes a router carries ports to the host.
    let routers = prop_oneof![6 => Just(Vec::new()), 1 => vec(router(), 1..3)];
    // Sometimes a gateway announces itself.
    let announcements = prop_oneof![6 => Just(Vec::new()), 1 => vec(announcement(), 1..3)];
    let told = (stopped, suspicions, exposures);
    let seen = (routers, announcements, redirects(), engines());
    (whole, lost, any::<bool>(), told, seen).prop_map(|(world, lost, with_memory, told, seen)| {
        let (stopped, suspicions, exposures) = told;
        let (routers, announcements, redirects, engines) = seen;
        let snapshot = Snapshot {
            stopped,
            suspicions,
            exposures,
            router: Observation::Seen(routers),
            announcements: Observation::Seen(announcements),
            redirects: Observation::Seen(redirects),
            containers: Observation::Seen(engines),
            ..world.snapshot
        };
        let lose = |snapshot, probe| {
            if with_memory { blinded(snapshot, probe) } else { removed(snapshot, probe) }
        };
        World { policy: world.policy, snapshot: lost.into_iter().fold(snapshot, lose) }
    })
}

/// Most packet filters send nobody anywhere.
fn redirects() -> impl Strategy<Value = Redirects> {
    let rules = prop_oneof![
        12 => Just(Ok(Vec::new())),
        2 => vec(redirect(), 1..3).prop_map(Ok),
        1 => Just(Err(denied())),
    ];
    let reaches = select(&[Some(false), Some(false), Some(true), None][..]);
    let cards = select(vec![Vec::new(), vec!["eth0"], vec!["wg0"]]);
    (rules, reaches, cards).prop_map(|(rules, reaches_loopback, cards)| Redirects {
        rules,
        reaches_loopback,
        open_cards: cards.iter().map(|card| (*card).to_owned()).collect(),
    })
}

fn redirect() -> impl Strategy<Value = Redirect> {
    let ips = ["127.0.0.1", "::1", "0.0.0.0", "192.168.1.5", "100.100.1.2", "172.17.0.2", "198.51.100.9"];
    let ports = select(&[(18789, 18789), (4000, 4000), (80, 80), (1, u16::MAX), (8000, 8100)][..]);
    let to = option::weighted(0.9, (select(ips.to_vec()), ports));
    let on = subsequence(vec!["wlan0", "tailscale0", "lo", "eth9"], 0..2);
    let from = subsequence(vec!["192.168.1.0/24", "10.0.0.0/8", "198.51.100.0/24"], 0..2);
    let arriving = subsequence(vec!["127.0.0.1", "100.100.1.2", "203.0.113.7"], 0..2);
    (to, on, from, arriving, option::of(access())).prop_map(|(to, on, from, arriving, guest)| Redirect {
        to: to.map(|(to, ports)| Destination { ip: ip(to), ports }),
        arriving_at: arriving.into_iter().map(ip).collect(),
        arriving_on: on.into_iter().map(str::to_owned).collect(),
        from: from.into_iter().map(|from| from.parse().expect("a network")).collect(),
        guest,
        text: "ip nat prerouting: tcp dport 8080 dnat".to_owned(),
    })
}

/// Most hosts have no containers.
fn engines() -> impl Strategy<Value = Vec<Engine>> {
    let port = (address(ANYWHERE, PORTS), option::of(Just("172.17.0.2:18789")), access(), any::<bool>());
    let port = port.prop_map(|(on, to, access, is_named_like_a_gateway)| ContainerPort {
        container: "box".to_owned(),
        image: "image".to_owned(),
        is_named_like_a_gateway,
        on: at(&on),
        to: to.map(at),
        access,
    });
    let ports = prop_oneof![4 => vec(port, 1..3).prop_map(Ok), 1 => Just(Err(denied()))];
    let engine = (select(&["docker", "podman"][..]), any::<bool>(), ports);
    let engine = engine.prop_map(|(name, is_roots, ports)| Engine {
        name: name.to_owned(),
        is_roots,
        socket: format!("/run/{name}.sock").into(),
        ports,
    });
    prop_oneof![9 => Just(Vec::new()), 1 => vec(engine, 1..3)]
}

pub(super) fn network() -> impl Strategy<Value = AllowedNetwork> {
    select(&["192.168.1.0/24", "192.168.0.0/16", "203.0.113.0/25", "10.0.0.0/8", "fe80::/10", "172.17.0.0/16"][..])
        .prop_map(|network| AllowedNetwork { network: network.parse().expect("a network"), reason: "so".to_owned() })
}

pub(super) fn path() -> impl Strategy<Value = AllowedPath> {
    select(&["ngrok", "cloudflared", "container", "tailscale-funnel", "router"][..])
        .prop_map(|path| AllowedPath { path: path.to_owned(), reason: "so".to_owned() })
}

fn policy() -> impl Strategy<Value = Policy> {
    let ports = prop_oneof![3 => Just(vec![18789]), 1 => Just(vec![18789, 8088]), 1 => Just(Vec::new())];
    let networks = prop_oneof![4 => Just(Vec::new()), 1 => vec(network(), 1..3)];
    let paths = prop_oneof![4 => Just(Vec::new()), 1 => vec(path(), 1..3)];
    (ports, networks, paths).prop_map(|(ports, networks, paths)| Policy {
        ports,
        networks,
        paths,
        ..Policy::default()
    })
}

fn interfaces() -> impl Strategy<Value = Vec<InterfaceAddress>> {
    let all = [
        ("wlan0", "192.168.1.5"),
        ("tailscale0", "100.100.1.2"),
        ("eth0", "203.0.113.7"),
        ("docker0", "172.17.0.1"),
        ("wlan0", "fe80::5"),
        ("lo0", "fe80::1"),
    ];
    subsequence(all.to_vec(), 0..=all.len()).prop_map(|chosen| {
        let loopback = [("lo", "127.0.0.1"), ("lo", "::1")];
        loopback
            .into_iter()
            .chain(chosen)
            .map(|(interface, address)| InterfaceAddress {
                interface: interface.to_owned(),
                index: Some(u32::try_from(interface.len()).unwrap_or(0)),
                address: ip(address),
                prefix: 24,
                tunnel: false,
            })
            .collect()
    })
}

/// A host on which these programs run.
fn plausible(program: BoxedStrategy<Program>) -> BoxedStrategy<World> {
    let strangers = prop_oneof![6 => Just(Vec::new()), 1 => vec(visitor(), 1..3)];
    (policy(), interfaces(), vec(program, 0..6), strangers)
        .prop_map(|(policy, interfaces, programs, strangers)| {
            let programs: Vec<Program> = programs
                .into_iter()
                .zip(0_u32..)
                .map(|(program, place)| program.numbered(800 + place))
                .collect();
            let snapshot = snapshot_of(&policy, &interfaces, &programs, &strangers);
            World { policy, snapshot }
        })
        .boxed()
}

fn router() -> impl Strategy<Value = Router> {
    let mapped = address(ANYWHERE, PORTS).prop_map(|to| router_to(&to));
    prop_oneof![3 => mapped, 1 => Just(router_that_does_not_tell())]
}

fn announcement() -> impl Strategy<Value = Announcement> {
    let own = select(&["127.0.0.1", "192.168.1.5", "100.100.1.2", "203.0.113.7", "198.18.0.9"][..]);
    let heard = (option::of(800_u32..804), own).prop_map(|(pid, own)| announced_on(pid, &[own]));
    prop_oneof![3 => heard, 1 => (800_u32..804).prop_map(perhaps_announced)]
}

fn visitor() -> impl Strategy<Value = Peer> {
    let from = select(&["198.51.100.4:50111", "192.168.1.77:50112", "100.90.1.7:50113"][..]);
    let to = select(&["192.168.1.5:18789", "100.100.1.2:18789", "127.0.0.1:18789", "203.0.113.7:8088"][..]);
    (from, to).prop_map(|(from, to)| stranger(from, to))
}

const LOOPBACK: &[&str] = &["127.0.0.1", "[::1]", "127.0.0.2"];
const ANYWHERE: &[&str] = &[
    "127.0.0.1",
    "[::1]",
    "0.0.0.0",
    "[::]",
    "192.168.1.5",
    "100.100.1.2",
    "203.0.113.7",
    "172.17.0.1",
    "[fe80::5]",
    "[fe80::1]",
    "198.18.0.9",
];
const PORTS: &[u16] = &[18789, 18791, 8088, 4000, 80];

fn address(hosts: &'static [&'static str], ports: &'static [u16]) -> impl Strategy<Value = String> {
    (select(hosts), select(ports)).prop_map(|(host, port)| format!("{host}:{port}"))
}

/// What runs on a host that is in order.
fn quiet_program() -> impl Strategy<Value = Program> {
    let sound = address(LOOPBACK, PORTS).prop_map(|bound| gateway(1).on(&bound, asking_for_credentials()));
    let site =
        (address(ANYWHERE, &[80, 443, 3000]), select(&[Role::Proxy, Role::Runtime, Role::Unknown][..]))
            .prop_map(|(bound, role)| program("httpd", 1, role).on(&bound, another_site()));
    let service = address(ANYWHERE, &[22, 5432])
        .prop_map(|bound| program("postgres", 1, Role::OtherService).on(&bound, another_protocol()));
    let unnamed = address(ANYWHERE, &[22, 631]).prop_flat_map(|bound| {
        select(vec![another_protocol(), hanging_up(), another_site(), decoy()])
            .prop_map(move |manner| unknown_program(1).on(&bound, manner).unnamed())
    });
    let client = select(&[Role::Browser, Role::Client, Role::Session, Role::Guardian][..])
        .prop_map(|role| program("chrome", 1, role).connected_to("127.0.0.1:18789"));
    prop_oneof![3 => sound, 2 => site, 1 => service, 1 => unnamed, 1 => client]
}

fn manner() -> impl Strategy<Value = Manner> {
    let plain = select(vec![
        asking_for_credentials(),
        asking_for_credentials().within_tls(),
        open_to_anyone(),
        refused_by_the_gateway(),
        with_a_password_in_front(),
        another_site(),
        another_site().with_page(|it| it.digest = Some([7; 32])),
        another_site().with_challenge(Access::Required),
        another_site().with_challenge(Access::Unknown(timed_out())),
        decoy(),
        decoy().but_access(Access::Unknown(timed_out())),
        failing(502),
        silent(),
        hanging_up(),
        another_protocol(),
        refusing(),
        unasked(),
        side_door(SideDoor::BrowserControl),
        side_door(SideDoor::ExtensionRelay),
        side_door(SideDoor::Inspector),
    ]);
    (plain, option::weighted(0.1, access())).prop_map(|(manner, access)| match access {
        Some(access) => manner.but_access(access),
        None => manner,
    })
}

fn access() -> impl Strategy<Value = Access> {
    let unknown = Access::Unknown(Blindness::new(Cause::Interrupted, "hung up"));
    select(vec![
        Access::Open,
        Access::Required,
        Access::RefusesProxy,
        Access::Fronted,
        Access::NoGateway,
        Access::Unknown(timed_out()),
        unknown,
    ])
}

fn role() -> impl Strategy<Value = Role> {
    select(
        &[
            Role::Gateway,
            Role::Client,
            Role::Proxy,
            Role::Forwarder,
            Role::Tunnel,
            Role::Vpn,
            Role::Session,
            Role::ContainerEngine,
            Role::Browser,
            Role::Guardian,
            Role::OtherService,
            Role::Runtime,
            Role::Unknown,
        ][..],
    )
}

fn flow() -> impl Strategy<Value = Flow> {
    let local = select(&["192.168.1.5:8088", "100.100.1.2:8088", "203.0.113.7:443"][..]);
    let remote = select(&["198.51.100.4:50111", "192.168.1.77:50112", "100.90.1.7:50113"][..]);
    (local, remote, any::<bool>()).prop_map(|(local, remote, inbound)| Flow {
        local: at(local),
        remote: at(remote),
        inbound,
    })
}

fn any_program() -> impl Strategy<Value = Program> {
    let name = select(&["ngrok", "cloudflared", "nginx", "helper", "ssh"][..]);
    let sockets = vec((address(ANYWHERE, PORTS), manner(), peculiarity()), 0..3);
    let connected =
        prop_oneof![3 => Just(None), 1 => Just(Some("127.0.0.1:18789")), 1 => Just(Some("127.0.0.1:4000"))];
    let route = option::weighted(0.15, (vec(address(ANYWHERE, PORTS), 0..2), select(PORTS)));
    let told = (route, prop::bool::weighted(0.2), option::weighted(0.15, tunnel()));
    let kind = (name, role(), option::weighted(0.4, config()));
    let hidden = (prop::bool::weighted(0.15), prop::bool::weighted(0.1), prop::bool::weighted(0.15));
    (kind, sockets, connected, vec(flow(), 0..3), told, hidden).prop_map(
        |(
            (name, role, config),
            sockets,
            connected,
            flows,
            (route, outspoken, tunnel),
            (unnamed, undescribed, root),
        )| {
            let mut it = match config {
                Some(config) => gateway(1).configured(|it| *it = config).marked(|it| {
                    if root {
                        it.private_paths = vec![private("/var/openclaw", 0o755)];
                        it.within_reach =
                            Ok(vec![Secret { path: "/root/.ssh".into(), what: "keys".to_owned() }]);
                        it.devices = Ok(vec![Device {
                            id: "aa11".to_owned(),
                            client: "cli".to_owned(),
                            platform: String::new(),
                            remote: None,
                            paired: Some(5),
                        }]);
                    }
                }),
                None => program(name, 1, role),
            };
            for (bound, manner, peculiar) in sockets {
                it = it.on_socket(&bound, manner, |listener| peculiar.apply(listener));
            }
            it.connected_to.extend(connected);
            it.flows = flows;
            if let Some((listens, port)) = route {
                let listens: Vec<&str> = listens.iter().map(String::as_str).collect();
                it = it.told_to_carry(&listens, port);
            }
            it.outspoken = outspoken;
            it.vague = root || undescribed;
            if let Some(tunnel) = tunnel {
                it = tunnel.on(it);
            }
            if root {
                it = it.of_user(0, "root");
            }
            match (unnamed, undescribed) {
                (true, _) => it.unnamed(),
                (false, true) => it.undescribed(),
                (false, false) => it,
            }
        },
    )
}

/// What a tunnel says.
#[derive(Debug, Clone)]
enum Told {
    Publishes(Vec<(&'static str, Audience, u16)>),
    KeepsSilent,
}

impl Told {
    fn on(self, program: Program) -> Program {
        match self {
            Self::Publishes(all) => all
                .into_iter()
                .fold(program.publishing_nothing(), |it, (path, who, port)| it.publishing(path, who, port)),
            Self::KeepsSilent => program.keeping_silent(),
        }
    }
}

fn tunnel() -> impl Strategy<Value = Told> {
    let way = select(
        &[
            ("ngrok", Audience::Internet),
            ("tailscale-funnel", Audience::Internet),
            ("tailscale-serve", Audience::Vpn),
        ][..],
    );
    let publication = (way, select(PORTS)).prop_map(|((path, audience), port)| (path, audience, port));
    prop_oneof![
        3 => vec(publication, 0..3).prop_map(Told::Publishes),
        1 => Just(Told::KeepsSilent),
    ]
}

#[derive(Debug, Clone, Copy)]
enum Peculiar {
    Nothing,
    DualStack,
    Tied(&'static str),
}

impl Peculiar {
    fn apply(self, listener: &mut Listener) {
        match self {
            Self::Nothing => {}
            Self::DualStack => listener.dual_stack = true,
            Self::Tied(device) => listener.device = Some(device.to_owned()),
        }
    }
}

fn peculiarity() -> impl Strategy<Value = Peculiar> {
    prop_oneof![
        6 => Just(Peculiar::Nothing),
        2 => Just(Peculiar::DualStack),
        1 => select(&["lo", "wlan0", "tailscale0", "vrf-blue"][..]).prop_map(Peculiar::Tied),
    ]
}

fn config() -> impl Strategy<Value = guardian_rules::fact::GatewayConfig> {
    let bind = select(&[None, Some("loopback"), Some("lan"), Some("custom"), Some("new")][..]);
    let tailscale = select(&[Tailscale::Off, Tailscale::Serve, Tailscale::Funnel][..]);
    let auth = select(&[None, Some("token"), Some("none")][..]);
    prop_oneof![
        2 => Just(sound_config()),
        1 => (bind, tailscale, auth, any::<bool>(), any::<bool>()).prop_map(
            |(bind, tailscale, auth, any_origin, has_secret)| {
                guardian_rules::fact::GatewayConfig {
                    bind: bind.map(str::to_owned),
                    auth_mode: auth.map(str::to_owned),
                    tailscale,
                    any_origin,
                    has_secret,
                    weakened_by: if has_secret { Vec::new() } else { vec!["allowInsecureAuth".to_owned()] },
                    ..sound_config()
                }
            }
        ),
    ]
}

/// Facts of a small vocabulary, drawn without regard for each other.
fn incoherent() -> impl Strategy<Value = World> {
    let owner = || {
        prop_oneof![
            3 => subsequence(vec![1_u32, 2, 3, 4], 1..3).prop_map(Attribution::Named),
            1 => Just(Attribution::Unnamed(denied())),
        ]
    };
    let spot = || address(ANYWHERE, PORTS).prop_map(|it| at(&it));
    let transport = || select(&[Transport::Plain, Transport::Tls][..]);
    let listeners = vec(
        (spot(), any::<bool>(), option::of(0_u32..3), owner(), peculiarity(), 0_u64..4).prop_map(
            |(bound, dual_stack, uid, owner, peculiar, socket)| {
                let mut listener = Listener { bound, dual_stack, device: None, uid, socket, owner };
                peculiar.apply(&mut listener);
                listener
            },
        ),
        0..6,
    );
    let panel = vec(
        (spot(), spot(), manner()).prop_filter_map("asked", |(at, bound, manner)| {
            manner.reply.map(|reply| PanelAnswer { at, bound, reply })
        }),
        0..6,
    );
    let access = vec(
        (spot(), spot(), transport(), access()).prop_map(|(at, bound, transport, access)| AccessAnswer {
            at,
            bound,
            transport,
            access,
        }),
        0..6,
    );
    let handshake = vec(
        (spot(), spot(), transport(), self::access()).prop_map(|(at, bound, transport, access)| {
            HandshakeAnswer { at, bound, transport, challenge: None, access }
        }),
        0..4,
    );
    let reached = select(vec![Reached::Accepted, Reached::Refused, Reached::Unknown(denied())]);
    let reach = vec((spot(), reached).prop_map(|(at, reached)| ReachAnswer { at, reached }), 0..6);
    let origin = prop_oneof![
        1 => Just(Origin::Elsewhere),
        2 => (owner(), vec(flow(), 0..3)).prop_map(|(owner, flows)| Origin::Here { owner, flows }),
    ];
    let peers = vec(
        (spot(), spot(), origin).prop_map(|(gateway, remote, origin)| Peer { gateway, remote, origin }),
        0..4,
    );
    let programs = vec(any_program(), 0..4);
    let witness = (vec(spot(), 0..2), vec(spot(), 0..2))
        .prop_map(|(only_first, only_second)| Witness { only_first, only_second });
    (
        (policy(), interfaces(), programs),
        (listeners, panel, access, handshake),
        (reach, peers, prop_oneof![Just(Witness::default()), witness]),
    )
        .prop_map(
            |(
                (policy, interfaces, programs),
                (listeners, panel, access, handshake),
                (reach, peers, witness),
            )| {
                let programs: Vec<Program> =
                    programs.into_iter().zip(1_u32..).map(|(program, pid)| program.numbered(pid)).collect();
                let whole = snapshot_of(&policy, &interfaces, &programs, &[]);
                let snapshot = Snapshot {
                    listeners: Observation::Seen(listeners),
                    witness: Observation::Seen(witness),
                    reach: Observation::Seen(reach),
                    panel: Observation::Seen(panel),
                    access: Observation::Seen(access),
                    handshake: Observation::Seen(handshake),
                    peers: Observation::Seen(peers),
                    ..whole
                };
                World { policy, snapshot }
            },
        )
}
