//! Bayesian logistic regressions, one per arm, under a Laplace approximation with a diagonal precision.

use pulp::Arch;
use serde::{Deserialize, Serialize};

use super::beliefs::{Beliefs, posterior};
use super::diagonal_kernel::{ManyScores, OneScore};
use super::dual_newton::{DualProblem, DualWorkspace, is_worth_it};
use super::logistic::{check_unit_reward, curvature, mode_step, sigmoid};
use super::newton::{Problem, Workspace};
use crate::arm_set::Slots;
use crate::clock::{check_decay, read_decay};
use crate::error::{Error, Result};
use crate::gaussian::{LANES, Lanes, NaturalParameters, PanelLayout, Score};
use crate::options::options;
use crate::validate::{
    LARGEST_PRECISION, check_bounded, check_context, check_length, check_mean, check_parameter, check_part,
    check_precision, check_precisions, reserve,
};

/// Logistic regressions P(r = 1) = σ(p'x), one per arm, with independent Gaussian weights p ~ N(g, diag(s)⁻¹).
///
/// An update moves g to the mode of the posterior and adds the curvature at the mode to the diagonal s (Chapelle & Li
/// 2011, Algorithm 3). For contexts x_i with rewards r_i and weights w_i:
///
/// g ← argmin (λ/2) Σ_j s_j (p_j − g_j)² + Σ_i w_i (ln(1 + e^{p'x_i}) − r_i p'x_i); s_j ← s_j + Σ_i w_i σ(1 − σ) x_ij².
///
/// λ is the [prior weight](DiagonalLaplace::prior_weight), 1 unless it is set.
///
/// A score and an update cost O(d). The diagonal ignores correlations of features. Normalise contexts first
/// ([`Normalizer`](crate::Normalizer)), or use [`FullLaplace`](crate::posterior::FullLaplace). Means and widths are
/// log-odds.
///
/// ```
/// use dht_bandits::posterior::DiagonalLaplace;
/// use dht_bandits::{ArmId, Policy, Thompson, policy::Disjoint};
///
/// let (options, rule) = (DiagonalLaplace::default().with_prior_precision(0.5), Thompson { alpha: 1.0 });
/// let mut policy = Disjoint::<DiagonalLaplace, _>::new(2, 1, options, rule)?;
/// let before = policy.score(ArmId::new(0), &[1.0, 0.0])?;
/// policy.update(ArmId::new(0), &[1.0, 0.0], 1.0, 1.0)?;
/// let after = policy.score(ArmId::new(0), &[1.0, 0.0])?;
/// assert!(after.mean > before.mean && after.width < before.width);
/// // The other feature has learned nothing.
/// assert_eq!(policy.score(ArmId::new(0), &[0.0, 1.0])?.mean, 0.0);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DiagonalLaplace {
    /// Prior mean of each weight. The algorithm of Chapelle & Li (2011) uses a mean of 1, which prefers arms with large
    /// features.
    pub prior_mean: f64,
    /// Prior precision of each weight, positive. Chapelle & Li (2011) use 0, which is improper (an infinite variance).
    pub prior_precision: f64,
    /// Decay γ of an arm's evidence, applied once for each batch that the arm learns. The posterior decays toward the
    /// prior: its precision s becomes γs + (1 − γ)s₀, where s₀ is the precision of the prior, and its mean moves
    /// accordingly.
    #[serde(alias = "strength", deserialize_with = "read_decay")]
    pub decay: f64,
    /// Factor λ > 0 on the prior term (λ/2) Σ_j s_j (p_j − g_j)² that an update minimises. It does not change the
    /// precisions s. A factor of 1 gives Bayes' rule. With a factor above 1, a batch of rewards moves the mean g less,
    /// and with a factor below 1 more.
    #[serde(default = "one")]
    pub prior_weight: f64,
}

fn one() -> f64 {
    1.0
}

options!(DiagonalLaplace::new() {
    prior_mean / with_prior_mean: f64 = 0.0,
    prior_precision / with_prior_precision: f64 = 1.0,
    decay / with_decay: f64 = 1.0,
    prior_weight / with_prior_weight: f64 = 1.0,
});

/// Learned beliefs of [`DiagonalLaplace`].
#[derive(Debug, Clone)]
pub struct DiagonalLaplaceBeliefs {
    options: DiagonalLaplace,
    layout: PanelLayout,
    // Each arm has `panels` rows of means, then of precisions, then of their inverses.
    arms: Vec<Lanes>,
    workspace: BatchWorkspace,
}

/// Buffers that are reused from batch to batch.
#[derive(Debug, Clone, Default)]
struct BatchWorkspace {
    means: Vec<f64>,
    precisions: Vec<f64>,
    scaled_precisions: Vec<f64>,
    newton: Workspace,
    dual: DualWorkspace,
    mode: Vec<f64>,
}

/// Learned state of one arm of [`DiagonalLaplace`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiagonalArmState {
    /// Posterior mean g of each weight.
    pub mean: Vec<f64>,
    /// Posterior precision s of each weight.
    pub precision: Vec<f64>,
}

impl DiagonalLaplaceBeliefs {
    fn stride(&self) -> usize {
        3 * self.layout.panels
    }

    fn len(&self) -> usize {
        self.arms.len() / self.stride()
    }

    fn block(&self, slot: usize) -> &[Lanes] {
        &self.arms[slot * self.stride()..][..self.stride()]
    }

    /// Means (for `part` 0) or precisions (for `part` 1) of an arm's weights.
    fn part(&self, slot: usize, part: usize) -> impl Iterator<Item = f64> + '_ {
        let block = &self.block(slot)[part * self.layout.panels..];
        (0..self.layout.dimension).map(move |coordinate| {
            let (panel, lane) = self.layout.locate(coordinate);
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
        workspace: &mut BatchWorkspace,
    ) -> Result<()> {
        check_context(contexts)?;
        let BatchWorkspace { means, precisions, scaled_precisions, newton, dual, mode } = workspace;
        [&mut *means, precisions, scaled_precisions].into_iter().for_each(Vec::clear);
        for (mean, precision) in self.part(slot, 0).zip(self.part(slot, 1)) {
            let (mean, precision) = self.decayed(mean, precision);
            means.push(mean);
            precisions.push(precision);
            scaled_precisions.push(precision * self.options.prior_weight);
        }
        let dimension = self.layout.dimension;
        let (mean, precision) = (&means[..], &scaled_precisions[..]);
        if is_worth_it(rewards.len(), dimension) {
            DualProblem { mean, precision, contexts, rewards, weights }.solve(dual, mode)?;
        } else {
            Problem { mean, precision, contexts, rewards, weights }.solve(newton)?;
            mode.clear();
            mode.extend_from_slice(&newton.point);
        }
        for (context, &weight) in contexts.chunks_exact(dimension).zip(weights) {
            let log_odds: f64 = context.iter().zip(&*mode).map(|(value, weight)| value * weight).sum();
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
        let (panel, lane) = self.layout.locate(coordinate);
        let (panels, stride) = (self.layout.panels, self.stride());
        let block = &mut self.arms[slot * stride..][..stride];
        block[panel].0[lane] = mean;
        block[panels + panel].0[lane] = precision;
        block[2 * panels + panel].0[lane] = 1.0 / precision;
    }

    /// Decays the mean and precision of a weight toward the original prior. The result is the prior of the next batch.
    fn decayed(&self, mean: f64, precision: f64) -> (f64, f64) {
        let DiagonalLaplace { decay, prior_mean, prior_precision, .. } = self.options;
        if decay == 1.0 {
            return (mean, precision);
        }
        let total = decay * precision + (1.0 - decay) * prior_precision;
        let moment = decay * precision * mean + (1.0 - decay) * prior_precision * prior_mean;
        (moment / total, total)
    }

    /// Returns whether the evidence does not decay and the prior has the weight 1. Updates then need no general
    /// minimisation.
    fn is_plain(&self) -> bool {
        self.options.decay == 1.0 && self.options.prior_weight == 1.0
    }
}

posterior!(DiagonalLaplace, "diagonal-laplace", DiagonalLaplaceBeliefs);

impl Beliefs for DiagonalLaplaceBeliefs {
    type Options = DiagonalLaplace;
    type ArmState = DiagonalArmState;

    fn empty(dimension: usize, options: &DiagonalLaplace) -> Result<Self> {
        check_length("dimension", dimension)?;
        check_bounded("prior_mean", options.prior_mean)?;
        check_precision("prior_precision", options.prior_precision)?;
        check_decay(options.decay)?;
        check_precision("prior_weight", options.prior_weight)?;
        Ok(Self {
            options: *options,
            layout: PanelLayout::new(dimension),
            arms: Vec::new(),
            workspace: BatchWorkspace::default(),
        })
    }

    fn options(&self) -> &DiagonalLaplace {
        &self.options
    }

    fn dimension(&self) -> usize {
        self.layout.dimension
    }

    fn reserve(&mut self, arms: usize) -> Result<()> {
        let more = arms.checked_mul(self.stride());
        reserve("arms × dimension", &mut self.arms, more)
    }

    fn push_prior(&mut self) {
        self.arms.resize(self.arms.len() + self.stride(), Lanes::ZERO);
        self.reset(self.len() - 1);
    }

    fn reset(&mut self, slot: usize) {
        let DiagonalLaplace { prior_mean, prior_precision, .. } = self.options;
        for coordinate in 0..self.layout.dimension {
            self.set(slot, coordinate, prior_mean, prior_precision);
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

    fn expected_reward(&self, mean: f64) -> f64 {
        sigmoid(mean)
    }

    fn check_reward(&self, reward: f64) -> Result<()> {
        check_unit_reward(reward)
    }

    fn update(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        if !self.is_plain() {
            return self.update_batch(slot, context, &[reward], &[weight]);
        }
        check_context(context)?;
        let score = self.score(slot, context);
        let variance = score.width * score.width;
        check_bounded("mean", score.mean)?;
        check_bounded("variance", variance)?;
        check_bounded("weight times variance", weight * variance)?;
        let step = mode_step(score.mean, variance, reward, weight);
        let added = weight * curvature(score.mean + step * variance);
        let (panels, stride, layout) = (self.layout.panels, self.stride(), self.layout);
        let (means, rest) = self.arms[slot * stride..][..stride].split_at_mut(panels);
        let (precisions, inverses) = rest.split_at_mut(panels);
        for panel in 0..panels {
            let columns = layout.columns(context, panel);
            // Phantom columns have a precision of zero, and do not change.
            let from = if panel == 0 { layout.pad } else { 0 };
            for lane in from..LANES {
                let value = columns.0[lane];
                means[panel].0[lane] += step * value * inverses[panel].0[lane];
                // Larger precisions could not be loaded again.
                precisions[panel].0[lane] = (precisions[panel].0[lane] + added * value * value).min(LARGEST_PRECISION);
                inverses[panel].0[lane] = 1.0 / precisions[panel].0[lane];
            }
        }
        Ok(())
    }

    fn update_batch(&mut self, slot: usize, contexts: &[f64], rewards: &[f64], weights: &[f64]) -> Result<()> {
        if let ([reward], [weight], true) = (rewards, weights, self.is_plain()) {
            return self.update(slot, contexts, *reward, *weight);
        }
        // The workspace is moved out of `self`, so that it can be written to while `self` is read.
        let mut workspace = std::mem::take(&mut self.workspace);
        let outcome = self.learn_batch(slot, contexts, rewards, weights, &mut workspace);
        self.workspace = workspace;
        outcome
    }

    fn draw(&self, slot: usize, scale: f64, normal: &mut dyn FnMut() -> f64, out: &mut [f64]) {
        let block = self.block(slot);
        for (coordinate, value) in out.iter_mut().enumerate() {
            let (panel, lane) = self.layout.locate(coordinate);
            let deviation = block[2 * self.layout.panels + panel].0[lane].sqrt();
            *value = block[panel].0[lane] + scale * deviation * normal();
        }
    }

    fn deviations(&self, slot: usize, scale: f64, context: &[f64], out: &mut [f64]) {
        let block = self.block(slot);
        for (coordinate, (value, x)) in out.iter_mut().zip(context).enumerate() {
            let (panel, lane) = self.layout.locate(coordinate);
            *value = scale * block[2 * self.layout.panels + panel].0[lane].sqrt() * x;
        }
    }

    fn arm_state(&self, slot: usize) -> DiagonalArmState {
        let (mean, precision) = self.mean_and_precision(slot);
        DiagonalArmState { mean, precision }
    }

    fn check_sums(&self) -> Result<()> {
        let decay = self.options.decay;
        check_parameter("decay", decay, decay == 1.0, "1 where evidence is added")?;
        let weight = self.options.prior_weight;
        check_parameter("prior_weight", weight, weight == 1.0, "1 where evidence is added")
    }

    fn natural_parameters(&self, slot: usize) -> NaturalParameters {
        let (mean, precision) = self.mean_and_precision(slot);
        let moment = mean.iter().zip(&precision).map(|(mean, precision)| mean * precision).collect();
        NaturalParameters { precision, moment, updates: 0 }
    }

    fn prior_parameters(&self) -> NaturalParameters {
        let DiagonalLaplace { prior_mean, prior_precision, .. } = self.options;
        let repeat = |value| vec![value; self.layout.dimension];
        NaturalParameters {
            precision: repeat(prior_precision),
            moment: repeat(prior_mean * prior_precision),
            updates: 0,
        }
    }

    fn state_with(&self, parameters: &NaturalParameters) -> Result<DiagonalArmState> {
        if let Some(pivot) = parameters.precision.iter().position(|value| !(*value > 0.0 && value.is_finite())) {
            let value = parameters.precision[pivot];
            return Err(Error::NotPositiveDefinite { what: "precision", pivot, value });
        }
        let mean = parameters.moment.iter().zip(&parameters.precision).map(|(moment, precision)| moment / precision);
        let mean: Vec<_> = mean.collect();
        check_mean(0, &mean)?;
        check_precisions(0, &parameters.precision)?;
        Ok(DiagonalArmState { mean, precision: parameters.precision.clone() })
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
        self.reserve(1)?;
        self.push_prior();
        self.replace(self.len() - 1, state);
        Ok(())
    }
}
