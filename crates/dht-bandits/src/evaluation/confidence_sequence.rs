//! Confidence sequences: confidence intervals that hold simultaneously after every round.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::estimate::LoggedRound;
use crate::error::{Error, Result};
use crate::validate::{check_parameter, check_scalar};

/// Largest fraction of its capital that a confidence sequence may lose in one bet.
const LARGEST_BET: f64 = 0.5;

/// Number of candidate values of the expected reward, evenly spaced between the smallest and the largest possible
/// reward.
const GRID: usize = 1000;

/// Anytime-valid confidence interval for the value (expected reward) of a policy, from the log of another policy. With
/// probability 1 − α it covers the value after every round simultaneously, for any stopping rule, number of rounds and
/// importance weights (Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro 2022, "Anytime-valid off-policy inference for
/// contextual bandits", theorem 1).
///
/// Method: rewards are scaled to [0, 1], and each value ν of a grid is tested by betting against it. Round t has the
/// importance weight w_t, the reward r_t, the model's predicted reward q̂_t, and the model's value V̂_t of the
/// evaluated policy. Its term is φ_t = V̂_t + w_t(r_t − q̂_t) ≥ −k. If the policy's value is ν or less, the capital ∏_t
/// (1 + λ_t(ν)(φ_t − ν)) is a supermartingale. By Ville's inequality, ν is excluded once the capital reaches 2/α. The
/// bet λ_t(ν) = min(√(2 ln(2/α)/(σ̂²_{t−1} t ln(1 + t))), ½/(k + ν)) depends only on earlier rounds. The same bets on 1
/// − r_t give the upper end of the interval.
///
/// [`new`](Self::new) needs no bound on the importance weights. It uses plain importance weighting without a reward
/// model; its terms cannot be negative, and k = 0. [`doubly_robust`](Self::doubly_robust) uses a reward model and needs
/// a bound k that is known beforehand (such as K/ε for ε-greedy logs with K arms). If k is small, a good model shortens
/// the interval. Predictions must come from earlier rounds or from other data. A model that was
/// [cross-fitted](super::OutcomeModel::cross_fit) on the log is not allowed, because it uses later rounds.
///
/// The logging policy may learn, as long as its propensities are known. The evaluated policy must not learn, and the
/// environment must be stationary, because the sequence estimates one fixed value. If the value drifts, it may happen
/// that no value fits all rounds. The interval is then [empty](RangeInclusive::is_empty). Memory and time per round are
/// constant: the grid has 1,000 values.
///
/// ```
/// use dht_bandits::evaluation::{ConfidenceSequence, LoggedRound};
///
/// let mut sequence = ConfidenceSequence::new((0.0, 1.0), 0.05)?;
/// for round in 0..2000 {
///     // Two arms at one half each; the evaluated policy plays arm 1, which always pays.
///     let one = round % 2 == 0;
///     sequence.push(&LoggedRound::new(if one { 1.0 } else { 0.2 }, 0.5, if one { 1.0 } else { 0.0 }))?;
/// }
/// let interval = sequence.interval();
/// assert!(*interval.start() > 0.8 && *interval.end() == 1.0);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
///
/// [`gain`](Self::gain) creates a sequence for the gain of the evaluated policy over the logging policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "SavedSequence", into = "SavedSequence")]
pub struct ConfidenceSequence {
    range: (f64, f64),
    alpha: f64,
    subject: Subject,
    lower: Bets,
    upper: Bets,
    rounds: u64,
}

/// Serialized form of a confidence sequence. Its values are checked after deserialization.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedSequence {
    range: (f64, f64),
    alpha: f64,
    subject: Subject,
    rounds: u64,
    lower: SavedBets,
    upper: SavedBets,
}

/// Serialized form of [`Bets`], without the values that follow from the settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedBets {
    capital: Vec<f64>,
    excluded: usize,
    sum: f64,
    squares: f64,
    count: f64,
}

impl From<ConfidenceSequence> for SavedSequence {
    fn from(sequence: ConfidenceSequence) -> Self {
        let ConfidenceSequence { range, alpha, subject, lower, upper, rounds } = sequence;
        Self { range, alpha, subject, rounds, lower: lower.saved(), upper: upper.saved() }
    }
}

impl TryFrom<SavedSequence> for ConfidenceSequence {
    type Error = Error;

    fn try_from(saved: SavedSequence) -> Result<Self> {
        let SavedSequence { range, alpha, subject, rounds, lower, upper } = saved;
        let empty = match subject {
            Subject::Robust(largest) => Self::doubly_robust(range, alpha, largest)?,
            _ => Self::make(range, alpha, subject)?,
        };
        let (lower, upper) = (empty.lower.clone().restored(0, lower)?, empty.upper.clone().restored(1, upper)?);
        Ok(Self { lower, upper, rounds, ..empty })
    }
}

/// Quantity that a confidence sequence estimates, with the estimator.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Subject {
    /// Value of the evaluated policy, by importance weighting.
    Value,
    /// Value of the evaluated policy, by the doubly robust estimator. The number bounds the importance weights.
    Robust(f64),
    /// Gain: the value of the evaluated policy minus the value of the logging policy.
    Gain,
}

/// Bets against candidate values of the expected reward. A candidate is excluded as too low once the capital of the
/// bets against it exceeds a threshold.
#[derive(Debug, Clone)]
struct Bets {
    threshold: f64,
    /// Candidate values of the expected reward. For each of them, `largest` is the largest allowed bet, and `capital`
    /// the capital of the bets against it.
    values: Vec<f64>,
    largest: Vec<f64>,
    capital: Vec<f64>,
    /// Number of candidate values that are excluded. They are the smallest ones.
    excluded: usize,
    sum: f64,
    squares: f64,
    count: f64,
}

impl Bets {
    fn new(alpha: f64, bound: f64) -> Self {
        let values: Vec<f64> = (1..=GRID).map(|position| position as f64 / GRID as f64).collect();
        let largest = values.iter().map(|value| LARGEST_BET / (bound + value)).collect();
        let (threshold, capital) = (2.0 / alpha, vec![1.0; GRID]);
        Self { threshold, values, largest, capital, excluded: 0, sum: 0.5, squares: 0.25, count: 1.0 }
    }

    fn push(&mut self, term: f64) {
        let variance = self.squares / self.count;
        let plug_in = (2.0 * self.threshold.ln() / (variance * self.count * self.count.ln_1p())).sqrt();
        let from = self.excluded;
        let bets = self.values[from..].iter().zip(&self.largest[from..]);
        for (capital, (value, largest)) in self.capital[from..].iter_mut().zip(bets) {
            let bet = if plug_in < *largest { plug_in } else { *largest };
            let after = *capital * (1.0 + bet * (term - value));
            // Lost capital does not come back. Sums near the smallest number would be slow, so that it is set to 0.
            *capital = if after < 1e-300 {
                0.0
            } else if after < 1e300 {
                after
            } else {
                1e300
            };
        }
        // The capital falls as the value rises, so that the excluded values are an interval.
        while self.capital.get(self.excluded).is_some_and(|capital| *capital >= self.threshold) {
            self.excluded += 1;
        }
        self.sum += term;
        self.count += 1.0;
        let deviation = term - self.sum / self.count;
        self.squares += deviation * deviation;
    }

    fn saved(self) -> SavedBets {
        let Self { capital, excluded, sum, squares, count, .. } = self;
        SavedBets { capital, excluded, sum, squares, count }
    }

    fn restored(self, index: usize, saved: SavedBets) -> Result<Self> {
        let SavedBets { capital, excluded, sum, squares, count } = saved;
        let fits = capital.len() == GRID && capital.iter().all(|capital| (0.0..=1e300).contains(capital));
        let sums = sum.is_finite() && squares > 0.0 && squares.is_finite() && count >= 1.0 && count.is_finite();
        if !(fits && sums && excluded <= GRID) {
            let problem = format!("expected {GRID} values from 0 to 1e300, and finite sums");
            return Err(Error::InvalidState { what: "capital", index, problem });
        }
        Ok(Self { capital, excluded, sum, squares, count, ..self })
    }

    fn low(&self) -> f64 {
        self.excluded as f64 / GRID as f64
    }
}

impl ConfidenceSequence {
    /// Creates a confidence sequence by importance weighting, for rewards from `range.0` to `range.1`. With probability
    /// 1 − α, all its intervals cover the value of the policy.
    ///
    /// # Errors
    /// Fails if the range is empty or not finite, or if α is outside (0, 1).
    pub fn new(range: (f64, f64), alpha: f64) -> Result<Self> {
        Self::make(range, alpha, Subject::Value)
    }

    /// Creates a confidence sequence for the gain of the evaluated policy over the logging policy in expected reward,
    /// for rewards in `range`.
    ///
    /// Let w be a round's importance weight and r its reward, scaled to [0, 1]. The term wr − r has the gain as its
    /// expectation, and (1 − r)(w − 1) the negative gain. Both are at least −1, whatever the weights. They are shifted
    /// by 1, halved, and tested by the bets of [`new`](Self::new). The tested gains have steps of .002 of the range of
    /// rewards.
    ///
    /// If the logging policy does not learn, all intervals contain the gain with probability 1 − α. If it learns, the
    /// gain changes over time. An interval above 0 then shows that the evaluated policy was better than the logging
    /// policy at some time. It may still be worse than the latest version of the logging policy.
    ///
    /// # Errors
    /// Fails as [`new`](Self::new) does.
    pub fn gain(range: (f64, f64), alpha: f64) -> Result<Self> {
        Self::make(range, alpha, Subject::Gain)
    }

    /// Creates a confidence sequence by the doubly robust estimator. It uses a reward model, and `largest_weight` must
    /// bound the importance weights.
    ///
    /// # Errors
    /// * Fails as [`new`](Self::new) does.
    /// * Fails if `largest_weight` is not from 1 to 1e6.
    pub fn doubly_robust(range: (f64, f64), alpha: f64, largest_weight: f64) -> Result<Self> {
        let fits = (1.0..=1e6).contains(&largest_weight);
        check_parameter("largest weight", largest_weight, fits, "from 1 to 1e6")?;
        Self::make(range, alpha, Subject::Robust(largest_weight))
    }

    fn make(range: (f64, f64), alpha: f64, subject: Subject) -> Result<Self> {
        check_scalar("lowest reward", range.0)?;
        check_parameter("highest reward", range.1, range.1 > range.0, "above the lowest")?;
        check_scalar("range of rewards", range.1 - range.0)?;
        check_parameter("alpha", alpha, alpha > 0.0 && alpha < 1.0, "in (0, 1)")?;
        let bound = if let Subject::Robust(largest_weight) = subject { largest_weight } else { 0.0 };
        let bets = Bets::new(alpha, bound);
        Ok(Self { range, alpha, subject, lower: bets.clone(), upper: bets, rounds: 0 })
    }

    /// Adds a logged round and returns the updated interval. After an error the sequence is unchanged.
    ///
    /// # Errors
    /// * [`Error::NoPropensity`] if the round has no propensity.
    /// * Fails if the reward or the prediction is outside the range.
    /// * Fails if the propensity is outside (0, 1], or if the evaluated policy's probability of the logged arm
    ///   (`target`) is outside [0, 1].
    /// * Fails for a doubly robust sequence if the importance weight is above its bound, or if the round has no
    ///   prediction.
    /// * Fails if the round has a [drop probability](LoggedRound::drop_probability), because the weight of such a round
    ///   is not bounded.
    pub fn push(&mut self, round: &LoggedRound) -> Result<RangeInclusive<f64>> {
        let position = usize::try_from(self.rounds).unwrap_or(usize::MAX);
        super::estimate::check_round(position, round)?;
        super::estimate::check_counts_once(round)?;
        let (low, high) = self.range;
        let scaled = |value: f64| -> Result<f64> {
            if (low..=high).contains(&value) {
                Ok((value - low) / (high - low))
            } else {
                Err(Error::Reward { reward: value, low, high })
            }
        };
        let weight = round.weight_for("a confidence sequence", position)?;
        let reward = scaled(round.reward)?;
        let (below, above) = match (self.subject, round.prediction) {
            (Subject::Value, _) => (weight * reward, weight * (1.0 - reward)),
            (Subject::Gain, _) => {
                let gain = weight * reward - reward;
                let loss = weight * (1.0 - reward) - (1.0 - reward);
                (0.5 * (gain + 1.0), 0.5 * (loss + 1.0))
            }
            (Subject::Robust(_), None) => {
                return Err(Error::NoModel { estimator: "a doubly robust sequence", round: position });
            }
            (Subject::Robust(largest), Some(prediction)) => {
                check_parameter("weight", weight, weight <= largest * (1.0 + 1e-9), "at most the bound on weights")?;
                let (logged, expected) = (scaled(prediction.logged)?, scaled(prediction.expected)?);
                let term = expected + weight * (reward - logged);
                (term, 1.0 - term)
            }
        };
        self.lower.push(below);
        self.upper.push(above);
        self.rounds += 1;
        Ok(self.interval())
    }

    /// Current confidence interval: the intersection of the intervals after all rounds. It may be
    /// [empty](RangeInclusive::is_empty).
    pub fn interval(&self) -> RangeInclusive<f64> {
        let (low, high) = self.range;
        let width = high - low;
        match self.subject {
            Subject::Gain => width * (2.0 * self.lower.low() - 1.0)..=width * (1.0 - 2.0 * self.upper.low()),
            _ => low + width * self.lower.low()..=high - width * self.upper.low(),
        }
    }

    /// Number of rounds added so far.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }
}
