//! Off-policy estimators for slates (lists of arms shown at once).

use std::collections::BTreeSet;

use super::estimate::{Estimate, LoggedRound, Support, check_logged, check_overlap, check_round, estimate};
use super::known_arms::ask_of_known;
use super::off_policy::{OffPolicy, Totals};
use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::log::{LoggedSlate, ShownArm};
use crate::policy::Policy;

impl LoggedRound {
    /// Converts logged slates (lists of arms shown at once) to rounds, with the probabilities of the evaluated
    /// `policy`. The result has one list per slate and one round per shown arm. It is the input of
    /// [`OffPolicy::independent`] and [`pooled_self_normalised`](OffPolicy::pooled_self_normalised).
    ///
    /// Let μ be the probability with which the logging policy shows an arm at any position, and π that of the evaluated
    /// policy ([`slate_propensities`](Policy::slate_propensities), for the number of arms shown). The arm has the
    /// importance weight π/μ. The mean over slates of Σ π/μ·r, with the reward r of each shown arm, is an unbiased
    /// estimate of the reward per slate.
    ///
    /// This assumes, as semi-bandits do, that an arm's reward depends only on the context and the arm, not on its
    /// position or the other arms. If a click ends the user's search (cascade), lower arms earn less. The bias then
    /// grows with the difference between the two policies' rankings. An arm that the user did not see counts as a
    /// reward of 0. Pinned arms, which the caller sets, have no feedback and are left out.
    ///
    /// Arms that the policy does not have are left out of its requests. If arms have no features, an arm is unsupported
    /// if the policy would show it and no slate of the log shows it. With features, support is unknown.
    ///
    /// # Errors
    /// * Fails if [`LoggedSlate::check`] or the policy rejects a slate. The error states the index of the round.
    /// * Fails if the policy has none of a row's available arms, or fewer of them than were shown.
    pub fn from_slates(log: &[LoggedSlate], policy: &dyn Policy) -> Result<Vec<Vec<Self>>> {
        let seen: BTreeSet<ArmId> = log.iter().flat_map(|slate| slate.shown.iter().map(|entry| entry.arm)).collect();
        let of_slate = |(round, slate): (usize, &LoggedSlate)| -> Result<Vec<Self>> {
            slate.check(round)?;
            let target = (slate.request())
                .and_then(|request| ask_of_known(&request, |asked| policy.slate_propensities(slate.shown.len(), asked)))
                .map_err(|source| Error::InRound { round, source: Box::new(source) })?;
            let unseen = target.iter().filter(|entry| slate.features.is_none() && !seen.contains(&entry.arm));
            let unsupported = unseen.fold(0.0, |sum, entry| sum + entry.probability) / slate.shown.len() as f64;
            let of_arm = |shown: &ShownArm| {
                let entry = target.iter().find(|entry| entry.arm == shown.arm);
                let probability = entry.map_or(0.0, |entry| entry.probability.min(1.0));
                let unsupported = unsupported.min(1.0);
                LoggedRound { unsupported, ..LoggedRound::new(shown.reward(), shown.propensity, probability) }
            };
            Ok(slate.shown.iter().map(of_arm).collect())
        };
        log.iter().enumerate().map(of_slate).collect()
    }
}

/// Importance weight of one arm of a slate. Entries without a propensity were rejected before.
fn weight_of(entry: &LoggedRound) -> f64 {
    entry.weight().unwrap_or(0.0)
}

/// Off-policy estimators for logged slates (lists of arms shown at once). Each slate has one entry per position, with
/// the propensity, target and reward of the arm at that position. In entries of [`LoggedRound::from_slates`],
/// propensity and target are the probabilities of showing the arm at any position.
///
/// The estimators with `independent` in their names assume that positions are chosen and rewarded independently. They
/// are biased if the reward at one position depends on the arm at another. In return, importance weights are not
/// multiplied over positions. Li et al. (2018, "Offline evaluation of ranking policies with click models") call them
/// item-position estimators.
impl<'a> OffPolicy<'a, Vec<LoggedRound>> {
    /// Creates the off-policy estimators for a log of slates (lists of arms shown at once), after checking each entry.
    ///
    /// # Errors
    /// * Fails as [`OffPolicy::new`] does.
    /// * [`Error::NoPropensity`] if an arm has no propensity.
    pub fn from_slates(slates: &'a [Vec<LoggedRound>]) -> Result<Self> {
        if slates.len() < 2 {
            return Err(Error::TooFewObservations { what: "an estimate", needed: 2, got: slates.len() });
        }
        for (round, slate) in slates.iter().enumerate() {
            for entry in slate {
                check_round(round, entry)?;
                entry.weight_for("an estimate of slates", round)?;
            }
        }
        Ok(Self { rounds: slates, totals: Totals::default() })
    }

    /// Support of the estimates over all positions of all slates.
    ///
    /// # Errors
    /// Fails if all importance weights are zero.
    fn support(&self) -> Result<Support> {
        let entries = || self.rounds.iter().flatten();
        check_overlap(0, entries().map(weight_of).sum())?;
        let count = entries().count() as f64;
        let unsupported = entries().map(|entry| entry.unsupported).sum::<f64>() / count;
        Ok(Support { unsupported, ..Support::from_weights(entries().map(weight_of)) })
    }

    /// Pseudo-inverse estimate of the total reward per slate (Swaminathan et al. 2017), for a logging policy that
    /// chooses positions independently. The weight of a slate is then 1 + Σ_positions (w − 1), where w is the
    /// importance weight of the arm at a position. The positions at which rewards were earned are not used, in contrast
    /// to [`independent`](Self::independent).
    ///
    /// The estimate is unbiased under three conditions:
    ///
    /// * The total reward of a slate is a sum of effects, which need not be observed. Each effect depends on the
    ///   context, a position and the arm at that position.
    /// * The logging policy draws the arm of each position independently of the other positions, so that an arm may be
    ///   shown twice.
    /// * Propensity and target of an entry are the probabilities of the arm *at its position*.
    ///
    /// Do not use entries of [`LoggedRound::from_slates`], whose probabilities are those of an arm at any position of a
    /// slate without repetition. They bias this estimate: if two of four items are shown at random, differences between
    /// policies are a third too small. Use [`independent`](Self::independent) or
    /// [`pooled_self_normalised`](Self::pooled_self_normalised) for such entries. For rankings without repetition, of
    /// which only the total reward is known, use [`PseudoInverse`](super::PseudoInverse).
    ///
    /// # Errors
    /// * [`Error::NoOverlap`] if all importance weights are zero.
    /// * Fails if values overflow.
    pub fn pseudo_inverse(&self) -> Result<Estimate> {
        let unsupported = self.support()?.unsupported;
        let of_slate = |slate: &Vec<LoggedRound>| {
            let (weight, reward) = (slate.iter().map(weight_of), slate.iter().map(|entry| entry.reward));
            (1.0 + weight.map(|weight| weight - 1.0).sum::<f64>(), reward.sum::<f64>())
        };
        let rounds: Vec<_> = self.rounds.iter().map(of_slate).collect();
        Ok(Estimate { unsupported, ..Estimate::from_weights(&rounds, false)? })
    }

    /// Estimates the reward per slate by importance weighting of each position: the mean over slates of Σ_positions
    /// w·r. w is the importance weight and r the reward of the arm at a position.
    ///
    /// # Errors
    /// [`Error::NoOverlap`] if all importance weights are zero.
    pub fn independent(&self) -> Result<Estimate> {
        let total = |slate: &Vec<LoggedRound>| slate.iter().map(|entry| weight_of(entry) * entry.reward).sum::<f64>();
        let (count, support) = (self.rounds.len(), self.support()?);
        let value = self.rounds.iter().map(total).sum::<f64>() / count as f64;
        estimate(value, self.rounds.iter().map(|slate| total(slate) - value), count, support)
    }

    /// Estimates the reward per slate by self-normalised importance weighting: Σwr/Σw over all positions of all slates,
    /// times the mean number of positions. w are importance weights and r rewards. The weights of a slate must add up
    /// to its number of positions in expectation, as they do for entries of [`LoggedRound::from_slates`]. For n slates
    /// the estimate has a bias of O(1/n), and less variance than [`independent`](Self::independent).
    ///
    /// # Errors
    /// [`Error::NoOverlap`] if all importance weights are zero.
    pub fn pooled_self_normalised(&self) -> Result<Estimate> {
        let (count, support) = (self.rounds.len() as f64, self.support()?);
        let sums = |slate: &Vec<LoggedRound>| {
            let weights: f64 = slate.iter().map(weight_of).sum();
            let earned: f64 = slate.iter().map(|entry| weight_of(entry) * entry.reward).sum();
            (slate.len() as f64, weights, earned)
        };
        let mean =
            |of: fn((f64, f64, f64)) -> f64| self.rounds.iter().map(|slate| of(sums(slate))).sum::<f64>() / count;
        let (length, weights) = (mean(|sums| sums.0), mean(|sums| sums.1));
        let ratio = mean(|sums| sums.2) / weights;
        let deviation = |slate: &Vec<LoggedRound>| {
            let (positions, weight, earned) = sums(slate);
            (earned - ratio * weight) * length / weights + ratio * (positions - length)
        };
        estimate(length * ratio, self.rounds.iter().map(deviation), self.rounds.len(), support)
    }

    /// Estimates the reward per slate by importance weighting that is self-normalised at each position. The estimate is
    /// the sum over positions of Σwr/Σw, times the share of slates that have the position. w are the importance weights
    /// and r the rewards at the position. The standard error includes the variation of the slates' lengths. A
    /// propensity must be the probability of showing the arm at its position. Entries of [`LoggedRound::from_slates`]
    /// have the probability of any position, and are therefore not suitable.
    ///
    /// # Errors
    /// [`Error::NoOverlap`] if all importance weights of a position are zero.
    pub fn independent_self_normalised(&self) -> Result<Estimate> {
        let positions = self.rounds.iter().map(Vec::len).max().unwrap_or(0);
        let (count, support) = (self.rounds.len(), self.support()?);
        let mut value = 0.0;
        let mut deviations = vec![0.0; count];
        for position in 0..positions {
            let entries = || self.rounds.iter().map(move |slate| slate.get(position));
            let shown = entries().flatten().count() as f64;
            let weights: f64 = entries().flatten().map(weight_of).sum();
            check_overlap(position, weights)?;
            // A position that only some slates have is weighted by the share of slates that have it.
            let share = shown / count as f64;
            let ratio = entries().flatten().map(|entry| weight_of(entry) * entry.reward).sum::<f64>() / weights;
            value += share * ratio;
            let scale = share * count as f64 / weights;
            for (deviation, entry) in deviations.iter_mut().zip(entries()) {
                // Both the ratio and the share are estimates.
                *deviation += entry.map_or(-share * ratio, |entry| {
                    weight_of(entry) * (entry.reward - ratio) * scale + (1.0 - share) * ratio
                });
            }
        }
        estimate(value, deviations.into_iter(), count, support)
    }
}

impl Estimate {
    /// Estimates the mean reward from pairs (w, r) of importance weight and reward, one pair per slate. The estimate is
    /// the mean of w·r. If `self_normalised`, it is Σwr/Σw, which has a bias of O(1/n) and less variance.
    ///
    /// # Errors
    /// * Fails if there are fewer than two slates.
    /// * Fails if a value is not finite or beyond ±1e50.
    /// * If `self_normalised`, fails if the sum of the weights is not positive.
    pub fn from_weights(rounds: &[(f64, f64)], self_normalised: bool) -> Result<Self> {
        if rounds.len() < 2 {
            return Err(Error::TooFewObservations { what: "an estimate", needed: 2, got: rounds.len() });
        }
        for (position, &(weight, reward)) in rounds.iter().enumerate() {
            check_logged(position, "weight", weight)?;
            check_logged(position, "reward", reward)?;
        }
        let count = rounds.len() as f64;
        let support = Support::from_weights(rounds.iter().map(|entry| entry.0));
        let mean = rounds.iter().map(|(weight, reward)| weight * reward).sum::<f64>() / count;
        if !self_normalised {
            return estimate(mean, rounds.iter().map(|(w, r)| w * r - mean), rounds.len(), support);
        }
        check_overlap(0, support.mean_weight * count)?;
        let value = mean / support.mean_weight;
        estimate(value, rounds.iter().map(|(w, r)| w * (r - value) / support.mean_weight), rounds.len(), support)
    }
}
