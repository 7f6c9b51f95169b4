//! Pseudo-inverse estimator for slates whose total reward is a sum of unobserved effects of the positions.

use std::collections::BTreeMap;

use nalgebra::{DMatrix, DVector};

use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::log::check_distribution;

/// Pseudo-inverse Γ† of the matrix Γ of one context, which gives the weights of the pseudo-inverse estimator
/// (Swaminathan et al. 2017, "Off-policy evaluation for slate recommendation").
///
/// Let 1_s be the indicator of which arm is at which position of slate s. Let Γ = E_μ(1_s 1_sᵀ) under the logging
/// policy μ, and q = E_π(1_s) under the evaluated policy π. The weight of the shown slate is qᵀΓ†1_s. The estimate is
/// unbiased for the reward of whole slates if that reward is a sum of unknown effects of arm and position. Its variance
/// grows with positions × arms; the variance of importance weights grows with the number of possible slates. Weights
/// may be negative.
///
/// Construction costs O((positions × arms)³). Reuse one pseudo-inverse for all rounds with the same logging policy. If
/// positions are chosen independently, [`OffPolicy::pseudo_inverse`](super::OffPolicy::pseudo_inverse) needs no matrix.
///
/// ```
/// use dht_bandits::{ArmId, evaluation::PseudoInverse};
///
/// // All ordered pairs of three arms, at random.
/// let arms = [0, 1, 2].map(ArmId::new);
/// let mut logging = Vec::new();
/// for &first in &arms {
///     logging.extend(arms.iter().filter(|arm| **arm != first).map(|&second| (vec![first, second], 1.0 / 6.0)));
/// }
/// let target = [(vec![arms[2], arms[0]], 1.0)]; // always arm 2, then arm 0
/// let pseudo_inverse = PseudoInverse::new(&logging)?;
/// assert!(pseudo_inverse.weight(&target, &[arms[2], arms[0]])? > 2.0);
/// assert!(pseudo_inverse.weight(&target, &[arms[2], arms[1]])? > 0.0); // half of it is as the target has it
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PseudoInverse {
    positions: usize,
    /// Coordinates of the pairs of position and arm that the logging policy shows.
    coordinates: BTreeMap<(usize, ArmId), usize>,
    gamma: DMatrix<f64>,
    inverse: DMatrix<f64>,
}

/// Singular values below this count as zero, since rounding of probabilities causes them.
const LEAST_SINGULAR_VALUE: f64 = 1e-10;

/// Largest accepted distance of the evaluated policy's vector q, as defined at [`PseudoInverse`], from the span of the
/// logging policy's slates.
const LARGEST_OUTSIDE: f64 = 1e-6;

impl PseudoInverse {
    /// Computes the pseudo-inverse Γ† of a logging policy from its possible slates and their probabilities.
    ///
    /// # Errors
    /// * Fails if a slate is empty, or if slates have different lengths.
    /// * Fails if the probabilities are not a distribution.
    /// * Fails if the decomposition of the matrix does not converge.
    pub fn new(logging: &[(Vec<ArmId>, f64)]) -> Result<Self> {
        let positions = logging.first().map_or(0, |(slate, _)| slate.len());
        check_slates("the logging policy", logging, positions)?;
        let mut coordinates = BTreeMap::new();
        for (slate, _) in logging.iter().filter(|(_, probability)| *probability > 0.0) {
            for (position, &arm) in slate.iter().enumerate() {
                let next = coordinates.len();
                coordinates.entry((position, arm)).or_insert(next);
            }
        }
        let mut gamma = DMatrix::zeros(coordinates.len(), coordinates.len());
        for (slate, probability) in logging.iter().filter(|(_, probability)| *probability > 0.0) {
            let entries: Vec<_> = slate.iter().enumerate().map(|(at, &arm)| coordinates[&(at, arm)]).collect();
            for &row in &entries {
                for &column in &entries {
                    gamma[(row, column)] += probability;
                }
            }
        }
        let inverse = gamma.clone().pseudo_inverse(LEAST_SINGULAR_VALUE);
        let problem =
            |problem: &str| Error::NotADistribution { what: "the logging policy", problem: problem.to_owned() };
        let inverse = inverse.map_err(problem)?;
        Ok(Self { positions, coordinates, gamma, inverse })
    }

    /// Computes the importance weight qᵀΓ†1_s of the shown slate s, as defined at [`PseudoInverse`]. `target` holds the
    /// possible slates of the evaluated policy with their probabilities.
    ///
    /// # Errors
    /// * [`Error::NoOverlap`] if the evaluated policy shows an arm that the logging policy never shows at that
    ///   position, or combinations for which the log gives no evidence.
    /// * Fails if the logging policy never shows the shown slate.
    pub fn weight(&self, target: &[(Vec<ArmId>, f64)], shown: &[ArmId]) -> Result<f64> {
        check_slates("the evaluated policy", target, self.positions)?;
        let mut expected = DVector::zeros(self.coordinates.len());
        for (slate, probability) in target.iter().filter(|(_, probability)| *probability > 0.0) {
            for (position, &arm) in slate.iter().enumerate() {
                match self.coordinates.get(&(position, arm)) {
                    Some(&coordinate) => expected[coordinate] += probability,
                    None => return Err(Error::NoOverlap { position, weights: 0.0 }),
                }
            }
        }
        if shown.len() != self.positions {
            return Err(Error::Dimension { what: "slate", expected: self.positions, got: shown.len() });
        }
        let solved = &self.inverse * &expected;
        if (&self.gamma * &solved - &expected).amax() > LARGEST_OUTSIDE {
            return Err(Error::NoOverlap { position: 0, weights: 0.0 });
        }
        let coordinate = |(position, &arm): (usize, &ArmId)| {
            self.coordinates.get(&(position, arm)).copied().ok_or(Error::UnknownArm { arm })
        };
        shown.iter().enumerate().map(|entry| Ok(solved[coordinate(entry)?])).sum()
    }
}

fn check_slates(what: &'static str, slates: &[(Vec<ArmId>, f64)], positions: usize) -> Result<()> {
    for (slate, _) in slates {
        if slate.len() != positions || slate.is_empty() {
            return Err(Error::Dimension { what: "slate", expected: positions.max(1), got: slate.len() });
        }
    }
    // Slates are numbered like arms, so that the same check of probabilities applies.
    let probabilities: Vec<_> =
        slates.iter().enumerate().map(|(index, entry)| (ArmId::new(index as u64), entry.1)).collect();
    check_distribution(what, &probabilities)
}
