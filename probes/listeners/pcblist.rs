//! The list of all TCP sockets of a Mac: the sysctl `net.inet.tcp.pcblist_n`, which netstat reads.
//!
//! A pure function over bytes. The list is a head, then for each socket a run of records, each
//! with its length and kind, and a tail like the head. The records are `xinpcb_n`, `xsocket_n` and
//! `xtcpcb_n` of the kernel's private headers, packed to four bytes. Places are checked against
//! the records' lengths; a list that does not keep to them is not read.

use super::darwin_socket::Raw;
use super::fields::{port_at, u16_at, u32_at, u64_at};
use super::socket::Socket;

/// Why a list cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It ends before its tail.
    Cut,
    /// It makes no sense; what.
    Malformed(&'static str),
}

/// Bytes of `struct xinpgen`, the head and the tail.
const XINPGEN: usize = 24;

const XSO_SOCKET: u32 = 0x01;
const XSO_INPCB: u32 = 0x10;
const XSO_TCPCB: u32 = 0x20;

/// Bytes of `struct xinpcb_n`, exactly.
const XINPCB: usize = 104;
const INP_FPORT: usize = 16;
const INP_LPORT: usize = 18;
const INP_VFLAG: usize = 44;
const INP_FADDR: usize = 48;
const INP_LADDR: usize = 64;

/// Bytes of `struct xsocket_n` up to what is read; later systems have added to its end.
const XSOCKET: usize = 76;
const XSO_SO: usize = 8;
const SO_STATE: usize = 26;
const SO_UID: usize = 64;
/// No descriptor leads to the socket: not yet accepted, or abandoned.
const SS_NOFDREF: u16 = 1;

/// Bytes of `struct xtcpcb_n` up to what is read.
const XTCPCB: usize = 40;
const T_STATE: usize = 36;

/// Reads the list.
pub fn read(list: &[u8]) -> Result<Vec<Socket>, Fault> {
    let head = record(list)?;
    if head.len() != XINPGEN {
        return Err(Fault::Malformed("a head of an unknown length"));
    }
    let mut sockets = Vec::new();
    let mut rest = list.get(XINPGEN..).unwrap_or_default();
    let (mut control, mut socket) = (None, None);
    loop {
        let record = record(rest)?;
        if record.len() <= XINPGEN {
            return if control.is_none() { Ok(sockets) } else { Err(Fault::Malformed("half a socket")) };
        }
        match u32_at(record, 4) {
            Some(XSO_INPCB) if control.is_some() => return Err(Fault::Malformed("half a socket")),
            Some(XSO_INPCB) if record.len() != XINPCB => {
                return Err(Fault::Malformed("a control block of an unknown length"));
            }
            Some(XSO_INPCB) => control = Some(record),
            Some(XSO_SOCKET) => socket = Some(record),
            Some(XSO_TCPCB) => {
                let (Some(control), Some(socket)) = (control.take(), socket.take()) else {
                    return Err(Fault::Malformed("half a socket"));
                };
                sockets.extend(one(control, socket, record)?);
            }
            _ => {}
        }
        rest = rest.get(record.len().next_multiple_of(8)..).unwrap_or_default();
    }
}

/// The record at the beginning of these bytes. A single one of no length would never end.
fn record(bytes: &[u8]) -> Result<&[u8], Fault> {
    let length = u32_at(bytes, 0).ok_or(Fault::Cut)?;
    match usize::try_from(length) {
        Ok(length) if length >= 8 => bytes.get(..length).ok_or(Fault::Cut),
        _ => Err(Fault::Malformed("a record without a length")),
    }
}

/// A socket; none where it has no family yet.
fn one(control: &[u8], socket: &[u8], tcp: &[u8]) -> Result<Option<Socket>, Fault> {
    if socket.len() < XSOCKET || tcp.len() < XTCPCB {
        return Err(Fault::Malformed("a record cut short"));
    }
    let raw = || {
        Some(Raw {
            families: *control.get(INP_VFLAG)?,
            state: u32_at(tcp, T_STATE)?,
            local: (control.get(INP_LADDR..)?, port_at(control, INP_LPORT)?),
            remote: (control.get(INP_FADDR..)?, port_at(control, INP_FPORT)?),
            uid: Some(u32_at(socket, SO_UID)?),
            handle: u64_at(socket, XSO_SO)?,
            held: u16_at(socket, SO_STATE)? & SS_NOFDREF == 0,
        })
    };
    Ok(raw().ok_or(Fault::Malformed("a record cut short"))?.read())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::listeners::socket::State;
    use crate::listeners::socket_fdinfo::fixture::v4;

    fn record(kind: u32, length: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes[..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
        bytes[4..8].copy_from_slice(&kind.to_ne_bytes());
        for (at, value) in fields {
            bytes[*at..at + value.len()].copy_from_slice(value);
        }
        bytes.resize(length.next_multiple_of(8), 0);
        bytes
    }

    fn control(families: u8, address: [u8; 16], port: u16) -> Vec<u8> {
        record(
            XSO_INPCB,
            XINPCB,
            &[(INP_LPORT, &port.to_be_bytes()), (INP_VFLAG, &[families]), (INP_LADDR, &address)],
        )
    }

    fn socket(uid: u32, flags: u16) -> Vec<u8> {
        record(
            XSO_SOCKET,
            104,
            &[
                (XSO_SO, &0x1234_u64.to_ne_bytes()),
                (SO_STATE, &flags.to_ne_bytes()),
                (SO_UID, &uid.to_ne_bytes()),
            ],
        )
    }

    fn tcp(state: u32) -> Vec<u8> {
        record(XSO_TCPCB, 204, &[(T_STATE, &state.to_ne_bytes())])
    }

    /// As the kernel orders the records: the two buffers and the statistics lie between.
    fn entry(control: Vec<u8>, socket: Vec<u8>, state: u32) -> Vec<u8> {
        [control, socket, record(2, 32, &[]), record(4, 32, &[]), record(8, 136, &[]), tcp(state)].concat()
    }

    fn listener() -> Vec<u8> {
        entry(control(1, v4([127, 0, 0, 1]), 18789), socket(501, 0), 1)
    }

    fn list(entries: &[Vec<u8>]) -> Vec<u8> {
        [record(7, XINPGEN, &[]), entries.concat(), record(9, XINPGEN, &[])].concat()
    }

    #[test]
    fn listeners_of_every_user_are_read_with_their_user() {
        let second = entry(control(3, [0; 16], 22), socket(0, 0), 1);
        let sockets = read(&list(&[listener(), second])).unwrap();
        assert_eq!(sockets.len(), 2);
        assert_eq!(sockets[0].local, "127.0.0.1:18789".parse().unwrap());
        assert_eq!((sockets[0].uid, sockets[0].id), (Some(501), 0x1234));
        assert_eq!((sockets[1].local, sockets[1].dual_stack), ("[::]:22".parse().unwrap(), true));
    }

    #[test]
    fn a_connection_that_nobody_has_accepted_is_held_by_nobody() {
        let waiting = entry(control(1, v4([10, 0, 0, 1]), 18789), socket(501, SS_NOFDREF), 4);
        let sockets = read(&list(&[waiting])).unwrap();
        assert_eq!((sockets[0].state, sockets[0].id), (State::Established, 0));
        assert!(sockets[0].is_connected());
    }

    #[test]
    fn an_empty_list_is_a_head_and_a_tail() {
        assert_eq!(read(&list(&[])), Ok(Vec::new()));
    }

    #[test]
    fn a_list_cut_anywhere_is_not_read() {
        let whole = list(&[listener(), listener()]);
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_layout_that_is_not_the_known_one_is_not_read() {
        let wider = record(XSO_INPCB, 112, &[(INP_VFLAG, &[1])]);
        assert!(matches!(read(&list(&[entry(wider, socket(0, 0), 1)])), Err(Fault::Malformed(_))));
        let shorter = record(XSO_SOCKET, 68, &[]);
        let entry = entry(control(1, [0; 16], 1), shorter, 1);
        assert!(matches!(read(&list(&[entry])), Err(Fault::Malformed(_))));
        let head = [record(7, 32, &[]), record(9, XINPGEN, &[])].concat();
        assert!(matches!(read(&head), Err(Fault::Malformed(_))));
    }

    #[test]
    fn records_without_their_companions_are_not_read() {
        for entry in [tcp(1), control(1, [0; 16], 1), [control(1, [0; 16], 1), tcp(1)].concat()] {
            assert_eq!(read(&list(&[entry])), Err(Fault::Malformed("half a socket")));
        }
    }

    #[test]
    fn a_record_without_a_length_is_malformed_and_not_endless() {
        let stuck = [record(7, XINPGEN, &[]), vec![0; 64]].concat();
        assert!(matches!(read(&stuck), Err(Fault::Malformed(_))));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_damaged_list_never_panics(at in 0_usize..2000, byte: u8) {
            let mut bytes = list(&[listener(), listener()]);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = read(&bytes);
        }
    }
}
