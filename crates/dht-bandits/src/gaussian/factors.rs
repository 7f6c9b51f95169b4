//! Gaussian posteriors N(θ, U·D·Uᵀ), one per arm: scored, and sharpened by one observation, in O(d²).
//!
//! Bierman (1977), "Factorization Methods for Discrete Sequential Estimation", chapter V; Agee & Turner (1972). The
//! covariance is never formed: its variance x'U·D·Uᵀx = Σ D_j f_j² with f = Uᵀx is a sum of squares with positive weights
//! and cannot become negative, whatever the rounding.

use super::moments::{Moments, Score};
use super::panels::Panels;
use crate::error::{Error, Result, check_parameter};
use crate::slots::Slots;

/// A factor of this dimension takes 17 GB: a larger one is a slip of the pen, or a damaged state.
const LARGEST_DIMENSION: usize = 1 << 16;

/// The smallest share of a pivot that is left when an observation is taken back: √ε, half the digits.
const LEAST_LEFT: f64 = 1.490_116_119_384_765_6e-8;

pub(crate) fn check_dimension(dimension: usize) -> Result<()> {
    let fits = dimension > 0 && dimension <= LARGEST_DIMENSION;
    check_parameter("dimension", dimension as f64, fits, "from 1 to 65536")
}

/// The Gaussian posteriors of many arms.
#[derive(Debug, Clone)]
pub(crate) struct Factors {
    dimension: usize,
    store: Panels,
}

impl Factors {
    pub(crate) fn new(dimension: usize) -> Self {
        Self { dimension, store: Panels::new(dimension) }
    }

    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    pub(crate) fn len(&self) -> usize {
        self.store.len()
    }

    /// Adds an arm with mean zero and covariance `variance`·I.
    pub(crate) fn push(&mut self, variance: f64) {
        self.store.push();
        let slot = self.len() - 1;
        for coordinate in 0..self.dimension {
            *self.diagonal_mut(slot, coordinate) = variance;
        }
    }

    /// Adds an arm that knows what another knows.
    pub(crate) fn push_copy(&mut self, slot: usize) {
        self.store.push();
        self.copy(slot, self.len() - 1);
    }

    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        self.store.copy(from, to);
    }

    /// Removes an arm; the last one takes its slot.
    pub(crate) fn swap_remove(&mut self, slot: usize) {
        self.copy(self.len() - 1, slot);
        self.store.pop();
    }

    pub(crate) fn diagonal(&self, slot: usize, coordinate: usize) -> f64 {
        *self.store.diagonal(slot, coordinate)
    }

    pub(crate) fn diagonal_mut(&mut self, slot: usize, coordinate: usize) -> &mut f64 {
        self.store.diagonal_mut(slot, coordinate)
    }

    pub(crate) fn mean(&self, slot: usize, coordinate: usize) -> f64 {
        *self.store.mean(slot, coordinate)
    }

    pub(crate) fn mean_mut(&mut self, slot: usize, coordinate: usize) -> &mut f64 {
        self.store.mean_mut(slot, coordinate)
    }

    /// U[row, column] for row < column.
    pub(crate) fn upper(&self, slot: usize, row: usize, column: usize) -> f64 {
        *self.store.upper(slot, row, column)
    }

    pub(crate) fn upper_mut(&mut self, slot: usize, row: usize, column: usize) -> &mut f64 {
        self.store.upper_mut(slot, row, column)
    }

    /// Mean and width of one arm.
    pub(crate) fn score(&self, slot: usize, context: &[f64]) -> Score {
        self.store.score(slot, context)
    }

    #[inline]
    /// Gathers mean and width of each of the slots, in ascending order.
    pub(crate) fn fold<T>(
        &self,
        slots: Slots<'_>,
        context: &[f64],
        first: T,
        gather: impl FnMut(T, usize, Score) -> T,
    ) -> T {
        self.store.fold(slots, context, first, gather)
    }

    /// Mean and width of each of the slots in each context, (contexts, slots), row-major.
    pub(crate) fn score_batch(&self, slots: Slots<'_>, contexts: &[f64], scores: &mut [Score]) {
        self.store.score_batch(slots, contexts, scores);
    }

    /// Looks at an observation: mean and variance, and what [`absorb`](Self::absorb) needs to go on.
    pub(crate) fn look(&mut self, slot: usize, context: &[f64]) -> Moments {
        self.store.look(slot, context)
    }

    /// Learns the observation last looked at: P ← (P⁻¹ + weight·xx')⁻¹ and θ ← θ + step·Px, with the old P.
    ///
    /// `weight` may be negative (an observation taken back) where [`check_left`](Self::check_left) accepts it.
    pub(crate) fn absorb(&mut self, slot: usize, weight: f64, step: f64) {
        self.store.absorb(slot, weight, step);
    }

    /// Refuses to take back the observation last looked at, with this negative weight, if too few digits would be left.
    ///
    /// D_j is divided by α_j/α_{j−1}, so every 1 + weight·Σ_{i≤j} D_i f_i² = α_j/α_{−1} must be positive. They descend, each
    /// from rounded sums of positive numbers that are off by about d·ε: of one that is [`LEAST_LEFT`], half the digits hold.
    pub(crate) fn check_left(&self, weight: f64) -> Result<()> {
        let what = "A without the observation";
        let below = |least: f64| self.store.pivots(weight).enumerate().find(|(_, value)| *value < least);
        match below(LEAST_LEFT) {
            None => Ok(()),
            Some((pivot, value)) => Err(match below(f64::MIN_POSITIVE) {
                Some((pivot, value)) => Error::NotPositiveDefinite { what, pivot, value },
                None => Error::LostDigits { what, pivot, value, least: LEAST_LEFT },
            }),
        }
    }

    /// The largest |f| of the arm last looked at: times the weight it must stay finite.
    pub(crate) fn largest_seen(&self) -> f64 {
        self.store.largest_seen()
    }

    /// A coordinate of Px, with the P before the last [`absorb`](Self::absorb).
    pub(crate) fn gain(&self, coordinate: usize) -> f64 {
        self.store.gain(coordinate)
    }

    /// Multiplies the covariance of the arm last looked at, and what was seen of it.
    pub(crate) fn discount_looked(&mut self, slot: usize, factor: f64) {
        for coordinate in 0..self.dimension {
            *self.diagonal_mut(slot, coordinate) *= factor;
        }
        self.store.scale_seen(factor);
    }

    /// θ + U·√D·z·scale of one arm, into `out`; a draw from the posterior if `normal` draws standard normals.
    pub(crate) fn draw(&self, slot: usize, scale: f64, mut normal: impl FnMut() -> f64, out: &mut [f64]) {
        for (coordinate, value) in out.iter_mut().enumerate() {
            *value = self.mean(slot, coordinate);
        }
        for column in 0..self.dimension {
            let y = scale * self.diagonal(slot, column).sqrt() * normal();
            for (row, value) in out[..column].iter_mut().enumerate() {
                *value += self.upper(slot, row, column) * y;
            }
            out[column] += y;
        }
    }
}
