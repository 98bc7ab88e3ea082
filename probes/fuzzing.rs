//! Doors to the parsers for the fuzzer; built with `--cfg fuzzing` alone. What a parser says does
//! not matter here, only that it says something, in time and within memory.

use guardian_rules::fact::Transport;
use reqwest::header::HeaderMap;

use crate::announcements::{message, udp};
use crate::ask::Answer;
use crate::containers::list;
use crate::gateway::config::{self, syntax};
use crate::gateway::environment::Environment;
use crate::gateway::lock;
use crate::guests::link;
use crate::handshake::frame;
use crate::listeners::{pcblist, sock_diag, socket_fdinfo};
use crate::panel::{page, side_door};
use crate::redirects::{iptables, nft, pf};
use crate::router::{description, network, search, soap, xml};
use crate::routes::{argument, caddy, frp, haproxy, nginx, rathole, ssh, torrc};
use crate::tunnels::upstream::Host;
use crate::tunnels::{cloudflared, ngrok, tailscale};
use crate::{access, routes};

/// A batch of netlink messages, as Linux answers a dump.
pub fn sock_diag(bytes: &[u8]) {
    let _ = sock_diag::read_batch(bytes, 1, |_| {});
}

/// A `struct socket_fdinfo`, as macOS describes a descriptor.
pub fn socket_fdinfo(bytes: &[u8]) {
    let _ = socket_fdinfo::read(bytes);
    let _ = socket_fdinfo::udp_port(bytes);
}

/// `net.inet.tcp.pcblist_n`, as macOS lists its sockets.
pub fn pcblist(bytes: &[u8]) {
    let _ = pcblist::read(bytes);
}

/// A gateway's configuration.
pub fn config(bytes: &[u8]) {
    if let Ok(tree) = syntax::parse(bytes) {
        let _ = config::read(&tree, None);
    }
}

/// A page.
pub fn html(bytes: &[u8]) {
    let _ = page::marks(bytes);
}

/// An HTTP answer: two bytes of status, then the body.
pub fn http(bytes: &[u8]) {
    let Some((status, body)) = bytes.split_first_chunk::<2>() else { return };
    let answer = Answer {
        transport: Transport::Plain,
        status: u16::from_be_bytes(*status),
        headers: HeaderMap::new(),
        body: body.to_vec(),
        whole: true,
    };
    let _ = access::verdict::of(&answer);
    let _ = side_door::by_answer(&answer);
}

/// A WebSocket's text frame.
pub fn frame(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = frame::is_challenge(text);
        let _ = frame::response(text);
    }
}

/// A lock file, and a process's environment.
pub fn lock(bytes: &[u8]) {
    let _ = lock::parse(bytes);
    let _ = Environment::parse(bytes);
}

/// The configuration of a proxy or of a tunnel.
pub fn proxy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(tree) = nginx::syntax::parse(text) {
        let _ = nginx::interpret(&tree);
    }
    let _ = caddy::interpret(text);
    let _ = caddy::running::interpret(text);
    let _ = haproxy::interpret(text);
    let _ = frp::interpret(text);
    let _ = rathole::interpret(text);
    let _ = torrc::interpret(text);
    let lines = ssh::config::lines(text).into_iter();
    let items: Vec<_> = lines.map(|(keyword, words)| ssh::config::Item::Line(keyword, words)).collect();
    let _ = ssh::config::found(&items, Some("host"), false);
}

/// What a tunnel says of itself.
pub fn tunnel(bytes: &[u8]) {
    let host = Host::default();
    let _ = tailscale::serve_config(bytes, &host);
    let _ = ngrok::tunnels(bytes, &host);
    let _ = ngrok::endpoints(bytes, &host);
    let _ = cloudflared::config(bytes, cloudflared::quick(bytes).as_deref(), &host);
}

/// The arguments of a forwarder: the program, then its arguments, each ended by a zero byte.
pub fn arguments(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut words = text.split('\0').map(str::to_owned);
    let program = words.next().unwrap_or_default();
    let arguments: Vec<String> = words.collect();
    let _ = argument::instructions(&program, &arguments);
    let _ = routes::target::Target::parse(text);
}

/// What devices of the local network say: a datagram, a description, an answer in SOAP; and the
/// kernel's table of routes.
pub fn router(bytes: &[u8]) {
    let _ = search::location(bytes);
    let _ = xml::elements(bytes, |_, _| {});
    let _ = description::read(bytes);
    let _ = soap::entry(0, 200, bytes);
    let _ = soap::external_address(200, bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = network::default_routers(text);
    }
}

/// What a program says that announces itself: a message of DNS; and the kernel's table of sockets.
pub fn announcement(bytes: &[u8]) {
    let _ = message::services(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = udp::bound_to(5353, text);
    }
}

/// What a packet filter shows: nft's JSON, what iptables saves, what pfctl prints.
pub fn filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut rules = nft::Ruleset::default();
    if rules.add(text).is_ok() {
        let _ = rules.read();
    }
    let _ = iptables::read("iptables", text);
    let _ = (pf::redirects("anchor", text), pf::anchors(text), pf::is_off(text));
}

/// What an engine says of its containers.
pub fn engine(bytes: &[u8]) {
    let _ = list::read(bytes);
}

/// A batch of netlink messages, as Linux lists its interfaces.
pub fn links(bytes: &[u8]) {
    let _ = link::take(bytes, &mut Vec::new());
}
