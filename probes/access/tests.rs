//! The access probe against real servers.

use std::sync::Arc;

use guardian_rules::fact::Page;
use guardian_rules::observation::Observation;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;
use crate::ask::stage::{
    Stage, expecting, http, mute, ordinary, plain, request, saying, saying_in_tls, self_signed,
};

const OPEN: &str = include_str!("../../fixtures/gateway/invoke-open-2026.9.json");
const REQUIRED: &str = include_str!("../../fixtures/gateway/invoke-required.json");

async fn answers(ground: Ground) -> Vec<AccessAnswer> {
    AccessProbe.observe(ground).await.unwrap()
}

async fn access(stage: &Stage) -> Access {
    let mut answers = answers(expecting(&[stage.at])).await;
    assert_eq!(answers.len(), 1);
    answers.remove(0).access
}

/// The ground after the panel probe has heard this.
fn after(mut ground: Ground, stage: &Stage, reply: Reply) -> Ground {
    let heard = PanelAnswer { at: stage.at, bound: stage.at, reply };
    let known = Snapshot { panel: Observation::Seen(vec![heard]), ..(*ground.known).clone() };
    ground.known = Arc::new(known);
    ground
}

fn some_page(transport: Transport) -> Reply {
    Reply::Http(Page {
        transport,
        status: 404,
        title: None,
        structure: None,
        build: None,
        digest: None,
        side_door: None,
    })
}

#[tokio::test]
async fn a_gateway_is_open_or_asks_for_credentials() {
    assert_eq!(access(&saying(http("400 Bad Request", "", OPEN)).await).await, Access::Open);
    assert_eq!(access(&saying(http("401 Unauthorized", "", REQUIRED)).await).await, Access::Required);
}

#[tokio::test]
async fn a_gateway_within_tls_is_asked_there() {
    let stage = saying_in_tls(self_signed(), http("400 Bad Request", "", OPEN)).await;
    let answers = answers(expecting(&[stage.at])).await;
    assert_eq!((answers[0].transport, &answers[0].access), (Transport::Tls, &Access::Open));
}

#[tokio::test]
async fn the_question_has_an_empty_body_and_says_so() {
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let stage = plain(move |mut stream: TcpStream| {
        let told = told.clone();
        async move {
            let _ = told.send(request(&mut stream).await);
            let _ = stream.write_all(http("404 Not Found", "", "").as_bytes()).await;
        }
    })
    .await;
    assert_eq!(access(&stage).await, Access::NoGateway);
    let head = hears.recv().await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("post /tools/invoke http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-length: 0\r\n"), "{head}");
    for never in ["origin", "authorization", "forwarded", "cookie", "referer", "content-type"] {
        assert!(!head.contains(&format!("\r\n{never}")) && !head.contains("x-"), "{head}");
    }
}

#[tokio::test]
async fn whoever_spoke_http_is_asked_in_the_way_in_which_it_spoke() {
    let stage = saying_in_tls(self_signed(), http("401 Unauthorized", "", REQUIRED)).await;
    let ground = after(ordinary(&[stage.at]), &stage, some_page(Transport::Tls));
    assert_eq!(answers(ground).await[0].access, Access::Required);
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn whoever_did_not_speak_http_is_asked_only_where_a_gateway_is_expected() {
    let stage = saying(http("401 Unauthorized", "", REQUIRED)).await;
    for reply in [Reply::Closed, Reply::Silent, Reply::OtherProtocol] {
        let elsewhere = after(ordinary(&[stage.at]), &stage, reply.clone());
        assert_eq!(answers(elsewhere).await, []);
        let here = after(expecting(&[stage.at]), &stage, reply);
        assert_eq!(answers(here).await[0].access, Access::Required);
    }
    let refused = after(expecting(&[stage.at]), &stage, Reply::Refused);
    assert_eq!(answers(refused).await, []);
}

#[tokio::test]
async fn what_is_no_answer_is_unknown() {
    let cause = |access| match access {
        Access::Unknown(why) => why.cause,
        other => panic!("{other:?}"),
    };
    let hangs_up = plain(async |stream| drop(stream)).await;
    assert_eq!(cause(access(&hangs_up).await), Cause::Interrupted);
    // A packet filter that came up since its page was read.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(cause(answers(expecting(&[gone])).await.remove(0).access), Cause::Interrupted);
    let stage = mute().await;
    assert_eq!(cause(access(&stage).await), Cause::TimedOut);
    // It served a page within TLS, and is too busy now for a handshake.
    let busy = after(expecting(&[stage.at]), &stage, some_page(Transport::Tls));
    assert_eq!(cause(answers(busy).await.remove(0).access), Cause::Interrupted);
    assert_eq!(cause(access(&saying(http("502 Bad Gateway", "", "")).await).await), Cause::Malformed);
    assert_eq!(access(&saying("220 mail.example ESMTP\r\n").await).await, Access::NoGateway);
}
