//! Rows of a slate log. A slate is a list of arms shown at once.

use serde::{Deserialize, Serialize};

use super::logged_decision::{check_logged_propensity, request_of};
use crate::arm::ArmId;
use crate::decision::{Feedback, Request};
use crate::error::{Error, Result};
use crate::validate::{check_bounded, check_context, first_double};

/// Logged slate (list of arms shown at once), one row of a log: the request, the shown arms, and their feedback.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggedSlate {
    /// Context of the request. Features of arms are in `features`.
    pub context: Vec<f64>,
    /// Arms that the policy chose to show, best first. Pinned arms, which the caller sets, are not included.
    pub shown: Vec<ShownArm>,
    /// Arms that were available, including pinned arms, which the caller sets. `None` if all arms of the evaluated
    /// policy were available.
    #[serde(default)]
    pub available: Option<Vec<ArmId>>,
    /// Feature vectors of the `available` arms in their order, row-major. `None` if arms have no features.
    #[serde(default)]
    pub features: Option<Vec<f64>>,
}

/// Shown arm of a logged slate, with its propensity and its feedback.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownArm {
    /// Arm that was shown.
    pub arm: ArmId,
    /// Propensity: the probability with which the logging policy shows the arm at any position, in (0, 1]. `None` if
    /// unknown.
    pub propensity: Option<f64>,
    /// Reward of the arm, if the user saw it.
    pub feedback: Feedback,
}

impl ShownArm {
    /// Reward of the arm. It is 0 if the user did not see the arm, because such an arm cannot be clicked.
    pub fn reward(&self) -> f64 {
        match self.feedback {
            Feedback::Observed(reward) => reward,
            Feedback::Unobserved => 0.0,
        }
    }
}

impl LoggedSlate {
    /// Request for which the slate was chosen: the context, and the available arms with their features.
    ///
    /// # Errors
    /// Fails as [`LoggedDecision::request`](super::LoggedDecision::request) does.
    pub fn request(&self) -> Result<Request<'_>> {
        request_of(&self.context, self.available.as_deref(), self.features.as_deref())
    }

    /// Checks that off-policy estimates can be computed from the row. Errors report `round` as the index of the row.
    ///
    /// # Errors
    /// * Fails if no arm is shown, or if an arm is shown twice or was not available.
    /// * Fails if a propensity is outside (0, 1].
    /// * Fails if a reward, the context or a feature is not finite or beyond ±1e100.
    /// * Fails if [`request`](Self::request) fails.
    pub fn check(&self, round: usize) -> Result<()> {
        let inside = |source| Error::InRound { round, source: Box::new(source) };
        if self.shown.is_empty() {
            return Err(inside(Error::Dimension { what: "slate", expected: 1, got: 0 }));
        }
        for entry in &self.shown {
            let ShownArm { arm, propensity, .. } = *entry;
            check_logged_propensity(round, propensity)?;
            check_bounded("reward", entry.reward()).map_err(inside)?;
            if self.available.as_ref().is_some_and(|arms| !arms.contains(&arm)) {
                return Err(inside(Error::UnknownArm { arm }));
            }
        }
        check_context(&self.context).map_err(inside)?;
        check_context(self.features.as_deref().unwrap_or_default()).map_err(inside)?;
        self.request().map_err(inside)?;
        let twice = first_double(&self.shown, |entry| entry.arm)
            .or_else(|| first_double(self.available.as_deref().unwrap_or_default(), |arm| *arm));
        twice.map_or(Ok(()), |arm| Err(inside(Error::DuplicateArm { arm })))
    }
}
