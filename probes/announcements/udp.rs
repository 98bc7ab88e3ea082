//! The kernel's tables of UDP sockets, `/proc/net/udp` and `/proc/net/udp6`: `proc_net(5)`.

/// A socket on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The kernel's number of it.
    pub socket: u64,
    /// The user that opened it.
    pub uid: u32,
}

/// The sockets on a port. A line that makes no sense, such as the heading, is none.
#[must_use]
pub fn bound_to(port: u16, table: &str) -> Vec<Bound> {
    let bound = |line: &str| {
        let mut words = line.split_whitespace();
        let (_, at) = words.nth(1)?.rsplit_once(':')?;
        let is_it = at.len() == 4 && u16::from_str_radix(at, 16).ok()? == port;
        // Remote address, state, queues, timer and retransmissions come between.
        let uid = words.nth(5)?.parse().ok()?;
        let socket = words.nth(1)?.parse().ok()?;
        is_it.then_some(Bound { socket, uid })
    };
    table.lines().filter_map(bound).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
        14204: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 69542 2 0000000047efc5bd 0\n\
        14205: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 69543 2 0000000047efc5be 0\n";
    const TABLE6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
        14204: 00000000000000000000000000000000:14E9 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   107        0 22 2 0000000047efc5bf 0\n";

    #[test]
    fn a_socket_on_the_port_is_found_with_its_number_and_its_user() {
        assert_eq!(bound_to(5353, TABLE), [Bound { socket: 69542, uid: 1000 }]);
        assert_eq!(bound_to(5353, TABLE6), [Bound { socket: 22, uid: 107 }]);
        assert_eq!(bound_to(53, TABLE), []);
    }

    proptest! {
        #[test]
        fn a_table_of_anything_never_panics(table: String) {
            let _ = bound_to(5353, &table);
        }
    }
}
