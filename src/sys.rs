//! The seams to the system: time, places, what is on the disk.

pub(crate) mod causes;
pub(crate) mod clock;
pub(crate) mod crash;
pub(crate) mod durable;
pub(crate) mod heap;
pub(crate) mod paths;
pub(crate) mod program;
#[cfg(test)]
pub(crate) mod scratch;
pub(crate) mod systemd;
pub(crate) mod trusted;
pub(crate) mod wake;
