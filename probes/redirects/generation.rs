//! The generation of the packet filter's rules: the kernel counts every change, whoever makes it.
//!
//! While it stays the same, the rules are what they were when they were read. `NFT_MSG_GETGEN` and
//! `NFT_MSG_NEWGEN` of `linux/netfilter/nf_tables.h`, in messages of `netlink(7)`. Asking costs
//! microseconds; having `nft` list a table costs a process.

use std::io;

use crate::listeners::dump::Transport as _;
use crate::listeners::netlink::Netlink;

const NLM_F_REQUEST: u16 = 1;
/// `NFNL_SUBSYS_NFTABLES` in the upper byte, the message in the lower one.
const NEW_GENERATION: u16 = 10 << 8 | 15;
const GET_GENERATION: u16 = 10 << 8 | 16;
/// `NFTA_GEN_ID`, a number in the network's byte order.
const ID: u16 = 1;
/// `NLMSG_ERROR`: a negative number of errno(3) follows the header.
const ERROR: u16 = 2;
/// What it is before anybody has changed anything.
const FIRST: u32 = 1;
/// Bytes of `struct nlmsghdr` and of `struct nfgenmsg`.
const HEADER: usize = 16;
const GENERIC: usize = 4;
/// Makes the answer this question's.
const SEQUENCE: u32 = 1;

/// The generation now, in the network namespace of this thread.
pub fn now() -> io::Result<u32> {
    let mut kernel = Netlink::to_packet_filter()?;
    kernel.send(&question())?;
    let mut buffer = [0; 1024];
    let length = kernel.receive(&mut buffer)?;
    let answer = buffer.get(..length).unwrap_or_default();
    match read(answer) {
        Some(generation) => Ok(generation),
        None => {
            Err(refusal(answer)
                .map_or_else(|| io::ErrorKind::InvalidData.into(), io::Error::from_raw_os_error))
        }
    }
}

/// Whether nobody has ever made a rule in this generation.
#[must_use]
pub fn is_untouched(generation: u32) -> bool {
    generation == FIRST
}

fn question() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + GENERIC);
    bytes.extend(20_u32.to_ne_bytes());
    bytes.extend(GET_GENERATION.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend(SEQUENCE.to_ne_bytes());
    bytes.extend([0; 4 + GENERIC]);
    bytes
}

/// The number in an answer; none if it is no such answer, an error for one.
fn read(answer: &[u8]) -> Option<u32> {
    let short = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    if short(4)? != NEW_GENERATION || long(8)? != SEQUENCE {
        return None;
    }
    let end = usize::try_from(long(0)?).ok()?;
    let mut attributes = answer.get(HEADER + GENERIC..end)?;
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?);
        let value = attributes.get(4..length)?;
        if kind == ID {
            return Some(u32::from_be_bytes(value.try_into().ok()?));
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// The number of the error in an answer that is one.
fn refusal(answer: &[u8]) -> Option<i32> {
    if answer.get(4..6)? != ERROR.to_ne_bytes() {
        return None;
    }
    let number = i32::from_ne_bytes(answer.get(HEADER..HEADER + 4)?.try_into().ok()?);
    number.checked_neg().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As Linux 6.18 answers: the generation, the process that made it, and its name.
    fn answer(id: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(48_u32.to_ne_bytes());
        bytes.extend(NEW_GENERATION.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(SEQUENCE.to_ne_bytes());
        bytes.extend([0; 8]);
        for (kind, value) in [(1_u16, id.to_be_bytes()), (2, 4711_u32.to_be_bytes()), (3, *b"nft\0")] {
            bytes.extend(8_u16.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value);
        }
        bytes[0] = u8::try_from(bytes.len()).unwrap();
        bytes
    }

    #[test]
    fn the_number_is_read_wherever_it_stands() {
        assert_eq!(read(&answer(7)), Some(7));
        assert_eq!(read(&answer(u32::MAX)), Some(u32::MAX));
        let mut turned = answer(7);
        turned[20..36].rotate_left(8);
        assert_eq!(read(&turned), Some(7));
    }

    #[test]
    fn an_error_or_an_answer_to_something_else_is_no_number() {
        let but = |at: usize, byte: u8| {
            let mut bytes = answer(7);
            bytes[at] = byte;
            read(&bytes)
        };
        assert_eq!(but(4, 2), None, "another message");
        assert_eq!(but(8, 9), None, "another question");
        assert_eq!(but(22, 9), None, "no such attribute");
        assert_eq!(but(20, 0), None, "an attribute without end");
    }

    #[test]
    fn a_refusal_says_why() {
        let mut bytes = answer(7);
        bytes[4..6].copy_from_slice(&ERROR.to_ne_bytes());
        bytes[16..20].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(refusal(&bytes), Some(1), "EPERM");
        assert_eq!(refusal(&answer(7)), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, cut in 0..64_usize, at in 0..44_usize, byte: u8) {
            let _ = (read(&bytes), refusal(&bytes));
            let mut damaged = answer(7);
            damaged[at] = byte;
            let _ = read(&damaged);
            let _ = read(damaged.get(..cut).unwrap_or_default());
        }
    }
}
