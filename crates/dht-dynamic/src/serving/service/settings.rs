//! Limits of a service.

use std::time::Duration;

use crate::error::{Error, Result};

/// Limits of a [`Service`](super::Service).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSettings {
    /// The maximum number of waiting texts; a request that does not fit is rejected. A request with more texts is
    /// always rejected.
    pub queue_texts: usize,
    /// The maximum number of tokens of the waiting texts.
    pub queue_tokens: usize,
    /// The number of tokens in a batch. A longer text is a separate batch.
    pub batch_tokens: usize,
    /// The maximum time that the oldest text waits for others, if its batch is not full before.
    pub max_wait: Duration,
    /// The number of threads that run batches. Each batch already runs on all cores; more than one thread helps where
    /// batches are small.
    pub workers: usize,
}

/// A queue of 4,096 texts or 262,144 tokens, batches of 2,048 tokens, a wait of 1 ms, and one worker.
impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            queue_texts: 4096,
            queue_tokens: 1 << 18,
            batch_tokens: 2048,
            max_wait: Duration::from_millis(1),
            workers: 1,
        }
    }
}

impl ServiceSettings {
    /// Checks that the limits are usable.
    ///
    /// # Errors
    /// [`Error::Argument`] for a limit of 0, more than 256 workers, and a wait of more than a minute.
    pub fn check(&self) -> Result<()> {
        let limits = [
            ("queue_texts", self.queue_texts),
            ("queue_tokens", self.queue_tokens),
            ("batch_tokens", self.batch_tokens),
        ];
        for (field, limit) in limits {
            if limit == 0 {
                return Err(Error::argument(field, "at least 1", limit));
            }
        }
        if !(1..=256).contains(&self.workers) {
            return Err(Error::argument("workers", "1 to 256", self.workers));
        }
        if self.max_wait > Duration::from_secs(60) {
            return Err(Error::argument("max_wait", "at most a minute", format!("{:?}", self.max_wait)));
        }
        Ok(())
    }
}
