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
use guardian_rules::blindness::Blindness;
use guardian_rules::fact::InterfaceAddress;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use self::door::{Door, Tls, door, listener, pin};
use self::place::{Place, place, place_on};
use super::Gate;
use super::activation;
use super::leave::Leaves;
use super::tls::{self, TlsError};
use crate::config::Config;
use crate::exit;

mod door;
mod place;

/// Between two looks at what is waited for, and at the cards of the VPNs.
const LOOK: Duration = Duration::from_secs(1);
/// As many addresses that are waited for are told.
const TOLD: usize = 16;

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

#[cfg(test)]
mod tests;
