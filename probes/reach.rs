//! Which addresses of this host take connections for a gateway.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{InterfaceAddress, ReachAnswer, Reached};
use guardian_rules::scene::ports_to_gateways;
use guardian_rules::snapshot::{ProbeId, Snapshot};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::ask::targets::reached_at;
use crate::ask::{Turn, each};
use crate::probe::{Ground, Probe};

/// How long a connection to this very host may take to be accepted.
const CONNECT: Duration = Duration::from_millis(300);

/// As many listeners that wait for an address are looked after.
const MOST_WAITING: usize = 64;

/// An address is tried so often while the system hands out the very port that is tried.
const ATTEMPTS: usize = 4;

/// All attempts together end after this.
const BUDGET: Duration = Duration::from_secs(2);

/// Connects to every gateway port, and to the port of whoever carries a gateway, on every address of this host, and says
/// nothing.
///
/// A connection is reset at once: no byte is sent, and nothing is left in a closing state on
/// either side, which at this cadence would add up to thousands. It comes from the address it
/// goes to, so a gateway sees a stranger and not loopback; a socket tied to an interface takes it on
/// that interface's addresses (Linux 6.18). No version of the gateway measured
/// (2026.1.24-3, 2026.1.29, 2026.9.6) logs it.
#[derive(Debug, Default)]
pub struct Reach;

impl Probe for Reach {
    type Facts = Vec<ReachAnswer>;
    const ID: ProbeId = ProbeId::Reach;
    // Whatever begins to listen has it look at once; what is left for its own pace are redirects
    // without a listener.
    const CADENCE: Duration = Duration::from_secs(1);
    const DEADLINE: Duration = Duration::from_secs(3);

    async fn observe(&mut self, ground: Ground) -> Result<Vec<ReachAnswer>, Blindness> {
        let Some(own) = ground.known.interfaces.known() else {
            let cause = ground.known.interfaces.blindness().map_or(Cause::NeverRan, |why| why.cause);
            return Err(Blindness::new(cause, "the addresses of this host are not known"));
        };
        let ports = ports_to_gateways(&ground.policy, &ground.known);
        let mut places: Vec<SocketAddr> =
            ports.iter().flat_map(|port| own.iter().map(|own| reached_at(own, *port))).collect();
        places.sort_unstable();
        places.dedup();
        let away = waiting(&ground.known, own, &ports).into_iter().filter(|at| is_absent(*at));
        let away: Vec<_> = away.map(|at| ReachAnswer { at, reached: Reached::Absent }).collect();
        let turns = each(places, BUDGET, |at| attempt(*at)).await;
        let tried = turns.into_iter().map(|(at, turn)| ReachAnswer { at, reached: reached(turn) });
        Ok(tried.chain(away).collect())
    }
}

/// Where gateways listen at an address that no interface has: a VPN's that is down, for instance.
fn waiting(known: &Snapshot, own: &[InterfaceAddress], ports: &BTreeSet<u16>) -> BTreeSet<SocketAddr> {
    let listeners = known.listeners.known().into_iter().flatten();
    let specific = listeners.filter(|it| !it.is_wildcard() && !it.is_loopback_only()).map(|it| it.bound);
    specific
        .filter(|at| ports.contains(&at.port()) && !own.iter().any(|own| own.is_at(*at)))
        .take(MOST_WAITING)
        .collect()
}

/// The kernel lets nobody bind to what is no address of this host, unless it was told to
/// (`ip_nonlocal_bind`); then nothing is known. Nothing is sent: who has the address now is somebody
/// else.
fn is_absent(at: SocketAddr) -> bool {
    let Ok(socket) = (if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }) else {
        return false;
    };
    let mut source = at;
    source.set_port(0);
    socket.bind(source).is_err_and(|failure| failure.kind() == io::ErrorKind::AddrNotAvailable)
}

fn reached(turn: Turn<io::Result<()>>) -> Reached {
    match turn {
        Turn::Done(Ok(())) => Reached::Accepted,
        Turn::Done(Err(failure)) if is_refusal(&failure) => Reached::Refused,
        Turn::Done(Err(failure)) => Reached::Unknown(of_failure(&failure)),
        Turn::Late => Reached::Unknown(Blindness::new(
            Cause::TooMuch,
            "too many addresses and ports: its turn did not come",
        )),
        Turn::Failed => Reached::Unknown(Blindness::new(Cause::Panicked, "the attempt failed")),
    }
}

/// Connects, and resets the connection.
async fn attempt(at: SocketAddr) -> io::Result<()> {
    for _ in 0..ATTEMPTS {
        let connected = connect(at).await?;
        connected.set_zero_linger()?;
        if connected.local_addr()? != at {
            return Ok(());
        }
        // Given the very port that it goes to, a socket connects to itself: nobody listens there
        // (RFC 9293, 3.5, figure 8).
    }
    Err(io::ErrorKind::AddrInUse.into())
}

async fn connect(at: SocketAddr) -> io::Result<TcpStream> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // One of IPv6 that is still asked about on its link (RFC 4862, 5.4) cannot be bound, and takes
    // nothing.
    if !at.ip().is_loopback() {
        let mut source = at;
        source.set_port(0);
        socket.bind(source).map_err(gone)?;
    }
    timeout(CONNECT, socket.connect(at)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// An address that cannot be bound is no address of this host any more: nobody reaches it.
fn gone(failure: io::Error) -> io::Error {
    match failure.kind() {
        io::ErrorKind::AddrNotAvailable => io::ErrorKind::ConnectionRefused.into(),
        _ => failure,
    }
}

fn is_refusal(failure: &io::Error) -> bool {
    match failure.kind() {
        io::ErrorKind::ConnectionRefused => true,
        // On macOS also the sign of a missing permission (local network privacy).
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => !cfg!(target_os = "macos"),
        _ => false,
    }
}

fn of_failure(failure: &io::Error) -> Blindness {
    match failure.kind() {
        io::ErrorKind::TimedOut => Blindness::timed_out("neither accepted nor refused"),
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => {
            Blindness::denied(format!("the system lets no connection through: {failure}"))
        }
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => {
            Blindness::new(Cause::TooMuch, "the system has no port left to ask from")
        }
        _ => Blindness::new(Cause::Interrupted, failure.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use guardian_rules::fact::{Access, AccessAnswer, Attribution, Listener, Process, Role, Transport};
    use guardian_rules::observation::Observation;
    use guardian_rules::policy::Policy;

    use super::*;
    use crate::ask::stage::plain;

    fn own(address: &str) -> InterfaceAddress {
        InterfaceAddress {
            interface: "lo".to_owned(),
            index: Some(1),
            address: address.parse().unwrap(),
            prefix: 8,
            tunnel: false,
        }
    }

    fn ground(port: u16, own: Vec<InterfaceAddress>) -> Ground {
        let known = Snapshot { interfaces: Observation::Seen(own), ..Snapshot::default() };
        let policy = Policy { ports: vec![port], ..Policy::default() };
        Ground { policy: Arc::new(policy), known: Arc::new(known) }
    }

    #[tokio::test]
    async fn every_address_is_tried_and_told_apart() {
        let stage = plain(async |stream| drop(stream)).await;
        let port = stage.at.port();
        let ground = ground(port, vec![own("127.0.0.1"), own("127.0.0.2"), own("127.0.0.1")]);
        let answers = Reach.observe(ground).await.unwrap();
        let found: Vec<_> = answers.iter().map(|it| (it.at.to_string(), it.reached.clone())).collect();
        assert_eq!(
            found,
            [
                (format!("127.0.0.1:{port}"), Reached::Accepted),
                (format!("127.0.0.2:{port}"), Reached::Refused)
            ]
        );
    }

    #[tokio::test]
    async fn the_port_of_whoever_carries_a_gateway_is_tried_as_well_and_no_others() {
        let stage = plain(async |stream| drop(stream)).await;
        let mut ground = ground(9, vec![own("127.0.0.1")]);
        let answer =
            |access| AccessAnswer { at: stage.at, bound: stage.at, transport: Transport::Plain, access };
        let forwarder = Process {
            pid: 7,
            parent: None,
            started: 1,
            uid: None,
            user: None,
            name: "socat".to_owned(),
            exe: None,
            argv: Vec::new(),
            role: Role::Forwarder,
        };
        let listener = Listener {
            bound: stage.at,
            dual_stack: false,
            device: None,
            uid: None,
            socket: 1,
            owner: Attribution::Named(vec![7]),
        };
        let known = Arc::make_mut(&mut ground.known);
        known.listeners = Observation::Seen(vec![listener]);
        known.owner = Observation::Seen(vec![forwarder]);
        for (access, tried) in [(Access::Required, true), (Access::NoGateway, false)] {
            Arc::make_mut(&mut ground.known).access = Observation::Seen(vec![answer(access)]);
            let answers = Reach.observe(ground.clone()).await.unwrap();
            assert_eq!(answers.iter().any(|it| it.at == stage.at), tried);
        }
    }

    #[tokio::test]
    async fn an_address_that_has_gone_is_reached_by_nobody() {
        // TEST-NET-3 (RFC 5737): nobody's, least of all this host's.
        let answers = Reach.observe(ground(80, vec![own("203.0.113.7")])).await.unwrap();
        assert_eq!(answers[0].reached, Reached::Refused);
    }

    #[tokio::test]
    async fn no_byte_is_sent_and_the_connection_is_over_at_once() {
        let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let stage = plain(move |stream: TcpStream| {
            let told = told.clone();
            async move {
                let mut buffer = [0; 16];
                let _ = stream.readable().await;
                let _ = told.send(stream.try_read(&mut buffer).map_err(|failure| failure.kind()));
            }
        })
        .await;
        Reach.observe(ground(stage.at.port(), vec![own("127.0.0.1")])).await.unwrap();
        let read = timeout(Duration::from_secs(2), hears.recv()).await.unwrap().unwrap();
        assert_eq!(read, Err(io::ErrorKind::ConnectionReset));
    }

    /// Runs on a host of its own, after these commands.
    #[cfg(target_os = "linux")]
    fn on_a_host(commands: &'static [&str], test: impl AsyncFnOnce() + Send + 'static) {
        use std::process::Command;
        if !nix::unistd::geteuid().is_root() {
            assert_ne!(std::env::var("GUARDIAN_LAB").as_deref(), Ok("required"), "this needs root");
            eprintln!("left out: this needs root");
            return;
        }
        let host = std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            for command in ["ip link set lo up"].iter().chain(commands) {
                assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test());
        });
        host.join().unwrap();
    }

    /// The kernel may hand out the very port that is tried, and then a socket connects to itself.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_connection_to_itself_is_nobody_who_listens() {
        const ONE_PORT: &str = "echo 18789 18789 > /proc/sys/net/ipv4/ip_local_port_range";
        on_a_host(&["ip addr add 10.9.9.9/32 dev lo", ONE_PORT], async || {
            let ground = ground(18789, vec![own("127.0.0.1"), own("10.9.9.9")]);
            for answer in Reach.observe(ground).await.unwrap() {
                assert!(matches!(answer.reached, Reached::Unknown(_)), "no other port is left: {answer:?}");
            }
        });
    }

    /// A new interface's address is asked about on its link for a second or two. Meanwhile it takes
    /// nothing, and every container that starts has one.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_tentative_address_is_reached_by_nobody() {
        const CABLE: &str =
            "ip link add left type veth peer name right && ip link set left up && ip link set right up";
        on_a_host(&[CABLE], async || {
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_millis(2500) {
                let own = crate::interfaces::read().unwrap();
                for answer in Reach.observe(ground(18789, own)).await.unwrap() {
                    assert_eq!(answer.reached, Reached::Refused, "{answer:?} after {:?}", begun.elapsed());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }

    /// `tailscale down` takes the address away, and the gateway that is bound to it listens on.
    #[tokio::test]
    async fn a_listener_whose_address_no_interface_has_waits_for_nobody() {
        let listener = |bound: &str| Listener {
            bound: bound.parse().unwrap(),
            dual_stack: false,
            device: None,
            uid: None,
            socket: 1,
            owner: Attribution::Named(vec![1]),
        };
        let mut ground = ground(9, vec![own("127.0.0.1")]);
        let bound = ["203.0.113.7:9", "203.0.113.7:10", "127.0.0.2:9", "0.0.0.0:9", "[2001:db8::7]:9"];
        Arc::make_mut(&mut ground.known).listeners = Observation::Seen(bound.map(listener).to_vec());
        let answers = Reach.observe(ground).await.unwrap();
        let absent: Vec<_> = answers.iter().filter(|it| it.reached == Reached::Absent).collect();
        let absent: Vec<_> = absent.into_iter().map(|it| it.at.to_string()).collect();
        assert_eq!(absent, ["203.0.113.7:9", "[2001:db8::7]:9"]);
    }

    #[tokio::test]
    async fn without_addresses_it_is_blind() {
        let blind = Reach.observe(Ground { policy: Arc::default(), known: Arc::default() }).await;
        assert_eq!(blind.unwrap_err().cause, Cause::NeverRan);
    }
}
