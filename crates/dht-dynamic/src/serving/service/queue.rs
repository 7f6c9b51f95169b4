//! Bounded queue of texts, from which worker threads take batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dht_transformer::Sample;

use super::job::Job;
use super::pace::Pace;
use super::settings::ServiceSettings;
use crate::error::{Error, Result};
use crate::passage::Passage;
use crate::serving::engine::Engine;

/// Queued text that the n-gram classifier has not answered.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) sample: Sample,
    /// State of the text after the n-gram classifier.
    pub(super) passage: Passage,
    /// Index of the text in its request.
    pub(super) index: usize,
    pub(super) job: Arc<Job>,
    /// Engine that is to predict the text at the requested speed. Only texts with the same engine share a batch.
    pub(super) engine: Arc<Engine>,
}

impl Waiting {
    pub(super) fn tokens(&self) -> usize {
        self.sample.encoding.ids.len()
    }
}

/// Time at which workers are to run the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// No batch is to run, since the queue is empty.
    Nothing,
    /// Batch is to run at this time, or earlier if enough texts arrive to fill it.
    At(Instant),
    /// Batch is to run now.
    Now,
}

/// Queue of texts, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    tokens: usize,
    /// Number of tokens in the batches that are running.
    running: usize,
    pace: Pace,
    pub(super) stopping: bool,
}

impl Queue {
    pub(super) fn texts(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Rejects a request that does not fit into the queue, or that arrives after the service was stopped.
    pub(super) fn check_room(&self, texts: usize, tokens: usize, settings: &ServiceSettings) -> Result<()> {
        if self.stopping {
            return Err(Error::Stopping);
        }
        let (all_texts, all_tokens) = (self.texts() + texts, self.tokens + tokens);
        if all_texts > settings.queue_texts || all_tokens > settings.queue_tokens {
            let (waiting, of) = if all_texts > settings.queue_texts {
                (format!("{} texts", self.texts()), settings.queue_texts)
            } else {
                (format!("{} tokens", self.tokens), settings.queue_tokens)
            };
            return Err(Error::Busy { waiting, of });
        }
        Ok(())
    }

    /// Rejects a request that would probably miss its deadline. The estimated time is for its own tokens and all tokens
    /// that are queued or running. If the queue is empty, every request is accepted, so that the time per token is
    /// measured again.
    pub(super) fn check_time(
        &self,
        tokens: usize,
        deadline: Option<Instant>,
        settings: &ServiceSettings,
    ) -> Result<()> {
        let Some(deadline) = deadline.filter(|_| self.tokens > 0) else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now());
        let expected = self.pace.expected(self.tokens + self.running + tokens, settings.workers);
        if expected > left { Err(Error::Backlog { expected, left }) } else { Ok(()) }
    }

    /// Adds all texts of a request to the queue, or rejects the request as a whole.
    pub(super) fn push(
        &mut self,
        texts: Vec<Waiting>,
        deadline: Option<Instant>,
        settings: &ServiceSettings,
    ) -> Result<()> {
        let tokens = texts.iter().map(Waiting::tokens).sum();
        self.check_room(texts.len(), tokens, settings)?;
        if tokens > 0 {
            self.check_time(tokens, deadline, settings)?;
        }
        self.tokens += tokens;
        self.waiting.extend(texts);
        Ok(())
    }

    pub(super) fn next(&self, settings: &ServiceSettings) -> Next {
        match self.waiting.front() {
            None => Next::Nothing,
            Some(_) if self.stopping || self.tokens >= settings.batch_tokens => Next::Now,
            Some(first) => Next::At(first.job.arrived + settings.max_wait),
        }
    }

    /// Removes the next batch from the queue: the oldest text, and later texts with the same engine until the batch is
    /// full.
    pub(super) fn take(&mut self, batch_tokens: usize) -> Vec<Waiting> {
        let Some(engine) = self.waiting.front().map(|first| first.engine.clone()) else { return Vec::new() };
        let mut batch: Vec<Waiting> = Vec::new();
        let mut tokens = 0;
        let mut remaining = VecDeque::with_capacity(self.waiting.len());
        let mut full = false;
        for text in self.waiting.drain(..) {
            if full || !Arc::ptr_eq(&text.engine, &engine) {
                remaining.push_back(text);
            } else if batch.is_empty() || tokens + text.tokens() <= batch_tokens {
                tokens += text.tokens();
                batch.push(text);
            } else {
                full = true;
                remaining.push_back(text);
            }
        }
        self.waiting = remaining;
        self.tokens -= tokens;
        self.running += tokens;
        batch
    }

    /// Records that a batch of `tokens` tokens has ended. `computed` is the number of tokens that were computed in the
    /// time `taken`.
    pub(super) fn ran(&mut self, tokens: usize, computed: usize, taken: Duration) {
        self.running = self.running.saturating_sub(tokens);
        self.pace.observe(taken, computed);
    }

    /// Removes all queued texts of a request.
    pub(super) fn remove(&mut self, job: &Arc<Job>) {
        let mut tokens = 0;
        self.waiting.retain(|text| {
            let keep = !Arc::ptr_eq(&text.job, job);
            tokens += if keep { 0 } else { text.tokens() };
            keep
        });
        self.tokens -= tokens;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_would_be_late_is_rejected_if_others_wait() {
        let (settings, mut queue) = (ServiceSettings::default(), Queue::default());
        queue.ran(0, 100, Duration::from_secs(1));
        let within = |seconds| Some(Instant::now() + Duration::from_secs(seconds));
        assert!(queue.check_time(0, within(0), &settings).is_ok(), "nothing waits");
        queue.tokens = 1000;
        assert!(queue.check_time(0, None, &settings).is_ok());
        assert!(queue.check_time(0, within(60), &settings).is_ok());
        assert!(matches!(queue.check_time(0, within(5), &settings), Err(Error::Backlog { .. })));
        assert!(matches!(queue.check_time(9000, within(60), &settings), Err(Error::Backlog { .. })));
        queue.running = 9000;
        assert!(matches!(queue.check_time(0, within(60), &settings), Err(Error::Backlog { .. })));
        let many = ServiceSettings { workers: 8, ..settings };
        assert!(queue.check_time(0, within(60), &many).is_ok());
        queue.ran(9000, 0, Duration::from_secs(1));
        assert!(queue.check_time(0, within(60), &settings).is_ok());
    }
}
