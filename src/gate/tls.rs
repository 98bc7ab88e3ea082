//! The gate's certificate: the owner's, or one that was made for this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config;
use crate::sys::durable::{self, WriteError};
use crate::sys::paths::Paths;
use crate::sys::trusted::{self, TrustError};

/// The longest certificate with its chain, in bytes.
const LIMIT: u64 = 256 * 1024;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// Half of it is named.
    #[error("[gate.tls] names a certificate without a key, or a key without a certificate")]
    Half,
    /// None was made.
    #[error("there is no certificate in {0}; make one: guardian gate certificate")]
    Absent(String),
    /// A file cannot be read, or others could have written it.
    #[error(transparent)]
    Untrusted(#[from] TrustError),
    /// A file holds something else.
    #[error("{path} is no PEM of a {what}")]
    Garbled {
        /// The file.
        path: String,
        /// What it should be.
        what: &'static str,
        /// Why it is not.
        #[source]
        cause: pem::Error,
    },
    /// The two do not go together.
    #[error("the certificate and the key cannot be used")]
    Unusable(#[source] rustls::Error),
    /// None can be made.
    #[error("no certificate can be made")]
    Unmade(#[source] rcgen::Error),
    /// It cannot be written.
    #[error(transparent)]
    Unwritten(#[from] WriteError),
}

fn files(tls: &config::Tls, gate: &Path) -> Result<(PathBuf, PathBuf), TlsError> {
    match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => Ok((certificate.clone(), key.clone())),
        (None, None) => Ok(made_files(gate)),
        _ => Err(TlsError::Half),
    }
}

fn made_files(gate: &Path) -> (PathBuf, PathBuf) {
    (gate.join("certificate.pem"), gate.join("key.pem"))
}

/// The certificate that `guardian gate certificate` makes.
pub(crate) fn made(gate: &Path) -> PathBuf {
    made_files(gate).0
}

/// What takes TLS connections. HTTP/1.1 alone is offered.
pub(crate) fn acceptor(tls: &config::Tls, gate: &Path) -> Result<TlsAcceptor, TlsError> {
    let (certificate, key) = files(tls, gate)?;
    let read = |path: &Path| match trusted::read_bounded(path, LIMIT) {
        Err(absent) if absent.is_absent() => Err(TlsError::Absent(path.display().to_string())),
        other => other.map_err(TlsError::from),
    };
    let garbled = |path: &Path, what| {
        let path = path.display().to_string();
        move |cause| TlsError::Garbled { path, what, cause }
    };
    let chain = CertificateDer::pem_slice_iter(&read(&certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(garbled(&certificate, "certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&key)?).map_err(garbled(&key, "key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Makes a certificate for these names, and says where it is. It is its own authority: browsers ask
/// before they take it.
pub(crate) fn make(names: &[String], gate: &Path) -> Result<PathBuf, TlsError> {
    let made = rcgen::generate_simple_self_signed(names.to_vec()).map_err(TlsError::Unmade)?;
    let (certificate, key) = made_files(gate);
    durable::replace(&key, made.signing_key.serialize_pem().as_bytes(), Paths::gate_mode())?;
    durable::replace(&certificate, made.cert.pem().as_bytes(), 0o644)?;
    Ok(certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_was_made_is_taken_and_its_key_is_not_for_everybody() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let none = config::Tls::default();
        assert!(matches!(acceptor(&none, folder.path()), Err(TlsError::Absent(_))));
        make(&["localhost".to_owned(), "127.0.0.1".to_owned()], folder.path()).unwrap();
        assert!(acceptor(&none, folder.path()).is_ok());
        assert_eq!(
            std::fs::metadata(folder.path().join("key.pem")).unwrap().mode() & 0o777,
            Paths::gate_mode()
        );
    }

    #[test]
    fn half_a_pair_and_files_of_something_else_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let garbage = folder.path().join("garbage");
        std::fs::write(&garbage, "garbage").unwrap();
        let half = config::Tls { certificate: Some(garbage.clone()), key: None };
        assert!(matches!(acceptor(&half, folder.path()), Err(TlsError::Half)));
        let both = config::Tls { certificate: Some(garbage.clone()), key: Some(garbage) };
        assert!(matches!(acceptor(&both, folder.path()), Err(TlsError::Garbled { what: "certificate", .. })));
    }
}
