//! Carries the notices of one way of telling from its queue to their end.
//!
//! A few are told at once, so that one that hangs does not keep the next one back.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};

use super::Stamped;
use super::queue::{Delivery, Failed, Pushed, Queue, Schedule};
use crate::sys::causes::chain;
use crate::sys::clock;

/// As many are told at once.
const AT_ONCE: usize = 4;
/// Timers do not count time asleep; the clock that retries go by does, so it is looked at this often.
const LOOK: Duration = Duration::from_mins(1);

/// Tells notices by `tell` until no more can come. What waits then is tried where it is due, and not
/// retried.
pub(crate) async fn deliver<T, F, E>(
    way: &'static str,
    mut notices: mpsc::Receiver<Stamped>,
    schedule: Schedule,
    tell: T,
) where
    T: Fn(Delivery) -> F,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Error + Send + 'static,
{
    let mut queue = Queue::new(schedule);
    let mut flying = JoinSet::new();
    let mut serials: HashMap<Id, u64> = HashMap::new();
    let mut open = true;
    loop {
        while flying.len() < AT_ONCE {
            let Some(delivery) = queue.take(clock::moment()) else { break };
            let serial = delivery.serial;
            serials.insert(flying.spawn(tell(delivery)).id(), serial);
        }
        if !open && flying.is_empty() {
            return;
        }
        let pause = queue.due().map(|due| due.since(clock::moment()).min(LOOK));
        tokio::select! {
            notice = notices.recv(), if open => match notice {
                Some(notice) => took_in(way, &queue.push(notice, clock::moment())),
                None => open = false,
            },
            Some(ended) = flying.join_next_with_id(), if !flying.is_empty() => {
                let (id, outcome) = match ended {
                    Ok((id, Ok(()))) => (id, Ok(())),
                    Ok((id, Err(failure))) => (id, Err(chain(&failure))),
                    Err(stopped) => (stopped.id(), Err("it stopped in the middle".to_owned())),
                };
                let Some(serial) = serials.remove(&id) else { continue };
                match outcome {
                    Ok(()) => queue.delivered(serial),
                    Err(why) => could_not(way, &why, queue.failed(serial, clock::moment())),
                }
            }
            () = tokio::time::sleep(pause.unwrap_or(LOOK)), if pause.is_some() && flying.len() < AT_ONCE => {}
        }
    }
}

fn took_in(way: &str, pushed: &Pushed) {
    match pushed {
        Pushed::Waits | Pushed::Merged | Pushed::Counted => {}
        Pushed::Displaced(key) => tracing::warn!("{way}: too much waits, {key} is given up"),
        Pushed::Refused => tracing::warn!("{way}: too much waits, a notice is left out"),
    }
}

fn could_not(way: &str, why: &str, failed: Failed) {
    match failed {
        Failed::Again(pause) => tracing::warn!("{way}: {why}; trying again in {pause:?}"),
        Failed::Superseded => tracing::warn!("{way}: {why}; what is newer is tried instead"),
        Failed::GivenUp => tracing::error!("{way}: {why}; given up"),
    }
}
