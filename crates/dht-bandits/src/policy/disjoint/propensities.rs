//! Choice probabilities of disjoint policies, which have separate weights for each arm.

use super::Disjoint;
use crate::arm::ArmId;
use crate::decision::Request;
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::policy::Policy;
use crate::policy::propensity::{FreeScore, independent_propensity};
use crate::posterior::{Beliefs, Posterior};

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    /// Probability of choosing `arm` among the available arms.
    pub(super) fn propensity_of(&self, request: &Request<'_>, arm: ArmId) -> Result<f64> {
        let (arms, scores) = self.arms_and_scores(request)?;
        let position = arms.iter().position(|other| *other == arm).ok_or(Error::UnknownArm { arm })?;
        independent_propensity(self.exploration(), self.version(), &scores, position)
    }

    /// Available arms with their scores. Each score has the degrees of freedom of the distribution that Thompson
    /// sampling draws from.
    pub(super) fn arms_and_scores(&self, request: &Request<'_>) -> Result<(Vec<ArmId>, Vec<FreeScore>)> {
        let mut scores = Vec::new();
        self.scores(request, &mut scores)?;
        let with_freedom = |(arm, score)| Ok((arm, (score, self.posterior.freedom(self.arms.slot(arm)?))));
        let scores = scores.into_iter().map(with_freedom).collect::<Result<Vec<_>>>()?;
        Ok(scores.into_iter().unzip())
    }
}
