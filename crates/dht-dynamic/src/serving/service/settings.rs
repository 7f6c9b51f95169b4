//! The limits of a service.

use std::time::Duration;

use crate::error::{Error, Result};

/// The limits of a [`Service`](super::Service).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSettings {
    /// The most texts that wait; a request that finds no room is refused. A request of more is never taken.
    pub queue_texts: usize,
    /// The most tokens of the texts that wait.
    pub queue_tokens: usize,
    /// The tokens of a batch. A longer text is a batch of its own.
    pub batch_tokens: usize,
    /// How long the oldest text waits for others, if its batch is not full before.
    pub max_wait: Duration,
    /// Threads that run batches. Each batch already runs on all cores; more than one helps where batches are small.
    pub workers: usize,
}

/// 4,096 texts or 262,144 tokens wait; 2,048 tokens a batch; 1 ms; one worker.
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
    /// Refuses limits that let nothing through.
    ///
    /// # Errors
    /// [`Error::Setting`] for a limit of 0, more than 256 workers, and a wait of more than a minute.
    pub fn check(&self) -> Result<()> {
        let limits = [
            ("queue_texts", self.queue_texts),
            ("queue_tokens", self.queue_tokens),
            ("batch_tokens", self.batch_tokens),
        ];
        for (field, limit) in limits {
            if limit == 0 {
                return Err(Error::setting(field, "at least 1", limit));
            }
        }
        if !(1..=256).contains(&self.workers) {
            return Err(Error::setting("workers", "1 to 256", self.workers));
        }
        if self.max_wait > Duration::from_secs(60) {
            return Err(Error::setting("max_wait", "at most a minute", format!("{:?}", self.max_wait)));
        }
        Ok(())
    }
}
