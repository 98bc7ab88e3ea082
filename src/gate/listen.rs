//! Where the gate listens: loopback, a VPN's addresses, and nothing else that is not allowed.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use guardian_probes::interfaces;
use guardian_rules::address::Scope;
use socket2::{Domain, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::activation;
use super::connection;
use super::gather::Gathering;
use super::leave::Leaves;
use super::socket::Socket;
use super::source::Allowlist;
use super::tls::{self, TlsError};
use super::{Client, Gate};
use crate::config::Config;
use crate::exit;

/// Connections that may wait to be taken.
const BACKLOG: i32 = 4096;
/// After a failure to take one, such as too many open files.
const PAUSE: Duration = Duration::from_millis(20);
/// A TLS handshake takes no longer than this.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection that has said nothing for so long is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// Why the gate does not listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Nothing is configured.
    #[error("the policy names no address to listen at: [gate] listen")]
    Nowhere,
    /// Every address of this host at once.
    #[error("the gate does not listen at {0}, which is every address of this host: name the ones you mean")]
    Wildcard(SocketAddr),
    /// An address that not only this host and its VPN reach.
    #[error(
        "the gate does not listen at {0}, which others than this host and its VPN reach; an allowance \
         for that address in the policy allows it: guardian allow --network {ip} --reason WHY --until WHEN", ip = .0.ip()
    )]
    Beyond(SocketAddr),
    /// It cannot be told what kind of address it is.
    #[error("the addresses of this host cannot be read, so it cannot be told who reaches {at}")]
    Blind {
        /// The address.
        at: SocketAddr,
        /// Why.
        why: String,
    },
    /// The system refuses.
    #[error("the gate cannot listen at {at}")]
    Refused {
        /// The address.
        at: SocketAddr,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A socket that was handed over is none to listen at.
    #[error("the socket that was handed over cannot be used")]
    HandedOver(#[source] io::Error),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl ListenError {
    /// The exit code that goes with it: most of what keeps a gate from listening is in its policy.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::Blind { .. } | Self::HandedOver(_) => exit::FAILURE,
            _ => exit::CONFIG,
        }
    }
}

/// Sockets that are bound, each with who may come in there.
#[derive(Debug)]
pub(crate) struct Listening {
    doors: Vec<Door>,
    networks: Rc<Leaves>,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

#[derive(Debug)]
struct Door {
    listener: TcpListener,
    at: SocketAddr,
    /// Whoever may come in, it is there itself by an allowance alone, and goes with it.
    leave: Option<Rc<Leaves>>,
    sources: Rc<Allowlist>,
}

/// What kind of address it is to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Loopback,
    /// Of a VPN's card: its name, and its number.
    Vpn(String, Option<u32>),
    /// Of another card, but allowed in the policy.
    Allowed,
}

impl Listening {
    /// Binds what the policy names, or takes the sockets that a supervisor hands over.
    pub(crate) fn bind(
        config: &Config,
        networks: &Rc<Leaves>,
        gate: &std::path::Path,
    ) -> Result<Self, ListenError> {
        let settings = &config.settings.gate;
        let tls = match &settings.tls {
            Some(tls) => Some(Tls(tls::acceptor(tls, gate)?)),
            None => None,
        };
        let handed = activation::sockets().map_err(ListenError::HandedOver)?;
        if settings.listen.is_empty() && handed.is_empty() {
            return Err(ListenError::Nowhere);
        }
        let mut doors = Vec::new();
        if handed.is_empty() {
            for at in &settings.listen {
                let place = place(*at, networks)?;
                doors.push(door(listener(*at, &place)?, &place, networks)?);
            }
        } else {
            for listener in handed {
                let at = listener.local_addr().map_err(ListenError::HandedOver)?;
                let place = place(at, networks)?;
                if let Place::Vpn(card, index) = &place {
                    // Whoever opened it did not: a VPN's address is heard on the VPN's card alone.
                    pin(&SockRef::from(&listener), at, card, *index).map_err(ListenError::HandedOver)?;
                }
                doors.push(door(listener, &place, networks)?);
            }
        }
        Ok(Self { doors, tls, networks: Rc::clone(networks) })
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.doors.iter().map(|door| door.at)
    }

    /// The networks that are allowed.
    pub(super) fn networks(&self) -> Rc<Leaves> {
        Rc::clone(&self.networks)
    }

    /// Takes connections for ever.
    pub(super) async fn serve(self, gate: &Rc<Gate>) {
        let mut doors = Vec::new();
        for door in self.doors {
            let (gate, tls) = (Rc::clone(gate), self.tls.clone());
            doors.push(tokio::task::spawn_local(async move { door.serve(&gate, tls.as_ref()).await }));
        }
        for door in doors {
            // It ends with the gate, or with its allowance.
            let _ = door.await;
        }
        tracing::error!("the gate listens nowhere any more");
        std::future::pending::<()>().await;
    }
}

impl Door {
    async fn serve(self, gate: &Rc<Gate>, tls: Option<&Tls>) {
        let mut cut = gate.vouching.cuts();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = cut.changed() => match &self.leave {
                    Some(leave) if !leave.cover(self.at.ip().to_canonical()) => {
                        tracing::error!("the gate listens at {} no more: its allowance has ended", self.at);
                        return;
                    }
                    _ => continue,
                },
                accepted = self.listener.accept() => accepted,
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(cause) => {
                    tracing::warn!(%cause, "a connection was not taken");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            // Whoever comes when the house is full, or full of them, is sent away at once.
            let Some(place) = gate.crowd.enter(remote.ip(), self.sources.admits(remote.ip())) else {
                gate.counts.turned_away();
                continue;
            };
            let client = Client {
                remote: remote.ip(),
                local: self.at.ip(),
                tls: tls.is_some(),
                sources: Rc::clone(&self.sources),
                _place: Rc::new(place),
            };
            let (gate, tls) = (Rc::clone(gate), tls.cloned());
            tokio::task::spawn_local(async move {
                gate.counts.connected();
                if let Some(socket) = secured(stream, tls).await {
                    connection::serve(Rc::clone(&gate), socket, client).await;
                }
                gate.counts.disconnected();
            });
        }
    }
}

/// The connection, after the handshake where there is one.
async fn secured(stream: TcpStream, tls: Option<Tls>) -> Option<Socket> {
    // On Linux it has what the listening socket has (tcp(7), socket(7)): three calls less for each.
    #[cfg(not(target_os = "linux"))]
    tune(&SockRef::from(&stream)).ok()?;
    let Some(Tls(acceptor)) = tls else { return Some(Socket::Plain(Gathering(stream))) };
    let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await.ok()?.ok()?;
    Some(Socket::Tls(Box::new(stream)))
}

/// What kind of address it is; an error where others could reach it and nothing allows them to.
fn place(at: SocketAddr, networks: &Leaves) -> Result<Place, ListenError> {
    let ip = at.ip().to_canonical();
    if ip.is_unspecified() {
        return Err(ListenError::Wildcard(at));
    }
    if ip.is_loopback() {
        return Ok(Place::Loopback);
    }
    let cards = interfaces::read().map_err(|why| ListenError::Blind { at, why: why.to_string() })?;
    let card = cards.iter().find(|card| card.is_at(at));
    match card {
        Some(card) if card.scope() == Scope::Vpn => Ok(Place::Vpn(card.interface.clone(), card.index)),
        _ if networks.cover(ip) => Ok(Place::Allowed),
        _ => Err(ListenError::Beyond(at)),
    }
}

fn listener(at: SocketAddr, place: &Place) -> Result<TcpListener, ListenError> {
    let refused = |cause| ListenError::Refused { at, cause };
    let socket = RawSocket::new(Domain::for_address(at), Type::STREAM, None).map_err(refused)?;
    socket.set_reuse_address(true).map_err(refused)?;
    if at.is_ipv6() {
        socket.set_only_v6(true).map_err(refused)?;
    }
    if let Place::Vpn(card, index) = place {
        pin(&socket, at, card, *index).map_err(refused)?;
    }
    socket.bind(&at.into()).map_err(refused)?;
    socket.listen(BACKLOG).map_err(refused)?;
    socket.set_nonblocking(true).map_err(refused)?;
    TcpListener::from_std(socket.into()).map_err(refused)
}

/// What every connection is to have: words are sent at once, and a connection that says nothing is
/// asked whether it is still there.
fn tune(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

/// Hears nobody but through this card: a neighbour on another one can send packets for the VPN's
/// address too (Linux answers for any address of its own on any card).
fn pin(socket: &RawSocket, at: SocketAddr, card: &str, index: Option<u32>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let _ = (at, index);
        socket.bind_device(Some(card.as_bytes()))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = card;
        let index = std::num::NonZeroU32::new(index.unwrap_or(0)).ok_or(io::ErrorKind::NotFound)?;
        if at.is_ipv6() {
            socket.bind_device_by_index_v6(Some(index))
        } else {
            socket.bind_device_by_index_v4(Some(index))
        }
    }
}

fn door(listener: TcpListener, place: &Place, networks: &Rc<Leaves>) -> Result<Door, ListenError> {
    let at = listener.local_addr().map_err(ListenError::HandedOver)?;
    tune(&SockRef::from(&listener)).map_err(ListenError::HandedOver)?;
    let (sources, leave) = match place {
        Place::Loopback => (Allowlist::default(), None),
        Place::Vpn(..) => (Allowlist::new(Rc::clone(networks), true), None),
        Place::Allowed => (Allowlist::new(Rc::clone(networks), false), Some(Rc::clone(networks))),
    };
    Ok(Door { listener, at, leave, sources: Rc::new(sources) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn allowed(networks: &[&str]) -> Leaves {
        let networks = networks.iter().map(|network| (network.parse().unwrap(), jiff::Timestamp::MAX));
        Leaves::new(networks, crate::sys::clock::now())
    }

    #[test]
    fn loopback_needs_no_leave_and_every_address_at_once_is_refused_whatever_is_allowed() {
        let everything = allowed(&["0.0.0.0/0", "::/0"]);
        for loopback in ["127.0.0.1:1", "[::1]:1", "127.8.8.8:1"] {
            assert_eq!(place(at(loopback), &allowed(&[])).unwrap(), Place::Loopback, "{loopback}");
        }
        for wildcard in ["0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1"] {
            assert!(matches!(place(at(wildcard), &everything), Err(ListenError::Wildcard(_))), "{wildcard}");
        }
    }

    #[tokio::test]
    async fn every_connection_sends_at_once_and_is_asked_after_when_it_says_nothing() {
        let listener = listener(at("127.0.0.1:0"), &Place::Loopback).unwrap();
        let door = door(listener, &Place::Loopback, &Rc::new(allowed(&[]))).unwrap();
        let _client = TcpStream::connect(door.at).await.unwrap();
        let (stream, _) = door.listener.accept().await.unwrap();
        let Some(Socket::Plain(Gathering(stream))) = secured(stream, None).await else {
            panic!("no handshake")
        };
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE);
    }

    #[test]
    fn an_address_that_others_reach_needs_a_written_allowance() {
        let network = allowed(&["203.0.113.0/24"]);
        assert!(matches!(place(at("203.0.113.7:1"), &allowed(&[])), Err(ListenError::Beyond(_))));
        assert_eq!(place(at("203.0.113.7:1"), &network).unwrap(), Place::Allowed);
        assert!(matches!(place(at("198.51.100.1:1"), &network), Err(ListenError::Beyond(_))));
    }
}
