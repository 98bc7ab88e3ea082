//! The search for routers: SSDP of the `UPnP` Device Architecture 1.1, section 1.3.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::network::Network;
use crate::USER_AGENT;

/// Where devices listen for a search.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), PORT);
const PORT: u16 = 1900;

/// What a router that opens ports calls itself or a part of it.
const TARGETS: [&str; 5] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// The words by which such an answer is told, whatever its version.
const KINDS: [&str; 3] = [":InternetGatewayDevice:", ":WANIPConnection:", ":WANPPPConnection:"];

/// Devices answer within a second (`MX`); the question is put twice, for packets get lost.
const PATIENCE: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(500);

/// A datagram in bytes; an answer is one.
const DATAGRAM: usize = 2048;

/// Bytes of an address in an answer.
const LOCATION: usize = 512;

/// Datagrams read in one search.
const MAX_ANSWERS: usize = 1024;

/// Devices kept of one search, beside the routers that this host sends by, and descriptions of one.
const MAX_DEVICES: usize = 8;
const MAX_LOCATIONS: usize = 4;

/// What a search brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Devices that say they are routers, with where each says that it describes itself.
    pub devices: BTreeMap<Ipv4Addr, BTreeSet<String>>,
    /// More answered than was kept.
    pub overflowed: bool,
}

impl Found {
    /// Keeps an answer, if it is one and comes from another host of the network.
    pub fn keep(&mut self, network: &Network, sender: SocketAddr, datagram: &[u8]) {
        let IpAddr::V4(sender) = sender.ip() else { return };
        if !network.has(sender) {
            return;
        }
        let Some(location) = location(datagram) else { return };
        let strangers = self.devices.keys().filter(|device| !network.gateways.contains(device)).count();
        let has_room = self.devices.contains_key(&sender)
            || network.gateways.contains(&sender)
            || strangers < MAX_DEVICES;
        if !has_room {
            self.overflowed = true;
            return;
        }
        let locations = self.devices.entry(sender).or_default();
        if locations.len() < MAX_LOCATIONS || locations.contains(&location) {
            locations.insert(location);
        } else {
            self.overflowed = true;
        }
    }
}

/// A question for one kind of device, RFC 2616 in a datagram.
fn question(target: &str) -> String {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {GROUP}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\
         USER-AGENT: unix/1 UPnP/1.1 {USER_AGENT}\r\n\r\n"
    )
}

/// Where a device describes itself, if the datagram is a router's answer.
#[must_use]
pub fn location(datagram: &[u8]) -> Option<String> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut fields);
    answer.parse(datagram).ok()?;
    let field = |name: &str| {
        let field = answer.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok().map(str::trim)
    };
    let kind = field("ST")?;
    let is_a_router = answer.code == Some(200) && KINDS.iter().any(|word| kind.contains(word));
    // What is too long is kept cut: that a router answered must not be lost.
    is_a_router.then(|| field("LOCATION").unwrap_or_default().chars().take(LOCATION).collect())
}

/// Searches one network. An error says that the question could not be put.
pub(super) async fn search(network: &Network) -> io::Result<Found> {
    let socket = socket(network.own)?;
    let begun = Instant::now();
    ask(&socket, network).await?;
    let mut found = Found::default();
    let mut datagram = [0; DATAGRAM];
    let mut repeated = false;
    let mut answers = 0;
    loop {
        let until = begun + if repeated { PATIENCE } else { AGAIN };
        match timeout_at(until, socket.recv_from(&mut datagram)).await {
            Ok(Ok((length, sender))) => {
                answers += 1;
                if answers > MAX_ANSWERS {
                    found.overflowed = true;
                    return Ok(found);
                }
                found.keep(network, sender, datagram.get(..length).unwrap_or_default());
            }
            // What a packet of ours met on its way is told here; others may still answer.
            Ok(Err(_)) => answers += 1,
            Err(_) if repeated => return Ok(found),
            Err(_) => {
                // The first time it could be put.
                let _ = ask(&socket, network).await;
                repeated = true;
            }
        }
        if answers > MAX_ANSWERS {
            return Ok(found);
        }
    }
}

/// To the group; and to the routers that this host sends by, whose answer a firewall lets pass that
/// knows of no question to the answer of a group.
async fn ask(socket: &UdpSocket, network: &Network) -> io::Result<()> {
    for target in TARGETS {
        let question = question(target);
        socket.send_to(question.as_bytes(), SocketAddr::V4(GROUP)).await?;
        for router in &network.gateways {
            let _ = socket.send_to(question.as_bytes(), (*router, PORT)).await;
        }
    }
    Ok(())
}

/// A socket whose packets leave by one interface, and are not heard on this host.
fn socket(own: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV4::new(own, 0).into())?;
    socket.set_multicast_if_v4(&own)?;
    socket.set_multicast_ttl_v4(2)?;
    socket.set_multicast_loop_v4(false)?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n\
        ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
        USN: uuid:1::urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nEXT:\r\nSERVER: x UPnP/1.1 y\r\n\
        LOCATION: http://192.168.7.1:5000/rootDesc.xml\r\n\r\n";

    fn network(gateways: &[&str]) -> Network {
        Network {
            own: "192.168.7.2".parse().unwrap(),
            net: "192.168.7.0/24".parse().unwrap(),
            gateways: gateways.iter().map(|it| it.parse().unwrap()).collect(),
        }
    }

    fn sender(host: &str) -> SocketAddr {
        SocketAddr::new(host.parse().unwrap(), 1900)
    }

    #[test]
    fn a_question_names_its_target_and_who_asks() {
        let question = question(TARGETS[0]);
        assert!(question.starts_with("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"), "{question}");
        assert!(question.contains("ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"));
        assert!(question.contains(USER_AGENT) && question.ends_with("\r\n\r\n"));
    }

    #[test]
    fn a_routers_answer_says_where_it_describes_itself() {
        assert_eq!(location(ANSWER.as_bytes()).unwrap(), "http://192.168.7.1:5000/rootDesc.xml");
    }

    #[test]
    fn what_is_no_answer_of_a_router_is_nothing() {
        for (from, to) in [
            ("InternetGatewayDevice", "MediaServer"),
            ("200 OK", "404 Not Found"),
            ("HTTP/1.1 200 OK", "NOTIFY * HTTP/1.1"),
        ] {
            assert_eq!(location(ANSWER.replace(from, to).as_bytes()), None, "{to}");
        }
    }

    #[test]
    fn a_router_that_does_not_say_where_has_answered_all_the_same() {
        assert_eq!(location(ANSWER.replace("LOCATION", "X").as_bytes()).unwrap(), "");
        let long = ANSWER.replace("rootDesc", &"x".repeat(1000));
        assert_eq!(location(long.as_bytes()).unwrap().len(), LOCATION);
    }

    #[test]
    fn answers_of_this_host_and_of_other_networks_are_not_kept() {
        let mut found = Found::default();
        for host in ["192.168.7.2", "127.0.0.1", "10.0.0.1", "192.168.7.255", "::1"] {
            found.keep(&network(&[]), sender(host), ANSWER.as_bytes());
        }
        assert_eq!(found, Found::default());
    }

    #[test]
    fn thousands_of_answers_are_bounded_and_do_not_hide_the_router_of_this_host() {
        let mut found = Found::default();
        for host in 10..250 {
            for page in 0..20 {
                let answer = ANSWER.replace("rootDesc", &page.to_string());
                found.keep(
                    &network(&["192.168.7.1"]),
                    sender(&format!("192.168.7.{host}")),
                    answer.as_bytes(),
                );
            }
        }
        found.keep(&network(&["192.168.7.1"]), sender("192.168.7.1"), ANSWER.as_bytes());
        assert!(found.overflowed && found.devices.len() == MAX_DEVICES + 1);
        assert!(found.devices.contains_key(&"192.168.7.1".parse::<Ipv4Addr>().unwrap()));
        assert!(found.devices.values().all(|locations| locations.len() <= MAX_LOCATIONS));
    }

    proptest! {
        #[test]
        fn datagrams_of_anything_never_panic(datagram: Vec<u8>, place in 0_usize..300, byte: u8) {
            let _ = location(&datagram);
            let mut damaged = ANSWER.as_bytes().to_vec();
            if let Some(there) = damaged.get_mut(place) {
                *there = byte;
            }
            let _ = location(&damaged);
        }
    }
}
