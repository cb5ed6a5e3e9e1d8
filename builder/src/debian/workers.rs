//! The same work on many things by a few threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Runs `work` on every item, in about the order given, and returns the results in that order. After the first
/// error no further item is begun; which error is returned does not depend on timing more than it must: of those
/// that happened, the one of the earliest item.
pub fn run<I: Sync, O: Send, E: Send>(
    threads: usize,
    items: &[I],
    work: impl Fn(&I) -> Result<O, E> + Sync,
) -> Result<Vec<O>, E> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while let (at, Some(item)) = claim(&next, items) {
                    let result = work(item);
                    if result.is_err() {
                        next.store(items.len(), Ordering::Relaxed);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn claim<'i, I>(next: &AtomicUsize, items: &'i [I]) -> (usize, Option<&'i I>) {
    let at = next.fetch_add(1, Ordering::Relaxed);
    (at, items.get(at))
}

/// Threads for work that computes.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order() {
        fn check(threads: usize, count: usize) {
            let items: Vec<usize> = (0..count).collect();
            let doubled = run(threads, &items, |n| Ok::<_, ()>(n * 2)).unwrap();
            assert_eq!(doubled, items.iter().map(|n| n * 2).collect::<Vec<_>>());
        }
        check(0, 0);
        check(0, 3);
        check(4, 1);
        check(4, 1000);
    }

    #[test]
    fn stops_at_an_error() {
        let begun = AtomicUsize::new(0);
        let items: Vec<usize> = (0..100_000).collect();
        let outcome = run(2, &items, |&n| {
            begun.fetch_add(1, Ordering::Relaxed);
            if n == 10 { Err(n) } else { Ok(()) }
        });
        assert_eq!(outcome.unwrap_err(), 10);
        assert!(begun.load(Ordering::Relaxed) < items.len());
    }
}
