//! The handshake probe against real servers: gateways in miniature, and others.

use std::sync::Arc;

use guardian_rules::fact::{AccessAnswer, Page, PanelAnswer, SideDoor};
use guardian_rules::observation::Observation;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async;

use super::*;
use crate::ask::stage::{Stage, expecting, http, mute, ordinary, plain, request, saying, self_signed};

const CHALLENGE: &str = include_str!("../../fixtures/gateway/challenge-2026.9.json");

/// A gateway's WebSocket, as far as a stranger sees it.
#[derive(Clone, Copy)]
struct Gateway {
    generation: u32,
    probe: &'static str,
    open: bool,
}

const OLD: Gateway = Gateway { generation: 3, probe: "clawdbot-probe", open: false };
const NEW: Gateway = Gateway { generation: 4, probe: "openclaw-probe", open: false };

impl Gateway {
    async fn serve(self, stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
        let mut socket = accept_async(stream).await.unwrap();
        let _ = socket.send(Message::text(CHALLENGE)).await;
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            let answer = self.answer(&serde_json::from_str(&text).unwrap());
            let _ = socket.send(Message::text(answer.to_string())).await;
        }
    }

    /// The order of checks is the real one: form, protocol, credentials, device.
    fn answer(self, request: &Value) -> Value {
        let params = &request["params"];
        assert!(params["device"].is_null(), "a device block would ask for a pairing");
        let fail = |code: &str, message: &str, details: Value| {
            json!({ "type": "res", "id": request["id"], "ok": false,
                    "error": { "code": code, "message": message, "details": details } })
        };
        let known = [self.probe, "cli", "gateway-client"];
        if !known.iter().any(|id| params["client"]["id"] == *id) {
            return fail("INVALID_REQUEST", "invalid connect params: at /client/id", Value::Null);
        }
        if params["maxProtocol"] != self.generation {
            let expected = json!({ "expectedProtocol": self.generation });
            return fail("INVALID_REQUEST", "protocol mismatch", expected);
        }
        let has_token = params["auth"]["token"].is_string();
        match (self.generation, self.open, has_token) {
            (3, true, true) | (4, true, false) => {
                let filler = "x".repeat(60_000);
                json!({ "type": "res", "id": request["id"], "ok": true, "payload": { "methods": filler } })
            }
            (3, false, true) => fail("INVALID_REQUEST", "unauthorized: gateway token mismatch", Value::Null),
            _ => fail("NOT_PAIRED", "device identity required", Value::Null),
        }
    }
}

async fn gateway(gateway: Gateway) -> Stage {
    plain(move |stream| gateway.serve(stream)).await
}

/// A server that upgrades and then does this.
async fn upgrading<F>(act: impl Fn(WebSocketStream<TcpStream>) -> F + Send + Sync + Clone + 'static) -> Stage
where
    F: Future<Output = ()> + Send + 'static,
{
    plain(move |stream| {
        let act = act.clone();
        async move { act(accept_async(stream).await.unwrap()).await }
    })
    .await
}

fn page(transport: Transport) -> Page {
    Page { transport, status: 404, title: None, structure: None, build: None, digest: None, side_door: None }
}

/// Ground on which the panel probe has seen a page at each of these addresses.
fn serving(mut ground: Ground, at: &[SocketAddr], page: &Page) -> Ground {
    let seen = at.iter().map(|&at| PanelAnswer { at, bound: at, reply: Reply::Http(page.clone()) }).collect();
    ground.known = Arc::new(Snapshot { panel: Observation::Seen(seen), ..(*ground.known).clone() });
    ground
}

async fn heard(stage: &Stage) -> (Option<Challenge>, Access) {
    let ground = serving(expecting(&[stage.at]), &[stage.at], &page(Transport::Plain));
    let mut answers = Handshake.observe(ground).await.unwrap();
    assert_eq!(answers.len(), 1);
    let answer = answers.remove(0);
    assert_eq!((answer.at, answer.bound), (stage.at, stage.at));
    (answer.challenge, answer.access)
}

fn generation(number: u32) -> Challenge {
    Challenge { protocol: Some(number) }
}

fn cause(heard: (Option<Challenge>, Access)) -> (bool, Cause) {
    match heard {
        (challenge, Access::Unknown(why)) => (challenge.is_some(), why.cause),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_gateway_of_each_generation_tells_itself_and_who_gets_in() {
    assert_eq!(heard(&gateway(OLD).await).await, (Some(generation(3)), Access::Required));
    assert_eq!(heard(&gateway(NEW).await).await, (Some(generation(4)), Access::Required));
    let open = |it: Gateway| Gateway { open: true, ..it };
    assert_eq!(heard(&gateway(open(OLD)).await).await, (Some(generation(3)), Access::Open));
    assert_eq!(heard(&gateway(open(NEW)).await).await, (Some(generation(4)), Access::Open));
}

#[tokio::test]
async fn a_gateway_behind_tls_is_asked_there() {
    let acceptor = TlsAcceptor::from(Arc::new(self_signed()));
    let stage = plain(move |stream| {
        let acceptor = acceptor.clone();
        async move { NEW.serve(acceptor.accept(stream).await.unwrap()).await }
    })
    .await;
    let ground = serving(expecting(&[stage.at]), &[stage.at], &page(Transport::Tls));
    let answers = Handshake.observe(ground).await.unwrap();
    assert_eq!((answers[0].transport, &answers[0].access), (Transport::Tls, &Access::Required));
}

#[tokio::test]
async fn a_generation_or_a_refusal_that_is_not_known_is_unknown() {
    let later = Gateway { generation: 5, ..NEW };
    assert_eq!(cause(heard(&gateway(later).await).await), (true, Cause::Malformed));
    let renamed = Gateway { probe: "another-probe", ..NEW };
    let (challenge, access) = heard(&gateway(renamed).await).await;
    assert_eq!(challenge, Some(Challenge { protocol: None }));
    assert!(matches!(access, Access::Unknown(_)));
}

#[tokio::test]
async fn a_gateway_that_goes_silent_after_its_challenge_is_unknown() {
    let stage = upgrading(async |mut socket| {
        let _ = socket.send(Message::text(CHALLENGE)).await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(cause(heard(&stage).await), (true, Cause::Malformed));
}

#[tokio::test]
async fn other_websockets_are_no_gateways() {
    let hello = upgrading(async |mut socket| {
        let _ = socket.send(Message::text(r#"{"type":"connected"}"#)).await;
        let _ = socket.next().await;
    })
    .await;
    assert_eq!(heard(&hello).await, (None, Access::NoGateway));
    let closing = upgrading(async |mut socket| drop(socket.close(None).await)).await;
    assert_eq!(heard(&closing).await, (None, Access::NoGateway));
    let silent = upgrading(async |_socket| std::future::pending::<()>().await).await;
    assert_eq!(cause(heard(&silent).await), (false, Cause::TimedOut));
}

#[tokio::test]
async fn frames_are_bounded_in_size_and_number() {
    let giant = upgrading(async |mut socket| {
        let _ = socket.send(Message::text("x".repeat(FRAME + 1))).await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(cause(heard(&giant).await), (false, Cause::TooMuch));
    let flood =
        upgrading(async |mut socket| while socket.send(Message::Ping(Vec::new().into())).await.is_ok() {})
            .await;
    assert_eq!(cause(heard(&flood).await), (false, Cause::TooMuch));
    let endless = plain(async |mut stream: TcpStream| {
        request(&mut stream).await;
        let _ = stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            )
            .await;
        // One fragment after another of a text that never ends.
        let _ = stream.write_all(&[0x01, 1, b'x']).await;
        while stream.write_all(&[0x00, 1, b'x']).await.is_ok() {}
    })
    .await;
    assert!(matches!(cause(heard(&endless).await).1, Cause::TooMuch | Cause::TimedOut));
}

#[tokio::test]
async fn a_refusal_says_who_refuses() {
    let says = |status: &'static str, body: &'static str| async move {
        heard(&saying(http(status, "", body)).await).await
    };
    let proxy = include_str!("../../fixtures/gateway/invoke-refuses-proxy.json");
    assert_eq!(says("403 Forbidden", proxy).await, (None, Access::RefusesProxy));
    assert_eq!(says("401 Unauthorized", "").await, (None, Access::Fronted));
    assert_eq!(says("200 OK", "<html>").await, (None, Access::NoGateway));
    assert_eq!(says("404 Not Found", "").await, (None, Access::NoGateway));
    assert_eq!(cause(says("502 Bad Gateway", "").await), (false, Cause::Malformed));
    assert_eq!(heard(&plain(async |stream| drop(stream)).await).await, (None, Access::NoGateway));
    assert_eq!(cause(heard(&mute().await).await), (false, Cause::TimedOut));
}

/// It showed a page a moment ago: what is in between now, or its end, says nothing of what it is.
#[tokio::test]
async fn whoever_refuses_or_has_no_tls_any_more_is_unknown() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let busy = mute().await;
    for (at, transport) in [(gone, Transport::Plain), (gone, Transport::Tls), (busy.at, Transport::Tls)] {
        let target = expected_at(at);
        let (challenge, access) = look(&target, transport).await;
        assert!(challenge.is_none(), "{transport:?}");
        assert_eq!(cause((challenge, access)), (false, Cause::Interrupted), "{transport:?}");
    }
}

/// A place where a gateway is expected.
fn expected_at(at: SocketAddr) -> Target {
    let ground = expecting(&[at]);
    targets(&ground.policy, &ground.known).remove(0)
}

#[tokio::test]
async fn only_whoever_could_be_a_gateway_unseen_is_asked() {
    let at: SocketAddr = "192.0.2.1:8080".parse().unwrap();
    let local: SocketAddr = "127.0.0.1:8080".parse().unwrap();
    let asked = |ground: &Ground| plan(ground).iter().map(|(target, _)| target.at).collect::<Vec<_>>();
    let plain_page = page(Transport::Plain);

    assert_eq!(asked(&serving(ordinary(&[at, local]), &[at, local], &plain_page)), [at]);
    assert_eq!(asked(&serving(expecting(&[local]), &[local], &plain_page)), [local]);
    assert_eq!(asked(&ordinary(&[at])), [], "whoever serves no page");

    let side_door = Page { side_door: Some(SideDoor::Inspector), ..page(Transport::Plain) };
    assert_eq!(asked(&serving(ordinary(&[at]), &[at], &side_door)), [], "a side door");

    let answered = |access| {
        let ground = serving(ordinary(&[at]), &[at], &plain_page);
        let answer = AccessAnswer { at, bound: at, transport: Transport::Plain, access };
        let known = Snapshot { access: Observation::Seen(vec![answer]), ..(*ground.known).clone() };
        asked(&Ground { known: Arc::new(known), ..ground })
    };
    for gateway in [Access::Open, Access::Required, Access::RefusesProxy] {
        assert_eq!(answered(gateway), [], "a gateway that has answered");
    }
    for other in [Access::Fronted, Access::NoGateway, unknown("busy")] {
        assert_eq!(answered(other), [at]);
    }
}
