use std::collections::HashSet;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use guardian_rules::blindness::Cause;
use guardian_rules::fact::Attribution;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::sockopt::{BindToDevice, Ipv6V6Only, ReusePort};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, getsockname, listen, setsockopt,
    socket,
};

use super::super::Inventory;
use super::{assert_held_by, at, listed, the_one};

/// A listener made by hand, option by option.
fn listener(address: &str, prepare: impl FnOnce(&OwnedFd)) -> (OwnedFd, SocketAddr) {
    let address: SocketAddr = address.parse().unwrap();
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    prepare(&fd);
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    listen(&fd, Backlog::new(1).unwrap()).unwrap();
    let bound: SockaddrStorage = getsockname(fd.as_raw_fd()).unwrap();
    let port = bound.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::port);
    let port = port.or(bound.as_sockaddr_in6().map(nix::sys::socket::SockaddrIn6::port)).unwrap();
    (fd, SocketAddr::new(address.ip(), port))
}

fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("left out: this needs root");
    }
    root
}

#[test]
fn every_loopback_address_is_listed_as_bound() {
    let (_socket, address) = listener("127.0.0.2:0", |_| {});
    assert!(the_one(&listed(), address).is_loopback_only());
}

#[test]
fn an_ipv6_wildcard_that_takes_ipv4_is_dual_stack() {
    let (_socket, address) = listener("[::]:0", |fd| setsockopt(fd, Ipv6V6Only, &false).unwrap());
    let list = listed();
    let listener = the_one(&list, address);
    assert!(listener.dual_stack);
    assert_eq!(listener.as_bound().len(), 2);
}

#[test]
fn an_ipv6_wildcard_for_ipv6_alone_is_not() {
    let (_socket, address) = listener("[::]:0", |fd| setsockopt(fd, Ipv6V6Only, &true).unwrap());
    assert!(!the_one(&listed(), address).dual_stack);
}

#[test]
fn a_mapped_bind_is_listed_as_the_ipv4_address_it_is() {
    let dual = |fd: &OwnedFd| setsockopt(fd, Ipv6V6Only, &false).unwrap();
    let (_socket, address) = listener("[::ffff:127.0.0.1]:0", dual);
    let plain = SocketAddr::new("127.0.0.1".parse().unwrap(), address.port());
    assert!(the_one(&listed(), plain).is_loopback_only());
}

#[test]
fn a_socket_tied_to_an_interface_names_it() {
    if !root() {
        return;
    }
    let (_socket, address) = listener("0.0.0.0:0", |fd| setsockopt(fd, BindToDevice, &"lo".into()).unwrap());
    assert_eq!(the_one(&listed(), address).device.as_deref(), Some("lo"));
}

#[test]
fn listeners_that_share_a_port_are_listed_each() {
    let share = |fd: &OwnedFd| setsockopt(fd, ReusePort, &true).unwrap();
    let (_first, address) = listener("127.0.0.1:0", share);
    let (_second, _) = listener(&address.to_string(), share);
    let list = listed();
    let found = at(&list, address);
    assert_eq!(found.len(), 2);
    assert_ne!(found[0].socket, found[1].socket);
}

/// What programs in Go listen with unless told otherwise.
#[test]
fn a_listener_of_multipath_tcp_is_listed_with_its_process() {
    use std::os::fd::FromRawFd;
    const IPPROTO_MPTCP: nix::libc::c_int = 262;
    // SAFETY: the call takes numbers and returns one.
    let fd = unsafe { nix::libc::socket(nix::libc::AF_INET, nix::libc::SOCK_STREAM, IPPROTO_MPTCP) };
    if fd < 0 {
        eprintln!("left out: this kernel has no multipath TCP");
        return;
    }
    // SAFETY: the number has just been opened and belongs to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    bind(fd.as_raw_fd(), &SockaddrStorage::from("127.0.0.1:0".parse::<SocketAddr>().unwrap())).unwrap();
    listen(&fd, Backlog::new(1).unwrap()).unwrap();
    let socket = TcpListener::from(fd);
    assert_held_by(listed, socket.local_addr().unwrap(), &[std::process::id()]);
}

#[test]
fn processes_that_share_a_socket_are_all_named() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut inventory = Inventory::open().unwrap();
    let mut child = Command::new("sleep")
        .arg("600")
        .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())))
        .spawn()
        .unwrap();
    assert_held_by(|| inventory.look().unwrap(), address, &[std::process::id(), child.id()]);
    drop(socket);
    assert_held_by(|| inventory.look().unwrap(), address, &[child.id()]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(at(&inventory.look().unwrap(), address).is_empty());
}

#[test]
fn a_socket_that_only_a_thread_holds_is_named_too() {
    let (tell, hear) = std::sync::mpsc::channel();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_FILES).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        tell.send(socket.local_addr().unwrap()).unwrap();
        let _ = wait.recv();
    });
    let address = hear.recv().unwrap();
    assert_held_by(listed, address, &[std::process::id()]);
    drop(release);
    thread.join().unwrap();
}

#[test]
fn a_listener_of_another_network_namespace_is_not_of_this_host() {
    if !root() {
        return;
    }
    let address = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let (socket, address) = listener("0.0.0.0:0", |_| {});
        (socket, address)
    });
    let (_socket, address) = address.join().unwrap();
    assert!(at(&listed(), address).is_empty());
}

#[test]
fn a_host_that_is_not_on_any_network_is_seen_as_it_is() {
    if !root() {
        return;
    }
    let bare = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        (crate::interfaces::read(), listed())
    });
    assert_eq!(bare.join().unwrap(), (Ok(Vec::new()), Vec::new()));
}

#[test]
fn a_thousand_listeners_ten_times_over_are_all_listed() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if soft < 12_000 && setrlimit(Resource::RLIMIT_NOFILE, hard.min(12_000), hard).is_err() || hard < 12_000 {
        eprintln!("left out: this needs 12,000 open files");
        return;
    }
    let mut inventory = Inventory::open().unwrap();
    inventory.look().unwrap();
    // Spread over addresses, for the ports of one are not enough beside everybody else's.
    let sockets: Vec<TcpListener> =
        (0..10_000).map(|n| TcpListener::bind(format!("127.9.{}.1:0", n / 1000)).unwrap()).collect();
    let list = inventory.look().unwrap();
    let listed: HashSet<SocketAddr> = list
        .iter()
        .filter(|listener| listener.owner.pids().contains(&std::process::id()))
        .map(|listener| listener.bound)
        .collect();
    assert!(sockets.iter().all(|socket| listed.contains(&socket.local_addr().unwrap())));
}

/// The other side of the next test: the same look, as a user without rights.
#[test]
#[ignore = "runs as another user, from another test"]
fn look_without_rights() {
    let Ok(address) = std::env::var("GUARDIAN_TEST_LISTENER") else { return };
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let list = listed();
    let foreign = the_one(&list, address.parse().unwrap());
    let Attribution::Unnamed(reason) = &foreign.owner else { panic!("{foreign:?}") };
    assert_eq!(reason.cause, Cause::Denied);
    assert_eq!(reason.detail, "owned by user 0 (root); run as root to name the process");
    assert_eq!(foreign.uid, Some(0));
    assert_eq!(the_one(&list, own.local_addr().unwrap()).owner.pids(), [std::process::id()]);
}

#[test]
fn a_listener_of_another_user_is_listed_and_says_why_it_has_no_name() {
    if !root() {
        return;
    }
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = Command::new("/proc/self/exe")
        .args(["--ignored", "--exact", "listeners::tests::linux::look_without_rights", "--nocapture"])
        .env("GUARDIAN_TEST_LISTENER", socket.local_addr().unwrap().to_string())
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

#[test]
fn a_link_local_listener_carries_its_interface() {
    let Some(own) = crate::interfaces::read().unwrap().into_iter().find(|own| match own.address {
        std::net::IpAddr::V6(v6) => v6.segments()[0] == 0xfe80,
        std::net::IpAddr::V4(_) => false,
    }) else {
        eprintln!("left out: this host has no link-local address");
        return;
    };
    let std::net::IpAddr::V6(address) = own.address else { unreachable!() };
    let scoped = std::net::SocketAddrV6::new(address, 0, 0, own.index.unwrap());
    let socket = TcpListener::bind(scoped).unwrap();
    let list = listed();
    let listener = the_one(&list, socket.local_addr().unwrap());
    assert_eq!(listener.device.as_deref(), Some(own.interface.as_str()));
    assert_ne!(listener.bound.ip(), Ipv6Addr::UNSPECIFIED);
}
