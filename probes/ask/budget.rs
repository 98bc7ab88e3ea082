//! Many questions within one budget of time and connections.

use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout_at};

/// Questions under way at once. A question may hold two connections; macOS gives a process 256
/// files.
const WIDTH: usize = 96;

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn<T> {
    /// It was put and answered.
    Done(T),
    /// The budget ended before it was answered, or before it was put.
    Late,
    /// It failed in a way that nobody thought of.
    Failed,
}

/// Puts a question for each item, in order and a bounded number at a time, until the budget ends.
/// Every item comes back, in order.
pub(crate) async fn each<I, T, F>(items: Vec<I>, budget: Duration, put: impl Fn(&I) -> F) -> Vec<(I, Turn<T>)>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let end = Instant::now() + budget;
    let mut turns: Vec<(I, Turn<T>)> = items.into_iter().map(|item| (item, Turn::Late)).collect();
    let mut under_way: JoinSet<T> = JoinSet::new();
    let mut places: std::collections::HashMap<Id, usize> = std::collections::HashMap::new();
    let mut next = 0;
    loop {
        while under_way.len() < WIDTH
            && let Some((item, _)) = turns.get(next)
        {
            places.insert(under_way.spawn(put(item)).id(), next);
            next += 1;
        }
        // Dropping the set at the end of the budget drops the questions with their connections.
        let Ok(Some(joined)) = timeout_at(end, under_way.join_next_with_id()).await else { return turns };
        let (id, turn) = match joined {
            Ok((id, answer)) => (id, Turn::Done(answer)),
            Err(failed) => (failed.id(), Turn::Failed),
        };
        if let Some(slot) = places.remove(&id).and_then(|place| turns.get_mut(place)) {
            slot.1 = turn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(millis: u64) -> u64 {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        assert_ne!(millis, 13, "the unlucky one fails");
        millis
    }

    #[tokio::test(start_paused = true)]
    async fn every_item_comes_back_in_order_whether_it_was_answered_or_not() {
        let turns = each(vec![30, 10_000, 13, 10], Duration::from_secs(1), |millis| ask(*millis)).await;
        assert_eq!(
            turns,
            [(30, Turn::Done(30)), (10_000, Turn::Late), (13, Turn::Failed), (10, Turn::Done(10))]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_bounded_number_is_under_way_at_once() {
        let items = vec![100; WIDTH * 3];
        let began = Instant::now();
        let turns = each(items, Duration::from_secs(9), |millis| ask(*millis)).await;
        assert!(turns.iter().all(|(_, turn)| *turn == Turn::Done(100)));
        assert_eq!(began.elapsed().as_millis(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_ends_what_silence_would_prolong() {
        let began = Instant::now();
        let turns = each(vec![600; 10_000], Duration::from_secs(5), |millis| ask(*millis)).await;
        assert!(began.elapsed() <= Duration::from_secs(5));
        let done = turns.iter().filter(|(_, turn)| *turn == Turn::Done(600)).count();
        assert_eq!(done, WIDTH * 8, "what came before the end is kept");
        assert_eq!(turns.len(), 10_000);
    }
}
