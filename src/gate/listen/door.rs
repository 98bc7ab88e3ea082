//! A socket that takes connections, and who may come in there.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::ListenError;
use super::place::Place;
use crate::gate::connection;
use crate::gate::gather::Gathering;
use crate::gate::leave::Leaves;
use crate::gate::socket::Socket;
use crate::gate::source::Allowlist;
use crate::gate::{Client, Gate};

/// Connections that may wait to be taken.
const BACKLOG: i32 = 4096;
/// After a failure to take one, such as too many open files.
const PAUSE: Duration = Duration::from_millis(20);
/// A TLS handshake takes no longer than this.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection that has said nothing for so long is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_mins(1);

#[derive(Clone)]
pub(super) struct Tls(pub(super) TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    pub(super) at: SocketAddr,
    /// Whoever may come in, it is there itself by an allowance alone, and goes with it.
    leave: Option<Rc<Leaves>>,
    sources: Rc<Allowlist>,
}

impl Door {
    pub(super) async fn serve(self, gate: &Rc<Gate>, tls: Option<&Tls>) {
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

pub(super) fn listener(at: SocketAddr, place: &Place) -> Result<TcpListener, ListenError> {
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
pub(super) fn pin(socket: &RawSocket, at: SocketAddr, card: &str, index: Option<u32>) -> io::Result<()> {
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

pub(super) fn door(listener: TcpListener, place: &Place, networks: &Rc<Leaves>) -> Result<Door, ListenError> {
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

    #[tokio::test]
    async fn every_connection_sends_at_once_and_is_asked_after_when_it_says_nothing() {
        let listener = listener("127.0.0.1:0".parse().unwrap(), &Place::Loopback).unwrap();
        let networks = Leaves::new(std::iter::empty(), crate::sys::clock::now());
        let door = door(listener, &Place::Loopback, &Rc::new(networks)).unwrap();
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
}
