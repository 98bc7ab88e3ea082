//! Random secrets and their fingerprints: of tokens and sessions only the fingerprint is kept.

use std::fmt;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::{Choice, ConstantTimeEq as _};

/// Bytes of a secret: as many as a fingerprint has.
const BYTES: usize = 32;

/// The system has no random numbers to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system has no random numbers to give")]
pub(crate) struct NoRandomness;

/// A fresh secret: 256 bits from the system, in hexadecimal.
pub(crate) fn fresh() -> Result<String, NoRandomness> {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(hex(&bytes))
}

/// The SHA-256 of a secret. As secrets are random, nothing slower is needed.
#[derive(Clone, Copy)]
pub(crate) struct Fingerprint([u8; BYTES]);

impl Fingerprint {
    pub(crate) fn of(secret: &str) -> Self {
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        Self(bytes)
    }

    /// Whether both are the same, in a time that does not tell where they differ.
    pub(crate) fn is(&self, other: &Self) -> bool {
        // In words, which costs an eighth of what bytes do.
        let (ours, theirs) = (self.0.as_chunks().0, other.0.as_chunks().0);
        let same =
            |(one, other): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*one).ct_eq(&u64::from_ne_bytes(*other));
        ours.iter().zip(theirs).map(same).fold(Choice::from(1), |all, same| all & same).into()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unhex(&text).map(Self).ok_or_else(|| serde::de::Error::custom("no SHA-256 in hexadecimal"))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    let pairs = text.as_bytes().chunks_exact(2);
    if text.len() != BYTES * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| !pair.contains('+'))?, 16)
            .ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_are_256_bits_long() {
        let (one, other) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 64);
    }

    #[test]
    fn a_fingerprint_is_sha_256_and_survives_being_written() {
        // FIPS 180-2, B.1.
        let abc = "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"";
        assert_eq!(serde_json::to_string(&Fingerprint::of("abc")).unwrap(), abc);
        assert!(serde_json::from_str::<Fingerprint>(abc).unwrap().is(&Fingerprint::of("abc")));
        assert!(!Fingerprint::of("abd").is(&Fingerprint::of("abc")));
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        for text in
            ["\"\"", "\"ba78\"", &format!("\"{}\"", "+a".repeat(32)), &format!("\"{}\"", "é".repeat(32)), "7"]
        {
            assert!(serde_json::from_str::<Fingerprint>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_fingerprint_is_not_printed() {
        assert_eq!(format!("{:?}", Fingerprint::of("abc")), "Fingerprint(..)");
    }
}
