//! Off-policy estimators for slates.

use super::estimate::{Estimate, LoggedRound, check_overlap, check_round, estimate, weigh};
use crate::error::{Error, Result};

/// Logged slates: each holds one entry for each position, with the propensity, target and reward of that position.
///
/// The independent estimators assume that the positions of a slate are chosen and rewarded independently: biased where
/// the reward at one position depends on the arm at another, but with weights that do not multiply along the slate (Li
/// et al. 2018, "Offline evaluation of ranking policies with click models", the item-position estimator).
#[derive(Debug, Clone, Copy)]
pub struct SlateOffPolicy<'a> {
    slates: &'a [Vec<LoggedRound>],
}

impl<'a> SlateOffPolicy<'a> {
    /// Checks a log of slates.
    ///
    /// # Errors
    /// As [`OffPolicy::new`](super::OffPolicy::new).
    pub fn new(slates: &'a [Vec<LoggedRound>]) -> Result<Self> {
        if slates.len() < 2 {
            return Err(Error::TooFewObservations { what: "an estimate", needed: 2, got: slates.len() });
        }
        for (round, slate) in slates.iter().enumerate() {
            slate.iter().try_for_each(|entry| check_round(round, entry))?;
        }
        Ok(Self { slates })
    }

    /// (Σw)²/Σw² over all positions.
    ///
    /// # Errors
    /// No overlap at any position.
    fn effective(&self) -> Result<f64> {
        let (sum, effective_samples) = weigh(self.slates.iter().flatten().map(LoggedRound::weight));
        check_overlap(0, sum)?;
        Ok(effective_samples)
    }

    /// The mean over slates of Σ_positions w·r.
    ///
    /// # Errors
    /// [`Error::NoOverlap`]: all weights are zero.
    pub fn independent(&self) -> Result<Estimate> {
        let total = |slate: &Vec<LoggedRound>| slate.iter().map(|entry| entry.weight() * entry.reward).sum::<f64>();
        let (count, effective_samples) = (self.slates.len(), self.effective()?);
        let value = self.slates.iter().map(total).sum::<f64>() / count as f64;
        Ok(estimate(value, self.slates.iter().map(|slate| total(slate) - value), count, effective_samples))
    }

    /// The sum over positions of Σwr/Σw at that position. Shorter slates count only at the positions they have.
    ///
    /// # Errors
    /// [`Error::NoOverlap`]: all weights of a position are zero.
    pub fn independent_self_normalised(&self) -> Result<Estimate> {
        let positions = self.slates.iter().map(Vec::len).max().unwrap_or(0);
        let (count, effective_samples) = (self.slates.len(), self.effective()?);
        let mut value = 0.0;
        let mut deviations = vec![0.0; count];
        for position in 0..positions {
            let entries = || self.slates.iter().map(move |slate| slate.get(position));
            let shown = entries().flatten().count() as f64;
            let weights: f64 = entries().flatten().map(LoggedRound::weight).sum();
            check_overlap(position, weights)?;
            // A position that only some slates have counts by the share of slates that have it.
            let share = shown / count as f64;
            let ratio = entries().flatten().map(|entry| entry.weight() * entry.reward).sum::<f64>() / weights;
            value += share * ratio;
            let scale = share * count as f64 / weights;
            for (deviation, entry) in deviations.iter_mut().zip(entries()) {
                *deviation += entry.map_or(0.0, |entry| entry.weight() * (entry.reward - ratio) * scale);
            }
        }
        Ok(estimate(value, deviations.into_iter(), count, effective_samples))
    }
}
