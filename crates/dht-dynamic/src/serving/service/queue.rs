//! The queue of waiting texts, and its batches.

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

/// A text that waits for the encoder.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) sample: Sample,
    /// Its state before the first layer, after the n-gram exit.
    pub(super) passage: Passage,
    /// The index of the text in its request.
    pub(super) index: usize,
    pub(super) job: Arc<Job>,
    /// The engine (a model at a speed) that the text was encoded for; texts of one engine run together.
    pub(super) engine: Arc<Engine>,
}

impl Waiting {
    pub(super) fn tokens(&self) -> usize {
        self.sample.encoding.ids.len()
    }
}

/// Time of the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The queue is empty.
    Nothing,
    /// At this time, unless more texts arrive.
    At(Instant),
    Now,
}

/// The waiting texts, in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    tokens: usize,
    /// The number of tokens of the running batches.
    running: usize,
    pace: Pace,
    pub(super) stopping: bool,
}

impl Queue {
    /// The number of waiting texts.
    pub(super) fn texts(&self) -> usize {
        self.waiting.len()
    }

    /// The number of tokens of the waiting texts.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Rejects texts for which the queue has no room.
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

    /// Rejects a request of this number of tokens that has less time left than its tokens and those accepted before
    /// will take. A request is always accepted when the queue is empty, so that the measured pace stays up to date.
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

    /// Accepts all texts of a request, or none.
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

    /// The time of the next batch.
    pub(super) fn next(&self, settings: &ServiceSettings) -> Next {
        match self.waiting.front() {
            None => Next::Nothing,
            Some(_) if self.stopping || self.tokens >= settings.batch_tokens => Next::Now,
            Some(first) => Next::At(first.job.arrived + settings.max_wait),
        }
    }

    /// Takes the next batch: the oldest text, and those after it of the same engine while the batch has room.
    pub(super) fn take(&mut self, batch_tokens: usize) -> Vec<Waiting> {
        let Some(engine) = self.waiting.front().map(|first| first.engine.clone()) else { return Vec::new() };
        let mut batch: Vec<Waiting> = Vec::new();
        let mut tokens = 0;
        let mut left = VecDeque::with_capacity(self.waiting.len());
        let mut full = false;
        for text in self.waiting.drain(..) {
            if full || !Arc::ptr_eq(&text.engine, &engine) {
                left.push_back(text);
            } else if batch.is_empty() || tokens + text.tokens() <= batch_tokens {
                tokens += text.tokens();
                batch.push(text);
            } else {
                full = true;
                left.push_back(text);
            }
        }
        self.waiting = left;
        self.tokens -= tokens;
        self.running += tokens;
        batch
    }

    /// Records a batch that has run, and the time that its computed tokens took.
    pub(super) fn ran(&mut self, tokens: usize, computed: usize, taken: Duration) {
        self.running = self.running.saturating_sub(tokens);
        self.pace.observe(taken, computed);
    }

    /// Removes the texts of a request.
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
