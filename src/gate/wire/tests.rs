//! The wire between a client and the real HTTP library: what is answered, and how many requests
//! the library saw.

use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::timeout;

use super::*;
use crate::gate::head::Head;

type Seen = Arc<Mutex<Vec<String>>>;

/// Lets in whoever does not ask for `/no`.
struct Door;

impl Threshold for Door {
    fn meet(&self, head: &Head<'_>, closes: bool, out: &mut BytesMut) -> bool {
        let refused = head.path.starts_with("/no");
        if refused {
            let last = if closes { "connection: close\r\n" } else { "" };
            out.extend_from_slice(format!("HTTP/1.1 401 \r\ncontent-length: 2\r\n{last}\r\nno").as_bytes());
        }
        !refused
    }

    fn turn_away(&self, fault: Fault, out: &mut BytesMut) {
        out.extend_from_slice(format!("HTTP/1.1 {} \r\ncontent-length: 0\r\n\r\n", fault.status).as_bytes());
    }
}

/// Serves one connection: every request that the library sees is noted with its path and body.
fn serve(io: DuplexStream, seen: &Seen) -> tokio::task::JoinHandle<()> {
    let answering = Arc::new(Answering::new());
    let (unset, notes) = (Arc::clone(&answering), Arc::clone(seen));
    let service = service_fn(move |request: Request<Incoming>| {
        let (unset, notes) = (Arc::clone(&unset), Arc::clone(&notes));
        async move {
            let path = request.uri().path().to_owned();
            let status = match request.into_body().collect().await {
                Ok(body) => {
                    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                    notes.lock().unwrap().push(format!("{path} {body}"));
                    200
                }
                Err(_) => 400,
            };
            unset.end(Instant::now());
            let mut answer = Response::new(Full::new(Bytes::from_static(b".")));
            *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
            Ok::<_, Infallible>(answer)
        }
    });
    tokio::spawn(async move {
        let _ = http1::Builder::new()
            .half_close(false)
            .header_read_timeout(None)
            .serve_connection(Wire::new(io, answering, Door), service)
            .await;
    })
}

/// Sends bytes in pieces; the statuses that came back, and what the library saw.
async fn talk(pieces: &[&[u8]]) -> (Vec<u16>, Vec<String>) {
    let seen = Seen::default();
    let (mut client, server) = duplex(4 * 1024 * 1024);
    let serving = serve(server, &seen);
    for piece in pieces {
        client.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    // Time is virtual: whatever waits has waited by then.
    let _ = timeout(Duration::from_secs(200), client.read_to_end(&mut answer)).await;
    drop(client);
    serving.abort();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let statuses = text.split("HTTP/1.1 ").skip(1).filter_map(|part| part.get(..3)?.parse().ok()).collect();
    let seen = seen.lock().unwrap().clone();
    (statuses, seen)
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn requests_one_after_another_are_told_apart() {
    let (statuses, seen) = talk(&[
        b"\r\nPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\nGET",
        b" /d HTTP/1.1\r\nHost: x\r\n\r\n",
    ])
    .await;
    assert_eq!(statuses, [200, 200, 200, 200]);
    assert_eq!(seen, ["/a hello", "/b ", "/c abcde", "/d "]);
}

#[tokio::test(start_paused = true)]
async fn one_byte_at_a_time_is_the_same_request() {
    let request = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let pieces: Vec<&[u8]> = request.chunks(1).collect();
    let (statuses, seen) = talk(&pieces).await;
    assert_eq!((statuses, seen), (vec![200], vec!["/a abc".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_nothing_of_the_connection_is_read() {
    for (first, status) in [
        (&b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..], 400),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        (b"GET /a HTTP/1.1\nHost: x\n\n", 400),
        (b"TRACE /a HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n", 401),
        (b"POST /no HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 401),
        (b"GET /no HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 401),
        (b"GET /no HTTP/1.0\r\nHost: x\r\n\r\n", 401),
    ] {
        let (statuses, seen) = talk(&[first, GET]).await;
        assert_eq!(statuses, [status], "{}", String::from_utf8_lossy(first));
        assert!(seen.is_empty(), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_after_the_answers_to_what_was_sound() {
    let (statuses, seen) = talk(&[GET, b"BAD\n\n", GET]).await;
    assert_eq!((statuses, seen), (vec![200, 400], vec!["/a ".to_owned()]));
}

const NO: &[u8] = b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_answered_in_its_turn_and_the_library_never_sees_it() {
    let whole =
        [NO, GET, NO, NO, GET, b"POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", GET].concat();
    let bytewise: Vec<&[u8]> = whole.chunks(1).collect();
    for pieces in [vec![&whole[..]], bytewise] {
        let (statuses, seen) = talk(&pieces).await;
        assert_eq!((statuses, seen), (vec![401, 200, 401, 401, 200, 401], vec!["/a ".to_owned(); 2]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_is_refused_leaves_the_connection_as_it_was() {
    let asked = b"GET /no HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let (statuses, seen) = talk(&[asked, GET]).await;
    assert_eq!((statuses, seen), (vec![401, 200], vec!["/a ".to_owned()]));
}

/// Two write to one socket: what the library has left to write comes first.
#[tokio::test(start_paused = true)]
async fn answers_do_not_mix_while_a_client_reads_slowly() {
    let (mut client, server) = duplex(7);
    let _serving = serve(server, &Seen::default());
    let (mut read, mut write) = tokio::io::split(&mut client);
    let requests = [GET, NO, GET, NO, NO, GET].concat();
    let writing = write.write_all(&requests);
    let mut answer = Vec::new();
    let reading = timeout(Duration::from_secs(20), read.read_to_end(&mut answer));
    let _ = tokio::join!(writing, reading);
    let text = String::from_utf8(answer).unwrap();
    let no = "HTTP/1.1 401 \r\ncontent-length: 2\r\n\r\nno";
    let answers: Vec<bool> = text.split("HTTP/1.1 ").skip(1).map(|one| one.starts_with("401")).collect();
    assert_eq!(answers, [false, true, false, true, true, false], "{text}");
    assert_eq!(text.matches(no).count(), 3, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_framed_wrongly_ends_the_connection() {
    for body in [
        &b"5\r\nhello0\r\n\r\n"[..],
        b"5x\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"fffffffffffffffff\r\n",
    ] {
        let mut request = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        request.extend(body);
        let (statuses, seen) = talk(&[&request, GET]).await;
        assert_eq!(statuses, [400], "{}", String::from_utf8_lossy(body));
        assert!(seen.is_empty(), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let (statuses, seen) =
        talk(&[b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n", &vec![b'x'; 512 * 1024]])
            .await;
    assert_eq!((statuses, seen.len()), (vec![413], 0));
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_request_for_a_websocket_waits_for_its_answer() {
    let asked = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let (statuses, seen) = talk(&[asked, GET, b"nonsense\r\n\r\n"]).await;
    // It was answered with 200: what follows is HTTP again, and read as strictly.
    assert_eq!(statuses, [200, 200, 400]);
    assert_eq!(seen, ["/ws ", "/a "]);
}

/// How long a connection stays when the client sends these pieces, a second apart, and then nothing.
async fn lasts(pieces: &[&[u8]]) -> (Duration, Vec<u16>) {
    let (mut client, server) = duplex(64 * 1024);
    let begun = Instant::now();
    let _serving = serve(server, &Seen::default());
    let mut answer = Vec::new();
    for piece in pieces {
        client.write_all(piece).await.unwrap();
        let _ = timeout(Duration::from_secs(1), client.read_buf(&mut answer)).await;
    }
    let _ = timeout(Duration::from_secs(1000), client.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    (
        begun.elapsed(),
        text.split("HTTP/1.1 ").skip(1).filter_map(|part| part.get(..3)?.parse().ok()).collect(),
    )
}

#[tokio::test(start_paused = true)]
async fn every_wait_has_an_end() {
    let near = |(took, statuses): (Duration, Vec<u16>), seconds: u64, expected: &[u16]| {
        assert!(took.as_secs().abs_diff(seconds) <= 3, "{took:?} {seconds}");
        assert_eq!(statuses, expected);
    };
    near(lasts(&[]).await, 10, &[]);
    near(lasts(&[b"GET / HT"]).await, 11, &[408]);
    let drip: Vec<&[u8]> = b"GET / HTTP/1.1\r\nHost: xxxxxxxxxx".chunks(1).collect();
    near(lasts(&drip[..9]).await, 11, &[408]);
    // Empty lines are passed over, and earn no time however they come.
    let empty: Vec<&[u8]> = b"\r\n".chunks(1).cycle().take(200).collect();
    let (took, statuses) = lasts(&empty).await;
    assert!(took.as_secs() <= 21 && statuses.iter().all(|status| *status == 408), "{took:?} {statuses:?}");
    near(lasts(&[GET]).await, 75, &[200]);
    near(lasts(&[NO]).await, 75, &[401]);
    near(lasts(&[NO, NO, GET]).await, 77, &[401, 401, 200]);
    near(lasts(&[b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe"]).await, 31, &[400]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_long_is_no_idle_connection() {
    let (mut client, server) = duplex(64 * 1024);
    let answering = Arc::new(Answering::new());
    let unset = Arc::clone(&answering);
    let service = service_fn(move |_: Request<Incoming>| {
        let unset = Arc::clone(&unset);
        async move {
            tokio::time::sleep(Duration::from_secs(500)).await;
            unset.end(Instant::now());
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"late"))))
        }
    });
    let wire = Wire::new(server, answering, Door);
    tokio::spawn(http1::Builder::new().header_read_timeout(None).serve_connection(wire, service));
    let begun = Instant::now();
    client.write_all(GET).await.unwrap();
    let mut answer = vec![0; 1024];
    let count = client.read(&mut answer).await.unwrap();
    assert!(answer[..count].starts_with(b"HTTP/1.1 200"));
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    let idle = begun.elapsed().saturating_sub(Duration::from_secs(500));
    assert!(idle.as_secs().abs_diff(75) <= 2, "{idle:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_gone_after_a_minute() {
    for request in [GET, NO] {
        let (mut client, server) = duplex(64);
        let begun = Instant::now();
        let serving = serve(server, &Seen::default());
        for _ in 0..20 {
            if timeout(Duration::from_secs(1), client.write_all(request)).await.is_err() {
                break;
            }
        }
        serving.await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(140), "{:?}", begun.elapsed());
    }
}
