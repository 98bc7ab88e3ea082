//! A second opinion on who listens, by code that is not ours: netstat2.
//!
//! The two may differ because sockets come and go, so ours looks before and after, and a
//! difference counts only if it is still there a second time. What netstat2 does badly cannot hurt
//! here: it takes a refused list for an empty one, which is a disagreement; on macOS it may read
//! memory that nobody has written, which is why it runs in a process of its own there.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use guardian_rules::blindness::Blindness;
use guardian_rules::fact::Witness as Testimony;
use guardian_rules::snapshot::ProbeId;

use super::canary::Canary;
use super::socket::{Socket, end};
use super::table::Table;
use crate::probe::{Ground, Probe, blocking};

pub mod child;

/// The probe.
#[derive(Default)]
pub struct Witness {
    first: Option<First>,
}

impl Probe for Witness {
    type Facts = Testimony;
    const ID: ProbeId = ProbeId::Witness;
    const CADENCE: Duration = Duration::from_secs(5);
    const DEADLINE: Duration = Duration::from_secs(15);

    async fn observe(&mut self, _: Ground) -> Result<Testimony, Blindness> {
        let once = self.compare().await?;
        if once == Testimony::default() {
            return Ok(once);
        }
        let twice = self.compare().await?;
        Ok(in_both(&once, &twice))
    }
}

impl Witness {
    async fn compare(&mut self) -> Result<Testimony, Blindness> {
        let before = self.first_look().await?;
        let second = second_look().await?;
        let after = self.first_look().await?;
        Ok(compared(&before, &second, &after))
    }

    async fn first_look(&mut self) -> Result<BTreeSet<SocketAddr>, Blindness> {
        let first = self.first.take();
        let (first, seen) = blocking(move || {
            let mut first = match first {
                Some(first) => first,
                None => First { table: Table::default(), canary: Canary::bind()? },
            };
            let seen = first.look();
            Ok((first, seen))
        })
        .await?;
        self.first = Some(first);
        seen
    }
}

/// The first witness: the table that the listeners come from, read anew. Its canary must be in the
/// second witness's answer too, like any other listener.
struct First {
    table: Table,
    canary: Canary,
}

impl First {
    fn look(&mut self) -> Result<BTreeSet<SocketAddr>, Blindness> {
        let sockets = self.table.listeners()?;
        self.canary.find(&sockets)?;
        Ok(sockets
            .iter()
            .filter(|socket| both_may_see(socket))
            .map(|socket| without_device(socket.local))
            .collect())
    }
}

/// On macOS netstat2 asks the processes, and only root may ask everybody's.
fn both_may_see(socket: &Socket) -> bool {
    !cfg!(target_os = "macos") || {
        let user = nix::unistd::geteuid();
        user.is_root() || socket.uid == Some(user.as_raw())
    }
}

#[cfg(target_os = "linux")]
async fn second_look() -> Result<BTreeSet<SocketAddr>, Blindness> {
    blocking(netstat).await
}

#[cfg(target_os = "macos")]
async fn second_look() -> Result<BTreeSet<SocketAddr>, Blindness> {
    child::ask().await
}

/// What netstat2 says. Holders are not asked for: it would search all processes for them.
fn netstat() -> Result<BTreeSet<SocketAddr>, Blindness> {
    #[cfg(not(target_os = "linux"))]
    use netstat2::iterate_sockets_info as iterate;
    #[cfg(target_os = "linux")]
    use netstat2::iterate_sockets_info_without_pids as iterate;
    use netstat2::{AddressFamilyFlags, ProtocolFlags, ProtocolSocketInfo, TcpState};

    let failed = |error: netstat2::error::Error| {
        Blindness::malformed(format!("the second witness cannot list the sockets: {error}"))
    };
    let families = AddressFamilyFlags::IPV4 | AddressFamilyFlags::IPV6;
    let mut seen = BTreeSet::new();
    for socket in iterate(families, ProtocolFlags::TCP).map_err(failed)? {
        let socket = match socket {
            Ok(socket) => socket,
            // A descriptor that closed meanwhile is an error on macOS, and no reason to give up.
            Err(_) if cfg!(target_os = "macos") => continue,
            Err(error) => return Err(failed(error)),
        };
        if let ProtocolSocketInfo::Tcp(tcp) = socket.protocol_socket_info
            && tcp.state == TcpState::Listen
        {
            seen.insert(plain(tcp.local_addr, tcp.local_port));
        }
    }
    Ok(seen)
}

/// An address as both witnesses spell it.
fn plain(address: IpAddr, port: u16) -> SocketAddr {
    let address = match address.to_canonical() {
        IpAddr::V6(v6) if cfg!(target_os = "macos") => plain_on_macos(v6),
        other => other,
    };
    without_device(end(address, port, 0))
}

/// macOS writes the interface into a link-local address, and keeps the address of a socket bound to
/// an IPv4-mapped one without the mark that it is mapped.
fn plain_on_macos(address: Ipv6Addr) -> IpAddr {
    match address.to_ipv4() {
        Some(v4) if !address.is_unspecified() && !address.is_loopback() => v4.into(),
        _ => crate::interfaces::without_scope(address).into(),
    }
}

/// netstat2 does not tell the interface.
fn without_device(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

/// Sockets that one witness saw and the other did not, though it was there all the while.
fn compared(
    before: &BTreeSet<SocketAddr>,
    second: &BTreeSet<SocketAddr>,
    after: &BTreeSet<SocketAddr>,
) -> Testimony {
    Testimony {
        only_first: before.intersection(after).filter(|address| !second.contains(address)).copied().collect(),
        only_second: second
            .iter()
            .filter(|address| !before.contains(address) && !after.contains(address))
            .copied()
            .collect(),
    }
}

/// Differences that were there both times.
fn in_both(once: &Testimony, twice: &Testimony) -> Testimony {
    let both = |one: &[SocketAddr], other: &[SocketAddr]| {
        one.iter().filter(|address| other.contains(address)).copied().collect()
    };
    Testimony {
        only_first: both(&once.only_first, &twice.only_first),
        only_second: both(&once.only_second, &twice.only_second),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn set(addresses: &[&str]) -> BTreeSet<SocketAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn ground() -> Ground {
        Ground { policy: std::sync::Arc::default(), known: std::sync::Arc::default() }
    }

    #[tokio::test]
    async fn the_witnesses_agree_about_this_host() {
        let sockets = ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0", "[::]:0", "0.0.0.0:0"];
        let _sockets: Vec<_> = sockets.iter().filter_map(|address| TcpListener::bind(address).ok()).collect();
        assert_eq!(Witness::default().observe(ground()).await, Ok(Testimony::default()));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn sockets_that_come_and_go_are_no_disagreement() {
        let running = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let busy = std::thread::spawn({
            let running = std::sync::Arc::clone(&running);
            move || {
                while running.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = TcpListener::bind("127.0.0.1:0");
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        });
        let testimony = Witness::default().observe(ground()).await;
        running.store(false, std::sync::atomic::Ordering::Relaxed);
        busy.join().unwrap();
        assert_eq!(testimony, Ok(Testimony::default()));
    }

    #[test]
    fn an_empty_answer_disagrees_about_everything_that_was_there() {
        let first = set(&["127.0.0.1:80", "0.0.0.0:22"]);
        let testimony = compared(&first, &set(&[]), &first);
        assert_eq!(testimony.only_first.len(), 2);
    }

    #[test]
    fn what_came_or_went_in_between_is_no_difference() {
        let (before, after) = (set(&["127.0.0.1:1", "127.0.0.1:2"]), set(&["127.0.0.1:2", "127.0.0.1:3"]));
        assert_eq!(compared(&before, &set(&["127.0.0.1:2"]), &after), Testimony::default());
        assert_eq!(
            compared(&before, &set(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]), &after),
            Testimony::default()
        );
    }

    #[test]
    fn a_socket_that_only_the_second_sees_is_told() {
        let first = set(&["127.0.0.1:80"]);
        let testimony = compared(&first, &set(&["127.0.0.1:80", "0.0.0.0:31337"]), &first);
        assert_eq!(testimony.only_second, ["0.0.0.0:31337".parse().unwrap()]);
    }

    #[test]
    fn a_difference_counts_when_it_is_there_twice() {
        let difference = |first: &[&str]| Testimony {
            only_first: first.iter().map(|address| address.parse().unwrap()).collect(),
            only_second: Vec::new(),
        };
        let kept = in_both(&difference(&["127.0.0.1:1", "127.0.0.1:2"]), &difference(&["127.0.0.1:2"]));
        assert_eq!(kept, difference(&["127.0.0.1:2"]));
    }

    #[test]
    fn addresses_of_macos_are_spelt_as_everywhere() {
        let plain = |text: &str| plain_on_macos(text.parse().unwrap()).to_string();
        assert_eq!(plain("fe80:4::1"), "fe80::1");
        assert_eq!(plain("::7f00:1"), "127.0.0.1");
        assert_eq!(plain("::"), "::");
        assert_eq!(plain("::1"), "::1");
    }
}
