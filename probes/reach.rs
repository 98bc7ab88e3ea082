//! Which addresses of this host take connections for a gateway.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{ReachAnswer, Reached};
use guardian_rules::scene::gateway_ports;
use guardian_rules::snapshot::ProbeId;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::ask::targets::reached_at;
use crate::ask::{Turn, each, source};
use crate::probe::{Ground, Probe};

/// How long a connection to this very host may take to be accepted.
const CONNECT: Duration = Duration::from_millis(300);

/// All attempts together end after this.
const BUDGET: Duration = Duration::from_secs(2);

/// Connects to every gateway port on every address of this host, and says nothing.
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
        let mut places: Vec<SocketAddr> = gateway_ports(&ground.policy, &ground.known)
            .into_iter()
            .flat_map(|port| own.iter().map(move |own| reached_at(own, port)))
            .collect();
        places.sort_unstable();
        places.dedup();
        let turns = each(places, BUDGET, |at| attempt(*at)).await;
        Ok(turns.into_iter().map(|(at, turn)| ReachAnswer { at, reached: reached(turn) }).collect())
    }
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
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(ip) = source(at) {
        socket.bind(SocketAddr::new(ip, 0)).map_err(gone)?;
    }
    let connected: TcpStream = timeout(CONNECT, socket.connect(at))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    connected.set_zero_linger()
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

    use guardian_rules::fact::InterfaceAddress;
    use guardian_rules::observation::Observation;
    use guardian_rules::policy::Policy;
    use guardian_rules::snapshot::Snapshot;

    use super::*;
    use crate::ask::stage::plain;

    fn own(address: &str) -> InterfaceAddress {
        InterfaceAddress {
            interface: "lo".to_owned(),
            index: Some(1),
            address: address.parse().unwrap(),
            prefix: 8,
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

    #[tokio::test]
    async fn without_addresses_it_is_blind() {
        let blind = Reach.observe(Ground { policy: Arc::default(), known: Arc::default() }).await;
        assert_eq!(blind.unwrap_err().cause, Cause::NeverRan);
    }
}
