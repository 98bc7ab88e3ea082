//! Connections of this very host, made for the purpose by other processes: our own are left out.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::Arc;

use guardian_rules::fact::{Attribution, Flow, Origin};
use guardian_rules::observation::Observation;
use guardian_rules::policy::Policy;
use guardian_rules::snapshot::Snapshot;

use super::*;

/// A process that is ended when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that connects, and keeps the connection.
fn visitor(to: SocketAddr, within: &[&str]) -> Running {
    let script = format!("exec 3<>/dev/tcp/{}/{}; exec sleep 600", to.ip(), to.port());
    let mut words = within.to_vec();
    words.extend(["bash", "-c", &script]);
    Running(Command::new(words[0]).args(&words[1..]).spawn().unwrap())
}

/// A gateway played by this process, with the connections it has accepted.
struct Gateway {
    socket: TcpListener,
    accepted: Vec<TcpStream>,
}

impl Gateway {
    fn bind(address: &str) -> Self {
        Self { socket: TcpListener::bind(address).unwrap(), accepted: Vec::new() }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn accept(&mut self) -> SocketAddr {
        let (stream, remote) = self.socket.accept().unwrap();
        self.accepted.push(stream);
        remote
    }

    fn ground(&self) -> Ground {
        let policy = Policy { ports: vec![self.address().port()], ..Policy::default() };
        let listeners = crate::listeners::Inventory::open().unwrap().look();
        let known = Snapshot { listeners: Observation::from(listeners), ..Snapshot::default() };
        Ground { policy: Arc::new(policy), known: Arc::new(known) }
    }

    fn peers(&self) -> Vec<Peer> {
        look(&mut Watch::default(), &self.ground()).unwrap()
    }
}

fn owner(peer: &Peer) -> (&Attribution, &[Flow]) {
    match &peer.origin {
        Origin::Here { owner, flows } => (owner, flows),
        Origin::Elsewhere => panic!("{peer:?}"),
    }
}

#[test]
fn a_local_peer_is_named() {
    let mut gateway = Gateway::bind("127.0.0.1:0");
    let visitor = visitor(gateway.address(), &[]);
    let remote = gateway.accept();
    let peers = gateway.peers();
    assert_eq!(peers.len(), 1, "{peers:#?}");
    assert_eq!((peers[0].gateway, peers[0].remote), (gateway.address(), remote));
    assert_eq!(owner(&peers[0]), (&Attribution::Named(vec![visitor.0.id()]), &[][..]));
}

#[test]
fn a_peer_that_is_not_yet_accepted_is_a_peer() {
    let gateway = Gateway::bind("127.0.0.1:0");
    let visitor = visitor(gateway.address(), &[]);
    let mut peers = Vec::new();
    for _ in 0..500 {
        peers = gateway.peers();
        if !peers.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(owner(&peers[0]).0, &Attribution::Named(vec![visitor.0.id()]));
}

#[test]
fn our_own_connections_are_left_out() {
    let mut gateway = Gateway::bind("127.0.0.1:0");
    let _ours = TcpStream::connect(gateway.address()).unwrap();
    gateway.accept();
    assert_eq!(gateway.peers(), []);
}

#[test]
fn a_peer_that_leaves_is_forgotten() {
    let mut gateway = Gateway::bind("127.0.0.1:0");
    let visitor = visitor(gateway.address(), &[]);
    gateway.accept();
    let mut watch = Watch::default();
    assert_eq!(look(&mut watch, &gateway.ground()).unwrap().len(), 1);
    drop(visitor);
    assert_eq!(look(&mut watch, &gateway.ground()).unwrap(), []);
}

/// A client that is killed while the gateway hangs: its last words wait until there is room for them.
#[cfg(target_os = "linux")]
#[test]
fn what_a_killed_client_leaves_with_a_gateway_that_hangs_is_no_peer() {
    let mut gateway = Gateway::bind("127.0.0.1:0");
    let script = format!("exec cat /dev/zero >/dev/tcp/127.0.0.1/{}", gateway.address().port());
    let client = Running(Command::new("bash").args(["-c", &script]).spawn().unwrap());
    gateway.accept();
    let mut watch = Watch::default();
    assert_eq!(look(&mut watch, &gateway.ground()).unwrap().len(), 1);
    // No more goes in: it has begun to wait.
    let waits = || {
        let stack = std::fs::read_to_string(format!("/proc/{}/wchan", client.0.id())).unwrap();
        stack.contains("wait")
    };
    for _ in 0..500 {
        if waits() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(client);
    let gateways_end = crate::listeners::table::Table::default()
        .connections(&[gateway.address().port()].into())
        .unwrap()
        .into_iter()
        .find(|socket| socket.local == gateway.address())
        .unwrap();
    assert_eq!(gateways_end.state, crate::listeners::socket::State::Established, "it has not heard of it");
    assert_eq!(look(&mut watch, &gateway.ground()).unwrap(), []);
}

#[test]
fn a_peer_of_a_dual_stack_gateway_is_told_by_its_ipv4_address() {
    let mut gateway = Gateway::bind("[::]:0");
    let to = SocketAddr::new("127.0.0.1".parse().unwrap(), gateway.address().port());
    let visitor = visitor(to, &[]);
    gateway.accept();
    let peers = gateway.peers();
    assert_eq!((peers[0].gateway, peers[0].remote.is_ipv4()), (to, true));
    assert_eq!(owner(&peers[0]).0.pids(), [visitor.0.id()]);
}

#[tokio::test]
async fn a_host_without_gateway_ports_has_no_peers() {
    let policy = Policy { ports: Vec::new(), ..Policy::default() };
    let ground = Ground { policy: Arc::new(policy), known: Arc::default() };
    assert_eq!(Peers::default().observe(ground).await, Ok(Vec::new()));
}

/// Another host: a network namespace on the other side of a cable.
#[cfg(target_os = "linux")]
struct OtherHost(String);

#[cfg(target_os = "linux")]
impl OtherHost {
    /// This side is 10.211.N.1, the other 10.211.N.2.
    fn connect(nth: u8) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("left out: this needs root");
            return None;
        }
        let name = format!("kernel-{}-{nth}", std::process::id());
        let host = Self(name.clone());
        let cable = format!("kn{}x{nth}", std::process::id());
        for line in [
            format!("netns add {name}"),
            format!("link add {cable} type veth peer name eth0 netns {name}"),
            format!("addr add 10.211.{nth}.1/24 dev {cable}"),
            format!("link set {cable} up"),
            format!("-n {name} addr add 10.211.{nth}.2/24 dev eth0"),
            format!("-n {name} link set eth0 up"),
        ] {
            if !Command::new("ip").args(line.split(' ')).status().is_ok_and(|status| status.success()) {
                eprintln!("left out: ip {line}");
                return None;
            }
        }
        Some(host)
    }

    fn visitor(&self, to: SocketAddr) -> Running {
        visitor(to, &["ip", "netns", "exec", &self.0])
    }
}

#[cfg(target_os = "linux")]
impl Drop for OtherHost {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_peer_of_another_host_is_elsewhere() {
    let Some(host) = OtherHost::connect(1) else { return };
    let mut gateway = Gateway::bind("10.211.1.1:0");
    let _visitor = host.visitor(gateway.address());
    let remote = gateway.accept();
    assert_eq!(remote.ip(), "10.211.1.2".parse::<IpAddr>().unwrap());
    let peers = gateway.peers();
    assert_eq!(peers, [Peer { gateway: gateway.address(), remote, origin: Origin::Elsewhere }]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_has_stopped_sending_is_still_connected() {
    use std::io::Read;
    let Some(host) = OtherHost::connect(2) else { return };
    let mut gateway = Gateway::bind("10.211.2.1:0");
    let visitor = host.visitor(gateway.address());
    gateway.accept();
    drop(visitor);
    let mut end = [0];
    assert_eq!(gateway.accepted[0].read(&mut end).unwrap(), 0, "the other side has said its last word");
    assert_eq!(gateway.peers().len(), 1);
}

/// What makes a forwarder one: the process between a gateway and other hosts.
#[cfg(target_os = "linux")]
#[test]
fn a_forwarder_is_named_with_the_connection_it_carries() {
    let Some(host) = OtherHost::connect(3) else { return };
    let mut gateway = Gateway::bind("127.0.0.1:0");
    // A port that is free now.
    let front = Gateway::bind("10.211.3.1:0").address();
    let relay = Command::new("socat")
        .arg(format!("TCP-LISTEN:{},bind={},reuseaddr,fork", front.port(), front.ip()))
        .arg(format!("TCP:{}", gateway.address()))
        .spawn();
    let Ok(relay) = relay else {
        eprintln!("left out: this needs socat");
        return;
    };
    let relay = Running(relay);
    for _ in 0..500 {
        if gateway.ground().known.listeners.seen().unwrap().iter().any(|listener| listener.bound == front) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let visitor = host.visitor(front);
    gateway.accept();
    let peers = gateway.peers();
    assert_eq!(peers.len(), 1, "{peers:#?}");
    let (owner, flows) = owner(&peers[0]);
    assert_eq!(owner.pids().len(), 1);
    assert_ne!(owner.pids()[0], relay.0.id(), "a child carries each connection");
    assert_eq!(flows.len(), 1);
    assert_eq!((flows[0].local, flows[0].inbound), (front, true));
    assert_eq!(flows[0].remote.ip(), "10.211.3.2".parse::<IpAddr>().unwrap());
    drop(visitor);
}

/// The other side of the next test: the same look, as a user without rights.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "runs as another user, from another test"]
fn look_without_rights() {
    let Ok(gateway) = std::env::var("GUARDIAN_TEST_GATEWAY") else { return };
    let gateway: SocketAddr = gateway.parse().unwrap();
    let policy = Policy { ports: vec![gateway.port()], ..Policy::default() };
    let ground = Ground { policy: Arc::new(policy), known: Arc::default() };
    let mut watch = Watch::default();
    for _ in 0..2 {
        let peers = look(&mut watch, &ground).unwrap();
        assert_eq!(peers.len(), 1, "{peers:#?}");
        let Attribution::Unnamed(reason) = owner(&peers[0]).0 else { panic!("{peers:#?}") };
        assert_eq!(reason.detail, "owned by user 0 (root); run as root to name the process");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_peer_of_another_user_says_why_it_has_no_name() {
    use std::os::unix::process::CommandExt;
    if !nix::unistd::geteuid().is_root() {
        eprintln!("left out: this needs root");
        return;
    }
    let mut gateway = Gateway::bind("127.0.0.1:0");
    let _visitor = visitor(gateway.address(), &[]);
    gateway.accept();
    let output = Command::new("/proc/self/exe")
        .args(["--ignored", "--exact", "peers::tests::look_without_rights", "--nocapture"])
        .env("GUARDIAN_TEST_GATEWAY", gateway.address().to_string())
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
