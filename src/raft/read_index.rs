//! Read index, batched: all that ask while one confirmation of leadership is under way share the next one.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Why no read index was to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no read index: {0}")]
pub struct ReadIndexError(pub String);

/// The index, or why there is none.
pub type Answer = Result<u64, ReadIndexError>;

/// Batches those who ask for a read index.
#[derive(Clone, Default)]
pub struct Batcher(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    running: bool,
    waiters: Vec<oneshot::Sender<Answer>>,
}

impl Batcher {
    /// A read index confirmed after this call began, by `confirm`, which is run for many callers at once.
    pub async fn get<F, Fut>(&self, confirm: F) -> Answer
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = Answer> + Send,
    {
        let (sender, receiver) = oneshot::channel();
        let start = {
            let mut waiting = self.lock();
            waiting.waiters.push(sender);
            !std::mem::replace(&mut waiting.running, true)
        };
        if start {
            let batcher = self.clone();
            tokio::spawn(async move { batcher.run(confirm).await });
        }
        receiver.await.unwrap_or_else(|_| Err(ReadIndexError("the node is stopping".into())))
    }

    async fn run<F, Fut>(self, confirm: F)
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = Answer> + Send,
    {
        // If this task dies, those who wait hear of it and whoever asks next starts a new one.
        let running = Running(self.clone());
        loop {
            let waiters = {
                let mut waiting = self.lock();
                if waiting.waiters.is_empty() {
                    waiting.running = false;
                    drop(waiting);
                    drop(running);
                    return;
                }
                std::mem::take(&mut waiting.waiters)
            };
            let answer = confirm().await;
            for waiter in waiters {
                let _ = waiter.send(answer.clone());
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Running(Batcher);

impl Drop for Running {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        if waiting.running {
            waiting.running = false;
            waiting.waiters.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn callers_share_a_confirmation_that_began_after_they_asked() {
        let batcher = Batcher::default();
        let (rounds, gate) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let confirm = {
            let (rounds, gate) = (Arc::clone(&rounds), Arc::clone(&gate));
            move || {
                let (round, gate) = (rounds.fetch_add(1, Ordering::SeqCst), Arc::clone(&gate));
                async move {
                    gate.acquire().await.expect("an open gate").forget();
                    Ok(round)
                }
            }
        };
        let ask = || {
            let (batcher, confirm) = (batcher.clone(), confirm.clone());
            tokio::spawn(async move { batcher.get(confirm).await })
        };
        let first = ask();
        while rounds.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let late: Vec<_> = (0..50).map(|_| ask()).collect();
        while batcher.lock().waiters.len() < late.len() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        assert_eq!(first.await.expect("joined"), Ok(0));
        for caller in late {
            assert_eq!(caller.await.expect("joined"), Ok(1), "a round that began before the call does not count");
        }
        assert_eq!(rounds.load(Ordering::SeqCst), 2);
    }
}
