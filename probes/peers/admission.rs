//! Which other hosts may be connected here, as far as addresses tell.

use std::net::IpAddr;
use std::sync::Arc;

use guardian_rules::address::Scope;
use guardian_rules::fact::InterfaceAddress;
use guardian_rules::policy::Policy;

/// Tells members of a VPN and of networks the owner has written down from strangers, so that where
/// a list must be cut, strangers are not what is cut off.
#[derive(Debug, Default)]
pub struct Admission {
    policy: Arc<Policy>,
    vpn: Vec<IpAddr>,
}

impl Admission {
    /// By this policy, on a host with these addresses.
    #[must_use]
    pub fn new(policy: Arc<Policy>, interfaces: &[InterfaceAddress]) -> Self {
        let scopes = |address| interfaces.iter().filter(move |own| own.address == address);
        let vpn = interfaces
            .iter()
            .map(|own| own.address)
            .filter(|address| scopes(*address).all(|own| own.scope() == Scope::Vpn))
            .collect();
        Self { policy, vpn }
    }

    /// A connection between this host's address and another's is allowed.
    #[must_use]
    pub fn admits(&self, own: IpAddr, other: IpAddr) -> bool {
        self.vpn.contains(&own) || self.policy.names(other)
    }
}

#[cfg(test)]
mod tests {
    use guardian_rules::policy::AllowedNetwork;

    use super::*;

    fn own(interface: &str, address: &str) -> InterfaceAddress {
        InterfaceAddress {
            interface: interface.into(),
            index: Some(4),
            address: ip(address),
            prefix: 32,
            tunnel: false,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn members_of_a_vpn_come_in_by_its_address() {
        let admission =
            Admission::new(Arc::default(), &[own("tailscale0", "100.64.1.1"), own("eth0", "10.0.0.1")]);
        assert!(admission.admits(ip("100.64.1.1"), ip("192.0.2.1")));
        assert!(!admission.admits(ip("10.0.0.1"), ip("192.0.2.1")));
    }

    #[test]
    fn an_address_that_an_ordinary_interface_has_too_is_no_vpns() {
        let twice = [own("tailscale0", "100.64.1.1"), own("eth0", "100.64.1.1")];
        assert!(!Admission::new(Arc::default(), &twice).admits(ip("100.64.1.1"), ip("192.0.2.1")));
    }

    #[test]
    fn networks_in_writing_are_admitted_everywhere() {
        let allowed = AllowedNetwork { network: "192.0.2.0/24".parse().unwrap(), reason: "kiosk".into() };
        let policy = Policy { networks: vec![allowed], ..Policy::default() };
        let admission = Admission::new(Arc::new(policy), &[]);
        assert!(admission.admits(ip("10.0.0.1"), ip("192.0.2.1")));
        assert!(!admission.admits(ip("10.0.0.1"), ip("198.51.100.1")));
    }
}
