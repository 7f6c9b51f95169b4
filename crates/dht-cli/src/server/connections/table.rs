//! Table of the open connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::activity::{Activity, Closing};
use crate::server::settings::Limits;

/// Maximum number of spare connections, beyond the limit. They are answered on `/health` only, and refused on all other
/// paths.
const SPARE: usize = 64;

/// Type of a connection: within the limit of connections, or spare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Lane {
    /// Connection within the limit.
    Regular,
    /// Connection beyond the limit, on which only one request is answered.
    Spare,
}

/// Table of open connections, by connection number.
#[derive(Debug, Default)]
pub(in crate::server) struct Table(Mutex<Lanes>);

#[derive(Debug, Default)]
struct Lanes {
    next: u64,
    regular: BTreeMap<u64, Arc<Activity>>,
    spare: BTreeMap<u64, Arc<Activity>>,
    closed: BTreeMap<Closing, u64>,
}

impl Table {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection. At the limit, the connection that has waited longest for its client is closed. If none waits,
    /// the new connection is a spare one, beyond the limit.
    pub(super) fn add(&self, limits: &Limits) -> (u64, Lane, Arc<Activity>) {
        let (mut lanes, now) = (self.lanes(), Instant::now());
        let activity = Arc::new(Activity::new(now));
        let (number, full) = (lanes.next, lanes.regular.len() >= limits.connections);
        lanes.next += 1;
        if !full || lanes.evict_oldest(now, limits) {
            lanes.regular.insert(number, activity.clone());
            return (number, Lane::Regular, activity);
        }
        if lanes.spare.len() >= SPARE
            && let Some((_, oldest)) = lanes.spare.pop_first()
        {
            lanes.close(&oldest, Closing::Evicted);
        }
        lanes.spare.insert(number, activity.clone());
        (number, Lane::Spare, activity)
    }

    pub(super) fn remove(&self, number: u64) {
        let mut lanes = self.lanes();
        lanes.regular.remove(&number);
        lanes.spare.remove(&number);
    }

    pub(super) fn count(&self, closing: Closing) {
        self.lanes().count(closing);
    }

    /// Closes the connection that has waited longest for its client.
    pub(super) fn evict_oldest(&self, limits: &Limits) {
        self.lanes().evict_oldest(Instant::now(), limits);
    }

    /// Closes the connections that have exceeded a time limit.
    pub(super) fn close_expired(&self, limits: &Limits) {
        let (mut lanes, now) = (self.lanes(), Instant::now());
        let all = lanes.regular.iter().chain(&lanes.spare);
        let expired = all.filter_map(|(number, activity)| Some((*number, activity.expired(now, limits)?)));
        for (number, closing) in expired.collect::<Vec<_>>() {
            if let Some(activity) = lanes.take(number) {
                lanes.close(&activity, closing);
            }
        }
    }

    /// Number of open connections.
    pub(in crate::server) fn open(&self) -> usize {
        let lanes = self.lanes();
        lanes.regular.len() + lanes.spare.len()
    }

    /// Number of connections that the server has closed, by reason.
    pub(in crate::server) fn closed(&self) -> BTreeMap<Closing, u64> {
        let closed = &self.lanes().closed;
        let all = [Closing::Idle, Closing::Head, Closing::Unread, Closing::Evicted, Closing::Http2];
        all.map(|closing| (closing, closed.get(&closing).copied().unwrap_or(0))).into()
    }
}

impl Lanes {
    fn take(&mut self, number: u64) -> Option<Arc<Activity>> {
        self.regular.remove(&number).or_else(|| self.spare.remove(&number))
    }

    /// Closes the connection within the limit that has waited longest for its client; returns `false` if none waits.
    fn evict_oldest(&mut self, now: Instant, limits: &Limits) -> bool {
        let waiting = self
            .regular
            .iter()
            .filter_map(|(number, activity)| activity.evictable_since(now, limits).map(|since| (since, *number)));
        let Some(activity) = waiting.min().and_then(|(_, number)| self.regular.remove(&number)) else { return false };
        self.close(&activity, Closing::Evicted);
        true
    }

    fn close(&mut self, activity: &Activity, closing: Closing) {
        self.count(closing);
        activity.close();
    }

    fn count(&mut self, closing: Closing) {
        *self.closed.entry(closing).or_default() += 1;
    }
}
