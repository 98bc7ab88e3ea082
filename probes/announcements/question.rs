//! A question to every program of this host: a one-shot query, RFC 6762 section 5.1, answered to
//! whoever asks (section 6.7).

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::PORT;
use super::message::{KINDS, Service, question, services};

/// Where responders listen.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Responders wait up to an eighth of a second before they answer.
const PATIENCE: Duration = Duration::from_millis(600);

/// The largest message, RFC 6762 section 17.
const MESSAGE: usize = 9000;

/// Messages read.
const MAX_ANSWERS: usize = 64;

/// Services kept.
const MAX_SERVICES: usize = 16;

/// What programs of this host announce on the network of one of its addresses.
pub(super) async fn ask(own: Ipv4Addr) -> io::Result<BTreeSet<Service>> {
    let socket = socket(own)?;
    for (id, kind) in (1..).zip(KINDS) {
        socket.send_to(&question(id, kind), (GROUP, PORT)).await?;
    }
    let until = Instant::now() + PATIENCE;
    let mut heard = BTreeSet::new();
    let mut message = vec![0; MESSAGE];
    for _ in 0..MAX_ANSWERS {
        let Ok(answer) = timeout_at(until, socket.recv_from(&mut message)).await else { break };
        let Ok((length, sender)) = answer else { continue };
        // The question has left by no interface; an answer from elsewhere is none to it.
        if sender.ip() == IpAddr::V4(own) && heard.len() < MAX_SERVICES {
            heard.extend(services(message.get(..length).unwrap_or_default()));
        }
    }
    Ok(heard)
}

/// A socket whose packets are heard on this host alone: a packet to a group with a time to live of
/// zero is looped back, and then dropped before it is sent (`ip_mc_output` of Linux, `ip_output` of
/// macOS).
fn socket(own: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV4::new(own, 0).into())?;
    socket.set_multicast_if_v4(&own)?;
    socket.set_multicast_ttl_v4(0)?;
    socket.set_multicast_loop_v4(true)?;
    UdpSocket::from_std(socket.into())
}
