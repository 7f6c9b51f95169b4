//! Handle for the answers to an accepted request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::job::Job;
use super::shared::Shared;
use crate::error::Result;
use crate::serving::answer::Answer;

/// Handle for the answers to a request that a [`Service`](super::Service) has accepted.
///
/// [`wait`](Self::wait) blocks until the answers are available. The ticket is also a future of the answers. Dropping it
/// cancels the request: texts that are not computed yet are skipped.
#[derive(Debug)]
#[must_use = "a ticket that is dropped gives its request up"]
pub struct Ticket {
    job: Arc<Job>,
    shared: Arc<Shared>,
}

impl Ticket {
    pub(super) fn new(job: Arc<Job>, shared: Arc<Shared>) -> Self {
        Self { job, shared }
    }

    /// Blocks until all answers are available, and returns them in the order of the texts.
    ///
    /// # Errors
    /// * [`Error::Deadline`](crate::Error::Deadline) if the deadline passes before the answers are available.
    /// * Errors of [`Engine::predict`](crate::Engine::predict) if one of the texts fails.
    pub fn wait(self) -> Result<Vec<Answer>> {
        self.job.wait()
    }
}

/// Resolves to the answers when all texts are answered. The future has no timer: the deadline is checked only when a
/// worker takes a text from the queue. Callers with a strict deadline need their own timer.
impl Future for Ticket {
    type Output = Result<Vec<Answer>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.job.poll(context.waker())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.job.give_up() {
            let late = self.job.deadline.is_some_and(|deadline| deadline <= Instant::now());
            self.shared.give_up(&self.job, late);
        }
    }
}
