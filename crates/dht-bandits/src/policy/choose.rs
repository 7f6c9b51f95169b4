//! Selection of one arm by its score under an exploration rule, shared by all policies.

use rand::{Rng, RngExt};

use crate::arm::ArmId;
use crate::error::Result;
use crate::exploration::{Exploration, InverseGap, Partition, Selection, drawn_uniformly};
use crate::gaussian::Score;
use crate::posterior::Beliefs;
use crate::validate::check_scalar;

/// Available arms of a request, whose scores are computed one at a time.
pub(crate) trait ScoredArms {
    /// Number of arms, at least one.
    fn count(&self) -> usize;

    /// Folds a function over the index and the score of each arm, in a fixed order. The accumulator is passed by value,
    /// so that it stays in registers.
    fn fold<T>(&self, first: T, gather: impl FnMut(T, usize, Score) -> T) -> T;

    /// Value by which an exploration rule ranks an arm. The unnamed arguments, the number of learned rewards and the
    /// index of the arm, are for implementations that draw noise.
    #[inline(always)]
    fn value<E: Exploration, R: Rng + ?Sized>(&self, rule: &E, _: u64, _: usize, score: Score, rng: &mut R) -> f64 {
        rule.value(score, rng)
    }

    /// Index and score of the arm that [`fold`](Self::fold) visits at this position.
    fn at(&self, position: usize) -> (usize, Score);
}

/// Arms whose scores are already computed.
pub(crate) struct ScoredArmsOf<'a>(pub(crate) &'a [(ArmId, Score)]);

impl ScoredArms for ScoredArmsOf<'_> {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn fold<T>(&self, first: T, mut gather: impl FnMut(T, usize, Score) -> T) -> T {
        self.0.iter().enumerate().fold(first, |folded, (position, (_, score))| gather(folded, position, *score))
    }

    fn at(&self, position: usize) -> (usize, Score) {
        (position, self.0[position].1)
    }
}

/// Pairs each score with infinite degrees of freedom, for values drawn from a Gaussian instead of a Student's t
/// distribution.
pub(crate) fn with_freedom(scored: &[(ArmId, Score)]) -> Vec<(Score, f64)> {
    scored.iter().map(|(_, score)| (*score, f64::INFINITY)).collect()
}

/// Value by which an exploration rule ranks one arm. If the rule samples and the posterior learns the variance of the
/// noise, that variance is sampled too.
#[inline(always)]
pub(crate) fn drawn_value<B: Beliefs, E: Exploration, R: Rng + ?Sized>(
    posterior: &B,
    rule: &E,
    learned: u64,
    slot: usize,
    score: Score,
    rng: &mut R,
) -> f64 {
    let draws = B::LEARNS_NOISE && matches!(rule.selection(learned), Selection::Sampled { .. });
    let score = if draws { posterior.drawn(slot, score, rng) } else { score };
    rule.value(score, rng)
}

/// Running maximum over arms: the arm with the highest value so far. Each of several arms with equal values is selected
/// with equal probability.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Best {
    pub(crate) slot: usize,
    pub(crate) value: f64,
    pub(crate) score: Score,
    pub(crate) ties: u32,
}

impl Best {
    pub(crate) fn new() -> Self {
        Self { slot: 0, value: f64::NEG_INFINITY, score: Score { mean: 0.0, width: 0.0 }, ties: 0 }
    }

    /// Returns the better of the best arm so far and the arm in `slot`.
    #[inline(always)]
    pub(crate) fn or<R: Rng + ?Sized>(self, slot: usize, value: f64, score: Score, rng: &mut R) -> Self {
        if value < self.value {
            self
        } else if value == self.value {
            let ties = self.ties + 1;
            if wins_tie(ties, rng) { Self { slot, value, score, ties } } else { Self { ties, ..self } }
        } else if self.value.is_nan() {
            self
        } else {
            // A NaN replaces the best value and stays, so that the caller detects it.
            Self { slot, value, score, ties: 1 }
        }
    }
}

/// Draws whether the last of `ties` arms with equal values is selected, with probability 1/`ties`. The function is not
/// inlined, since a random generator in the loop over arms would take registers from the loop.
#[cold]
#[inline(never)]
fn wins_tie<R: Rng + ?Sized>(ties: u32, rng: &mut R) -> bool {
    rng.random_range(0..ties) == 0
}

/// Arm that an exploration rule chose, with its score.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScoredChoice {
    /// Index of the arm, as numbered by [`ScoredArms::fold`].
    pub(crate) index: usize,
    pub(crate) value: f64,
    pub(crate) score: Score,
    /// Propensity of the arm, or `None` if the choice did not compute it.
    pub(crate) propensity: Option<f64>,
}

/// Chooses one of the scored arms by an exploration rule, after `learned` rewards. Ties are broken uniformly at random.
/// The result has no propensity for Thompson sampling, because it is an integral. For softmax, the propensity is
/// computed only with `PROPENSITY`.
///
/// # Errors
/// Fails if a score overflows, or if the exploration floor (minimum probability of each arm) is too high for the number
/// of arms.
#[inline(always)]
pub(crate) fn choose<const PROPENSITY: bool, A: ScoredArms, E: Exploration, R: Rng + ?Sized>(
    arms: &A,
    rule: &E,
    learned: u64,
    rng: &mut R,
) -> Result<ScoredChoice> {
    let (count, rule) = (arms.count(), &rule.after(learned));
    let share = drawn_uniformly(rule, learned, count)?;
    let explored = (share > 0.0 && rng.random::<f64>() < share).then(|| rng.random_range(0..count));
    let (best, partition) = match rule.selection(learned) {
        Selection::Softmax { temperature } if PROPENSITY => {
            let first = (Best::new(), Partition::new(temperature));
            arms.fold(first, |(best, partition), index, score| {
                let value = arms.value(rule, learned, index, score, rng);
                (best.or(index, value, score, rng), partition.plus(score.mean))
            })
        }
        _ => {
            let best = arms.fold(Best::new(), |best, index, score| {
                best.or(index, arms.value(rule, learned, index, score, rng), score, rng)
            });
            (best, Partition::new(1.0))
        }
    };
    check_scalar("score", best.value)?;
    if let Selection::InverseGap { gamma } = rule.selection(learned) {
        return choose_by_gap(arms, gamma, best, (share, explored), rng);
    }
    let (index, value, score) = match explored {
        Some(position) => {
            let (index, score) = arms.at(position);
            (index, arms.value(rule, learned, index, score, rng), score.checked()?)
        }
        None => (best.slot, best.value, best.score),
    };
    let greedy = || if value == best.value { (1.0 - share) / f64::from(best.ties) } else { 0.0 };
    let own = match rule.selection(learned) {
        Selection::Index => Some(greedy()),
        Selection::Softmax { .. } if PROPENSITY => Some((1.0 - share) * partition.probability(score.mean)),
        _ => None,
    };
    let propensity = own.map(|own| share / count as f64 + own);
    Ok(ScoredChoice { index, value, score: score.checked()?, propensity })
}

/// Chooses an arm by inverse-gap weighting (SquareCB). A second pass over the arms is needed, because every probability
/// depends on the highest mean.
fn choose_by_gap<A: ScoredArms, R: Rng + ?Sized>(
    arms: &A,
    gamma: f64,
    best: Best,
    (share, explored): (f64, Option<usize>),
    rng: &mut R,
) -> Result<ScoredChoice> {
    let count = arms.count();
    let first = InverseGap::new(gamma, count, (best.slot, best.value), rng.random());
    let draw = arms.fold(first, InverseGap::or);
    // The arms that tie for the best mean share the remaining probability, whichever of them counts as the best.
    let of_best = (1.0 - draw.below) / f64::from(best.ties);
    let of = |score: Score| {
        let gap = best.value - score.mean;
        if gap > 0.0 { crate::exploration::inverse_gap(count, gamma, gap) } else { of_best }
    };
    let (index, score) = match (explored, draw.chosen) {
        (Some(position), _) => arms.at(position),
        (None, Some((index, score, _))) => (index, score),
        (None, None) => (best.slot, best.score),
    };
    let score = score.checked()?;
    let propensity = Some(share / count as f64 + (1.0 - share) * of(score));
    Ok(ScoredChoice { index, value: score.mean, score, propensity })
}
