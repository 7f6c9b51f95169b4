//! Propensities: the probability with which a policy chooses each arm.

use super::disjoint::Disjoint;
use crate::arm::{ArmId, Available};
use crate::error::{Error, Result};
use crate::exploration::{Best, Exploration};
use crate::posterior::Posterior;
use crate::validate::check_scalar;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// The estimated probability that a policy chooses an arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Propensity {
    /// The arm.
    pub arm: ArmId,
    /// The share of draws that chose it.
    pub probability: f64,
    /// The standard error of that share, √(p(1 − p)/n) with p = (wins + 1)/(n + 2), so that it is never zero.
    pub standard_error: f64,
}

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    /// The probability of choosing each available arm, by Monte Carlo over `draws` draws, for logs that off-policy
    /// evaluation will read. Scores are computed once; a draw costs O(K).
    ///
    /// Thompson sampling has no closed form for more than two arms. Call it only for rounds that are logged: it costs
    /// as much as many selections. Give it a generator of its own, so that logging does not change what is chosen.
    ///
    /// # Errors
    /// As [`select`](Self::select); no draw.
    pub fn propensities<R: Rng + ?Sized>(
        &self,
        context: &[f64],
        available: Available<'_>,
        draws: u32,
        rng: &mut R,
    ) -> Result<Vec<Propensity>> {
        if draws == 0 {
            return Err(Error::TooFewObservations { what: "a propensity", needed: 1, got: 0 });
        }
        let mut scores = Vec::new();
        self.scores(context, available, &mut scores)?;
        let share = self.exploration().uniform_share();
        let count = scores.len() as f64;
        let mut wins = vec![0u32; scores.len()];
        for _ in 0..draws {
            let mut best = Best::new();
            for (position, &(_, score)) in scores.iter().enumerate() {
                best = best.or(position, self.exploration().value(score, rng), score, rng);
            }
            check_scalar("score", best.value)?;
            wins[best.slot] += 1;
        }
        let draws = f64::from(draws);
        Ok((scores.iter().zip(&wins))
            .map(|(&(arm, _), &wins)| {
                let wins = f64::from(wins);
                let smoothed = (wins + 1.0) / (draws + 2.0);
                let probability = share / count + (1.0 - share) * wins / draws;
                let standard_error = (1.0 - share) * (smoothed * (1.0 - smoothed) / draws).sqrt();
                Propensity { arm, probability, standard_error }
            })
            .collect())
    }
}
