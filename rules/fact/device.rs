//! Devices that a gateway has paired.

/// A paired device: it holds a token of its own and gets in whatever becomes of the gateway's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// What the gateway knows it by, the first sixteen characters.
    pub id: String,
    /// What it calls itself: `clawdbot-control-ui`.
    pub client: String,
    /// What it runs on, as it says.
    pub platform: String,
    /// Where it came from, if the gateway noted it.
    pub remote: Option<String>,
    /// When it was paired, in milliseconds since the epoch, if the gateway noted it.
    pub paired: Option<u64>,
}
