//! Chunks that are framed as RFC 9112 says, and all others.

use proptest::prelude::*;

use super::*;

fn whole(bytes: &str) -> Result<Step, u16> {
    Chunks::new().advance(bytes.as_bytes()).map_err(|fault| fault.status)
}

#[test]
fn a_body_ends_where_it_says_and_not_a_byte_later() {
    for (body, data) in [
        ("0\r\n\r\n", 0),
        ("5\r\nhello\r\n0\r\n\r\n", 5),
        ("5;name=value; other=\"x\"\r\nhello\r\n0\r\n\r\n", 5),
        ("a\r\n0123456789\r\n1\r\nx\r\n000\r\n\r\n", 11),
        ("1\r\nx\r\n0\r\nTrailer: value\r\nOther:\r\n\r\n", 1),
        ("5\r\n\r\n\r\n\n\r\n0\r\n\r\n", 5),
    ] {
        let step = whole(&format!("{body}GET /next")).unwrap();
        assert_eq!(step, Step { taken: body.len(), data, over: true }, "{body:?}");
    }
}

#[test]
fn what_is_framed_otherwise_is_refused() {
    for body in [
        "",
        "\r\n",
        "x\r\n",
        "5x\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\nhello\n",
        "5\r\nhello0\r\n",
        "5\rhello",
        "5;a\nhello",
        "5;a\0\r\nhello",
        "1000000000000000\r\n",
        "fffffffffffffffff\r\n",
        "0\r\n\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\n: no name\r\n\r\n",
        "0\r\n folded: x\r\n\r\n",
        "0\r\nX: a\nY: b\r\n\r\n",
        "0\r\nX\r\n\r\n",
    ] {
        match Chunks::new().advance(body.as_bytes()) {
            Err(fault) => assert_eq!(fault.status, 400, "{body:?}"),
            Ok(step) => assert!(!step.over && body.is_empty(), "{body:?}"),
        }
    }
}

#[test]
fn framing_is_bounded() {
    assert_eq!(whole(&format!("5;{}\r\n", "x".repeat(2000))), Err(431));
    assert_eq!(whole(&format!("0\r\nX: {}\r\n", "x".repeat(10_000))), Err(431));
}

proptest! {
    #[test]
    fn it_does_not_matter_how_a_body_is_cut(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5),
        cut in 1_usize..20,
    ) {
        let mut body = Vec::new();
        for chunk in &chunks {
            body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            body.extend(chunk);
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\n\r\n");
        let mut reader = Chunks::new();
        let (mut taken, mut data, mut over) = (0, 0, false);
        for part in body.chunks(cut) {
            prop_assert!(!over);
            let step = reader.advance(part).unwrap();
            (taken, data, over) = (taken + step.taken, data + step.data, step.over);
        }
        prop_assert!(over);
        prop_assert_eq!(taken, body.len());
        prop_assert_eq!(data, chunks.iter().map(Vec::len).sum::<usize>() as u64);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let step = Chunks::new().advance(&bytes);
        prop_assert!(step.is_err() || step.unwrap().taken <= bytes.len());
    }
}
