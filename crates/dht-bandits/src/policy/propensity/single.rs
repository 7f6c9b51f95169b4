//! Propensities of single choices, in which a policy selects one arm.

use super::independent::inclusion;
use super::independent::inclusion_of;
use super::law::Law;
use crate::arm::ArmId;
use crate::decision::{Propensity, QUADRATURE_ERROR};
use crate::error::{Error, Result};
use crate::exploration::{Exploration, Partition, Selection, drawn_uniformly, inverse_gap};
use crate::gaussian::Score;
use crate::validate::check_scalar;

/// Score of an arm with the degrees of freedom for drawing its value: infinite for a Gaussian, finite for Student's t.
pub(crate) type FreeScore = (Score, f64);

/// Distribution of the value by which each arm is ranked. Values are fixed or drawn independently.
pub(crate) fn laws<E: Exploration>(rule: &E, learned: u64, scores: &[FreeScore]) -> Result<Vec<Law>> {
    let (rule, selection) = (rule.after(learned), rule.selection(learned));
    let law = |(score, freedom): &FreeScore| {
        let Score { mean, width } = score.checked()?;
        Ok(match selection {
            Selection::Sampled { scale } if scale * width > 0.0 && freedom.is_finite() => {
                Law::student(mean, scale * width, *freedom)
            }
            Selection::Sampled { scale } if scale * width > 0.0 => Law::normal(mean, scale * width),
            Selection::Sampled { .. } => Law::Point(mean),
            Selection::Softmax { temperature } => Law::Gumbel { location: mean, scale: temperature },
            // The value is a function of the score, so no draw of the generator is used.
            Selection::Index | Selection::InverseGap { .. } => {
                let value = rule.value(*score, &mut UnreadDraws::default());
                check_scalar("score", value)?;
                Law::Point(value)
            }
        })
    };
    scores.iter().map(law).collect()
}

/// Probability of choosing each arm, if the values by which arms are ranked are fixed or drawn independently.
///
/// # Errors
/// Fails if a score is not finite.
pub(crate) fn independent_propensities<E: Exploration>(
    rule: &E,
    learned: u64,
    arms: &[ArmId],
    scores: &[FreeScore],
) -> Result<Vec<Propensity>> {
    let laws = laws(rule, learned, scores)?;
    let integrals = laws.iter().any(|law| matches!(law, Law::Normal { .. } | Law::Student { .. }));
    let error = if integrals { QUADRATURE_ERROR } else { 0.0 };
    let probabilities = single(rule, learned, &laws, None)?;
    let entry = |(&arm, probability)| Propensity { arm, probability, standard_error: error };
    Ok(arms.iter().zip(probabilities).map(entry).collect())
}

/// Probability of choosing the arm at `position`, if the values by which arms are ranked are fixed or drawn
/// independently.
///
/// # Errors
/// Fails if a score is not finite.
pub(crate) fn independent_propensity<E: Exploration>(
    rule: &E,
    learned: u64,
    scores: &[FreeScore],
    position: usize,
) -> Result<f64> {
    let laws = laws(rule, learned, scores)?;
    single(rule, learned, &laws, Some(position))?.pop().ok_or(Error::NoArms { arms: 0 })
}

/// Probability of choosing each arm, or only the arm at `position` if there is one.
fn single<E: Exploration>(rule: &E, learned: u64, laws: &[Law], position: Option<usize>) -> Result<Vec<f64>> {
    let count = laws.len();
    let share = drawn_uniformly(rule, learned, count)?;
    let positions = position.map_or(0..count, |position| position..position + 1);
    let explored = |greedy: f64| share / count as f64 + (1.0 - share) * greedy;
    Ok(match (ClosedForm::new(rule.selection(learned), laws.iter().map(Law::location)), position) {
        (Some(form), _) => positions.map(|index| explored(form.probability(laws[index].location()))).collect(),
        (None, Some(position)) => vec![explored(inclusion_of(laws, position, &[1.0]))],
        (None, None) => inclusion(laws, &[1.0]).into_iter().map(explored).collect(),
    })
}

/// Closed-form choice probabilities of softmax and inverse-gap weighting, which depend only on the means.
pub(crate) enum ClosedForm {
    Softmax(Partition),
    InverseGap {
        gamma: f64,
        arms: usize,
        best: f64,
        /// Probability of each arm with the best mean.
        of_best: f64,
    },
}

impl ClosedForm {
    /// Creates the closed-form choice probabilities from the arms' means. Returns `None` for exploration rules that
    /// choose the arm with the highest value, for which this form does not exist.
    pub(crate) fn new(selection: Selection, means: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        match selection {
            Selection::Softmax { temperature } => {
                Some(Self::Softmax(means.fold(Partition::new(temperature), Partition::plus)))
            }
            Selection::InverseGap { gamma } => {
                let arms = means.clone().count();
                let best = means.clone().fold(f64::NEG_INFINITY, f64::max);
                let below: f64 =
                    means.clone().filter(|mean| *mean < best).map(|mean| inverse_gap(arms, gamma, best - mean)).sum();
                let ties = means.filter(|mean| *mean == best).count() as f64;
                Some(Self::InverseGap { gamma, arms, best, of_best: (1.0 - below) / ties })
            }
            Selection::Index | Selection::Sampled { .. } => None,
        }
    }

    pub(crate) fn probability(&self, mean: f64) -> f64 {
        match *self {
            Self::Softmax(partition) => partition.probability(mean),
            Self::InverseGap { gamma, arms, best, .. } if mean < best => inverse_gap(arms, gamma, best - mean),
            Self::InverseGap { of_best, .. } => of_best,
        }
    }
}

/// Random generator for calls that require one but ignore its numbers: SplitMix64 with a fixed seed.
#[derive(Default)]
pub(crate) struct UnreadDraws(u64);

impl rand::rand_core::TryRng for UnreadDraws {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Self::Error> {
        self.try_next_u64().map(|value| (value >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Self::Error> {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Ok(mixed ^ (mixed >> 31))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> std::result::Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            let value = self.try_next_u64()?;
            chunk.iter_mut().zip(value.to_le_bytes()).for_each(|(byte, drawn)| *byte = drawn);
        }
        Ok(())
    }
}
