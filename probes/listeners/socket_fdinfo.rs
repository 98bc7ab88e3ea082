//! What macOS tells of a descriptor that is a socket: `struct socket_fdinfo` of `sys/proc_info.h`.
//!
//! A pure function over bytes. The places of the fields were read off Apple's headers as the
//! compiler lays them out for macOS; they are the same on both processors.

use super::darwin_socket::Raw;
use super::fields::{u16_at, u32_at, u64_at};
use super::socket::Socket;

/// Bytes of the structure. An answer of another length is none.
pub const SIZE: usize = 792;

const SOI_SO: usize = 160;
const SOI_PROTOCOL: usize = 180;
const SOI_KIND: usize = 256;
const INSI_FPORT: usize = 264;
const INSI_LPORT: usize = 268;
const INSI_VFLAG: usize = 288;
const INSI_FADDR: usize = 296;
const INSI_LADDR: usize = 312;
const TCPSI_STATE: usize = 344;

/// `SOCKINFO_TCP`.
const TCP: u32 = 2;
/// `SOCKINFO_IN`: an internet socket of another kind.
const IN: u32 = 1;
/// `IPPROTO_UDP`.
const UDP: u32 = 17;

/// Bytes that are no `socket_fdinfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The TCP socket in it; `None` for sockets of other kinds, and for TCP sockets that are not
/// connected to anything yet.
pub fn read(bytes: &[u8]) -> Result<Option<Socket>, Malformed> {
    if bytes.len() != SIZE {
        return Err(Malformed);
    }
    if u32_at(bytes, SOI_KIND).ok_or(Malformed)? != TCP {
        return Ok(None);
    }
    let families = *bytes.get(INSI_VFLAG).ok_or(Malformed)?;
    let raw = Raw {
        families,
        state: u32_at(bytes, TCPSI_STATE).ok_or(Malformed)?,
        local: (bytes.get(INSI_LADDR..).ok_or(Malformed)?, port(bytes, INSI_LPORT).ok_or(Malformed)?),
        remote: (bytes.get(INSI_FADDR..).ok_or(Malformed)?, port(bytes, INSI_FPORT).ok_or(Malformed)?),
        uid: None,
        handle: u64_at(bytes, SOI_SO).ok_or(Malformed)?,
        held: true,
    };
    Ok(raw.read())
}

/// The port that a UDP socket is bound to; `None` for other sockets and for other bytes.
#[must_use]
pub fn udp_port(bytes: &[u8]) -> Option<u16> {
    let is_udp = bytes.len() == SIZE && u32_at(bytes, SOI_KIND)? == IN && u32_at(bytes, SOI_PROTOCOL)? == UDP;
    port(bytes, INSI_LPORT).filter(|port| is_udp && *port != 0)
}

/// A port: two bytes in the network's order, kept in an `int` of the host's.
fn port(bytes: &[u8], at: usize) -> Option<u16> {
    let low_half = if cfg!(target_endian = "big") { at + 2 } else { at };
    Some(u16::from_be(u16_at(bytes, low_half)?))
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;

    pub(crate) struct Fd {
        pub(crate) kind: u32,
        pub(crate) families: u8,
        pub(crate) state: u32,
        pub(crate) local: ([u8; 16], u16),
        pub(crate) remote: ([u8; 16], u16),
        pub(crate) handle: u64,
    }

    impl Default for Fd {
        fn default() -> Self {
            Self {
                kind: TCP,
                families: 1,
                state: 1,
                local: (v4([127, 0, 0, 1]), 18789),
                remote: ([0; 16], 0),
                handle: 0x1234,
            }
        }
    }

    pub(crate) fn v4(octets: [u8; 4]) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[12..].copy_from_slice(&octets);
        bytes
    }

    impl Fd {
        pub(crate) fn bytes(&self) -> Vec<u8> {
            let mut bytes = vec![0; SIZE];
            let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
            put(SOI_SO, &self.handle.to_ne_bytes());
            put(SOI_KIND, &self.kind.to_ne_bytes());
            put(INSI_LPORT, &u32::from(self.local.1.to_be()).to_ne_bytes());
            put(INSI_FPORT, &u32::from(self.remote.1.to_be()).to_ne_bytes());
            put(INSI_VFLAG, &[self.families]);
            put(INSI_LADDR, &self.local.0);
            put(INSI_FADDR, &self.remote.0);
            put(TCPSI_STATE, &self.state.to_ne_bytes());
            bytes
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fixture::{Fd, v4};
    use super::*;
    use crate::listeners::socket::State;

    fn one(fd: &Fd) -> Socket {
        read(&fd.bytes()).unwrap().unwrap()
    }

    #[test]
    fn an_ipv4_listener_is_read() {
        let socket = one(&Fd::default());
        assert_eq!(socket.local, "127.0.0.1:18789".parse().unwrap());
        assert_eq!((socket.state, socket.id, socket.dual_stack), (State::Listen, 0x1234, false));
    }

    #[test]
    fn a_wildcard_of_both_families_is_dual_stack() {
        let wildcard = |families| one(&Fd { families, local: ([0; 16], 80), ..Fd::default() });
        assert!(wildcard(3).dual_stack);
        assert_eq!(wildcard(3).local, "[::]:80".parse().unwrap());
        assert!(!wildcard(2).dual_stack);
        assert_eq!(wildcard(1).local, "0.0.0.0:80".parse().unwrap());
    }

    #[test]
    fn a_connection_has_both_ends() {
        let socket = one(&Fd {
            state: 4,
            local: (v4([10, 0, 0, 1]), 18789),
            remote: (v4([10, 0, 0, 9]), 50000),
            ..Fd::default()
        });
        assert_eq!(socket.local, "10.0.0.1:18789".parse().unwrap());
        assert_eq!(socket.remote, "10.0.0.9:50000".parse().unwrap());
        assert!(socket.is_connected());
    }

    #[test]
    fn a_link_local_address_gives_its_interface_away() {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&[0xfe, 0x80, 0, 4]);
        address[15] = 1;
        let socket = one(&Fd { families: 2, local: (address, 80), ..Fd::default() });
        assert_eq!(socket.local, "[fe80::1%4]:80".parse().unwrap());
        assert_eq!(socket.device, 4);
    }

    #[test]
    fn sockets_of_other_kinds_are_left_out() {
        for kind in [0, 1, 3, 7] {
            assert_eq!(read(&Fd { kind, ..Fd::default() }.bytes()), Ok(None));
        }
        assert_eq!(read(&Fd { families: 0, ..Fd::default() }.bytes()), Ok(None));
    }

    #[test]
    fn the_port_of_a_udp_socket_is_read_and_of_no_other() {
        let of = |kind: u32, protocol: u32, port: u16| {
            let mut bytes = Fd { kind, local: ([0; 16], port), ..Fd::default() }.bytes();
            bytes[SOI_PROTOCOL..SOI_PROTOCOL + 4].copy_from_slice(&protocol.to_ne_bytes());
            udp_port(&bytes)
        };
        assert_eq!(of(IN, UDP, 5353), Some(5353));
        for (kind, protocol, port) in [(IN, UDP, 0), (TCP, 6, 5353), (IN, 1, 5353), (3, UDP, 5353)] {
            assert_eq!(of(kind, protocol, port), None);
        }
        assert_eq!(udp_port(&[]), None);
    }

    #[test]
    fn an_answer_of_another_length_is_none() {
        let bytes = Fd::default().bytes();
        for length in [0, 1, 791] {
            assert_eq!(read(&bytes[..length]), Err(Malformed));
        }
        assert_eq!(read(&[bytes.as_slice(), &[0]].concat()), Err(Malformed));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), SIZE), tcp: bool) {
            if tcp {
                bytes[SOI_KIND..SOI_KIND + 4].copy_from_slice(&TCP.to_ne_bytes());
            }
            let _ = read(&bytes);
            let _ = udp_port(&bytes);
        }
    }
}
