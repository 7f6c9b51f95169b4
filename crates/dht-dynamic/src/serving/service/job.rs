//! Accepted request of a service, and the answers to its texts so far.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::serving::answer::Answer;

/// Accepted request of a service, with the answers to its texts so far.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) arrived: Instant,
    pub(super) deadline: Option<Instant>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    answers: Vec<Option<Answer>>,
    missing: usize,
    error: Option<Error>,
    /// True if any text failed, even if the caller has already received the error.
    failed: bool,
    waker: Option<Waker>,
    /// True if the caller dropped its ticket, the handle for the answers.
    gone: bool,
}

impl State {
    fn is_done(&self) -> bool {
        self.failed || self.missing == 0
    }

    /// Takes the answers, or the error of a failed text. A second call returns no answers.
    fn take(&mut self) -> Result<Vec<Answer>> {
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut self.answers).into_iter().flatten().collect()),
        }
    }
}

impl Job {
    pub(super) fn new(texts: usize, arrived: Instant, deadline: Option<Instant>) -> Arc<Self> {
        let state =
            State { answers: vec![None; texts], missing: texts, error: None, failed: false, waker: None, gone: false };
        Arc::new(Self { arrived, deadline, state: Mutex::new(state), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the remaining texts need not be computed: the request has ended, or the caller no longer waits.
    pub(super) fn is_over(&self) -> bool {
        let state = self.state();
        state.gone || state.is_done()
    }

    /// Stores the answer to one text. Returns true if the request ends, because this was the last answer or an error.
    pub(super) fn deliver(&self, index: usize, answer: Result<Answer>) -> bool {
        let mut state = self.state();
        if state.gone || state.is_done() {
            return false;
        }
        match answer {
            Ok(answer) => {
                if state.answers[index].replace(answer).is_none() {
                    state.missing -= 1;
                }
            }
            Err(error) => (state.error, state.failed) = (Some(error), true),
        }
        let done = state.is_done();
        if done {
            self.changed.notify_all();
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
        done
    }

    /// Blocks until all texts are answered, or until the deadline has passed.
    pub(super) fn wait(&self) -> Result<Vec<Answer>> {
        let mut state = self.state();
        while !state.is_done() {
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            state = match left {
                Some(left) if left.is_zero() => return Err(Error::Deadline),
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state.take()
    }

    /// Returns the answers if all texts are answered. Otherwise stores the waker.
    pub(super) fn poll(&self, waker: &Waker) -> Poll<Result<Vec<Answer>>> {
        let mut state = self.state();
        if state.is_done() {
            return Poll::Ready(state.take());
        }
        state.waker = Some(waker.clone());
        Poll::Pending
    }

    /// Records that the caller no longer waits. Returns whether any answers were still missing.
    pub(super) fn give_up(&self) -> bool {
        let mut state = self.state();
        state.gone = !state.is_done();
        state.gone
    }
}
