//! Admission of requests by their estimated number of tokens, before they are parsed and tokenised.
//!
//! Under overload, requests whose answers would be too late are refused before any work is done on them. This saves
//! time for requests that can be answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::refusal::Refusal;

/// Bytes of a JSON body per token: about the mean for English texts.
const BYTES_PER_TOKEN: usize = 4;
/// Maximum expected time until an answer, as a share of the request's deadline. The margin is large because texts
/// differ, machines stall, and a client may have lost time by an earlier refusal. A late answer is useless.
const SHARE: f64 = 0.25;
/// Recent answer time, as a share of the maximum expected time, above which requests may be refused. If answers are
/// faster, the server could answer more requests, and too few arrive to measure its pace (time per token).
const WAITING: f64 = 0.25;
/// Minimum duration of a measurement of the pace (time per token), unless the server becomes idle earlier.
const WINDOW: Duration = Duration::from_millis(200);
/// Weight of the latest measurement in an exponential moving average.
const LATEST: f64 = 0.3;

/// Estimator of the time until a request is answered: estimated tokens in progress, times the measured pace (time per
/// token).
#[derive(Debug, Default)]
pub(super) struct Admission(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Estimated number of tokens of admitted requests that are not yet answered.
    pending: usize,
    /// Measured seconds per estimated token; `None` before the first measurement.
    pace: Option<f64>,
    /// Moving average of the times from the admission of a request to its answer.
    taken: Duration,
    /// Start of the current measurement of the pace (time per token), with the estimated tokens that were answered
    /// since then.
    window: Option<(Instant, usize)>,
}

/// Guard of an admitted request, whose tokens count as in progress until it is dropped.
#[derive(Debug)]
pub(super) struct AdmissionGuard {
    admission: Arc<Admission>,
    tokens: usize,
    arrived: Instant,
    is_answered: bool,
}

impl Admission {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a request with a body of `bytes` bytes, unless its answer is expected too late for `deadline`. The
    /// request is always admitted if no other request is in progress, or if the latest answers were fast.
    pub(super) fn admit(self: &Arc<Self>, bytes: usize, deadline: Duration) -> Result<AdmissionGuard, Refusal> {
        let tokens = bytes / BYTES_PER_TOKEN + 1;
        let mut state = self.state();
        let expected = state.pace.unwrap_or(0.0) * (state.pending + tokens) as f64;
        let limit = SHARE * deadline.as_secs_f64();
        if state.pending > 0 && expected > limit && state.taken.as_secs_f64() > WAITING * limit {
            let pending = state.pending;
            return Err(Refusal::overloaded(format!(
                "requests of about {pending} tokens are in progress, and the answer would come too late: try again later"
            )));
        }
        state.pending += tokens;
        state.window.get_or_insert_with(|| (Instant::now(), 0));
        Ok(AdmissionGuard { admission: self.clone(), tokens, arrived: Instant::now(), is_answered: false })
    }
}

impl AdmissionGuard {
    /// Adds further texts of this size in bytes, which the request turned out to need.
    pub(super) fn extend(&mut self, bytes: usize) {
        let tokens = bytes / BYTES_PER_TOKEN + 1;
        self.admission.state().pending += tokens;
        self.tokens += tokens;
    }

    /// Marks the request as answered, so that it counts in the measured time per token. Refused requests do not count.
    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for AdmissionGuard {
    fn drop(&mut self) {
        let (mut state, now) = (self.admission.state(), Instant::now());
        let taken = now.saturating_duration_since(self.arrived);
        state.taken = match self.is_answered {
            true => state.taken.mul_f64(1.0 - LATEST) + taken.mul_f64(LATEST),
            // The request was too late, or refused at once.
            false => state.taken.max(taken),
        };
        state.end(self.tokens, self.is_answered, now);
    }
}

impl State {
    fn end(&mut self, tokens: usize, is_answered: bool, now: Instant) {
        self.pending -= tokens;
        let Some((start, answered)) = &mut self.window else { return };
        *answered += if is_answered { tokens } else { 0 };
        let time = now.saturating_duration_since(*start);
        if *answered > 0 && (time >= WINDOW || self.pending == 0) {
            let latest = time.as_secs_f64() / *answered as f64;
            self.pace = Some(self.pace.map_or(latest, |mean| mean + LATEST * (latest - mean)));
            self.window = (self.pending > 0).then_some((now, 0));
        } else if self.pending == 0 {
            self.window = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(pending: usize, pace: f64) -> Arc<Admission> {
        let (taken, window) = (Duration::from_secs(2), Some((Instant::now(), 0)));
        Arc::new(Admission(Mutex::new(State { pending, pace: Some(pace), taken, window })))
    }

    #[test]
    fn a_request_that_would_be_late_is_refused_if_others_wait() {
        let deadline = Duration::from_secs(10);
        assert!(admission(0, 1.0).admit(4000, deadline).is_ok(), "nothing else is in progress");
        assert!(admission(4, 0.5).admit(0, deadline).is_ok(), "expected after 2.5 s, a quarter of the deadline");
        assert!(admission(5, 0.5).admit(0, deadline).is_err());
        assert!(admission(5, 0.1).admit(0, deadline).is_ok());
    }

    #[test]
    fn few_small_requests_do_not_keep_a_batch_out() {
        // A single request takes 6 ms for 9 tokens. At this pace of .6 ms per token, a batch of 1,600 tokens would take
        // a second.
        let (admission, deadline) = (admission(9, 0.006 / 9.0), Duration::from_secs(2));
        assert!(admission.admit(6400, deadline).is_err(), "the latest answers took two seconds");
        admission.state().taken = Duration::from_millis(6);
        assert!(admission.admit(6400, deadline).is_ok());
    }

    #[test]
    fn the_pace_is_that_of_answered_tokens() {
        let (start, mut state) = (Instant::now(), State::default());
        (state.pending, state.window) = (300, Some((start, 0)));
        state.end(100, true, start + Duration::from_millis(100));
        assert_eq!(state.pace, None, "too short");
        state.end(100, false, start + Duration::from_millis(400));
        assert_eq!(state.pace.map(|pace| (pace * 1e6).round()), Some(4000.0), "100 tokens in 400 ms");
        state.end(100, true, start + Duration::from_millis(500));
        assert!(state.pace.is_some_and(|pace| pace < 0.004) && state.window.is_none(), "{state:?}");
    }

    #[test]
    fn dropped_requests_leave_nothing_pending() {
        let admission = Arc::new(Admission::default());
        let mut admitted = admission.admit(400, Duration::from_secs(1)).unwrap();
        admitted.extend(4000);
        assert_eq!(admission.state().pending, 101 + 1001);
        drop(admission.admit(400, Duration::from_secs(1)).unwrap());
        admitted.answered();
        assert_eq!(admission.state().pending, 0);
    }
}
