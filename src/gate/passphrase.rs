//! The owner's passphrase: argon2id, the parameters that RFC 9106 recommends second (64 MiB, three
//! passes), one check at a time.

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};

/// The shortest passphrase, in characters.
pub(crate) const SHORTEST: usize = 12;
/// The longest, in bytes.
pub(crate) const LONGEST: usize = 1024;
/// Memory, in KiB.
const MEMORY: u32 = 64 * 1024;
/// Passes.
const PASSES: u32 = 3;

/// Why there is no passphrase to check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PassphraseError {
    /// Too short to be one.
    #[error("a passphrase has at least {SHORTEST} characters; a few words that nobody says together do well")]
    Short,
    /// Too long to be typed.
    #[error("a passphrase has at most {LONGEST} bytes")]
    Long,
    /// It could not be hashed.
    #[error("the passphrase cannot be hashed: {0}")]
    Unhashed(String),
    /// What is kept is no hash.
    #[error("what is kept of the passphrase makes no sense: {0}")]
    Garbled(String),
}

/// Whether somebody may take this one.
pub(crate) fn check(passphrase: &str) -> Result<(), PassphraseError> {
    if passphrase.chars().count() < SHORTEST {
        return Err(PassphraseError::Short);
    }
    if passphrase.len() > LONGEST {
        return Err(PassphraseError::Long);
    }
    Ok(())
}

/// The hash of a passphrase, in the PHC format.
pub(crate) fn hash(passphrase: &str) -> Result<String, PassphraseError> {
    check(passphrase)?;
    let unhashed = |error: &dyn std::fmt::Display| PassphraseError::Unhashed(error.to_string());
    let params = Params::new(MEMORY, PASSES, 1, None).map_err(|error| unhashed(&error))?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon.hash_password(passphrase.as_bytes()).map_err(|error| unhashed(&error))?;
    Ok(hash.to_string())
}

/// Whether this is the passphrase of a hash. Takes about a tenth of a second and 64 MiB.
pub(crate) fn verify(passphrase: &str, hash: &str) -> Result<bool, PassphraseError> {
    let hash = PasswordHash::new(hash.trim()).map_err(|error| PassphraseError::Garbled(error.to_string()))?;
    if passphrase.len() > LONGEST {
        return Ok(false);
    }
    Ok(Argon2::default().verify_password(passphrase.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passphrase_fits_its_hash_and_no_other_does() {
        let hash = hash("correct horse battery").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{hash}");
        assert_eq!(verify("correct horse battery", &hash), Ok(true));
        assert_eq!(verify("correct horse batterz", &hash), Ok(false));
        assert_eq!(verify("", &hash), Ok(false));
    }

    #[test]
    fn what_is_too_short_or_too_long_is_no_passphrase() {
        assert_eq!(hash("short"), Err(PassphraseError::Short));
        assert_eq!(hash(&"x".repeat(2000)), Err(PassphraseError::Long));
        assert!(matches!(verify("x", "garbage"), Err(PassphraseError::Garbled(_))));
    }
}
