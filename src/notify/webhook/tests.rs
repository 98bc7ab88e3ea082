use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::breaker::effect::Notice;
use crate::notify::message::tests::{stamped, trip};
use crate::notify::queue::Delivery;

fn event() -> Event {
    Event::of(&Delivery::first(stamped(Notice::Tripped(trip(0, 1)))), "pine")
}

/// Reads a request to the end of its body.
pub(in crate::notify) async fn request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).await.unwrap();
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let length = |line: &str| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok();
        let length: Option<usize> = head.lines().find_map(length);
        if read == 0 || length.is_some_and(|length| body.len() >= length) {
            return text;
        }
    }
}

/// A server that answers one request, and what it was asked.
async fn serve(answer: String) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = request(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        request
    });
    (at, served)
}

async fn post(address: &str) -> Result<(), PostError> {
    Webhook::of(address).unwrap().unwrap().post(&event()).await
}

#[test]
fn an_empty_address_is_no_webhook() {
    assert_eq!(Webhook::of(" ").unwrap(), None);
}

#[tokio::test]
async fn an_event_is_posted_as_json_by_guardian_itself() {
    let (at, served) = serve("HTTP/1.1 204 No Content\r\n\r\n".to_owned()).await;
    post(&format!("http://{at}/hook")).await.unwrap();
    let request = served.await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    assert!(head.contains("guardian/"), "{head}");
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&json["event"], &json["urgency"]), (&"tripped".into(), &"critical".into()));
}

#[tokio::test]
async fn ntfy_gets_text_with_title_priority_and_tags() {
    let (at, served) = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    post(&format!("ntfy+http://{at}/alarm")).await.unwrap();
    let request = served.await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    for field in ["post /alarm ", "title: gateway blocked on pine", "priority: 5", "tags: rotating_light"] {
        assert!(head.contains(field), "{field}: {head}");
    }
    assert!(body.ends_with("Type: guardian status"), "{body}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_counts_as_not_taken() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = elsewhere.local_addr().unwrap();
    for status in ["301 Moved", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let answer =
            format!("HTTP/1.1 {status}\r\nlocation: http://{location}/\r\ncontent-length: 0\r\n\r\n");
        let (at, _served) = serve(answer).await;
        let refused = post(&format!("http://{at}/")).await.unwrap_err();
        assert!(matches!(refused, PostError::Redirect { .. }), "{refused}");
    }
    let came = tokio::time::timeout(Duration::from_millis(100), elsewhere.accept()).await;
    assert!(came.is_err(), "somebody followed");
}

#[tokio::test]
async fn an_answer_without_end_is_left_after_four_kilobytes() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 1024]).await.is_ok() {
            SENT.fetch_add(1024, Ordering::Relaxed);
        }
    });
    post(&format!("http://{at}/")).await.unwrap();
    // The connection is closed: the server cannot go on.
    tokio::time::timeout(Duration::from_secs(5), served).await.unwrap().unwrap();
    // What both ends' kernels take in counts too.
    assert!(SENT.load(Ordering::Relaxed) < 16 << 20);
}

#[tokio::test]
async fn refusals_and_silence_are_told_without_the_address() {
    let (at, _served) = serve("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let refused = post(&format!("http://{at}/s3cr3t")).await.unwrap_err();
    assert!(matches!(&refused, PostError::Refused { status, .. } if status.as_u16() == 500), "{refused}");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = post(&format!("http://ana:s3cr3t@{closed}/s3cr3t")).await.unwrap_err();
    assert!(matches!(silent, PostError::NoAnswer { .. }));
    assert!(!format!("{refused} {refused:?} {silent} {silent:?}").contains("s3cr3t"), "{silent:?}");
}

#[tokio::test]
async fn a_name_in_plain_text_is_asked_where_it_is_private() {
    let (at, served) = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let port = at.rsplit_once(':').unwrap().1;
    post(&format!("http://localhost:{port}/")).await.unwrap();
    served.await.unwrap();
}

/// The address of a server for the test below, when that runs as its own child.
const CHILD: &str = "GUARDIAN_TEST_WEBHOOK";

/// A certificate for `localhost` and its key; none without openssl.
fn certificate(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let [settings, certificate, key] = ["settings", "certificate", "key"].map(|name| folder.join(name));
    // Without these a certificate would be one of an authority, and none of a server.
    let text = "[req]\ndistinguished_name = name\nx509_extensions = server\nprompt = no\n\
                [name]\nCN = a test of guardian\n\
                [server]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = DNS:localhost\n";
    std::fs::write(&settings, text).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-config"])
        .arg(&settings)
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    made.is_ok_and(|made| made.status.success()).then_some((certificate, key))
}

/// A server that speaks TLS and takes two requests; one of them may end in the handshake.
fn serve_tls(certificate: &Path, key: &Path) -> u16 {
    let provider = Arc::new(ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).unwrap()],
            PrivateKeyDer::from_pem_file(key).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    port
}

/// The environment says which certificates the platform trusts, so it takes a process of its own to
/// trust another one. On macOS it is the keychain that says so.
#[tokio::test]
async fn a_certificate_is_believed_if_the_platform_knows_it_and_not_otherwise() {
    if let Ok(address) = std::env::var(CHILD) {
        post(&address).await.unwrap();
        return;
    }
    if cfg!(target_os = "macos") {
        eprintln!("left out: a test does not write into the keychain");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some((certificate, key)) = certificate(folder.path()) else {
        assert!(std::env::var("GUARDIAN_LAB").as_deref() != Ok("required"), "openssl is missing");
        eprintln!("left out: openssl makes no certificate");
        return;
    };
    let address = format!("https://localhost:{}/hook", serve_tls(&certificate, &key));
    let stranger = post(&address).await.unwrap_err();
    assert!(format!("{stranger:?}").contains("InvalidCertificate(UnknownIssuer)"), "{stranger:?}");
    let here = std::thread::current().name().unwrap().to_owned();
    let known = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &here])
        .env(CHILD, &address)
        .env("SSL_CERT_FILE", &certificate)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&known.stdout).into_owned();
    assert!(known.status.success() && told.contains("1 passed"), "{told}");
}
