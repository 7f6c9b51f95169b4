//! Log writer for slates (lists of arms shown at once) and their feedback.

use super::decision_log::DecisionLog;
use super::error::{LogError, LogProblem};
use super::logged_request::LoggedRequest;
use super::record::Record;
use super::slate_record::{FeedbackRecord, SlateRecord};
use crate::decision::{Feedback, Request, Slate};

impl DecisionLog {
    /// Writes a slate (list of arms shown at once), and returns its id. [`feedback`](Self::feedback) writes the
    /// feedback later, and [`LogReader::open_slates`](super::LogReader::open_slates) reads slates with their feedback.
    /// Policies can learn from these slates ([`learn_slate`](crate::policy::Policy::learn_slate)), but cannot be
    /// evaluated on them. For evaluation, use [`append_slate_request`](Self::append_slate_request).
    ///
    /// A slate from `select_slate`, or with [`SharedPropensity::Omitted`](crate::policy::SharedPropensity::Omitted),
    /// may have no propensities. A policy can learn from it, but cannot be evaluated on it:
    /// [`OffPolicy::from_slates`](crate::evaluation::OffPolicy::from_slates) returns
    /// [`Error::NoPropensity`](crate::Error::NoPropensity). After an error the log is unchanged.
    ///
    /// # Errors
    /// * [`LogError::Value`] if the slate has no chosen arm, or shows an arm twice.
    /// * [`LogError::Value`] if a propensity is outside (0, 1], or if the time or another value is not finite.
    /// * Fails if the line cannot be written.
    pub fn append_slate(&mut self, slate: &Slate, time: f64) -> Result<u64, LogError> {
        self.append_slate_record(slate, None, time)
    }

    /// Writes a slate (list of arms shown at once) with its request: the context, the available arms and their
    /// features. [`LoggedRound::from_slates`](crate::evaluation::LoggedRound::from_slates) uses the request to evaluate
    /// other policies. Otherwise like [`append_slate`](Self::append_slate).
    ///
    /// ```
    /// use dht_bandits::evaluation::{LoggedRound, OffPolicy};
    /// use dht_bandits::log::{DecisionLog, LogReader, LogSettings};
    /// use dht_bandits::policy::{Feedback, TopK};
    /// use dht_bandits::{ArmId, Policy, Request, Ridge, exploration::EpsilonGreedy};
    /// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    ///
    /// let folder = std::env::temp_dir().join(format!("slate-log-{}", std::process::id()));
    /// let mut rng = ChaCha8Rng::seed_from_u64(7);
    /// let new = |epsilon| TopK::<Ridge, _>::per_arm(1, 4, Ridge::default(), EpsilonGreedy::new(epsilon));
    /// let (policy, mut other) = (new(1.0)?, new(0.0)?);
    /// other.update_batch(&[dht_bandits::policy::ArmFeedback::new(ArmId::new(3), &[1.0], Feedback::from(true))])?;
    /// let mut log = DecisionLog::open(&folder, LogSettings::default())?;
    /// for round in 0..500 {
    ///     let request = Request::new(&[1.0]);
    ///     let slate = policy.decide_slate(2, &request, &mut rng)?; // two of four items, at random
    ///     let id = log.append_slate_request(&request, &slate, f64::from(round))?;
    ///     // Readers look at everything, and click item 3 alone.
    ///     let clicks: Vec<_> = slate.choices().iter().map(|choice| Feedback::from(choice.arm.number() == 3)).collect();
    ///     log.feedback(id, &clicks, f64::from(round))?;
    /// }
    /// let rows: Vec<_> = LogReader::open_slates(&folder, LogSettings::default())?
    ///     .map(|joined| Ok(joined?.into_row()?))
    ///     .collect::<Result<_, Box<dyn std::error::Error>>>()?;
    /// // The other policy always shows item 3: one click a slate.
    /// let estimate = OffPolicy::from_slates(&LoggedRound::from_slates(&rows, &other)?)?.independent()?;
    /// assert!(estimate.low < 1.0 && 1.0 < estimate.high);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// * Fails as [`append_slate`](Self::append_slate) does.
    /// * [`LogProblem::Contradiction`] if an arm of the slate, chosen by the policy or pinned by the caller, is not
    ///   among the arms of the request.
    /// * [`LogProblem::Contradiction`] if the context or the features with which the slate was chosen differ from the
    ///   request.
    /// * Fails if the request excludes arms ([`Request::except`](crate::Request::except)), because the log does not
    ///   know all arms.
    pub fn append_slate_request(&mut self, request: &Request<'_>, slate: &Slate, time: f64) -> Result<u64, LogError> {
        let request = LoggedRequest::new(request, None, None)
            .and_then(|logged| check_of_request(slate, request).map(|()| logged))
            .map_err(|problem| LogError::Value { problem })?;
        self.append_slate_record(slate, Some(request), time)
    }

    fn append_slate_record(
        &mut self,
        slate: &Slate,
        request: Option<LoggedRequest>,
        time: f64,
    ) -> Result<u64, LogError> {
        let record = SlateRecord { id: self.next_id(), time, slate: slate.without_scratch(), request };
        self.write_made(&Record::Slate(record), time, Some(slate.choices().len()))
    }

    /// Writes the feedback on a slate: one feedback for each of its chosen arms, in order. After an error the log is
    /// unchanged.
    ///
    /// # Errors
    /// * [`LogError::Reward`] if the log does not contain the slate, or if the id belongs to a single decision.
    /// * [`LogError::Reward`] if the slate already has its feedback, or if the horizon (longest waiting time) has
    ///   passed.
    /// * [`LogError::Reward`] if the number of feedbacks differs from the number of chosen arms.
    /// * [`LogError::Value`] if a reward or the time is not finite.
    /// * Fails if the line cannot be written.
    pub fn feedback(&mut self, id: u64, feedback: &[Feedback], time: f64) -> Result<(), LogError> {
        let refuse = |problem| Err(LogError::Reward { id, problem });
        match self.waiting_for(id, time)?.shown {
            None => return refuse(LogProblem::TakesReward),
            Some(expected) if expected != feedback.len() => {
                return refuse(LogProblem::Count { expected, got: feedback.len() });
            }
            Some(_) => {}
        }
        let record = FeedbackRecord { id, time, feedback: feedback.to_vec() };
        self.write_answer(&Record::Feedback(record), id, time)
    }
}

fn check_of_request(slate: &Slate, request: &Request<'_>) -> Result<(), LogProblem> {
    let refuse = |problem| Err(LogProblem::Contradiction(problem));
    let arms = request.ids();
    let position = |arm| arms.and_then(|arms| arms.iter().position(|other| *other == arm));
    if let Some(arm) = slate.arms().find(|arm| arms.is_some() && position(*arm).is_none()) {
        return refuse(format!("{arm} is shown, and is none of the arms that could be chosen"));
    }
    let features = |arm| position(arm).and_then(|position| request.features(position)).unwrap_or_default();
    // A slate without its rows has no contexts that could contradict the request, and nothing is learned from it.
    if slate.contexts().is_empty() {
        return Ok(());
    }
    for entry in slate.feedback(&vec![Feedback::Unobserved; slate.choices().len()]) {
        let (arm, row, context) = (entry.arm, entry.context, request.context);
        let expected = context.len() + features(arm).len();
        if row.len() != expected {
            let length = row.len();
            return refuse(format!("the row of {arm} has length {length}, expected {expected}, context and features"));
        }
        let (first, rest) = row.split_at(context.len());
        if first != context || rest != features(arm) {
            return refuse(format!("the row of {arm} is not the context, followed by its features"));
        }
    }
    Ok(())
}
