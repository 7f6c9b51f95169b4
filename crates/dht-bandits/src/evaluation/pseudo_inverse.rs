//! Pseudo-inverse estimator for slates (lists of arms shown at once), when only the total reward of a slate is known.

use std::collections::BTreeMap;

use nalgebra::{DMatrix, DVector};

use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::log::check_distribution;

/// Pseudo-inverse estimator for slates, lists of arms shown at once (Swaminathan et al. 2017, "Off-policy evaluation
/// for slate recommendation"). It computes the importance weight of a shown slate for one logging policy in one
/// context.
///
/// Let 1_s be the indicator vector of slate s. It has one entry for each pair of position and arm: 1 if the slate shows
/// the arm at the position, else 0. Let Γ = E_μ(1_s 1_sᵀ) under the logging policy μ, with the pseudo-inverse Γ†, and q
/// = E_π(1_s) under the evaluated policy π. The weight of the shown slate is qᵀΓ†1_s, and may be negative. The
/// estimated reward per slate is unbiased if a slate's reward is a sum of effects of the arms at their positions. These
/// effects need not be known. The variance grows with positions × arms. That of plain importance weighting grows with
/// the number of possible slates.
///
/// Construction takes O((positions × arms)³) time. Reuse one object for all rounds with the same logging policy. If the
/// logging policy chooses positions independently, [`OffPolicy::pseudo_inverse`](super::OffPolicy::pseudo_inverse)
/// needs no matrix.
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
    /// Matrix index of each pair of position and arm that the logging policy may show.
    coordinates: BTreeMap<(usize, ArmId), usize>,
    gamma: DMatrix<f64>,
    inverse: DMatrix<f64>,
}

/// Threshold below which a singular value counts as zero. Smaller values result from rounding of probabilities.
const LEAST_SINGULAR_VALUE: f64 = 1e-10;

/// Largest accepted distance between the evaluated policy's vector q (see [`PseudoInverse`]) and the span of the slates
/// that the logging policy may show.
const LARGEST_OUTSIDE: f64 = 1e-6;

impl PseudoInverse {
    /// Creates the estimator for a logging policy, from its possible slates and their probabilities.
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

    /// Computes the importance weight qᵀΓ†1_s of the shown slate s (see [`PseudoInverse`] for the symbols). `target`
    /// lists the possible slates of the evaluated policy with their probabilities.
    ///
    /// # Errors
    /// * [`Error::NoOverlap`] if the evaluated policy shows an arm at a position where the logging policy never shows
    ///   it, or combinations of arms about which the log gives no information.
    /// * Fails if the logging policy cannot show the slate `shown`.
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
