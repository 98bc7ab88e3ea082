//! Where the gate listens: loopback, a VPN's addresses, and nothing else that is not allowed.
//!
//! A VPN comes late, goes, and comes again as another card of the same name. An address that no card has is waited for
//! while the others are served, and what listened on a card that is gone listens anew.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use guardian_probes::interfaces;
use guardian_probes::probe::blocking;
use guardian_rules::address::{Scope, scope};
use guardian_rules::blindness::Blindness;
use guardian_rules::fact::InterfaceAddress;
use socket2::{Domain, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
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
/// Between two looks at what is waited for, and at the cards of the VPNs.
const LOOK: Duration = Duration::from_secs(1);
/// As many addresses that are waited for are told.
const TOLD: usize = 16;
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

/// The addresses that the gate is to listen at, each with what has become of it.
#[derive(Debug)]
pub(crate) struct Listening {
    wanted: Vec<Wanted>,
    networks: Rc<Leaves>,
    tls: Option<Tls>,
}

/// One of them.
#[derive(Debug)]
struct Wanted {
    at: SocketAddr,
    now: Standing,
}

/// What has become of it.
#[derive(Debug)]
enum Standing {
    /// It is bound, and nobody is served yet.
    Bound(Place, Door),
    /// Whoever comes is served.
    Served(Place, JoinHandle<()>),
    /// No card of this host has it; with the socket, if one was handed over.
    Waits(Option<TcpListener>),
    /// It has come up where others reach it, or the system refuses; why, as it was said.
    Refused(String),
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

/// What is to become of an address that is bound, or waits, by where it is now.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Keep,
    /// Listen there; what listened before does not any more.
    Listen(Place),
    /// Nobody has it now.
    Wait,
}

impl Listening {
    /// Binds what the policy names, or takes the sockets that a supervisor hands over. What can never be is an error.
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
        let mut wanted = Vec::new();
        if handed.is_empty() {
            for at in &settings.listen {
                let now = match place(*at, networks)? {
                    Some(place) => stands(*at, place, None, networks)?,
                    None => Standing::Waits(None),
                };
                wanted.push(Wanted { at: *at, now });
            }
        } else {
            for listener in handed {
                let at = listener.local_addr().map_err(ListenError::HandedOver)?;
                let now = match place(at, networks)? {
                    Some(place) => stands(at, place, Some(listener), networks)?,
                    None => Standing::Waits(Some(listener)),
                };
                wanted.push(Wanted { at, now });
            }
        }
        Ok(Self { wanted, tls, networks: Rc::clone(networks) })
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.wanted.iter().filter_map(|wanted| match &wanted.now {
            Standing::Bound(_, door) => Some(door.at),
            Standing::Served(..) => Some(wanted.at),
            Standing::Waits(_) | Standing::Refused(_) => None,
        })
    }

    /// Where it would listen if a card of this host had that address.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = SocketAddr> {
        self.wanted.iter().filter(|it| matches!(it.now, Standing::Waits(_))).map(|it| it.at)
    }

    /// The networks that are allowed.
    pub(super) fn networks(&self) -> Rc<Leaves> {
        Rc::clone(&self.networks)
    }

    /// Takes connections for ever.
    pub(super) async fn serve(mut self, gate: &Rc<Gate>) {
        let mut listened = true;
        loop {
            for wanted in &mut self.wanted {
                wanted.serve(gate, self.tls.as_ref());
            }
            gate.waiting.replace(self.waiting().take(TOLD).collect());
            let listens = self.wanted.iter().any(|it| !it.has_ended());
            if listened && !listens {
                tracing::error!("the gate listens nowhere any more");
            }
            listened = listens;
            sleep(LOOK).await;
            if self.wanted.iter().any(|it| !it.at.ip().to_canonical().is_loopback()) {
                self.look_again(interfaces::read).await;
            }
        }
    }

    /// Looks where the addresses are now. The kernel may take its time to tell, and this thread serves everybody.
    async fn look_again(&mut self, read: fn() -> Result<Vec<InterfaceAddress>, Blindness>) {
        let cards = match blocking(read).await {
            Ok(cards) => cards,
            // What is bound stays so: its card is the one that it was bound to, or none.
            Err(why) => {
                tracing::debug!(%why, "where the gate's addresses are is not known at this moment");
                return;
            }
        };
        for wanted in &mut self.wanted {
            wanted.look_again(&cards, &self.networks).await;
        }
    }
}

impl Wanted {
    fn serve(&mut self, gate: &Rc<Gate>, tls: Option<&Tls>) {
        self.now = match std::mem::replace(&mut self.now, Standing::Waits(None)) {
            Standing::Bound(place, door) => {
                self.at = door.at;
                let (gate, tls) = (Rc::clone(gate), tls.cloned());
                let task = tokio::task::spawn_local(async move { door.serve(&gate, tls.as_ref()).await });
                Standing::Served(place, task)
            }
            other => other,
        };
    }

    /// Nothing listens there, and nothing will without somebody who mends it.
    fn has_ended(&self) -> bool {
        match &self.now {
            Standing::Served(_, task) => task.is_finished(),
            Standing::Refused(_) => true,
            Standing::Bound(..) | Standing::Waits(_) => false,
        }
    }

    async fn look_again(&mut self, cards: &[InterfaceAddress], networks: &Rc<Leaves>) {
        let at = self.at;
        let had = match &self.now {
            Standing::Bound(place, _) | Standing::Served(place, _) => Some(place),
            Standing::Waits(_) | Standing::Refused(_) => None,
        };
        let turned = match place_on(at, cards, networks) {
            Ok(is) => Ok(turn(had, is)),
            // It went with its allowance, and that was said.
            Err(_) if had == Some(&Place::Allowed) => return,
            Err(refused) => Err(refused),
        };
        let opened = match turned {
            Ok(Turn::Keep) => return,
            Ok(Turn::Wait) => {
                if had.is_some() {
                    tracing::warn!("no card of this host has {at} any more: the gate waits for it");
                    self.close().await;
                }
                if !matches!(self.now, Standing::Waits(_)) {
                    self.now = Standing::Waits(None);
                }
                return;
            }
            Ok(Turn::Listen(place)) => {
                let handed = self.close().await;
                stands(at, place, handed, networks)
            }
            Err(refused) => {
                let _ = self.close().await;
                Err(refused)
            }
        };
        self.now = match opened {
            Ok(now) => {
                if let Standing::Bound(..) = now {
                    tracing::info!("the gate listens at {at}");
                }
                now
            }
            Err(why) => {
                let why = crate::cli::chain(&why);
                if !matches!(&self.now, Standing::Refused(said) if *said == why) {
                    tracing::error!("{why}");
                }
                Standing::Refused(why)
            }
        };
    }

    /// Nothing listens there any more, as far as that is this gate's to say; gives back the socket that was handed over
    /// and not used yet. Whoever is let in already is served on.
    async fn close(&mut self) -> Option<TcpListener> {
        match std::mem::replace(&mut self.now, Standing::Waits(None)) {
            Standing::Waits(handed) => handed,
            Standing::Served(_, task) => {
                task.abort();
                // Its socket is closed when this is over.
                let _ = task.await;
                None
            }
            refused @ Standing::Refused(_) => {
                self.now = refused;
                None
            }
            Standing::Bound(..) => None,
        }
    }
}

/// A VPN's card that was made anew has another number, and a socket hears the old one alone, for ever.
fn turn(had: Option<&Place>, is: Option<Place>) -> Turn {
    match (had, is) {
        (_, None) => match had {
            // These hear on whatever card has the address when it is back.
            Some(Place::Loopback | Place::Allowed) => Turn::Keep,
            Some(Place::Vpn(..)) | None => Turn::Wait,
        },
        (Some(had), Some(is)) if *had == is => Turn::Keep,
        (_, Some(is)) => Turn::Listen(is),
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

/// What kind of address it is, none while no card has it; an error where others could reach it and nothing allows
/// them to.
fn place(at: SocketAddr, networks: &Leaves) -> Result<Option<Place>, ListenError> {
    let ip = at.ip().to_canonical();
    if ip.is_unspecified() || ip.is_loopback() {
        return place_on(at, &[], networks);
    }
    let cards = interfaces::read().map_err(|why| ListenError::Blind { at, why: why.to_string() })?;
    place_on(at, &cards, networks)
}

/// The same of a host that has these cards.
fn place_on(
    at: SocketAddr,
    cards: &[InterfaceAddress],
    networks: &Leaves,
) -> Result<Option<Place>, ListenError> {
    let ip = at.ip().to_canonical();
    if ip.is_unspecified() {
        return Err(ListenError::Wildcard(at));
    }
    if ip.is_loopback() {
        return Ok(Some(Place::Loopback));
    }
    match cards.iter().find(|card| card.is_at(at)) {
        Some(card) if card.scope() == Scope::Vpn => Ok(Some(Place::Vpn(card.interface.clone(), card.index))),
        Some(_) if networks.cover(ip) => Ok(Some(Place::Allowed)),
        None if networks.cover(ip) => Ok(None),
        // On no card whatever would such a one be a VPN's.
        None if scope("", ip) != Scope::Global => Ok(None),
        _ => Err(ListenError::Beyond(at)),
    }
}

/// Listens there, with the socket that was handed over if there is one. An address that is gone again, or that IPv6 is
/// still asking the neighbours for, is waited for.
fn stands(
    at: SocketAddr,
    place: Place,
    handed: Option<TcpListener>,
    networks: &Rc<Leaves>,
) -> Result<Standing, ListenError> {
    let listener = match handed {
        Some(listener) => {
            if let Place::Vpn(card, index) = &place {
                // Whoever opened it did not: a VPN's address is heard on the VPN's card alone.
                pin(&SockRef::from(&listener), at, card, *index).map_err(ListenError::HandedOver)?;
            }
            listener
        }
        None => match listener(at, &place) {
            Err(ListenError::Refused { cause, .. }) if cause.kind() == io::ErrorKind::AddrNotAvailable => {
                return Ok(Standing::Waits(None));
            }
            other => other?,
        },
    };
    let door = door(listener, &place, networks)?;
    Ok(Standing::Bound(place, door))
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

    fn card(interface: &str, index: u32, address: &str) -> InterfaceAddress {
        InterfaceAddress {
            interface: interface.to_owned(),
            index: Some(index),
            address: address.parse().unwrap(),
            prefix: 24,
            tunnel: false,
        }
    }

    fn vpn(index: u32) -> Place {
        Place::Vpn("wg0".to_owned(), Some(index))
    }

    #[test]
    fn loopback_needs_no_leave_and_every_address_at_once_is_refused_whatever_is_allowed() {
        let everything = allowed(&["0.0.0.0/0", "::/0"]);
        for loopback in ["127.0.0.1:1", "[::1]:1", "127.8.8.8:1"] {
            assert_eq!(place(at(loopback), &allowed(&[])).unwrap(), Some(Place::Loopback), "{loopback}");
        }
        for wildcard in ["0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1"] {
            assert!(matches!(place(at(wildcard), &everything), Err(ListenError::Wildcard(_))), "{wildcard}");
        }
    }

    #[test]
    fn an_address_that_no_card_has_is_waited_for_and_one_of_another_card_is_refused() {
        let (up, down) = ([card("wg0", 7, "10.8.0.2"), card("eth0", 2, "192.168.1.5")], []);
        let nobody = allowed(&[]);
        assert_eq!(place_on(at("10.8.0.2:1"), &up, &nobody).unwrap(), Some(vpn(7)));
        assert_eq!(place_on(at("10.8.0.2:1"), &down, &nobody).unwrap(), None);
        assert!(matches!(place_on(at("192.168.1.5:1"), &up, &nobody), Err(ListenError::Beyond(_))));
        // Of one that could be a VPN's nothing is known yet; one of the internet can be none.
        assert_eq!(place_on(at("192.168.1.5:1"), &down, &nobody).unwrap(), None);
        assert!(matches!(place_on(at("8.8.8.8:1"), &down, &nobody), Err(ListenError::Beyond(_))));
        assert_eq!(place_on(at("8.8.8.8:1"), &down, &allowed(&["8.8.8.8/32"])).unwrap(), None);
    }

    #[test]
    fn a_card_that_was_made_anew_is_listened_on_anew_and_nothing_else_is_touched() {
        assert_eq!(turn(Some(&vpn(7)), Some(vpn(7))), Turn::Keep);
        assert_eq!(turn(Some(&vpn(7)), Some(vpn(9))), Turn::Listen(vpn(9)));
        assert_eq!(turn(Some(&vpn(7)), None), Turn::Wait);
        assert_eq!(turn(None, None), Turn::Wait);
        assert_eq!(turn(None, Some(vpn(9))), Turn::Listen(vpn(9)));
        // What is no VPN's any more, and allowed, is heard on every card.
        assert_eq!(turn(Some(&vpn(7)), Some(Place::Allowed)), Turn::Listen(Place::Allowed));
        for other in [Place::Loopback, Place::Allowed] {
            assert_eq!(turn(Some(&other), None), Turn::Keep);
            assert_eq!(turn(Some(&other), Some(other.clone())), Turn::Keep);
        }
    }

    #[tokio::test]
    async fn what_waits_is_bound_when_it_comes_and_refused_where_others_would_reach_it() {
        let networks = Rc::new(allowed(&[]));
        let mut wanted = Wanted { at: at("10.8.0.2:1"), now: Standing::Waits(None) };
        wanted.look_again(&[], &networks).await;
        assert!(matches!(wanted.now, Standing::Waits(None)) && !wanted.has_ended());
        wanted.look_again(&[card("eth0", 2, "10.8.0.2")], &networks).await;
        assert!(
            matches!(&wanted.now, Standing::Refused(why) if why.contains("10.8.0.2")) && wanted.has_ended()
        );
        // Its card is down again, and may come up as another one.
        wanted.look_again(&[], &networks).await;
        assert!(matches!(wanted.now, Standing::Waits(None)), "{wanted:?}");
        let mut local = Wanted { at: at("127.0.0.1:0"), now: Standing::Waits(None) };
        local.look_again(&[], &networks).await;
        assert!(matches!(local.now, Standing::Bound(Place::Loopback, _)), "{local:?}");
    }

    #[tokio::test]
    async fn a_kernel_that_takes_its_time_to_list_the_cards_holds_nobody_up() {
        let wanted = vec![Wanted { at: at("10.8.0.2:1"), now: Standing::Waits(None) }];
        let mut listening = Listening { wanted, networks: Rc::new(allowed(&[])), tls: None };
        let slow = || {
            std::thread::sleep(Duration::from_millis(500));
            Err(Blindness::timed_out("it does not answer"))
        };
        tokio::select! {
            biased;
            () = listening.look_again(slow) => panic!("nobody else had a turn"),
            () = sleep(Duration::from_millis(1)) => {}
        }
        listening.look_again(slow).await;
        assert!(matches!(listening.wanted[0].now, Standing::Waits(None)), "nothing is known");
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
        assert_eq!(place(at("203.0.113.7:1"), &network).unwrap(), None, "no card has it yet");
        let cards = [card("eth0", 2, "203.0.113.7")];
        assert_eq!(place_on(at("203.0.113.7:1"), &cards, &network).unwrap(), Some(Place::Allowed));
        assert!(matches!(place(at("198.51.100.1:1"), &network), Err(ListenError::Beyond(_))));
    }
}
