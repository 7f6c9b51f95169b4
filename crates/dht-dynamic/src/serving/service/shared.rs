//! State that a service shares with its worker threads and with its tickets (handles for answers).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::job::Job;
use super::metrics::Counters;
use super::queue::Queue;
use super::settings::ServiceSettings;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: ServiceSettings,
    queue: Mutex<Queue>,
    /// Condition variable that is notified when texts arrive or the service stops.
    pub(super) changed: Condvar,
    pub(super) counters: Counters,
    ids: AtomicU64,
}

impl Shared {
    pub(super) fn new(settings: ServiceSettings) -> Self {
        Self {
            settings,
            queue: Mutex::default(),
            changed: Condvar::new(),
            counters: Counters::new(),
            ids: AtomicU64::new(0),
        }
    }

    /// Returns a new text id. Ids are unique within a service.
    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the queued texts of a request whose caller no longer waits, and counts the request as late or cancelled.
    pub(super) fn give_up(&self, job: &Arc<Job>, late: bool) {
        self.queue().remove(job);
        let mut counters = self.counters.get();
        if late {
            counters.late += 1;
        } else {
            counters.cancelled += 1;
        }
    }
}
