//! Activity of a connection: whether it waits for the client or for the server, and since when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::server::settings::Limits;

/// Minimum rate at which a client must read a response, in bytes per second.
const LEAST_RATE: f64 = 1024.0;
/// Time for which a connection must have waited for its client before it may be closed to admit another connection.
const EVICTABLE: Duration = Duration::from_secs(1);

/// Reason why the server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) enum Closing {
    /// Timeout for the next request.
    Idle,
    /// Timeout for the head of a request.
    Head,
    /// Timeout for reading the response.
    Unread,
    /// Limit of connections: this connection was closed to admit another one.
    Evicted,
    /// Protocol HTTP/2, which the server does not support.
    Http2,
}

impl Closing {
    pub(in crate::server) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Head => "head_timeout",
            Self::Unread => "unread_response",
            Self::Evicted => "evicted",
            Self::Http2 => "http2",
        }
    }
}

/// Activity of one connection, shared by its socket, its requests and the table of connections.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    close: Notify,
}

#[derive(Debug)]
struct State {
    /// Number of requests whose responses are not complete.
    requests: usize,
    /// Time at which the latest request ended.
    quiet_since: Instant,
    /// Time of the first byte of an incomplete request head; for a new connection, the time of its start.
    head_since: Option<Instant>,
    /// Time of the last byte in either direction.
    last_byte: Instant,
    stall: Option<Stall>,
}

/// Response whose writing waits for the client to read.
#[derive(Debug)]
struct Stall {
    since: Instant,
    /// Number of bytes that the client has read since the wait began.
    bytes: usize,
}

impl Activity {
    pub(super) fn new(now: Instant) -> Self {
        let state = State { requests: 0, quiet_since: now, head_since: Some(now), last_byte: now, stall: None };
        Self { state: Mutex::new(state), close: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request as in progress until the returned guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InProgress {
        let mut state = self.state();
        state.requests += 1;
        state.head_since = None;
        InProgress(self.clone())
    }

    /// Records that bytes were received.
    pub(super) fn read(&self) {
        let (mut state, now) = (self.state(), Instant::now());
        state.last_byte = now;
        if state.requests == 0 {
            state.head_since.get_or_insert(now);
        }
    }

    /// Records that the operating system has accepted `bytes` bytes for sending.
    pub(super) fn wrote(&self, bytes: usize) {
        let mut state = self.state();
        state.last_byte = Instant::now();
        if let Some(stall) = &mut state.stall {
            stall.bytes += bytes;
        }
    }

    /// Records that a write waits for the client to read.
    pub(super) fn stalls(&self) {
        self.state().stall.get_or_insert_with(|| Stall { since: Instant::now(), bytes: 0 });
    }

    /// Records that no write is waiting.
    pub(super) fn flushed(&self) {
        self.state().stall = None;
    }

    /// Time limit that the connection has exceeded; `None` if it is within all limits.
    pub(super) fn expired(&self, now: Instant, limits: &Limits) -> Option<Closing> {
        let mut state = self.state();
        let requests = state.requests;
        if let Some(stall) = &mut state.stall {
            if now.saturating_duration_since(stall.since) < limits.writing {
                return None;
            }
            let slow = (stall.bytes as f64) < (LEAST_RATE * limits.writing.as_secs_f64()).max(1.0);
            *stall = Stall { since: now, bytes: 0 };
            return slow.then_some(Closing::Unread);
        }
        let (since, limit, closing) = match state.head_since {
            _ if requests > 0 => return None,
            Some(since) => (since, limits.reading, Closing::Head),
            None => (state.quiet_since, limits.idle, Closing::Idle),
        };
        (now.saturating_duration_since(since) >= limit).then_some(closing)
    }

    /// Time since which the connection waits for its client; `None` unless it has waited long enough to be closed for
    /// another connection.
    pub(super) fn evictable_since(&self, now: Instant, limits: &Limits) -> Option<Instant> {
        let state = self.state();
        let since = match state.stall {
            Some(_) => state.last_byte,
            None if state.requests == 0 => state.last_byte.max(state.quiet_since),
            None => return None,
        };
        (now.saturating_duration_since(since) >= EVICTABLE.min(limits.idle)).then_some(since)
    }

    pub(super) fn close(&self) {
        self.close.notify_one();
    }

    /// Waits until the connection should be closed.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }
}

/// Guard of a request in progress. Dropping it ends the request.
#[derive(Debug)]
pub(super) struct InProgress(Arc<Activity>);

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        state.quiet_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let seconds = Duration::from_secs;
        Limits { reading: seconds(10), writing: seconds(20), idle: seconds(60), ..Limits::default() }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_head_an_idle_client_and_a_response_have_own_limits() {
        let (start, limits) = (Instant::now(), limits());
        let activity = Arc::new(Activity::new(start));
        assert_eq!(activity.expired(after(start, 9), &limits), None);
        assert_eq!(activity.expired(after(start, 10), &limits), Some(Closing::Head));
        let request = activity.begin();
        assert_eq!(activity.expired(after(start, 1000), &limits), None, "a request has its deadline");
        activity.stalls();
        assert_eq!(activity.expired(after(start, 21), &limits), Some(Closing::Unread));
        activity.flushed();
        drop(request);
        assert_eq!(activity.expired(after(start, 59), &limits), None);
        assert_eq!(activity.expired(after(start, 61), &limits), Some(Closing::Idle));
        activity.read();
        assert_eq!(activity.expired(after(start, 11), &limits), Some(Closing::Head));
    }

    #[test]
    fn a_response_must_be_read_at_a_minimum_rate() {
        let (start, limits) = (Instant::now(), limits());
        let activity = Arc::new(Activity::new(start));
        let _request = activity.begin();
        activity.stalls();
        activity.wrote(21 << 10);
        assert_eq!(activity.expired(after(start, 21), &limits), None, "1 KiB a second and more");
        activity.wrote(19 << 10);
        assert_eq!(activity.expired(after(start, 40), &limits), None);
        assert_eq!(activity.expired(after(start, 42), &limits), Some(Closing::Unread));
    }

    #[test]
    fn only_a_connection_that_waits_for_its_client_is_evicted() {
        let (start, limits) = (Instant::now(), limits());
        let activity = Arc::new(Activity::new(start));
        assert_eq!(activity.evictable_since(start, &limits), None, "its request may be on its way");
        assert_eq!(activity.evictable_since(after(start, 1), &limits), Some(start));
        let request = activity.begin();
        assert_eq!(activity.evictable_since(after(start, 5), &limits), None);
        activity.stalls();
        assert_eq!(activity.evictable_since(after(start, 5), &limits), Some(start));
        activity.flushed();
        drop(request);
        assert!(activity.evictable_since(after(start, 5), &limits).is_some_and(|since| since > start));
    }
}
