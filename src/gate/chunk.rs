//! The framing of a body in chunks (RFC 9112, 7.1), checked as it passes.
//!
//! Bytes are not changed: whoever reads them next sees the same chunks, and cannot find another end
//! than the one found here.

use super::fault::Fault;
use super::octet::{is_text, is_token};

/// Digits of a chunk's size: as many as fit into 60 bits.
const DIGITS: u8 = 15;
/// Bytes of extensions, of one body.
const EXTENSIONS: u16 = 1024;
/// Bytes of trailers, of one body.
const TRAILERS: u16 = 8 * 1024;

/// How far a body in chunks has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunks {
    at: At,
    extensions: u16,
    trailers: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size { size: u64, digits: u8 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataEnd,
    DataEndLine,
    Trailer { named: bool, begun: bool },
    TrailerEnd,
    BodyEnd,
    Over,
}

/// What of some bytes belongs to the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// So many of them, from the first.
    pub(crate) taken: usize,
    /// Bytes of data among them, framing left out.
    pub(crate) data: u64,
    /// The body ends with them.
    pub(crate) over: bool,
}

impl Chunks {
    pub(crate) const fn new() -> Self {
        Self { at: At::Size { size: 0, digits: 0 }, extensions: 0, trailers: 0 }
    }

    /// Reads on.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<Step, Fault> {
        let (mut taken, mut data) = (0, 0);
        while let Some(byte) = bytes.get(taken) {
            if let At::Data { left } = self.at {
                let there = bytes.len() - taken;
                let of_it = usize::try_from(left).map_or(there, |left| left.min(there));
                taken += of_it;
                data += of_it as u64;
                let left = left - of_it as u64;
                self.at = if left == 0 { At::DataEnd } else { At::Data { left } };
                continue;
            }
            self.at = self.next(*byte)?;
            taken += 1;
            if self.at == At::Over {
                return Ok(Step { taken, data, over: true });
            }
        }
        Ok(Step { taken, data, over: false })
    }

    fn next(&mut self, byte: u8) -> Result<At, Fault> {
        const ODD: Fault = Fault::malformed("a chunk is framed wrongly");
        Ok(match (self.at, byte) {
            (At::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == DIGITS {
                    return Err(Fault::malformed("a chunk's size is too long"));
                }
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                At::Size { size: size << 4 | digit, digits: digits + 1 }
            }
            (At::Size { digits: 0, .. }, _) => return Err(ODD),
            (At::Size { size, .. } | At::Extension { size }, b'\r') => At::SizeEnd { size },
            (At::Size { size, .. }, b';') => At::Extension { size },
            (At::Extension { size }, _) if is_text(byte) => {
                Self::count(&mut self.extensions, EXTENSIONS)?;
                At::Extension { size }
            }
            (At::SizeEnd { size: 0 }, b'\n') => At::Trailer { named: false, begun: false },
            (At::SizeEnd { size }, b'\n') => At::Data { left: size },
            (At::DataEnd, b'\r') => At::DataEndLine,
            (At::DataEndLine, b'\n') => At::Size { size: 0, digits: 0 },
            (At::Trailer { begun: false, .. }, b'\r') => At::BodyEnd,
            (At::Trailer { named: true, .. }, b'\r') => At::TrailerEnd,
            (At::Trailer { named, begun }, _) => {
                Self::count(&mut self.trailers, TRAILERS)?;
                match byte {
                    b':' if begun => At::Trailer { named: true, begun },
                    _ if named && is_text(byte) || is_token(byte) => At::Trailer { named, begun: true },
                    _ => return Err(ODD),
                }
            }
            (At::TrailerEnd, b'\n') => At::Trailer { named: false, begun: false },
            (At::BodyEnd, b'\n') => At::Over,
            _ => return Err(ODD),
        })
    }

    fn count(counted: &mut u16, most: u16) -> Result<(), Fault> {
        *counted += 1;
        if *counted > most { Err(Fault::new(431, "a body's framing is too long")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
