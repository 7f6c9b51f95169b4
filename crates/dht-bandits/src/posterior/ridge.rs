//! Ridge regression for each arm: the Gaussian posterior of LinUCB and linear Thompson sampling.

use serde::{Deserialize, Serialize};

use super::beliefs::{Beliefs, posterior, scored_by_factors};
use crate::arm_set::Slots;
use crate::clock::{add_counts, check_saved_count};
use crate::clock::{check_decay, read_decay};
use crate::error::{Error, Result};
use crate::gaussian::{
    FactoredGaussian, Factors, Information, InformationState, NaturalParameters, Score, check_dimension,
    information_of, parts_of,
};
use crate::options::options;
use crate::validate::{
    LARGEST, check_bounded, check_context, check_factor, check_grown, check_memory, check_parameter, check_precision,
    check_scalar, reserve,
};

/// Ridge regressions, one per arm, for contexts x with rewards r and weights w: A = λI + Σ w xx', b = Σ w r x, θ =
/// A⁻¹b, width² = x'A⁻¹x.
///
/// A⁻¹ is stored as U·D·Uᵀ, so that scores and updates cost O(d²) and rounding cannot make the variance negative. The
/// noise of rewards is assumed to have a standard deviation of about 1. If it does not, scale the exploration factor α
/// or the rewards.
///
/// ```
/// use dht_bandits::{ArmId, LinUcb, Policy, Ridge, Ucb};
///
/// let mut policy = LinUcb::new(2, 2, Ridge::new(1.0), Ucb { alpha: 1.0 })?;
/// policy.update(ArmId::new(0), &[1.0, 0.0], 1.0, 1.0)?;
/// // A = λI + xx' has the entry 2 for the first feature: θ'x = 1/2 and x'A⁻¹x = 1/2.
/// let score = policy.score(ArmId::new(0), &[1.0, 0.0])?;
/// assert!((score.mean - 0.5).abs() < 1e-12);
/// assert!((score.width - 0.5_f64.sqrt()).abs() < 1e-12);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Ridge {
    /// Prior precision λ > 0 of each weight. The precision matrix A starts at λI, and the covariance A⁻¹ at I/λ.
    #[serde(alias = "lambda")]
    pub prior_precision: f64,
    /// Decay γ of an arm's evidence at each update of this arm.
    ///
    /// The precision A becomes γA + (1 − γ)λI, and the moment b becomes γb: the prior is not forgotten. To keep the
    /// update O(d²), each update restores only one coordinate of the prior, in turn, by (1 − γ^d)λ. The smallest
    /// remaining part of the prior, λγ^d, must be at least 1e-100, or widths would overflow.
    #[serde(alias = "discount", alias = "forgetting", deserialize_with = "read_decay")]
    pub decay: f64,
    /// Stores the precision A and the moment b in addition to the factored covariance A⁻¹. This takes d(d+1)/2 + d more
    /// values per arm. Merging, comparing and [`forget`](crate::policy::Disjoint::forget) then need not recompute A and
    /// b, which would lose digits. Each update costs more memory traffic.
    pub keep_information: bool,
}

options!(Ridge::new(prior_precision / with_prior_precision: f64 = 1.0) {
    decay / with_decay: f64 = 1.0,
    keep_information / with_keep_information: bool = false,
});

/// Learned beliefs of [`Ridge`].
#[derive(Debug, Clone)]
pub struct RidgeBeliefs {
    options: Ridge,
    pub(super) factors: Factors,
    pub(super) updates: Vec<u64>,
    pub(super) information: Option<Vec<Information>>,
    unit: Vec<f64>,
}

/// Learned state of one arm of [`Ridge`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RidgeArmState {
    /// Posterior mean θ of the weights.
    pub mean: Vec<f64>,
    /// Diagonal D of the covariance A⁻¹ = U·D·Uᵀ.
    pub diagonal: Vec<f64>,
    /// Part of U above its unit diagonal, column by column, where the covariance is A⁻¹ = U·D·Uᵀ.
    pub upper: Vec<f64>,
    /// Number of updates of the arm.
    pub updates: u64,
    /// Precision A and moment b, if [`Ridge::keep_information`] is set.
    pub information: Option<InformationState>,
}

impl RidgeBeliefs {
    /// Removes an observation from an arm's evidence. After an error, for example if the result would be too large to
    /// be loaded again, nothing changes.
    pub(crate) fn unlearn(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        // Widths grow, and only the whole factor shows by how much. A copy after the last arm is therefore updated first.
        let copy = self.updates.len();
        self.reserve(1)?;
        self.push_copy(slot);
        let outcome = self.learn_weighted(copy, context, reward, -weight).and_then(|()| {
            let FactoredGaussian { mean, diagonal, upper } = self.factors.parts(copy);
            check_grown(&mean, &diagonal, &upper)
        });
        if outcome.is_ok() {
            self.copy(copy, slot);
        }
        self.swap_remove(copy);
        outcome
    }

    /// Learns an observation with a positive weight, or removes it if the weight is negative.
    fn learn_weighted(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        check_context(context)?;
        let projected = self.factors.project(slot, context);
        let decay = self.options.decay;
        let variance = projected.variance / decay;
        let gain = 1.0 + weight * variance;
        let step = weight * (reward - projected.mean) / gain;
        let largest = self.factors.largest_projected();
        check_bounded("mean", projected.mean)?;
        check_bounded("variance", variance)?;
        check_bounded("weight times variance", weight * variance)?;
        check_bounded("factor times context", largest)?;
        check_bounded("weight times factor times context", weight * largest)?;
        if weight < 0.0 {
            self.factors.check_left(weight)?;
        }
        check_bounded("step", step)?;
        check_bounded("variance afterwards", variance / gain)?;
        let updates = add_counts("updates of the arm", self.updates[slot], 1)?;
        let bound = match &self.information {
            Some(information) => information[slot].check_added(context, reward, weight, decay)?,
            None => 0.0,
        };
        if decay < 1.0 {
            self.factors.scale_projected(slot, 1.0 / decay);
        }
        self.factors.rank_one_update(slot, weight, step);
        let dimension = self.factors.dimension();
        let restored = (decay < 1.0).then(|| {
            let coordinate = (self.updates[slot] % dimension as u64) as usize;
            (coordinate, (1.0 - decay.powi(dimension as i32)) * self.options.prior_precision)
        });
        if let Some(information) = &mut self.information {
            let arm = &mut information[slot];
            arm.scale(decay);
            arm.add(context, reward, weight, bound);
            if let Some((coordinate, amount)) = restored {
                arm.add_diagonal(coordinate, amount);
            }
        }
        if let Some((coordinate, amount)) = restored {
            self.unit[coordinate] = 1.0;
            let projected = self.factors.project(slot, &self.unit);
            let step = -amount * projected.mean / (1.0 + amount * projected.variance);
            self.factors.rank_one_update(slot, amount, step);
            self.unit[coordinate] = 0.0;
        }
        self.updates[slot] = updates;
        Ok(())
    }
}

posterior!(Ridge, "ridge", RidgeBeliefs);

impl Beliefs for RidgeBeliefs {
    type Options = Ridge;
    type ArmState = RidgeArmState;

    fn empty(dimension: usize, options: &Ridge) -> Result<Self> {
        check_dimension(dimension)?;
        check_precision("prior_precision", options.prior_precision)?;
        let decay = options.decay;
        check_decay(decay)?;
        let left = options.prior_precision * decay.powi(dimension as i32);
        check_parameter("decay", decay, left >= 1.0 / LARGEST, "so large that prior_precision × decay^d ≥ 1e-100")?;
        let information = options.keep_information.then(Vec::new);
        let (factors, unit) = (Factors::new(dimension), vec![0.0; dimension]);
        Ok(Self { options: *options, factors, updates: Vec::new(), information, unit })
    }

    fn options(&self) -> &Ridge {
        &self.options
    }

    scored_by_factors!();

    fn reserve(&mut self, arms: usize) -> Result<()> {
        if self.information.is_some() {
            let d = self.factors.dimension();
            check_memory("A and b of the arms", arms.checked_mul(d * (d + 1) / 2 + d))?;
        }
        reserve("updates of the arms", &mut self.updates, Some(arms))?;
        self.factors.reserve(arms)
    }

    fn push_prior(&mut self) {
        self.factors.push(1.0 / self.options.prior_precision);
        self.updates.push(0);
        if let Some(information) = &mut self.information {
            information.push(Information::prior(self.factors.dimension(), self.options.prior_precision));
        }
    }

    fn reset(&mut self, slot: usize) {
        let prior_precision = self.options.prior_precision;
        self.factors.reset(slot, 1.0 / prior_precision);
        self.updates[slot] = 0;
        if let Some(information) = &mut self.information {
            information[slot] = Information::prior(self.factors.dimension(), prior_precision);
        }
    }

    fn push_copy(&mut self, slot: usize) {
        self.factors.push_copy(slot);
        self.updates.push(self.updates[slot]);
        if let Some(information) = &mut self.information {
            information.push(information[slot].clone());
        }
    }

    fn copy(&mut self, from: usize, to: usize) {
        self.factors.copy(from, to);
        self.updates[to] = self.updates[from];
        if let Some(information) = &mut self.information {
            information[to] = information[from].clone();
        }
    }

    fn swap_remove(&mut self, slot: usize) {
        self.factors.swap_remove(slot);
        self.updates.swap_remove(slot);
        if let Some(information) = &mut self.information {
            information.swap_remove(slot);
        }
    }

    fn check_reward(&self, reward: f64) -> Result<()> {
        check_scalar("reward", reward)
    }

    fn update(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.learn_weighted(slot, context, reward, weight)
    }

    fn arm_state(&self, slot: usize) -> RidgeArmState {
        let parts = self.factors.parts(slot);
        let information = self.information.as_ref().map(|arms| arms[slot].state());
        let updates = self.updates[slot];
        RidgeArmState { mean: parts.mean, diagonal: parts.diagonal, upper: parts.upper, updates, information }
    }

    fn check_sums(&self) -> Result<()> {
        let decay = self.options.decay;
        check_parameter("decay", decay, decay == 1.0, "1 where evidence is added or unlearned")
    }

    fn natural_parameters(&self, slot: usize) -> NaturalParameters {
        match &self.information {
            Some(information) => information[slot].natural_parameters(self.updates[slot]),
            None => information_of(&self.factors.parts(slot)).natural_parameters(self.updates[slot]),
        }
    }

    fn prior_parameters(&self) -> NaturalParameters {
        Information::prior(self.dimension(), self.options.prior_precision).natural_parameters(0)
    }

    fn state_with(&self, parameters: &NaturalParameters) -> Result<RidgeArmState> {
        let FactoredGaussian { mean, diagonal, upper } = parts_of(&parameters.precision, &parameters.moment)?;
        check_factor(0, &mean, &diagonal, &upper)?;
        let information = || InformationState { gram: parameters.precision.clone(), moment: parameters.moment.clone() };
        let information = self.options.keep_information.then(information);
        information.iter().try_for_each(|saved| saved.check(self.dimension(), 0))?;
        Ok(RidgeArmState { mean, diagonal, upper, updates: parameters.updates, information })
    }

    fn replace(&mut self, slot: usize, state: &RidgeArmState) {
        self.factors.set(slot, &state.mean, &state.diagonal, &state.upper);
        self.updates[slot] = state.updates;
        if let (Some(information), Some(saved)) = (&mut self.information, &state.information) {
            information[slot] = Information::new(saved.gram.clone(), saved.moment.clone());
        }
    }

    fn push_state(&mut self, index: usize, state: &RidgeArmState) -> Result<()> {
        let dimension = self.dimension();
        crate::gaussian::check(dimension, index, &state.mean, &state.diagonal, &state.upper)?;
        check_saved_count("updates of arm", index, state.updates)?;
        match (&self.information, &state.information) {
            (None, None) => {}
            (Some(_), Some(saved)) => saved.check(dimension, index)?,
            _ => {
                let problem = "keep_information and the saved state disagree".to_owned();
                return Err(Error::InvalidState { what: "information of arm", index, problem });
            }
        }
        self.reserve(1)?;
        self.push_prior();
        self.replace(self.updates.len() - 1, state);
        Ok(())
    }
}
