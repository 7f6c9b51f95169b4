//! The ticket of a request on its answers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::job::{Job, Served};
use super::shared::Shared;
use crate::error::Result;

/// A request that a [`Service`](super::Service) has taken. [`wait`](Self::wait) blocks for its answers; as a future it gives them
/// without blocking. A ticket that is dropped gives the request up: what is not computed yet is not computed any more.
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

    /// Waits for the answers, in the order of the texts.
    ///
    /// # Errors
    /// [`Error::Deadline`](crate::Error::Deadline) when the deadline passes before; what the engine reports for one of the texts.
    pub fn wait(self) -> Result<Vec<Served>> {
        self.job.wait()
    }
}

/// Without a timer: a deadline is noticed when the text would be computed. A caller that has to answer in time brings its own.
impl Future for Ticket {
    type Output = Result<Vec<Served>>;

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
