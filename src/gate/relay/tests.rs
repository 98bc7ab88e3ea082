//! Bytes to and fro, and the cut.

use std::cell::Cell;

use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::*;

fn frame(length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::message(vec![7_u8; length], OpCode::Data(Data::Binary), true).format(&mut bytes).unwrap();
    bytes
}

struct Ends {
    client: DuplexStream,
    gateway: DuplexStream,
    cut: watch::Sender<()>,
}

/// Runs a relay between two pipes against a test's two ends.
async fn between(ahead: (&[u8], &[u8]), may: &Cell<bool>, test: impl AsyncFnOnce(Ends)) -> (Ended, u64, u64) {
    let (client, ours) = duplex(1000);
    let (gateway, theirs) = duplex(1000);
    let cut = watch::Sender::new(());
    let receiver = cut.subscribe();
    let ahead = (BytesMut::from(ahead.0), BytesMut::from(ahead.1));
    let relaying = relay(ours, theirs, ahead, || may.get(), receiver);
    let (ended, ()) = tokio::join!(relaying, test(Ends { client, gateway, cut }));
    ended
}

#[tokio::test]
async fn everything_passes_both_ways_and_what_was_sent_ahead_comes_first() {
    let may = Cell::new(true);
    let ended = between((b"up", b"down"), &may, async |ends: Ends| {
        let up: Vec<u8> = (0..50_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let down = frame(40_000);
        let (mut got_up, mut got_down) = (vec![0; up.len() + 2], vec![0; down.len() + 4]);
        let (mut client_in, mut client_out) = tokio::io::split(ends.client);
        let (mut gateway_in, mut gateway_out) = tokio::io::split(ends.gateway);
        let (a, b, c, d) = tokio::join!(
            client_out.write_all(&up),
            gateway_out.write_all(&down),
            gateway_in.read_exact(&mut got_up),
            client_in.read_exact(&mut got_down),
        );
        a.and(b).unwrap();
        c.and(d).unwrap();
        assert!(got_up.starts_with(b"up") && got_up[2..] == up[..]);
        assert!(got_down.starts_with(b"down") && got_down[4..] == down[..]);
        drop(ends.cut);
    })
    .await;
    assert_eq!((ended.1, ended.2), (50_002, 40_008));
}

#[tokio::test]
async fn a_cut_between_two_frames_says_so_in_the_protocols_own_way() {
    let may = Cell::new(true);
    let ended = between((b"", b""), &may, async |mut ends: Ends| {
        let frame = frame(100);
        ends.gateway.write_all(&frame).await.unwrap();
        let mut got = vec![0; frame.len()];
        ends.client.read_exact(&mut got).await.unwrap();
        may.set(false);
        ends.cut.send_replace(());
        let mut rest = Vec::new();
        ends.client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, CLOSE);
        let mut left = Vec::new();
        ends.gateway.read_to_end(&mut left).await.unwrap();
        assert!(left.is_empty());
    })
    .await;
    assert_eq!(ended.0, Ended::Cut);
}

#[tokio::test]
async fn a_cut_that_is_meant_for_others_passes_by() {
    let may = Cell::new(true);
    let ended = between((b"", b""), &may, async |mut ends: Ends| {
        for _ in 0..3 {
            ends.cut.send_replace(());
            ends.client.write_all(b"up").await.unwrap();
            let mut got = [0; 2];
            ends.gateway.read_exact(&mut got).await.unwrap();
        }
        drop(ends.gateway);
        let mut rest = Vec::new();
        ends.client.read_to_end(&mut rest).await.unwrap();
    })
    .await;
    assert_eq!((ended.0, ended.1), (Ended::Done, 6));
}

#[tokio::test]
async fn a_cut_inside_a_frame_ends_without_a_word() {
    let may = Cell::new(true);
    let ended = between((b"", b""), &may, async |mut ends: Ends| {
        let frame = frame(100);
        ends.gateway.write_all(&frame[..50]).await.unwrap();
        let mut got = vec![0; 50];
        ends.client.read_exact(&mut got).await.unwrap();
        may.set(false);
        ends.cut.send_replace(());
        let mut rest = Vec::new();
        ends.client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    })
    .await;
    assert_eq!(ended.0, Ended::Cut);
}

/// After a suspend the clock has gone on and no timer has fired yet.
#[tokio::test]
async fn nothing_passes_once_the_lease_has_ended_even_before_anybody_says_so() {
    let may = Cell::new(true);
    let ended = between((b"", b""), &may, async |mut ends: Ends| {
        may.set(false);
        // It may be gone already.
        let _ = ends.client.write_all(b"rm -rf").await;
        let mut got = Vec::new();
        ends.gateway.read_to_end(&mut got).await.unwrap();
        assert!(got.is_empty());
    })
    .await;
    assert_eq!(ended.0, Ended::Cut);
}

#[tokio::test]
async fn when_the_gateway_has_no_more_to_say_it_is_over() {
    let may = Cell::new(true);
    let ended = between((b"", b""), &may, async |ends: Ends| {
        let Ends { mut client, gateway, cut } = ends;
        drop(gateway);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
        drop(cut);
    })
    .await;
    assert_eq!(ended.0, Ended::Done);
}
