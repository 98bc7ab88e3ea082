//! What the gate finds suspicious in those who ask.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What somebody at the gate seems to be up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// Wrong tokens and passphrases.
    Guessing,
    /// Requests of other sites' pages, or for names that are not the gate's, as after DNS rebinding.
    Rebinding,
    /// Requests that no browser and no well-meant program sends.
    Probing,
}

impl Intent {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Guessing, Self::Rebinding, Self::Probing];
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guessing => "wrong tokens and passphrases",
            Self::Rebinding => "requests of other sites, or for other names",
            Self::Probing => "malformed requests",
        })
    }
}

/// Suspicious requests of the last minutes, as the gate counts them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspicion {
    /// Of what kind.
    pub intent: Intent,
    /// How many, in the last five minutes.
    pub count: u32,
    /// Where the last one came from.
    pub last: IpAddr,
}
