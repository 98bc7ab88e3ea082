//! Interfaces and what they are: `RTM_GETLINK` of rtnetlink(7), as `linux/if_link.h` has it.
//!
//! `/sys/class/net` shows the network of whoever mounted it, which need not be this program's.

use std::collections::BTreeSet;
use std::io;

/// `RTM_NEWLINK`, and the question that is answered with it.
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
/// `NLM_F_REQUEST` and `NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// `NLMSG_ERROR`, `NLMSG_DONE` and `NLMSG_OVERRUN`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const OVERRUN: u16 = 4;
/// `NLM_F_DUMP_INTR`: the list changed while it was read.
const CHANGED: u16 = 0x10;
/// `IFLA_IFNAME`, `IFLA_MASTER`, `IFLA_LINKINFO`, within it `IFLA_INFO_KIND` and `IFLA_INFO_DATA`, and within that
/// `IFLA_TUN_TYPE`.
const NAME: u16 = 3;
const MASTER: u16 = 10;
const INFO: u16 = 18;
const KIND: u16 = 1;
const DATA: u16 = 2;
const TUN_TYPE: u16 = 3;
/// `IFF_TUN` of `linux/if_tun.h`; the other one is `IFF_TAP`.
const TUN: u8 = 1;
/// Bytes of `struct nlmsghdr` and of `struct ifinfomsg`.
const HEADER: usize = 16;
const GENERIC: usize = 16;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What the kernel's drivers call it: "bridge", "veth", "tun"; empty for a card.
    pub kind: String,
    /// The number of the bridge that it is plugged into.
    pub master: Option<u32>,
    /// Of kind "tun" it is a TUN device, and no TAP device.
    pub tun: bool,
}

impl Link {
    /// A cable to another network namespace, or a virtual machine's card.
    pub(super) fn leads_to_a_guest(&self) -> bool {
        matches!(self.kind.as_str(), "veth" | "tun")
    }
}

/// The interfaces of this thread's network.
#[cfg(target_os = "linux")]
pub(crate) fn read() -> io::Result<Vec<Link>> {
    unchanged(ask)
}

/// A list that changes while it is read is read again, a few times.
#[cfg(target_os = "linux")]
fn unchanged(mut ask: impl FnMut() -> io::Result<Vec<Link>>) -> io::Result<Vec<Link>> {
    const ATTEMPTS: u32 = 3;
    let mut attempt = 1;
    loop {
        match ask() {
            Err(why) if why.kind() == io::ErrorKind::Interrupted && attempt < ATTEMPTS => attempt += 1,
            answer => return answer,
        }
    }
}

#[cfg(target_os = "linux")]
fn ask() -> io::Result<Vec<Link>> {
    use crate::listeners::dump::Transport as _;
    use crate::listeners::netlink::Netlink;

    /// Batches of one answer: thousands of interfaces.
    const MAX_BATCHES: usize = 256;

    let mut kernel = Netlink::to_interfaces()?;
    kernel.send(&question())?;
    let (mut links, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    for _ in 0..MAX_BATCHES {
        let length = kernel.receive(&mut buffer)?;
        let batch = buffer.get(..length).ok_or(io::ErrorKind::InvalidData)?;
        if take(batch, &mut links)? {
            return Ok(links);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Asks for every interface.
#[must_use]
pub fn question() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + GENERIC);
    bytes.extend(32_u32.to_ne_bytes());
    bytes.extend(GET_LINK.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    bytes.extend([0; 8 + GENERIC]);
    bytes
}

/// Takes the interfaces out of one batch of the answer; true if it is the last one. Where the list has changed meanwhile, or
/// part of it is lost, it is interrupted.
pub fn take(batch: &[u8], links: &mut Vec<Link>) -> io::Result<bool> {
    let mut rest = batch;
    while !rest.is_empty() {
        let length = number(rest, 0).and_then(|it| usize::try_from(it).ok());
        let length = length.filter(|it| *it >= HEADER).ok_or(io::ErrorKind::InvalidData)?;
        let message = rest.get(..length).ok_or(io::ErrorKind::InvalidData)?;
        if short(message, 6).is_some_and(|flags| flags & CHANGED != 0) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match short(message, 4) {
            // A dump that fails on its way ends with its error in the closing message.
            Some(DONE) => {
                let error = number(message, HEADER).map_or(0, u32::cast_signed);
                return if error < 0 {
                    Err(io::Error::from_raw_os_error(error.saturating_neg()))
                } else {
                    Ok(true)
                };
            }
            Some(OVERRUN) => return Err(io::ErrorKind::Interrupted.into()),
            Some(ERROR) => return Err(io::ErrorKind::PermissionDenied.into()),
            Some(NEW_LINK) => links.extend(link(message)),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn link(message: &[u8]) -> Option<Link> {
    let index = number(message, HEADER + 4)?;
    let (mut name, mut kind, mut master, mut tun) = (None, String::new(), None, false);
    for (attribute, value) in attributes(message.get(HEADER + GENERIC..)?) {
        match attribute {
            NAME => name = Some(text(value)),
            MASTER => master = number(value, 0),
            INFO => {
                let within = |wanted| attributes(value).find(|(attribute, _)| *attribute == wanted);
                kind = within(KIND).map(|(_, value)| text(value)).unwrap_or_default();
                let mut data = within(DATA).into_iter().flat_map(|(_, data)| attributes(data));
                tun = kind == "tun" && data.any(|(attribute, value)| attribute == TUN_TYPE && value == [TUN]);
            }
            _ => {}
        }
    }
    Some(Link { index, name: name?, kind, master, tun })
}

/// Attributes with their values, up to the first that does not fit.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, attribute) = (usize::from(short(bytes, 0)?), short(bytes, 2)?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        // The two upper bits say how the value is written.
        Some((attribute & 0x3fff, value))
    })
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

/// The interfaces by which this host reaches other networks, by `/proc/net/route` and
/// `/proc/net/ipv6_route`.
#[must_use]
pub fn default_routes(v4: &str, v6: &str) -> BTreeSet<String> {
    let of_v4 = v4.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, destination, _, _, _, _, _, mask, ..] = fields.as_slice() else { return None };
        (*destination == "00000000" && *mask == "00000000").then(|| (*name).to_owned())
    });
    let of_v6 = v6.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [destination, length, .., name] = fields.as_slice() else { return None };
        let is_default = destination.bytes().all(|byte| byte == b'0') && *length == "00" && *name != "lo";
        is_default.then(|| (*name).to_owned())
    });
    of_v4.chain(of_v6).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    fn veth() -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend(7_u32.to_ne_bytes());
        body.extend([0; 8]);
        body.extend(attribute(NAME, b"veth0\0"));
        body.extend(attribute(MASTER, &3_u32.to_ne_bytes()));
        body.extend(attribute(INFO | 0x8000, &attribute(KIND, b"veth\0")));
        message(NEW_LINK, &body)
    }

    #[test]
    fn an_interface_is_read_with_its_kind_and_its_bridge() {
        let (mut links, mut answer) = (Vec::new(), veth());
        assert!(!take(&answer, &mut links).unwrap());
        let expected =
            Link { index: 7, name: "veth0".to_owned(), kind: "veth".to_owned(), master: Some(3), tun: false };
        assert_eq!(links, [expected]);
        answer.extend(message(DONE, &[0; 4]));
        assert!(take(&answer, &mut links).unwrap());
        assert!(take(&message(ERROR, &[0; 4]), &mut links).is_err());
    }

    #[test]
    fn a_list_that_changed_or_failed_on_its_way_is_none() {
        let of = |answer: &[u8]| take(answer, &mut Vec::new()).map_err(|why| why.kind());
        for mut changed in [veth(), message(DONE, &[0; 4])] {
            changed[6] |= 0x10;
            assert_eq!(of(&changed), Err(io::ErrorKind::Interrupted));
        }
        assert_eq!(of(&message(OVERRUN, &[])), Err(io::ErrorKind::Interrupted));
        assert_eq!(of(&message(DONE, &(-1_i32).to_ne_bytes())), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(of(&message(DONE, &[])), Ok(true));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_list_that_changes_is_read_again_a_few_times_and_one_that_does_not_come_is_not() {
        let asked = |answers: &[Option<io::ErrorKind>]| {
            let mut rest = answers.iter();
            let answer = unchanged(|| rest.next().unwrap().map_or(Ok(Vec::new()), |kind| Err(kind.into())));
            (answer.map_err(|why| why.kind()), rest.len())
        };
        let changed = Some(io::ErrorKind::Interrupted);
        assert_eq!(asked(&[changed, changed, None]), (Ok(Vec::new()), 0));
        assert_eq!(asked(&[changed, changed, changed, None]), (Err(io::ErrorKind::Interrupted), 1));
        let late = Some(io::ErrorKind::WouldBlock);
        assert_eq!(asked(&[late, None]), (Err(io::ErrorKind::WouldBlock), 1));
    }

    #[test]
    fn a_tun_device_is_told_from_a_tap_device() {
        let of = |kind: &[u8], layer: &[u8]| {
            let mut body = vec![0; 4];
            body.extend(9_u32.to_ne_bytes());
            body.extend([0; 8]);
            body.extend(attribute(NAME, b"office\0"));
            let data = attribute(DATA, &attribute(TUN_TYPE, layer));
            body.extend(attribute(INFO, &[attribute(KIND, kind), data].concat()));
            let mut links = Vec::new();
            take(&message(NEW_LINK, &body), &mut links).unwrap();
            links.pop().unwrap().tun
        };
        assert!(of(b"tun\0", &[1]));
        assert!(!of(b"tun\0", &[2]) && !of(b"tun\0", &[]) && !of(b"macvtap\0", &[1]));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_host_has_loopback_which_is_no_bridge() {
        let links = read().unwrap();
        let loopback = links.iter().find(|it| it.name == "lo").unwrap();
        assert!(loopback.kind.is_empty() && loopback.master.is_none());
    }

    #[test]
    fn the_way_to_other_networks_is_the_route_to_everywhere() {
        let v4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                  eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                  docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let zero = "0".repeat(32);
        let v6 = format!(
            "{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 1 0 00000003 wlan0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200 lo\n\
             fe80{} 40 {zero} 00 {zero} 00000100 1 0 00000001 eth1\n",
            "0".repeat(28)
        );
        let found: Vec<String> = default_routes(v4, &v6).into_iter().collect();
        assert_eq!(found, ["eth0", "wlan0"]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, cut in 0..80_usize, at in 0..64_usize, byte: u8, text: String) {
            let mut damaged = veth();
            let place = at % damaged.len();
            damaged[place] = byte;
            for bytes in [bytes.as_slice(), damaged.as_slice(), damaged.get(..cut).unwrap_or_default()] {
                let _ = take(bytes, &mut Vec::new());
            }
            let _ = default_routes(&text, &text);
        }
    }
}
