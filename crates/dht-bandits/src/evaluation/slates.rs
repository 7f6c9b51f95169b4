//! Off-policy estimators for slates.

use super::estimate::{Estimate, LoggedRound, Support, check_overlap, check_round, estimate};
use super::pseudo_inverse::pseudo_inverse_estimate;
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

    /// The support over all positions.
    ///
    /// # Errors
    /// No overlap at any position.
    fn support(&self) -> Result<Support> {
        let entries = || self.slates.iter().flatten();
        check_overlap(0, entries().map(LoggedRound::weight).sum())?;
        let count = entries().count() as f64;
        let unsupported = entries().map(|entry| entry.unsupported).sum::<f64>() / count;
        Ok(Support { unsupported, ..Support::of(entries().map(LoggedRound::weight)) })
    }

    /// The pseudo-inverse estimate (Swaminathan et al. 2017) of the slates' whole reward, Σ over positions, where the
    /// logging policy chooses positions independently: then the weight of a slate is 1 + Σ_positions (w − 1). Unlike
    /// [`independent`](Self::independent) it does not ask which position earned the reward. Where positions depend on
    /// each other, as in rankings without repetition, use [`PseudoInverse`](super::PseudoInverse).
    ///
    /// # Errors
    /// [`Error::NoOverlap`]: all weights are zero; values that overflow.
    pub fn pseudo_inverse(&self) -> Result<Estimate> {
        let unsupported = self.support()?.unsupported;
        let of_slate = |slate: &Vec<LoggedRound>| {
            let (weight, reward) = (slate.iter().map(LoggedRound::weight), slate.iter().map(|entry| entry.reward));
            (1.0 + weight.map(|weight| weight - 1.0).sum::<f64>(), reward.sum::<f64>())
        };
        let rounds: Vec<_> = self.slates.iter().map(of_slate).collect();
        Ok(Estimate { unsupported, ..pseudo_inverse_estimate(&rounds, false)? })
    }

    /// The mean over slates of Σ_positions w·r.
    ///
    /// # Errors
    /// [`Error::NoOverlap`]: all weights are zero.
    pub fn independent(&self) -> Result<Estimate> {
        let total = |slate: &Vec<LoggedRound>| slate.iter().map(|entry| entry.weight() * entry.reward).sum::<f64>();
        let (count, support) = (self.slates.len(), self.support()?);
        let value = self.slates.iter().map(total).sum::<f64>() / count as f64;
        estimate(value, self.slates.iter().map(|slate| total(slate) - value), count, support)
    }

    /// The sum over positions of Σwr/Σw at that position. Shorter slates count only at the positions they have.
    ///
    /// # Errors
    /// [`Error::NoOverlap`]: all weights of a position are zero.
    pub fn independent_self_normalised(&self) -> Result<Estimate> {
        let positions = self.slates.iter().map(Vec::len).max().unwrap_or(0);
        let (count, support) = (self.slates.len(), self.support()?);
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
        estimate(value, deviations.into_iter(), count, support)
    }
}
