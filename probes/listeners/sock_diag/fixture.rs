//! Netlink messages made by hand.

pub(crate) struct Diag {
    pub(crate) family: u8,
    pub(crate) state: u8,
    pub(crate) local: (&'static str, u16),
    pub(crate) remote: (&'static str, u16),
    pub(crate) device: u32,
    pub(crate) uid: u32,
    pub(crate) inode: u32,
    pub(crate) v6_only: Option<u8>,
}

impl Default for Diag {
    fn default() -> Self {
        Self {
            family: 2,
            state: 10,
            local: ("127.0.0.1", 80),
            remote: ("0.0.0.0", 0),
            device: 0,
            uid: 1000,
            inode: 4711,
            v6_only: None,
        }
    }
}

impl Diag {
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = vec![self.family, self.state, 0, 0];
        body.extend(self.local.1.to_be_bytes());
        body.extend(self.remote.1.to_be_bytes());
        for (text, _) in [self.local, self.remote] {
            let mut octets = match text.parse().unwrap() {
                std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
                std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            octets.resize(16, 0);
            body.extend(octets);
        }
        body.extend(self.device.to_ne_bytes());
        body.resize(64, 0);
        body.extend(self.uid.to_ne_bytes());
        body.extend(self.inode.to_ne_bytes());
        // The shutdown state comes first, always; nobody here knows its number.
        body.extend(attribute(8, &[0]));
        if let Some(v6_only) = self.v6_only {
            body.extend(attribute(11, &[v6_only]));
        }
        body
    }

    pub(crate) fn message(&self, sequence: u32) -> Vec<u8> {
        message(18, 2, sequence, &self.body())
    }
}

pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(crate) fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(7_u32.to_ne_bytes());
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(crate) fn done(sequence: u32, error: i32) -> Vec<u8> {
    message(3, 2, sequence, &error.to_ne_bytes())
}

pub(crate) fn refusal(sequence: u32, error: i32) -> Vec<u8> {
    let mut body = (-error).to_ne_bytes().to_vec();
    body.resize(20, 0);
    message(2, 0, sequence, &body)
}
