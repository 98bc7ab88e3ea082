//! What of the bytes that a connection holds may be handed on.

use std::io;

use bytes::Buf as _;

use super::{At, Awaits, Wire};
use crate::gate::chunk::Chunks;
use crate::gate::fault::Fault;
use crate::gate::head::{self, Body, Extent};
use crate::gate::threshold::Threshold;

/// The largest body, in bytes.
const LARGEST_BODY: u64 = 64 * 1024 * 1024;

const TOO_LARGE: Fault = Fault::new(413, "the body is too large");

impl<S, T: Threshold> Wire<S, T> {
    /// What is held is no request.
    pub(super) fn refuse(&mut self, fault: Fault) {
        self.held.clear();
        self.threshold.turn_away(fault, &mut self.out);
        self.answers = true;
        self.at = At::Refused;
    }

    /// Checks what is held; says whether there is something to hand on now.
    pub(super) fn check(&mut self) -> io::Result<bool> {
        match &mut self.at {
            At::Head => {
                // RFC 9112, 2.2: an empty line before a request is passed over.
                if self.seen == 0 && self.held.starts_with(b"\r\n") {
                    self.held.advance(2);
                }
                match self.head() {
                    Ok(whole) => return Ok(whole),
                    Err(fault) => self.refuse(fault),
                }
            }
            At::Length(left) => {
                let there = self.held.len();
                self.clear = usize::try_from(*left).map_or(there, |left| left.min(there));
                *left -= self.clear as u64;
                if *left == 0 {
                    self.at = At::Head;
                }
            }
            At::Chunked(chunks, sum) => {
                let step = chunks.advance(&self.held).and_then(|step| {
                    *sum += step.data;
                    if *sum > LARGEST_BODY { Err(TOO_LARGE) } else { Ok(step) }
                });
                let step = step.map_err(|fault| {
                    self.at = At::Broken;
                    io::Error::new(io::ErrorKind::InvalidData, fault)
                })?;
                self.clear = step.taken;
                if step.over {
                    self.at = At::Head;
                }
            }
            At::Tunnel => self.clear = self.held.len(),
            At::Asked | At::Broken | At::Refused | At::Lingering => {}
        }
        Ok(self.clear > 0 || self.answers)
    }

    /// Whether a request was let in, or answered.
    fn head(&mut self) -> Result<bool, Fault> {
        let length = match head::extent(&self.held, self.seen)? {
            Extent::Part(seen) => {
                self.seen = seen;
                return Ok(false);
            }
            Extent::Whole(length) => length,
        };
        let head = head::read(self.held.get(..length).unwrap_or_default())?;
        let at = match head.framing.body {
            _ if head.framing.upgrade => At::Asked,
            Body::Length(0) => At::Head,
            Body::Length(length) if length > LARGEST_BODY => return Err(TOO_LARGE),
            Body::Length(length) => At::Length(length),
            Body::Chunked => At::Chunked(Chunks::new(), 0),
        };
        // A body that nobody wants is not waited for.
        let closes = !head.stays || head.framing.body != Body::Length(0);
        let let_in = self.threshold.meet(&head, closes, &mut self.out);
        self.seen = 0;
        if self.awaits != Awaits::Next {
            self.awaits = Awaits::Nothing;
        }
        self.first = false;
        if let_in {
            self.at = at;
            self.clear = length;
            self.answering.begin();
        } else {
            self.answers = true;
            self.at = if closes { At::Refused } else { At::Head };
            self.held.advance(length);
        }
        Ok(true)
    }
}
