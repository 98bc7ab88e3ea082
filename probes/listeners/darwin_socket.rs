//! A TCP socket as macOS describes it, from whichever of its structures.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::fields::array_at;
use super::socket::{Socket, State, end, is_link_local};

/// `INP_IPV4` and `INI_IPV4`: takes or carries IPv4.
const IPV4: u8 = 1;
/// `INP_IPV6` and `INI_IPV6`.
const IPV6: u8 = 2;

/// What both structures say.
pub(crate) struct Raw<'a> {
    /// `inp_vflag` or `insi_vflag`.
    pub(crate) families: u8,
    /// The state's number in `netinet/tcp_fsm.h`.
    pub(crate) state: u32,
    /// The 16 bytes of this end's address, and its port.
    pub(crate) local: (&'a [u8], u16),
    /// The other end's.
    pub(crate) remote: (&'a [u8], u16),
    pub(crate) uid: Option<u32>,
    /// The kernel's handle of the socket.
    pub(crate) handle: u64,
    /// Some process's descriptor leads to it.
    pub(crate) held: bool,
}

impl Raw<'_> {
    /// The socket; `None` where the bytes make no sense.
    ///
    /// An IPv6 wildcard that also takes IPv4 has both families. A socket bound to an IPv4-mapped
    /// address has IPv4 alone, and its address where IPv4 has it.
    pub(crate) fn read(&self) -> Option<Socket> {
        let state = match self.state {
            1 => State::Listen,
            4 => State::Established,
            // CLOSE-WAIT, FIN-WAIT-1, FIN-WAIT-2.
            5 | 6 | 9 => State::HalfClosed,
            _ => State::Other,
        };
        let (local, device) = self.address(self.local.0)?;
        let (remote, _) = self.address(self.remote.0)?;
        let both = self.families & (IPV4 | IPV6) == IPV4 | IPV6;
        let dual_stack = state == State::Listen && both && local == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        Some(Socket {
            local: end(local, self.local.1, device),
            remote: end(remote, self.remote.1, device),
            state,
            dual_stack,
            device,
            uid: self.uid,
            // A listener has its number even while it is being closed.
            id: if self.held || state == State::Listen { self.handle } else { 0 },
        })
    }

    /// An address, and the interface that the kernel writes into the second word of a link-local
    /// one (KAME).
    fn address(&self, bytes: &[u8]) -> Option<(IpAddr, u32)> {
        if self.families & IPV6 != 0 {
            let address = Ipv6Addr::from(array_at::<16>(bytes, 0)?);
            if !is_link_local(address) {
                return Some((address.into(), 0));
            }
            let mut segments = address.segments();
            let [_, scope, ..] = &mut segments;
            let device = u32::from(std::mem::take(scope));
            Some((Ipv6Addr::from(segments).into(), device))
        } else if self.families & IPV4 != 0 {
            Some((Ipv4Addr::from(array_at::<4>(bytes, 12)?).into(), 0))
        } else {
            None
        }
    }
}
