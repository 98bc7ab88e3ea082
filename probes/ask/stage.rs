//! Servers for tests: real sockets that say what they are told, well or badly.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use guardian_rules::fact::{Attribution, Listener};
use guardian_rules::observation::Observation;
use guardian_rules::policy::Policy;
use guardian_rules::snapshot::Snapshot;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::probe::Ground;

/// A server that ends with the test.
pub(crate) struct Stage {
    /// Where it listens.
    pub(crate) at: SocketAddr,
    heard: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Stage {
    /// How many connections it has accepted.
    pub(crate) fn connections(&self) -> usize {
        self.heard.load(Ordering::SeqCst)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server on loopback that does this with each connection.
pub(crate) async fn plain<F>(act: impl Fn(TcpStream) -> F + Send + 'static) -> Stage
where
    F: Future<Output = ()> + Send + 'static,
{
    plain_at("127.0.0.1:0".parse().unwrap(), act).await
}

/// The same on another address.
pub(crate) async fn plain_at<F>(at: SocketAddr, act: impl Fn(TcpStream) -> F + Send + 'static) -> Stage
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(at).await.unwrap();
    let at = listener.local_addr().unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(act(stream));
        }
    });
    Stage { at, heard, task }
}

/// A server that reads a request and answers with these bytes, then hangs up.
pub(crate) async fn saying(bytes: impl Into<Vec<u8>>) -> Stage {
    let bytes: Arc<[u8]> = bytes.into().into();
    plain(move |stream| answer(stream, Arc::clone(&bytes))).await
}

/// The same within TLS, with a certificate of its own.
pub(crate) async fn saying_in_tls(config: ServerConfig, bytes: impl Into<Vec<u8>>) -> Stage {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let bytes: Arc<[u8]> = bytes.into().into();
    plain(move |stream| {
        let (acceptor, bytes) = (acceptor.clone(), Arc::clone(&bytes));
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream, bytes).await;
            }
        }
    })
    .await
}

/// A server that reads a request and says nothing.
pub(crate) async fn mute() -> Stage {
    plain(async |mut stream: TcpStream| {
        request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: Arc<[u8]>) {
    request(&mut stream).await;
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

/// Reads a request's head; of whatever is no HTTP, such as a TLS hello, the first byte.
pub(crate) async fn request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
        if !head[0].is_ascii_uppercase() {
            break;
        }
    }
    String::from_utf8(head).unwrap_or_default()
}

/// Says one thing, and then another forever.
pub(crate) async fn forever(mut stream: TcpStream, first: &[u8], then: &[u8], pause: Duration) {
    request(&mut stream).await;
    let _ = stream.write_all(first).await;
    while stream.write_all(then).await.is_ok() {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// An HTTP answer.
pub(crate) fn http(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fields}\r\n{body}", body.len())
}

/// A certificate of this server's own making, and its key.
fn identity() -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["somebody.invalid".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    (vec![cert.der().clone()], key.into())
}

/// TLS as a server offers it by itself.
pub(crate) fn self_signed() -> ServerConfig {
    let (chain, key) = identity();
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

/// TLS that wants to see the client's certificate.
pub(crate) fn demanding_a_certificate(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let (chain, key) = identity();
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap()
}

/// A listener of some other process.
pub(crate) fn listener(bound: SocketAddr) -> Listener {
    Listener {
        bound,
        dual_stack: false,
        device: None,
        uid: Some(0),
        socket: 1,
        owner: Attribution::Named(vec![1]),
    }
}

/// Ground on which a gateway is expected at each of these addresses.
pub(crate) fn expecting(at: &[SocketAddr]) -> Ground {
    let ports = at.iter().map(SocketAddr::port).collect();
    Ground { policy: Arc::new(Policy { ports, ..Policy::default() }), ..ordinary(at) }
}

/// Ground on which somebody listens at each of these addresses.
pub(crate) fn ordinary(at: &[SocketAddr]) -> Ground {
    let listeners = at.iter().copied().map(listener).collect();
    let known = Snapshot { listeners: Observation::Seen(listeners), ..Snapshot::default() };
    Ground { policy: Arc::default(), known: Arc::new(known) }
}
