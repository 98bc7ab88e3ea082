//! What Guardian knows, what it is told to allow, and what follows from both.
//!
//! Facts come in as a [`Snapshot`](snapshot::Snapshot), the owner's wishes as a
//! [`Policy`](policy::Policy); [`judge`](verdict::judge) answers with findings and a verdict.
//! Nothing here reads a file, a socket or a clock, so every judgement can be replayed.
//!
//! Evidence has three values. A rule answers no (no finding), yes, or unknown; unknown never
//! counts as safe.

#![forbid(unsafe_code)]

pub mod address;
pub mod blindness;
pub mod catalog;
pub mod fact;
pub mod finding;
pub mod handbook;
pub mod observation;
pub mod policy;
pub mod scene;
pub mod snapshot;
pub mod verdict;
pub mod way;

mod rule;
