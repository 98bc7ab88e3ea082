//! What a probe is, and what keeps the others alive when one fails.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::policy::Policy;
use guardian_rules::snapshot::{ProbeId, Snapshot};

/// What a probe may build on: the policy, and what the probes before it have seen.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The owner's wishes.
    pub policy: Arc<Policy>,
    /// The observations so far.
    pub known: Arc<Snapshot>,
}

/// One way of looking. Probes are independent: they share facts, never state.
pub trait Probe: Send + 'static {
    /// What it brings back.
    type Facts: Send + 'static;
    /// Its stable id.
    const ID: ProbeId;
    /// How often the watcher runs it unless the policy says otherwise.
    const CADENCE: Duration;
    /// How long one look may take.
    const DEADLINE: Duration;

    /// Looks once. Must not change anything, and must stay within bounds of its own on what it
    /// reads; the deadline is for what nobody thought of.
    fn observe(&mut self, ground: Ground) -> impl Future<Output = Result<Self::Facts, Blindness>> + Send;
}

/// A probe in a task of its own.
///
/// A look that panics or outlives its deadline answers blind, and the next look starts from a
/// fresh probe.
pub struct Isolated<P> {
    make: fn() -> P,
    idle: Option<P>,
    deadline: Duration,
}

impl<P: Probe> Isolated<P> {
    /// A probe made by `make`, with its own deadline.
    pub fn new(make: fn() -> P) -> Self {
        Self { make, idle: None, deadline: P::DEADLINE }
    }

    /// The same with another deadline.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Looks once.
    pub async fn look(&mut self, ground: Ground) -> Result<P::Facts, Blindness> {
        let mut probe = self.idle.take().unwrap_or_else(self.make);
        let mut task = tokio::spawn(async move {
            let facts = probe.observe(ground).await;
            (probe, facts)
        });
        match tokio::time::timeout(self.deadline, &mut task).await {
            Ok(Ok((probe, facts))) => {
                self.idle = Some(probe);
                facts
            }
            Ok(Err(failed)) => {
                Err(Blindness::new(Cause::Panicked, format!("the {} probe failed: {failed}", P::ID)))
            }
            Err(_) => {
                task.abort();
                Err(Blindness::timed_out(format!("the {} probe took longer than {:?}", P::ID, self.deadline)))
            }
        }
    }
}

/// Runs code that blocks (netlink, files, the process table) off the async threads.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Blindness> + Send + 'static,
) -> Result<T, Blindness> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => Err(Blindness::new(Cause::Panicked, failed.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Mood {
        Well,
        Hangs,
        Panics,
    }

    struct Moody(Mood);

    impl Probe for Moody {
        type Facts = u8;
        const ID: ProbeId = ProbeId::Reach;
        const CADENCE: Duration = Duration::from_secs(1);
        const DEADLINE: Duration = Duration::from_secs(1);

        async fn observe(&mut self, _: Ground) -> Result<u8, Blindness> {
            match self.0 {
                Mood::Well => Ok(1),
                Mood::Hangs => std::future::pending().await,
                Mood::Panics => panic!("a probe may fail"),
            }
        }
    }

    async fn look(make: fn() -> Moody) -> Result<u8, Blindness> {
        let ground = Ground { policy: Arc::default(), known: Arc::default() };
        Isolated::new(make).look(ground).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_is_blind_by_its_deadline() {
        assert_eq!(look(|| Moody(Mood::Hangs)).await.unwrap_err().cause, Cause::TimedOut);
    }

    #[tokio::test]
    async fn a_probe_that_panics_is_blind_and_nothing_else_falls() {
        assert_eq!(look(|| Moody(Mood::Panics)).await.unwrap_err().cause, Cause::Panicked);
        assert_eq!(look(|| Moody(Mood::Well)).await, Ok(1));
    }
}
