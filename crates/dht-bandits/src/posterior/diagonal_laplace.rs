//! Bayesian logistic regressions, one per arm, under a Laplace approximation with a diagonal precision.

use super::Posterior;
use super::logistic::{curvature, mode_step};
use super::newton::{Problem, Workspace};
use crate::error::{Error, Result, check_parameter, check_scalar};
use crate::gaussian::{LANES, Lanes, Layout, Natural, Score, load, multiply, multiply_add, splat, sum, with_registers};
use crate::posterior::sealed::Sealed;
use crate::slots::Slots;
use crate::validate::{
    LARGEST_PRECISION, check_bounded, check_context, check_length, check_mean, check_part, check_precision,
    check_precisions,
};
use pulp::{Arch, Simd, WithSimd};
use serde::{Deserialize, Serialize};

/// Where a logistic posterior starts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum TsPrior {
    /// N(0, 1/λ) for each weight.
    Gaussian {
        /// The prior precision λ > 0.
        precision: f64,
    },
    /// The prior that the paper prints: mean 1 and precision 0 for each weight.
    ///
    /// A precision of 0 is improper (an infinite variance), so a floor takes its place. The mean of ones prefers
    /// whatever has large features; both are why this is not the default.
    AsPrinted {
        /// The precision that stands for 0.
        precision_floor: f64,
    },
}

impl TsPrior {
    pub(crate) fn mean(self) -> f64 {
        match self {
            Self::Gaussian { .. } => 0.0,
            Self::AsPrinted { .. } => 1.0,
        }
    }

    pub(crate) fn precision(self) -> f64 {
        match self {
            Self::Gaussian { precision } => precision,
            Self::AsPrinted { precision_floor } => precision_floor,
        }
    }
}

/// The settings of a [`DiagonalLaplace`] posterior.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiagonalLaplaceOptions {
    /// The prior.
    pub prior: TsPrior,
    /// How much the belief so far counts when a batch arrives, in (0, 1]; 1 (the default) forgets nothing.
    ///
    /// With [`TsPrior::Gaussian`] the posterior fades toward the prior: s ← strength·s + (1 − strength)·λ and the mean
    /// accordingly. With [`TsPrior::AsPrinted`] it is the print's λ: a factor on the prior term of the objective, and
    /// nothing else.
    pub strength: f64,
}

impl Default for DiagonalLaplaceOptions {
    fn default() -> Self {
        Self { prior: TsPrior::Gaussian { precision: 1.0 }, strength: 1.0 }
    }
}

/// Logistic regressions P(r = 1) = σ(p'x) with p ~ N(g, diag(s)⁻¹), one per arm.
///
/// An update moves g to the mode and adds the curvature there to the diagonal (Chapelle & Li 2011, Algorithm 3):
///
/// g ← argmin ½ Σ_j s_j (p_j − g_j)² + Σ_i w_i (ln(1 + e^{p'x_i}) − r_i p'x_i);  s_j ← s_j + Σ_i w_i σ(1 − σ) x_ij².
///
/// O(d) a score and an update. The diagonal knows nothing of correlated features: normalise contexts first
/// ([`Normalizer`](crate::Normalizer)), or use [`FullLaplace`](crate::FullLaplace). Means and widths are log-odds.
#[derive(Debug, Clone)]
pub struct DiagonalLaplace {
    options: DiagonalLaplaceOptions,
    layout: Layout,
    // For each arm `panels` rows of means, then of precisions, then of their inverses.
    arms: Vec<Lanes>,
    batch: Batch,
}

/// Where a batch is learned: used again.
#[derive(Debug, Clone, Default)]
struct Batch {
    means: Vec<f64>,
    precisions: Vec<f64>,
    pulls: Vec<f64>,
    newton: Workspace,
}

/// The learned state of one arm's [`DiagonalLaplace`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiagonalArmState {
    /// g.
    pub mean: Vec<f64>,
    /// s.
    pub precision: Vec<f64>,
}

pub(crate) fn check_unit_reward(reward: f64) -> Result<()> {
    check_scalar("reward", reward)?;
    if (0.0..=1.0).contains(&reward) { Ok(()) } else { Err(Error::Reward { reward, low: 0.0, high: 1.0 }) }
}

impl DiagonalLaplace {
    fn stride(&self) -> usize {
        3 * self.layout.panels
    }

    fn len(&self) -> usize {
        self.arms.len() / self.stride()
    }

    fn block(&self, slot: usize) -> &[Lanes] {
        &self.arms[slot * self.stride()..][..self.stride()]
    }

    /// The means (part 0) or precisions (part 1) of an arm.
    fn part(&self, slot: usize, part: usize) -> impl Iterator<Item = f64> + '_ {
        let block = &self.block(slot)[part * self.layout.panels..];
        (0..self.layout.dimension).map(move |coordinate| {
            let (panel, lane) = self.layout.place(coordinate);
            block[panel].0[lane]
        })
    }

    fn mean_and_precision(&self, slot: usize) -> (Vec<f64>, Vec<f64>) {
        (self.part(slot, 0).collect(), self.part(slot, 1).collect())
    }

    fn learn_batch(
        &mut self,
        slot: usize,
        contexts: &[f64],
        rewards: &[f64],
        weights: &[f64],
        batch: &mut Batch,
    ) -> Result<()> {
        check_context(contexts)?;
        let Batch { means, precisions, pulls, newton } = batch;
        [&mut *means, precisions, pulls].into_iter().for_each(Vec::clear);
        for (mean, precision) in self.part(slot, 0).zip(self.part(slot, 1)) {
            let (mean, precision) = self.faded(mean, precision);
            means.push(mean);
            precisions.push(precision);
            pulls.push(precision * self.pull());
        }
        Problem { mean: means, precision: pulls, contexts, rewards, weights }.solve(newton)?;
        let mode = &newton.point;
        let dimension = self.layout.dimension;
        for (context, &weight) in contexts.chunks_exact(dimension).zip(weights) {
            let log_odds: f64 = context.iter().zip(mode).map(|(value, weight)| value * weight).sum();
            let added = weight * curvature(log_odds);
            for (precision, value) in precisions.iter_mut().zip(context) {
                *precision += added * value * value;
            }
        }
        check_mean(0, mode)?;
        check_precisions(0, precisions)?;
        for coordinate in 0..dimension {
            self.set(slot, coordinate, mode[coordinate], precisions[coordinate]);
        }
        Ok(())
    }

    fn set(&mut self, slot: usize, coordinate: usize, mean: f64, precision: f64) {
        let (panel, lane) = self.layout.place(coordinate);
        let (panels, stride) = (self.layout.panels, self.stride());
        let block = &mut self.arms[slot * stride..][..stride];
        block[panel].0[lane] = mean;
        block[panels + panel].0[lane] = precision;
        block[2 * panels + panel].0[lane] = 1.0 / precision;
    }

    /// The belief that counts as prior for the next batch: faded toward the very first one.
    fn faded(&self, mean: f64, precision: f64) -> (f64, f64) {
        let strength = self.options.strength;
        match self.options.prior {
            TsPrior::Gaussian { precision: prior } if strength < 1.0 => {
                let total = strength * precision + (1.0 - strength) * prior;
                (strength * precision * mean / total, total)
            }
            _ => (mean, precision),
        }
    }

    /// The factor on the prior term of the objective, which only the print has.
    fn pull(&self) -> f64 {
        match self.options.prior {
            TsPrior::Gaussian { .. } => 1.0,
            TsPrior::AsPrinted { .. } => self.options.strength,
        }
    }
}

impl Sealed for DiagonalLaplace {}

impl Posterior for DiagonalLaplace {
    type Options = DiagonalLaplaceOptions;
    type ArmState = DiagonalArmState;

    const NAME: &'static str = "diagonal-laplace";

    fn empty(dimension: usize, options: &DiagonalLaplaceOptions) -> Result<Self> {
        check_length("dimension", dimension)?;
        check_precision("prior precision", options.prior.precision())?;
        let strength = options.strength;
        check_parameter("strength", strength, strength > 0.0 && strength <= 1.0, "in (0, 1]")?;
        Ok(Self { options: *options, layout: Layout::new(dimension), arms: Vec::new(), batch: Batch::default() })
    }

    fn options(&self) -> &DiagonalLaplaceOptions {
        &self.options
    }

    fn dimension(&self) -> usize {
        self.layout.dimension
    }

    fn push_prior(&mut self) {
        self.arms.resize(self.arms.len() + self.stride(), Lanes::ZERO);
        let (slot, prior) = (self.len() - 1, self.options.prior);
        for coordinate in 0..self.layout.dimension {
            self.set(slot, coordinate, prior.mean(), prior.precision());
        }
    }

    fn push_copy(&mut self, slot: usize) {
        let stride = self.stride();
        self.arms.extend_from_within(slot * stride..(slot + 1) * stride);
    }

    fn copy(&mut self, from: usize, to: usize) {
        let stride = self.stride();
        self.arms.copy_within(from * stride..(from + 1) * stride, to * stride);
    }

    fn swap_remove(&mut self, slot: usize) {
        self.copy(self.len() - 1, slot);
        self.arms.truncate(self.arms.len() - self.stride());
    }

    fn score(&self, slot: usize, context: &[f64]) -> Score {
        Arch::new().dispatch(OneScore { layout: self.layout, block: self.block(slot), context })
    }

    fn fold<T>(&self, slots: Slots<'_>, context: &[f64], first: T, gather: impl FnMut(T, usize, Score) -> T) -> T {
        Arch::new().dispatch(ManyScores { layout: self.layout, arms: &self.arms, slots, context, first, gather })
    }

    fn check_reward(&self, reward: f64) -> Result<()> {
        check_unit_reward(reward)
    }

    fn update(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        if self.options.strength < 1.0 {
            return self.update_batch(slot, context, &[reward], &[weight]);
        }
        check_context(context)?;
        let seen = self.score(slot, context);
        let variance = seen.width * seen.width;
        check_bounded("mean", seen.mean)?;
        check_bounded("variance", variance)?;
        check_bounded("weight times variance", weight * variance)?;
        let step = mode_step(seen.mean, variance, reward, weight);
        let added = weight * curvature(seen.mean + step * variance);
        let (panels, stride, layout) = (self.layout.panels, self.stride(), self.layout);
        let (means, rest) = self.arms[slot * stride..][..stride].split_at_mut(panels);
        let (precisions, inverses) = rest.split_at_mut(panels);
        for panel in 0..panels {
            let columns = layout.columns(context, panel);
            // Phantom columns hold a precision of zero; they are left as they are.
            let from = if panel == 0 { layout.pad } else { 0 };
            for lane in from..LANES {
                let value = columns.0[lane];
                means[panel].0[lane] += step * value * inverses[panel].0[lane];
                // Larger precisions would not load again.
                precisions[panel].0[lane] = (precisions[panel].0[lane] + added * value * value).min(LARGEST_PRECISION);
                inverses[panel].0[lane] = 1.0 / precisions[panel].0[lane];
            }
        }
        Ok(())
    }

    fn update_batch(&mut self, slot: usize, contexts: &[f64], rewards: &[f64], weights: &[f64]) -> Result<()> {
        if let ([reward], [weight], true) = (rewards, weights, self.options.strength == 1.0) {
            return self.update(slot, contexts, *reward, *weight);
        }
        // Out of self for a while, so that it can be written to while self is read.
        let mut batch = std::mem::take(&mut self.batch);
        let outcome = self.learn_batch(slot, contexts, rewards, weights, &mut batch);
        self.batch = batch;
        outcome
    }

    fn draw(&self, slot: usize, scale: f64, normal: &mut dyn FnMut() -> f64, out: &mut [f64]) {
        let block = self.block(slot);
        for (coordinate, value) in out.iter_mut().enumerate() {
            let (panel, lane) = self.layout.place(coordinate);
            let deviation = block[2 * self.layout.panels + panel].0[lane].sqrt();
            *value = block[panel].0[lane] + scale * deviation * normal();
        }
    }

    fn arm_state(&self, slot: usize) -> DiagonalArmState {
        let (mean, precision) = self.mean_and_precision(slot);
        DiagonalArmState { mean, precision }
    }

    fn check_sums(&self) -> Result<()> {
        let strength = self.options.strength;
        check_parameter("strength", strength, strength == 1.0, "1 where evidence is to be added")
    }

    fn natural(&self, slot: usize) -> Natural {
        let (mean, precision) = self.mean_and_precision(slot);
        let moment = mean.iter().zip(&precision).map(|(mean, precision)| mean * precision).collect();
        Natural { precision, moment, updates: 0 }
    }

    fn prior_natural(&self) -> Natural {
        let prior = self.options.prior;
        let repeat = |value| vec![value; self.layout.dimension];
        Natural { precision: repeat(prior.precision()), moment: repeat(prior.mean() * prior.precision()), updates: 0 }
    }

    fn state_of(&self, natural: &Natural) -> Result<DiagonalArmState> {
        if let Some(pivot) = natural.precision.iter().position(|value| !(*value > 0.0 && value.is_finite())) {
            let value = natural.precision[pivot];
            return Err(Error::NotPositiveDefinite { what: "precision", pivot, value });
        }
        let mean = natural.moment.iter().zip(&natural.precision).map(|(moment, precision)| moment / precision);
        let mean: Vec<_> = mean.collect();
        check_mean(0, &mean)?;
        check_precisions(0, &natural.precision)?;
        Ok(DiagonalArmState { mean, precision: natural.precision.clone() })
    }

    fn replace(&mut self, slot: usize, state: &DiagonalArmState) {
        for (coordinate, (&mean, &precision)) in state.mean.iter().zip(&state.precision).enumerate() {
            self.set(slot, coordinate, mean, precision);
        }
    }

    fn push_state(&mut self, index: usize, state: &DiagonalArmState) -> Result<()> {
        check_part("mean of arm", index, &state.mean, self.layout.dimension, false)?;
        check_part("precision of arm", index, &state.precision, self.layout.dimension, true)?;
        check_mean(index, &state.mean)?;
        check_precisions(index, &state.precision)?;
        self.push_prior();
        self.replace(self.len() - 1, state);
        Ok(())
    }
}

struct OneScore<'a> {
    layout: Layout,
    block: &'a [Lanes],
    context: &'a [f64],
}

impl WithSimd for OneScore<'_> {
    type Output = Score;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Score {
        with_registers!(S, score(simd, self.layout, self.block, self.context))
    }
}

struct ManyScores<'a, T, F> {
    layout: Layout,
    arms: &'a [Lanes],
    slots: Slots<'a>,
    context: &'a [f64],
    first: T,
    gather: F,
}

impl<T, F: FnMut(T, usize, Score) -> T> WithSimd for ManyScores<'_, T, F> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> T {
        let stride = 3 * self.layout.panels;
        let (mut gathered, mut next) = (self.first, 0);
        while let Some(slot) = self.slots.next_from(next) {
            let block = &self.arms[slot * stride..][..stride];
            let score = with_registers!(S, score(simd, self.layout, block, self.context));
            gathered = (self.gather)(gathered, slot, score);
            next = slot + 1;
        }
        gathered
    }
}

/// Σ g_j x_j and √Σ x_j²/s_j, summed in the same order at every vector width.
#[inline(always)]
fn score<S: Simd, const N: usize>(simd: S, layout: Layout, block: &[Lanes], context: &[f64]) -> Score {
    let panels = layout.panels;
    let (means, rest) = block.split_at(panels);
    let inverses = &rest[panels..];
    let mut mean = splat::<S, N>(simd, 0.0);
    let mut variance = mean;
    for panel in 0..panels {
        let columns = layout.columns(context, panel);
        let value = load::<S, N>(simd, &columns.0);
        mean = multiply_add(simd, load(simd, &means[panel].0), value, mean);
        variance = multiply_add(simd, multiply(simd, load(simd, &inverses[panel].0), value), value, variance);
    }
    Score { mean: sum(simd, mean), width: sum(simd, variance).sqrt() }
}
