//! Limits of a service: queue size, batch size, waiting time and worker threads.

use std::time::Duration;

use crate::error::{Error, Result};

/// Limits of a [`Service`](super::Service): queue, batches, waiting time and worker threads.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use dht_dynamic::serving::ServiceSettings;
///
/// // Fuller batches, for which a text waits up to 5 ms.
/// let settings = ServiceSettings { max_wait: Duration::from_millis(5), ..ServiceSettings::default() };
/// settings.check()?;
/// assert!(ServiceSettings { workers: 0, ..settings }.check().is_err());
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Maximum number of queued texts. A request that does not fit into the queue is rejected. A request with more
    /// texts than this is always rejected.
    pub queue_texts: usize,
    /// Maximum total number of tokens of the queued texts.
    pub queue_tokens: usize,
    /// Maximum number of tokens in a batch. A text with more tokens is a batch of its own.
    pub batch_tokens: usize,
    /// Maximum time that the oldest queued text waits for its batch to fill.
    pub max_wait: Duration,
    /// Number of worker threads that run batches. Each batch already uses all processor cores, so more than one worker
    /// helps only if batches are small.
    pub workers: usize,
}

/// Returns limits of 4,096 texts or 262,144 tokens for the queue, batches of 2,048 tokens, a wait of 1 ms, and one
/// worker.
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
    /// Checks that all limits are in range.
    ///
    /// # Errors
    /// [`Error::Argument`] if a limit is 0, if there are more than 256 workers, or if the wait is longer than a minute.
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
