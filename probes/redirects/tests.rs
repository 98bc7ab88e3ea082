//! What is done with redirects once they are read.

use guardian_rules::fact::InterfaceAddress;

use super::*;
use crate::guests::link::Link;

fn guests() -> Guests {
    let own = InterfaceAddress {
        interface: "docker0".to_owned(),
        index: Some(3),
        address: "172.17.0.1".parse().unwrap(),
        prefix: 16,
        tunnel: false,
    };
    let bridge =
        Link { index: 3, name: "docker0".to_owned(), kind: "bridge".to_owned(), master: None, tun: false };
    Guests::new(&[bridge], &std::collections::BTreeSet::new(), &[own])
}

fn to(ip: &str, ports: (u16, u16)) -> Redirect {
    Redirect {
        to: Some(Destination { ip: ip.parse().unwrap(), ports }),
        arriving_at: Vec::new(),
        arriving_on: Vec::new(),
        from: Vec::new(),
        guest: None,
        text: "a rule".to_owned(),
    }
}

#[test]
fn a_few_ports_of_a_guest_are_asked_one_by_one() {
    let ports = |redirect| -> Vec<(u16, u16)> {
        each_port(vec![redirect], &guests()).iter().map(|it| it.to.unwrap().ports).collect()
    };
    assert_eq!(ports(to("172.17.0.2", (80, 82))), [(80, 80), (81, 81), (82, 82)]);
    assert_eq!(ports(to("172.17.0.2", (1, 65535))), [(1, 65535)]);
    assert_eq!(ports(to("127.0.0.1", (80, 82))), [(80, 82)], "this host is seen otherwise");
}

#[tokio::test]
async fn a_neighbour_is_never_asked_and_a_guest_that_cannot_be_asked_is_unknown() {
    let mut redirects = vec![to("192.168.1.9", (80, 80)), to("172.17.0.2", (1, 65535))];
    ask_guests(&mut redirects, &guests()).await;
    assert_eq!(redirects[0].guest, None);
    assert!(matches!(&redirects[1].guest, Some(Access::Unknown(why)) if why.cause == Cause::TooMuch));
}
