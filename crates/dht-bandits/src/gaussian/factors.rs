//! Gaussian posteriors N(θ, U·D·Uᵀ), one per arm, with scores and rank-one updates in O(d²).
//!
//! The factorisation follows Bierman (1977), "Factorization Methods for Discrete Sequential Estimation", chapter V, and
//! Agee & Turner (1972). The covariance matrix is never formed. The variance x'U·D·Uᵀx = Σ D_j f_j² with f = Uᵀx is a
//! sum of squares with positive weights, so that rounding cannot make it negative.

use pulp::Arch;

use super::layout::{LANES, Lanes, PanelLayout};
use super::moments::{Moments, Score};
use super::score::{CHUNK, ManyArms, OneArm, Project, ROUND, ScoreBatch};
use super::update::{RankOneUpdate, Scratch};
use crate::arm_set::Slots;
use crate::error::{Error, Result};
use crate::validate::{check_parameter, reserve};

/// Largest accepted length of a context. The covariance factor of one arm then takes 17 GB; a larger dimension is
/// assumed to be a typing error or a damaged state.
const LARGEST_DIMENSION: usize = 1 << 16;

/// Smallest fraction of a pivot that may remain after removing an observation: √ε, so that half the digits are correct.
const LEAST_LEFT: f64 = 1.490_116_119_384_765_6e-8;

pub(crate) fn check_dimension(dimension: usize) -> Result<()> {
    let fits = dimension > 0 && dimension <= LARGEST_DIMENSION;
    check_parameter("dimension", dimension as f64, fits, "from 1 to 65536")
}

/// Gaussian posteriors of many arms in factored form, with scratch memory for updates. Each factor is stored in panels
/// of eight columns.
///
/// An update takes two steps. [`project`](Self::project) computes f = Uᵀx and v = D·f of an observation x, so that the
/// caller can accept or refuse it. [`rank_one_update`](Self::rank_one_update) then changes the factor.
#[derive(Debug, Clone)]
pub(crate) struct Factors {
    layout: PanelLayout,
    arms: Vec<Lanes>,
    scratch: Scratch,
}

impl Factors {
    pub(crate) fn new(dimension: usize) -> Self {
        let layout = PanelLayout::new(dimension);
        let zeros = || vec![Lanes::ZERO; layout.panels];
        let gain = vec![0.0; layout.panels * LANES];
        let scratch = Scratch { f: zeros(), v: zeros(), before: zeros(), gain };
        Self { layout, arms: Vec::new(), scratch }
    }

    pub(crate) fn dimension(&self) -> usize {
        self.layout.dimension
    }

    pub(crate) fn len(&self) -> usize {
        self.arms.len() / self.layout.stride()
    }

    /// Reserves memory for `arms` more arms, so that adding them cannot fail.
    ///
    /// # Errors
    /// Fails if memory cannot be allocated.
    pub(crate) fn reserve(&mut self, arms: usize) -> Result<()> {
        reserve("arms × dimension²", &mut self.arms, arms.checked_mul(self.layout.stride()))
    }

    fn block(&self, slot: usize) -> &[Lanes] {
        &self.arms[slot * self.layout.stride()..][..self.layout.stride()]
    }

    /// Adds an arm with all values zero.
    fn push_zeros(&mut self) {
        self.arms.resize(self.arms.len() + self.layout.stride(), Lanes::ZERO);
    }

    /// Adds an arm with mean zero and covariance `variance`·I.
    pub(crate) fn push(&mut self, variance: f64) {
        self.push_zeros();
        self.reset(self.len() - 1, variance);
    }

    /// Resets an arm to mean zero and covariance `variance`·I.
    pub(crate) fn reset(&mut self, slot: usize, variance: f64) {
        let stride = self.layout.stride();
        self.arms[slot * stride..][..stride].fill(Lanes::ZERO);
        for coordinate in 0..self.dimension() {
            *self.diagonal_mut(slot, coordinate) = variance;
        }
    }

    /// Adds an arm with a copy of the posterior in `slot`.
    pub(crate) fn push_copy(&mut self, slot: usize) {
        self.push_zeros();
        self.copy(slot, self.len() - 1);
    }

    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        let stride = self.layout.stride();
        self.arms.copy_within(from * stride..(from + 1) * stride, to * stride);
    }

    /// Removes the arm in `slot`. The last arm moves to this slot.
    pub(crate) fn swap_remove(&mut self, slot: usize) {
        self.copy(self.len() - 1, slot);
        self.arms.truncate(self.arms.len() - self.layout.stride());
    }

    fn at(&self, slot: usize, panel: usize, row: usize, lane: usize) -> f64 {
        self.arms[slot * self.layout.stride() + self.layout.start(panel) + row].0[lane]
    }

    fn at_mut(&mut self, slot: usize, panel: usize, row: usize, lane: usize) -> &mut f64 {
        &mut self.arms[slot * self.layout.stride() + self.layout.start(panel) + row].0[lane]
    }

    /// Diagonal entry D_j of an arm's covariance factors U·D·Uᵀ.
    pub(super) fn diagonal(&self, slot: usize, coordinate: usize) -> f64 {
        let (panel, lane) = self.layout.locate(coordinate);
        self.at(slot, panel, self.layout.rows(panel), lane)
    }

    pub(super) fn diagonal_mut(&mut self, slot: usize, coordinate: usize) -> &mut f64 {
        let (panel, lane) = self.layout.locate(coordinate);
        self.at_mut(slot, panel, self.layout.rows(panel), lane)
    }

    /// Posterior mean θ_j of one weight of an arm.
    pub(super) fn mean(&self, slot: usize, coordinate: usize) -> f64 {
        let (panel, lane) = self.layout.locate(coordinate);
        self.at(slot, panel, self.layout.rows(panel) + 1, lane)
    }

    pub(super) fn mean_mut(&mut self, slot: usize, coordinate: usize) -> &mut f64 {
        let (panel, lane) = self.layout.locate(coordinate);
        self.at_mut(slot, panel, self.layout.rows(panel) + 1, lane)
    }

    /// Entry U[row, column] of an arm's covariance factors U·D·Uᵀ, for row < column.
    pub(super) fn upper(&self, slot: usize, row: usize, column: usize) -> f64 {
        let (panel, lane) = self.layout.locate(column);
        self.at(slot, panel, self.layout.row(row), lane)
    }

    pub(super) fn upper_mut(&mut self, slot: usize, row: usize, column: usize) -> &mut f64 {
        let (panel, lane) = self.layout.locate(column);
        self.at_mut(slot, panel, self.layout.row(row), lane)
    }

    /// Mean and standard deviation of an arm's expected reward in a context.
    pub(crate) fn score(&self, slot: usize, context: &[f64]) -> Score {
        Arch::new().dispatch(OneArm { layout: self.layout, block: self.block(slot), context })
    }

    /// Folds a function over the scores of several slots, in ascending order of the slots.
    #[inline]
    pub(crate) fn fold<T>(
        &self,
        slots: Slots<'_>,
        context: &[f64],
        first: T,
        mut gather: impl FnMut(T, usize, Score) -> T,
    ) -> T {
        let mut scores = [Score { mean: 0.0, width: 0.0 }; CHUNK];
        let (mut folded, mut next) = (first, slots.next_from(0));
        while let Some(from) = next {
            let count = self.score_from(slots, from, context, &mut scores);
            for score in &scores[..count] {
                let Some(slot) = next else { break };
                folded = gather(folded, slot, *score);
                next = slots.next_from(slot + 1);
            }
        }
        folded
    }

    /// Scores the slots from `from` on, until `scores` is full or no slot is left. Returns the number of computed
    /// scores.
    #[inline(never)]
    fn score_from(&self, slots: Slots<'_>, from: usize, context: &[f64], scores: &mut [Score; CHUNK]) -> usize {
        let (layout, arms) = (self.layout, &self.arms[..]);
        Arch::new().dispatch(ManyArms { layout, arms, slots, from, context, scores })
    }

    /// Computes the mean and width of each slot in each context, shape (contexts, slots), row-major.
    pub(crate) fn score_batch(&self, slots: Slots<'_>, contexts: &[f64], scores: &mut [Score]) {
        let (layout, arms) = (self.layout, &self.arms[..]);
        let rounds = contexts.chunks(ROUND * layout.dimension).zip(scores.chunks_mut(ROUND * slots.count()));
        for (contexts, scores) in rounds {
            Arch::new().dispatch(ScoreBatch { layout, arms, slots, contexts, scores });
        }
    }

    /// Projects an observation x onto the factor U of an arm's covariance U·D·Uᵀ, f = Uᵀx, and returns the mean and
    /// variance of the arm's score. Stores f and v = D·f for [`rank_one_update`](Self::rank_one_update).
    pub(crate) fn project(&mut self, slot: usize, context: &[f64]) -> Moments {
        let layout = self.layout;
        let block = &self.arms[slot * layout.stride()..][..layout.stride()];
        Arch::new().dispatch(Project { layout, block, context, f: &mut self.scratch.f, v: &mut self.scratch.v })
    }

    /// Learns the observation x that was [projected](Self::project) last: P ← (P⁻¹ + weight·xx')⁻¹ and θ ← θ + step·Px,
    /// where P is the covariance before the update.
    ///
    /// A negative `weight` removes an observation. [`check_left`](Self::check_left) must have accepted it.
    pub(crate) fn rank_one_update(&mut self, slot: usize, weight: f64, step: f64) {
        let layout = self.layout;
        let block = &mut self.arms[slot * layout.stride()..][..layout.stride()];
        Arch::new().dispatch(RankOneUpdate { layout, block, scratch: &mut self.scratch, weight, step });
    }

    /// Ratios α_j/α_{−1} = 1 + weight·Σ_{i≤j} D_i f_i² of Bierman's update by the last projected observation, one per
    /// coordinate j. The sums have the order of [`rank_one_update`](Self::rank_one_update).
    fn pivots(&self, weight: f64) -> impl Iterator<Item = f64> + '_ {
        let (mut alpha, first) = (1.0 / weight, 1.0 / weight);
        let projected = self.scratch.f.iter().zip(&self.scratch.v).flat_map(|(f, v)| f.0.into_iter().zip(v.0));
        projected.skip(self.layout.pad).map(move |(f, v)| {
            alpha += f * v;
            alpha / first
        })
    }

    /// Fails if removing the observation that was [projected](Self::project) last would lose too many correct digits.
    /// `weight` is its negative weight.
    ///
    /// The update divides D_j by α_j/α_{j−1}. Every ratio α_j/α_{−1} = 1 + weight·Σ_{i≤j} D_i f_i² must therefore be
    /// positive. The ratios descend with j, and each is computed from rounded sums of positive terms with an error of
    /// about d·ε. At [`LEAST_LEFT`], half the digits of a ratio are correct.
    pub(crate) fn check_left(&self, weight: f64) -> Result<()> {
        let what = "A without the observation";
        let below = |least: f64| self.pivots(weight).enumerate().find(|(_, value)| *value < least);
        match below(LEAST_LEFT) {
            None => Ok(()),
            Some((pivot, value)) => Err(match below(f64::MIN_POSITIVE) {
                Some((pivot, value)) => Error::NotPositiveDefinite { what, pivot, value },
                None => Error::LostDigits { what, pivot, value, least: LEAST_LEFT },
            }),
        }
    }

    /// Largest |f_j| of the projection f = Uᵀx of the last observation x. Its product with the observation's weight
    /// must be finite.
    pub(crate) fn largest_projected(&self) -> f64 {
        let mut largest = [0.0f64; LANES];
        for row in &self.scratch.f {
            for (largest, value) in largest.iter_mut().zip(row.0) {
                let size = value.abs();
                *largest = if size > *largest { size } else { *largest };
            }
        }
        largest.into_iter().fold(0.0, f64::max)
    }

    /// Entry `coordinate` of Px, where x is the last learned observation and P the covariance before its
    /// [`rank_one_update`](Self::rank_one_update).
    pub(crate) fn gain(&self, coordinate: usize) -> f64 {
        self.scratch.gain[coordinate + self.layout.pad]
    }

    /// Multiplies by `factor` both the arm's covariance and v = D·f of the last projected observation.
    pub(crate) fn scale_projected(&mut self, slot: usize, factor: f64) {
        for coordinate in 0..self.dimension() {
            *self.diagonal_mut(slot, coordinate) *= factor;
        }
        self.scratch.v.iter_mut().flat_map(|row| &mut row.0).for_each(|value| *value *= factor);
    }

    /// Largest posterior variance among an arm's weights, max_i Σ_j U_ij² D_j, in O(d²).
    pub(crate) fn largest_variance(&self, slot: usize) -> f64 {
        let dimension = self.dimension();
        let of = |row: usize| {
            let above = (row + 1..dimension)
                .map(|column| self.upper(slot, row, column).powi(2) * self.diagonal(slot, column))
                .sum::<f64>();
            self.diagonal(slot, row) + above
        };
        (0..dimension).map(of).fold(0.0, f64::max)
    }

    /// Writes θ + U·√D·z·scale of one arm to `out`. The result is a random draw from the posterior if `normal` draws
    /// the standard normal numbers z.
    pub(crate) fn draw(&self, slot: usize, scale: f64, mut normal: impl FnMut() -> f64, out: &mut [f64]) {
        for (coordinate, value) in out.iter_mut().enumerate() {
            *value = self.mean(slot, coordinate);
        }
        for column in 0..self.dimension() {
            let y = scale * self.diagonal(slot, column).sqrt() * normal();
            for (row, value) in out[..column].iter_mut().enumerate() {
                *value += self.upper(slot, row, column) * y;
            }
            out[column] += y;
        }
    }

    /// Writes g = scale·√D·Uᵀx of one arm to `out`. For standard normal numbers z, a posterior [`draw`](Self::draw)
    /// gives the context x the score mean + g·z.
    pub(crate) fn deviations(&self, slot: usize, scale: f64, context: &[f64], out: &mut [f64]) {
        for (column, value) in out.iter_mut().enumerate() {
            let above = context[..column].iter().enumerate().map(|(row, x)| self.upper(slot, row, column) * x);
            *value = scale * self.diagonal(slot, column).sqrt() * (context[column] + above.sum::<f64>());
        }
    }
}
