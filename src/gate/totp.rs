//! The second factor: codes that change with time (RFC 6238), as every authenticator app makes them.
//!
//! The HMAC is ring's, the spelling is a library's, and the arithmetic between them is held by the
//! RFC's vectors: a library for that would bring another SHA-1 into the tree.

use std::fmt;
use std::path::Path;

use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::secret::NoRandomness;
use crate::exit;
use crate::sys::durable::{self, WriteError};
use crate::sys::paths::Paths;
use crate::sys::trusted::{self, TrustError};

/// Bytes of a secret: RFC 4226 advises 160 bits.
const BYTES: usize = 20;
/// Digits of a code; apps know no other number for certain.
const DIGITS: usize = 6;
/// A code changes so often, in seconds.
const SECONDS: i64 = 30;
/// Steps before and after the present one whose codes are good: clocks differ, and typing takes time.
const AROUND: u64 = 1;
/// Steps in which a code is looked for to tell how far apart two clocks are: an hour.
const FAR: u64 = 120;
/// The longest file, in bytes.
const LIMIT: u64 = 1024;
/// The version of the file.
const VERSION: u8 = 1;

/// Why there is no code to check.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TotpError {
    /// The file cannot be read, or somebody else could have written it.
    #[error("the secret of the codes cannot be read")]
    Untrusted(#[from] TrustError),
    /// It holds something else.
    #[error("what is kept of the codes makes no sense")]
    Garbled(#[source] serde_json::Error),
    /// It is of another version.
    #[error("what is kept of the codes is of version {0}, which this guardian does not know")]
    Version(u8),
    /// It cannot be written.
    #[error(transparent)]
    Unwritten(#[from] WriteError),
    /// No secret could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl TotpError {
    /// The exit code that goes with it.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Untrusted(_) | Self::Garbled(_) | Self::Version(_) => exit::CONFIG,
            Self::Unwritten(_) | Self::NoRandomness(_) => exit::FAILURE,
        }
    }
}

/// Which stretch of thirty seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Step(u64);

impl Step {
    /// The one at an instant.
    pub(crate) fn at(time: Timestamp) -> Self {
        // Before 1970 there are no codes.
        Self(u64::try_from(time.as_second().div_euclid(SECONDS)).unwrap_or(0))
    }

    /// Those whose codes are good in this one.
    pub(crate) fn around(self) -> impl Iterator<Item = Self> {
        self.within(AROUND)
    }

    fn within(self, steps: u64) -> impl Iterator<Item = Self> {
        (self.0.saturating_sub(steps)..=self.0.saturating_add(steps)).map(Self)
    }
}

/// What the app and the gate have in common.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret([u8; BYTES]);

impl Secret {
    /// A new one, from the system.
    pub(crate) fn fresh() -> Result<Self, NoRandomness> {
        let mut bytes = [0; BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }

    /// As a person types it into an app.
    pub(crate) fn base32(&self) -> String {
        BASE32_NOPAD.encode(&self.0)
    }

    /// As an app takes it from a picture; `host` tells one machine's codes from another's there.
    pub(crate) fn uri(&self, host: &str) -> String {
        let label: String =
            host.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect();
        format!("otpauth://totp/Guardian:{label}?secret={}&issuer=Guardian", self.base32())
    }

    /// The code of a step (RFC 4226, section 5.3).
    pub(crate) fn code(&self, step: Step) -> [u8; DIGITS] {
        let tag = sign(&Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0), &step.0.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag.last().copied().unwrap_or(0) & 0xf);
        #[expect(clippy::indexing_slicing, reason = "a SHA-1 has 20 bytes, and the offset is at most 15")]
        let word = [tag[offset] & 0x7f, tag[offset + 1], tag[offset + 2], tag[offset + 3]];
        let mut rest = u32::from_be_bytes(word);
        let mut code = [b'0'; DIGITS];
        for digit in code.iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        code
    }

    /// The step around `now` that a code belongs to. The time this takes does not tell how much of it
    /// is right.
    pub(crate) fn step_of(&self, given: &str, now: Step) -> Option<Step> {
        self.find(given, now.around())
    }

    /// By how many seconds the clock of an app that shows this code is ahead, if by less than an hour.
    pub(crate) fn ahead(&self, given: &str, now: Step) -> Option<i64> {
        let there = i64::try_from(self.find(given, now.within(FAR))?.0).ok()?;
        Some(there.saturating_sub(i64::try_from(now.0).ok()?).saturating_mul(SECONDS))
    }

    fn find(&self, given: &str, steps: impl Iterator<Item = Step>) -> Option<Step> {
        let given = digits(given)?;
        let mut found = None;
        for step in steps {
            if self.code(step).ct_eq(&given).into() {
                found = Some(step);
            }
        }
        found
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.base32())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE32_NOPAD.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("no 160 bits in base32"))
    }
}

/// A code as it is typed: apps show it in two halves.
fn digits(given: &str) -> Option<[u8; DIGITS]> {
    let mut code = [0; DIGITS];
    let mut places = code.iter_mut();
    for digit in given.bytes().filter(|byte| *byte != b' ') {
        *places.next().filter(|_| digit.is_ascii_digit())? = digit;
    }
    places.next().is_none().then_some(code)
}

/// The second factor, as it is kept. Where nothing is kept, none is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    v: u8,
    pub(crate) secret: Secret,
    /// Whose code was typed to turn it on: that one is used up.
    pub(crate) confirmed: Step,
}

impl Kept {
    pub(crate) fn new(secret: Secret, confirmed: Step) -> Self {
        Self { v: VERSION, secret, confirmed }
    }

    /// What a file holds; none where there is no file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, TotpError> {
        let bytes = match trusted::read_bounded(path, LIMIT) {
            Err(absent) if absent.is_absent() => return Ok(None),
            other => other?,
        };
        let kept: Self = serde_json::from_slice(&bytes).map_err(TotpError::Garbled)?;
        if kept.v == VERSION { Ok(Some(kept)) } else { Err(TotpError::Version(kept.v)) }
    }

    /// Puts it where the passphrase is, for the same eyes.
    pub(crate) fn write(&self, path: &Path) -> Result<(), TotpError> {
        let bytes = serde_json::to_vec(self).map_err(TotpError::Garbled)?;
        Ok(durable::replace(path, &bytes, Paths::gate_mode())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238, appendix B.
    const SHARED: Secret = Secret(*b"12345678901234567890");

    fn step(seconds: i64) -> Step {
        Step::at(Timestamp::from_second(seconds).unwrap())
    }

    fn code(step: Step) -> String {
        String::from_utf8(SHARED.code(step).to_vec()).unwrap()
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B has eight digits; the last six of them are the code of six.
        for (seconds, expected) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(code(step(seconds)), expected[2..], "{seconds}");
        }
        // RFC 4226, appendix D: the same by count.
        let counted = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583"];
        for (count, expected) in counted.iter().enumerate() {
            assert_eq!(code(Step(count as u64)), *expected);
        }
    }

    #[test]
    fn a_code_is_good_one_step_before_and_after_and_no_longer() {
        let now = step(1_234_567_890);
        for (away, good) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let there = Step(now.0.checked_add_signed(away).unwrap());
            let found = SHARED.step_of(&code(there), now);
            assert_eq!(found, good.then_some(there), "{away}");
        }
        assert_eq!(SHARED.ahead(&code(Step(now.0 + 10)), now), Some(300));
        assert_eq!(SHARED.ahead(&code(Step(now.0 - 10)), now), Some(-300));
        assert_eq!(SHARED.ahead(&code(Step(now.0 + 500)), now), None);
    }

    #[test]
    fn a_code_may_be_typed_in_halves_and_nothing_else_is_one() {
        let now = step(1_234_567_890);
        for typed in ["005924", "005 924", " 005924 "] {
            assert_eq!(SHARED.step_of(typed, now), Some(now), "{typed}");
        }
        for typed in ["", "5924", "0059240", "00592４", "00592a", "+05924", "-05924", "005\n924", "89005924"]
        {
            assert_eq!(SHARED.step_of(typed, now), None, "{typed}");
        }
    }

    #[test]
    fn what_an_app_is_told_is_the_secret_and_whose_it_is() {
        // RFC 4648 spells these bytes so.
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        assert_eq!(SHARED.base32(), secret);
        let uri = format!("otpauth://totp/Guardian:box-1.lan?secret={secret}&issuer=Guardian");
        assert_eq!(SHARED.uri("box-1.lan"), uri);
        assert_eq!(SHARED.uri("bö&ox-1?%.l an"), uri);
        assert_ne!(Secret::fresh().unwrap(), Secret::fresh().unwrap());
        assert_eq!(format!("{SHARED:?}"), "Secret(..)");
    }

    #[test]
    fn what_is_kept_is_read_again_and_garbage_is_not_taken_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("totp.json");
        assert!(matches!(Kept::read(&file), Ok(None)));
        let kept = Kept::new(SHARED, Step(7));
        kept.write(&file).unwrap();
        assert_eq!(Kept::read(&file).unwrap(), Some(kept));
        for garbage in ["", "{}", r#"{"v":1,"secret":"GEZDGNBV","confirmed":7}"#, r#"{"v":1,"confirmed":7}"#]
        {
            std::fs::write(&file, garbage).unwrap();
            assert!(matches!(Kept::read(&file), Err(TotpError::Garbled(_))), "{garbage}");
        }
        std::fs::write(&file, r#"{"v":2,"secret":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ","confirmed":7}"#)
            .unwrap();
        assert!(matches!(Kept::read(&file), Err(TotpError::Version(2))));
    }
}
