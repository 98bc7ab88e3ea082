//! The panel probe against real servers, friendly and hostile.

use std::time::Instant;

use guardian_rules::fact::{Product, SideDoor, Transport};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;
use crate::ask::stage::{
    Stage, demanding_a_certificate, expecting, forever, http, mute, ordinary, plain, plain_at, request,
    saying, saying_in_tls, self_signed,
};

const PANEL: &str = include_str!("../../fixtures/gateway/panel-2026.9.6.html");

/// No question may take longer, on a machine that does much else.
const BOUND: Duration = Duration::from_secs(6);

async fn heard(stage: &Stage) -> Reply {
    heard_on(stage, expecting(&[stage.at])).await
}

/// The same where nobody expects a gateway, and patience is short.
async fn heard_in_passing(stage: &Stage) -> Reply {
    heard_on(stage, ordinary(&[stage.at])).await
}

async fn heard_on(stage: &Stage, ground: Ground) -> Reply {
    let began = Instant::now();
    let mut answers = Panel::default().observe(ground).await.unwrap();
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert_eq!(answers.len(), 1);
    let answer = answers.remove(0);
    assert_eq!((answer.at, answer.bound), (stage.at, stage.at));
    answer.reply
}

async fn page(stage: &Stage) -> Page {
    match heard(stage).await {
        Reply::Http(page) => page,
        other => panic!("{other:?}"),
    }
}

async fn cause(stage: &Stage) -> Cause {
    match heard(stage).await {
        Reply::Unknown(why) => why.cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_panel_is_seen_with_its_product_build_and_digest() {
    let page = page(&saying(http("200 OK", "", PANEL)).await).await;
    assert_eq!((page.transport, page.status), (Transport::Plain, 200));
    assert_eq!((page.title, page.structure), (Some(Product::Openclaw), Some(Product::Openclaw)));
    assert!(page.build.is_some());
    assert_eq!(page.digest, Some(page::digest(PANEL.as_bytes())));
}

#[tokio::test]
async fn a_panel_behind_tls_is_seen_whatever_its_certificate() {
    let page = page(&saying_in_tls(self_signed(), http("200 OK", "", PANEL)).await).await;
    assert_eq!((page.transport, page.status), (Transport::Tls, 200));
    assert!(page.digest.is_some());
}

#[tokio::test]
async fn a_panel_on_ipv6_is_seen() {
    let answer = http("200 OK", "", PANEL);
    let stage = plain_at("[::1]:0".parse().unwrap(), move |mut stream| {
        let answer = answer.clone();
        async move {
            let head = request(&mut stream).await;
            assert!(head.contains("\r\nhost: [::1]:"), "{head}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    assert!(page(&stage).await.title.is_some());
}

#[tokio::test]
async fn the_question_says_who_asks_and_nothing_that_a_gateway_would_act_on() {
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let stage = plain(move |mut stream| {
        let told = told.clone();
        async move {
            let _ = told.send(request(&mut stream).await);
            let _ = stream.write_all(http("404 Not Found", "", "").as_bytes()).await;
        }
    })
    .await;
    assert_eq!(page(&stage).await.status, 404);
    let head = hears.recv().await.unwrap().to_ascii_lowercase();
    let mut lines: Vec<&str> = head.trim_end().lines().collect();
    lines.sort_unstable();
    let host = format!("host: {}", stage.at);
    let agent = format!("user-agent: {}", crate::USER_AGENT);
    let mut expected = vec![
        "accept: */*",
        "accept-encoding: identity",
        "connection: close",
        "get / http/1.1",
        host.as_str(),
        agent.as_str(),
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let stage = saying(http("302 Found", "Location: /\r\n", "")).await;
    assert_eq!(page(&stage).await.status, 302);
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn a_panel_within_tls_is_seen_where_plain_text_is_told_off_or_sent_there() {
    for refusal in [
        "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n".to_owned(),
        String::new(),
        "\x15\x03\x01\x00\x02\x02\x46".to_owned(),
    ] {
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(self_signed()));
        let stage = plain(move |mut stream: TcpStream| {
            let (acceptor, refusal) = (acceptor.clone(), refusal.clone());
            async move {
                let mut first = [0];
                let _ = stream.peek(&mut first).await;
                if first == [0x16] {
                    let mut stream = acceptor.accept(stream).await.unwrap();
                    request(&mut stream).await;
                    let _ = stream.write_all(http("200 OK", "", PANEL).as_bytes()).await;
                    let _ = stream.shutdown().await;
                } else {
                    request(&mut stream).await;
                    let _ = stream.write_all(refusal.as_bytes()).await;
                }
            }
        })
        .await;
        let page = page(&stage).await;
        assert_eq!((page.transport, page.title), (Transport::Tls, Some(Product::Openclaw)));
    }
}

#[tokio::test]
async fn tls_that_demands_a_certificate_of_the_client_is_unknown() {
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13][..]] {
        let stage = saying_in_tls(demanding_a_certificate(versions), http("200 OK", "", PANEL)).await;
        assert_eq!(cause(&stage).await, Cause::Denied);
    }
}

#[tokio::test]
async fn tls_for_other_protocols_only_is_unknown() {
    let mut config = self_signed();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stage = saying_in_tls(config, http("200 OK", "", PANEL)).await;
    assert_eq!(cause(&stage).await, Cause::Denied);
}

#[tokio::test]
async fn whoever_greets_before_it_is_asked_is_no_web_server_whichever_word_comes_first() {
    for greeting in
        ["SSH-2.0-OpenSSH_9.2\r\n", "-DENIED Redis is running in protected mode\r\n", "220 mail\r\n"]
    {
        let stage = plain(move |mut stream: TcpStream| async move {
            let _ = stream.write_all(greeting.as_bytes()).await;
            let _ = stream.shutdown().await;
        })
        .await;
        // Greeting and question cross on their way: both orders happen.
        for _ in 0..20 {
            let reply = heard(&stage).await;
            assert!(matches!(reply, Reply::OtherProtocol | Reply::Closed), "{greeting}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn whoever_hangs_up_on_a_web_client_and_waits_for_more_from_a_tls_client_hung_up() {
    // As Redis does: the head of a request is an attack to it, a handshake an unfinished line.
    let stage = plain(async |mut stream: TcpStream| {
        let mut first = [0; 1];
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut first).await;
        if first == *b"\x16" {
            std::future::pending::<()>().await;
        }
    })
    .await;
    let reply = heard_in_passing(&stage).await;
    assert_eq!(reply, Reply::Closed);
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_its_question_is_never_taken_for_harmless() {
    let stage = plain(|mut stream: TcpStream| async move {
        let _ = stream.write_all(http("200 OK", "", PANEL).as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    })
    .await;
    for _ in 0..20 {
        let reply = heard(&stage).await;
        assert!(matches!(reply, Reply::Http(_) | Reply::Unknown(_)), "{reply:?}");
    }
}

#[tokio::test]
async fn another_protocol_is_told_by_its_first_bytes() {
    let banner = plain(async |mut stream: TcpStream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        request(&mut stream).await;
    })
    .await;
    assert_eq!(heard(&banner).await, Reply::OtherProtocol);
    assert_eq!(heard(&saying("-ERR unknown command 'GET'\r\n").await).await, Reply::OtherProtocol);
    assert_eq!(heard(&saying("<title>OpenClaw Control</title>").await).await, Reply::OtherProtocol);
    let in_tls = saying_in_tls(self_signed(), "+OK Dovecot ready.\r\n").await;
    assert_eq!(heard(&in_tls).await, Reply::OtherProtocol);
}

#[tokio::test]
async fn http_2_only_is_unknown() {
    let stage = saying([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100]).await;
    assert_eq!(cause(&stage).await, Cause::Malformed);
}

#[tokio::test]
async fn http_that_cannot_be_read_is_unknown() {
    for answer in ["HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 200\0OK\r\n\r\n"] {
        assert_eq!(cause(&saying(answer).await).await, Cause::Malformed, "{answer:?}");
    }
}

#[tokio::test]
async fn whoever_hangs_up_is_closed_politely_or_not() {
    let polite = plain(async |stream| drop(stream)).await;
    assert_eq!(heard(&polite).await, Reply::Closed);
    let rude = plain(async |mut stream: TcpStream| {
        request(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    assert_eq!(heard(&rude).await, Reply::Closed);
    let midway = saying("HTTP/1.1 200 OK\r\nContent-Le").await;
    assert_eq!(heard(&midway).await, Reply::Closed);
}

#[tokio::test]
async fn nobody_there_is_refused() {
    let at = saying("").await.at;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let answers = Panel::default().observe(expecting(&[at])).await.unwrap();
    assert_eq!(answers[0].reply, Reply::Refused);
}

#[tokio::test]
async fn a_refusal_by_a_socket_tied_to_an_interface_tells_nothing() {
    let at = saying("").await.at;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut listener = crate::ask::stage::listener(at);
    listener.device = Some("eth0".to_owned());
    let mut ground = expecting(&[at]);
    let known = guardian_rules::snapshot::Snapshot {
        listeners: guardian_rules::observation::Observation::Seen(vec![listener]),
        ..Default::default()
    };
    ground.known = std::sync::Arc::new(known);
    let answers = Panel::default().observe(ground).await.unwrap();
    assert!(matches!(&answers[0].reply, Reply::Unknown(why) if why.cause == Cause::Denied));
}

#[tokio::test]
async fn silence_is_silence_at_once_or_in_the_middle_of_a_head() {
    let stage = mute().await;
    assert_eq!(heard_in_passing(&stage).await, Reply::Silent);
    let slow = |first: &'static [u8], then: &'static [u8]| {
        plain(move |stream| forever(stream, first, then, Duration::from_millis(20)))
    };
    assert_eq!(heard_in_passing(&slow(b"HTTP/1.1 200 OK\r\n", b"X").await).await, Reply::Silent, "slow head");
    assert_eq!(
        heard_in_passing(&slow(b"", b"HTTP/1.1 102 Processing\r\n\r\n").await).await,
        Reply::Silent,
        "1xx"
    );
}

#[tokio::test]
async fn a_flood_before_the_answer_ends_in_time_and_is_never_harmless() {
    let flood = |first: &'static [u8], then: &'static [u8]| {
        plain(move |stream| forever(stream, first, then, Duration::ZERO))
    };
    let header = flood(b"HTTP/1.1 200 OK\r\n", b"X-Filler: 0123456789\r\n").await;
    assert_eq!(cause(&header).await, Cause::Malformed, "endless headers");
    let line = flood(b"HTTP/1.1 200 OK\r\nX-Filler: ", b"01234567890123456789").await;
    assert_eq!(cause(&line).await, Cause::Malformed, "an endless header");
    let informed = flood(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n").await;
    assert_eq!(heard_in_passing(&informed).await, Reply::Silent, "endless 1xx");
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_no_digest_is_made_of_a_part() {
    let endless = plain(async |stream| {
        let head = format!("HTTP/1.1 200 OK\r\n\r\n{PANEL}");
        forever(stream, head.as_bytes(), &[b' '; 4096], Duration::ZERO).await;
    })
    .await;
    let page = page(&endless).await;
    assert_eq!((page.title, page.digest), (Some(Product::Openclaw), None));
}

#[tokio::test]
async fn a_body_that_trickles_is_read_until_the_time_is_over() {
    let trickle = plain(async |stream| {
        let head = format!("HTTP/1.1 200 OK\r\n\r\n{PANEL}");
        forever(stream, head.as_bytes(), b" ", Duration::from_millis(20)).await;
    })
    .await;
    let page = page(&trickle).await;
    assert_eq!((page.title, page.digest), (Some(Product::Openclaw), None));
}

#[tokio::test]
async fn a_length_that_lies_makes_no_digest() {
    let longer = format!("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{PANEL}");
    let page = page(&saying(longer).await).await;
    assert_eq!((page.title, page.digest), (Some(Product::Openclaw), None));
    let two = format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 10\r\n\r\n{PANEL}");
    assert_eq!(cause(&saying(two).await).await, Cause::Malformed, "two lengths");
}

#[tokio::test]
async fn a_compressed_bomb_stays_compressed() {
    let bomb = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].repeat(100_000);
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
    answer.extend(bomb);
    let page = page(&saying(answer).await).await;
    assert_eq!((page.status, page.title, page.structure), (200, None, None));
}

#[tokio::test]
async fn headers_that_a_browser_reads_are_read() {
    for fields in [
        "X-Folded: one\r\n two\r\n".to_owned(),
        "X-Spaced : one\r\n".to_owned(),
        "X Bad Name: one\r\n".to_owned(),
        "X-Filler: one\r\n".repeat(300),
    ] {
        let page = page(&saying(http("200 OK", &fields, PANEL)).await).await;
        assert!(page.digest.is_some(), "{fields:.40}");
    }
}

#[tokio::test]
async fn side_doors_are_told_apart() {
    let browser = saying(http("200 OK", "", r#"{"enabled":true,"controlUrl":"http://127.0.0.1:1"}"#)).await;
    assert_eq!(page(&browser).await.side_door, Some(SideDoor::BrowserControl));
    let inspector = saying("HTTP/1.0 400 Bad Request\r\n\r\nWebSockets request was expected\r\n").await;
    assert_eq!(page(&inspector).await.side_door, Some(SideDoor::Inspector));
    let relay = plain(async |mut stream: TcpStream| {
        let body = if request(&mut stream).await.starts_with("GET /json/version ") {
            r#"{"Browser":"OpenClaw/extension-relay"}"#
        } else {
            "OK"
        };
        let _ = stream.write_all(http("200 OK", "", body).as_bytes()).await;
    })
    .await;
    assert_eq!(page(&relay).await.side_door, Some(SideDoor::ExtensionRelay));
    let healthy = saying(http("200 OK", "", "OK")).await;
    assert_eq!(page(&healthy).await.side_door, None);
}

#[tokio::test]
async fn many_silent_listeners_are_asked_at_once_and_none_is_dropped() {
    let stage = mute().await;
    // Loopback is a whole network: as many listeners as there are addresses.
    let at: Vec<_> = (0..80).map(|n| ([127, 0, 0, 1 + n], stage.at.port()).into()).collect();
    let began = Instant::now();
    let answers = Panel::default().observe(ordinary(&at)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(answers.len(), 80);
    assert_eq!(answers.iter().filter(|answer| answer.reply == Reply::Silent).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.reply == Reply::Refused).count(), 79);
}

#[test]
fn whose_turn_did_not_come_comes_first_the_next_time_after_the_gateways() {
    use crate::ask::targets::Rank;
    let target = |port: u16, rank| {
        let at = SocketAddr::from(([192, 168, 1, 5], port));
        Target { at, bound: at, rank, tied_to: None, through: None }
    };
    let targets = vec![
        target(18789, Rank::PolicyPort),
        target(4711, Rank::Gateway),
        target(1, Rank::Beyond),
        target(2, Rank::Beyond),
        target(3, Rank::Loopback),
    ];
    let order = |late: &[u16]| {
        let late =
            targets.iter().filter(|it| late.contains(&it.at.port())).map(|it| (it.at, it.bound)).collect();
        in_turn(targets.clone(), &late).iter().map(|it| it.at.port()).collect::<Vec<_>>()
    };
    assert_eq!(order(&[]), [18789, 4711, 1, 2, 3]);
    assert_eq!(order(&[2, 3]), [18789, 4711, 2, 3, 1]);
    assert_eq!(order(&[4711, 3]), [4711, 18789, 3, 1, 2], "nobody comes before a gateway");
}
