//! Propensities of disjoint policies.

use super::Disjoint;
use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::policy::Request;
use crate::policy::propensity::{FreeScore, Propensity, of_independent, one_of_independent};
use crate::posterior::Posterior;

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    /// The probability of choosing each available arm, in the order of [`ArmSet::iter`](crate::policy::ArmSet::iter).
    ///
    /// Exact for UCB, the greedy rules, softmax and SquareCB. Thompson sampling's P(a) = ∫ φ_a(v) Π_b Φ_b(v) dv is
    /// computed by quadrature in one dimension, to 1e-9 at least ([`QUADRATURE_ERROR`]): O(K²) normal distribution
    /// functions times about 300 points for all arms; [`decide`](Self::decide) integrates for the chosen arm alone.
    ///
    /// [`QUADRATURE_ERROR`]: crate::policy::QUADRATURE_ERROR
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        let (arms, scores) = self.arms_and_scores(request)?;
        of_independent(self.exploration(), self.version(), &arms, &scores)
    }

    /// The probability of choosing one of the available arms.
    pub(super) fn propensity_of(&self, request: &Request<'_>, arm: ArmId) -> Result<f64> {
        let (arms, scores) = self.arms_and_scores(request)?;
        let position = arms.iter().position(|other| *other == arm).ok_or(Error::UnknownArm { arm })?;
        one_of_independent(self.exploration(), self.version(), &scores, position)
    }

    /// The available arms, with their scores and degrees of freedom.
    fn arms_and_scores(&self, request: &Request<'_>) -> Result<(Vec<ArmId>, Vec<FreeScore>)> {
        let mut scores = Vec::new();
        self.scores(request, &mut scores)?;
        let with_freedom = |(arm, score)| Ok((arm, (score, self.posterior.freedom(self.arms.slot(arm)?))));
        let scores = scores.into_iter().map(with_freedom).collect::<Result<Vec<_>>>()?;
        Ok(scores.into_iter().unzip())
    }
}
