//! Rows of logged slates.

use super::{check_logged_propensity, request_of};
use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::policy::{Feedback, Request};
use crate::validate::{check_bounded, check_context, first_double};
use serde::{Deserialize, Serialize};

/// One row of a log of slates: what was asked, which arms were shown, and what came of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggedSlate {
    /// The context of the request, without features of arms.
    pub context: Vec<f64>,
    /// The chosen arms, best first, without the pinned ones.
    pub shown: Vec<ShownArm>,
    /// The arms that could be chosen, pinned ones included; `None` for every arm of the evaluated policy.
    #[serde(default)]
    pub available: Option<Vec<ArmId>>,
    /// The features of the available arms, a row of the same length for each, in their order; `None` where arms have
    /// none.
    #[serde(default)]
    pub features: Option<Vec<f64>>,
}

/// An arm of a logged slate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownArm {
    /// The arm.
    pub arm: ArmId,
    /// The probability with which the logging policy shows it, at whichever position, in (0, 1]; `None` where it is not known.
    pub propensity: Option<f64>,
    /// What came of it.
    pub feedback: Feedback,
}

impl ShownArm {
    /// The reward that it earned: 0 where it was not observed, since nobody clicked what nobody saw.
    pub fn reward(&self) -> f64 {
        match self.feedback {
            Feedback::Observed(reward) => reward,
            Feedback::Unobserved => 0.0,
        }
    }
}

impl LoggedSlate {
    /// What a policy was asked in this row: the context, and the available arms with their features.
    ///
    /// # Errors
    /// As [`LoggedDecision::request`](super::LoggedDecision::request).
    pub fn request(&self) -> Result<Request<'_>> {
        request_of(&self.context, self.available.as_deref(), self.features.as_deref())
    }

    /// Refuses what no estimate can be computed from.
    ///
    /// # Errors
    /// No shown arm, or one that is shown twice or was not available; a propensity outside (0, 1]; rewards, contexts or
    /// features that are not finite or beyond ±1e100; features that [`request`](Self::request) refuses.
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
