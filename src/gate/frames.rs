//! Where WebSocket frames end (RFC 6455, 5.2), so that a close frame can be put between two.

/// How far a stream of frames has been followed. Frames are counted and not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frames {
    /// Between two frames.
    Between,
    /// After the first byte of one.
    Begun,
    /// In its length: so many bytes to come, and what came.
    Length { left: u8, length: u64, mask: bool },
    /// In its mask and payload.
    Payload { left: u64 },
}

impl Frames {
    /// Follows the stream through some bytes.
    pub(crate) fn advance(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            *self = match *self {
                Self::Payload { left } => {
                    let there = (bytes.len() - at) as u64;
                    let of_it = left.min(there);
                    at += usize::try_from(of_it).unwrap_or(usize::MAX);
                    *self = if left == of_it { Self::Between } else { Self::Payload { left: left - of_it } };
                    continue;
                }
                Self::Between => Self::Begun,
                Self::Begun => {
                    let mask = byte & 0x80 != 0;
                    match byte & 0x7f {
                        126 => Self::Length { left: 2, length: 0, mask },
                        127 => Self::Length { left: 8, length: 0, mask },
                        length => Self::payload(u64::from(length), mask),
                    }
                }
                Self::Length { left, length, mask } => {
                    let length = length << 8 | u64::from(*byte);
                    match left {
                        1 => Self::payload(length, mask),
                        _ => Self::Length { left: left - 1, length, mask },
                    }
                }
            };
            at += 1;
        }
    }

    const fn payload(length: u64, mask: bool) -> Self {
        match length.saturating_add(if mask { 4 } else { 0 }) {
            0 => Self::Between,
            left => Self::Payload { left },
        }
    }
}

/// A close frame of a server: the code 1013, try again later (IANA's registry of close codes), and
/// one word.
pub(crate) const CLOSE: [u8; 11] = *b"\x88\x09\x03\xf5blocked";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

    use super::*;

    fn frame(length: usize, mask: bool) -> Vec<u8> {
        let mut frame = Frame::message(vec![7_u8; length], OpCode::Data(Data::Binary), true);
        if mask {
            frame.header_mut().mask = Some([1, 2, 3, 4]);
        }
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_close_frame_is_one() {
        let mut cursor = std::io::Cursor::new(&CLOSE[..]);
        let (header, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        assert!(header.is_final && header.mask.is_none());
        assert_eq!(length, 9);
        assert_eq!(u16::from_be_bytes([CLOSE[2], CLOSE[3]]), 1013);
    }

    proptest! {
        #[test]
        fn frames_of_every_size_end_where_they_end_however_they_are_cut(
            lengths in prop::collection::vec((prop_oneof![0_usize..300, 65_500_usize..65_600], any::<bool>()), 1..5),
            cut in 1_usize..70_000,
        ) {
            let mut frames = Frames::Between;
            for (length, mask) in lengths {
                let bytes = frame(length, mask);
                let (last, rest) = bytes.split_last().unwrap();
                for part in rest.chunks(cut) {
                    frames.advance(part);
                    prop_assert!(frames != Frames::Between);
                }
                frames.advance(&[*last]);
                prop_assert_eq!(frames, Frames::Between);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut frames = Frames::Between;
            frames.advance(&bytes);
        }
    }
}
