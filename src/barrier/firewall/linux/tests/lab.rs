//! Three hosts, each a network namespace: this one in the middle, one that is far away, and one
//! inside, as a container is. They are gone when their files are closed.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Uid, setfsuid};

/// This host's addresses on the wire to the far one, which has `10.9.0.2` and `fd09::2`.
pub(super) const LAN: &str = "10.9.0.1";
pub(super) const LAN6: &str = "fd09::1";
/// This host's address in the tunnel `wg0` to the far one, which has `100.64.0.2`.
pub(super) const VPN: &str = "100.64.0.1";
/// The inner host's address.
pub(super) const INNER: &str = "172.17.0.2";
/// Where the gateway listens.
pub(super) const PORT: u16 = 18789;

/// Long enough for any packet to come through, and short enough to wait for one that does not.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);

pub(super) struct Lab {
    far: File,
    inner: File,
    runtime: tokio::runtime::Runtime,
}

/// Runs a test on the host in the middle, where this machine can.
pub(super) fn lab(test: impl FnOnce(&Lab) + Send) {
    let found = Command::new("nft").arg("--version").output().is_ok();
    let lacks = if Uid::effective().is_root() { (!found).then_some("nft") } else { Some("root") };
    if let Some(what) = lacks {
        assert_ne!(env::var("GUARDIAN_LAB").as_deref(), Ok("required"), "this needs {what}");
        eprintln!("left out: this needs {what}");
        return;
    }
    thread::scope(|scope| {
        scope.spawn(|| test(&Lab::new())).join().expect("the test passes");
    });
}

impl Lab {
    fn new() -> Self {
        let own = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        let (far, inner, _here) = (own(), own(), own());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let lab = Self { far, inner, runtime };
        run("ip link set lo up");
        for (host, card, addresses, theirs) in [
            (&lab.far, "eth0", [LAN, LAN6], ["10.9.0.2", "fd09::2"]),
            (&lab.far, "wg0", [VPN, "fd0a::1"], ["100.64.0.2", "fd0a::2"]),
            (&lab.inner, "docker0", ["172.17.0.1", "fd17::1"], [INNER, "fd17::2"]),
        ] {
            let there = format!("/proc/{}/fd/{}", process::id(), host.as_raw_fd());
            run(&format!("ip link add {card} type veth peer name {card} netns {there}"));
            up(card, addresses);
            within(host, || up(card, theirs));
        }
        for host in [&lab.far, &lab.inner] {
            within(host, || run("ip link set lo up"));
        }
        within(&lab.inner, || run("ip route add default via 172.17.0.1"));
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        lab.until_the_wires_carry();
        lab
    }

    /// The kernel takes its time to notice that the other end of a wire is up.
    fn until_the_wires_carry(&self) {
        const NOBODY: u16 = 9;
        let theirs = ["fd09::2", "fd0a::2", "fd17::2"];
        let begun = Instant::now();
        while !theirs.into_iter().all(|address| refused(address, NOBODY))
            || !self.far(|| [LAN6, "fd0a::1"].into_iter().all(|address| refused(address, NOBODY)))
        {
            assert!(begun.elapsed() < Duration::from_secs(10), "the wires do not carry");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs what is asynchronous. The programs it starts are on this host.
    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub(super) fn far<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(&self.far, work)
    }

    pub(super) fn inner<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(&self.inner, work)
    }

    /// Whether the far host gets through to an address of this one.
    pub(super) fn far_reaches(&self, address: &str, port: u16) -> bool {
        self.far(|| reaches(address, port))
    }
}

fn up(card: &str, addresses: [&str; 2]) {
    let [v4, v6] = addresses;
    run(&format!("ip address add {v4}/24 dev {card}"));
    run(&format!("ip address add {v6}/64 dev {card} nodad"));
    // Without one that is being tried out first, addresses work at once.
    run(&format!("ip link set {card} addrgenmode none"));
    run(&format!("ip link set {card} up"));
}

fn within<T: Send>(host: &File, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let done = scope.spawn(|| {
            setns(host, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        done.join().expect("the work does not panic")
    })
}

/// Does something with sockets that belong to another user: to the kernel that is the user of the
/// file system at the time when the socket is made.
pub(super) fn as_user<T: Send>(uid: u32, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let done = scope.spawn(|| {
            setfsuid(Uid::from_raw(uid));
            work()
        });
        done.join().expect("the work does not panic")
    })
}

/// Runs a command on the host of this thread, and returns what it printed.
pub(super) fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Has `nft` read something.
pub(super) fn nft(rules: &str) {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{rules}");
}

/// Listens on every address of both families.
pub(super) fn listen(port: u16) -> TcpListener {
    TcpListener::bind(format!("[::]:{port}")).unwrap()
}

pub(super) fn connect(address: &str, port: u16) -> io::Result<TcpStream> {
    let address = SocketAddr::new(address.parse().unwrap(), port);
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

pub(super) fn reaches(address: &str, port: u16) -> bool {
    connect(address, port).is_ok()
}

/// A connection that was told that nobody listens, rather than left without an answer.
pub(super) fn refused(address: &str, port: u16) -> bool {
    connect(address, port).is_err_and(|failed| failed.kind() == io::ErrorKind::ConnectionRefused)
}

/// Whether what goes in at one end comes out at the other.
pub(super) fn carries(from: &mut TcpStream, to: &mut TcpStream) -> bool {
    let mut byte = [0];
    from.write_all(b"x").is_ok() && to.read_exact(&mut byte).is_ok()
}

/// Whether a connection has ended: with a reset, not in silence.
pub(super) fn ended(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(read) => read == 0,
        Err(failed) => failed.kind() != io::ErrorKind::WouldBlock,
    }
}
