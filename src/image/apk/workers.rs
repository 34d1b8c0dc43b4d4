//! The same work for many things, several at once.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::exit::Failure;

/// What the work makes of each, in their order.
///
/// # Errors
/// The failure of the first of them that has one. After a failure nothing more is begun.
pub(super) fn each<I: Sync, T: Send>(
    items: &[I],
    workers: usize,
    work: impl Fn(&I) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<T, Failure>)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = work(item);
                    if result.is_err() {
                        // The others stop after what they are at.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_the_order_of_the_things_and_the_first_failure_is_told() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(each(&items, 4, |item| Ok(item * 2)), Ok(items.iter().map(|item| item * 2).collect()));
        let failing = |item: &usize| match item {
            0..10 => Ok(()),
            _ => Err(Failure::host(item.to_string(), "")),
        };
        let failure = each(&items, 4, failing).expect_err("it fails");
        assert!((10..14).any(|item| failure.what == item.to_string()), "{failure}");
        assert_eq!(each(&[], 4, failing), Ok(Vec::new()));
    }
}
