//! Ridge regression, one per arm: the Gaussian posterior of LinUCB and linear Thompson sampling.

use super::Posterior;
use crate::clock::{add_counts, check_saved_count};
use crate::error::{Error, Result, check_parameter, check_scalar};
use crate::gaussian::{
    Factors, Information, InformationState, Natural, Parts, Score, check_dimension, information_of, parts_of,
};
use crate::posterior::sealed::Sealed;
use crate::slots::Slots;
use crate::validate::{LARGEST, check_bounded, check_context, check_factor, check_grown, check_precision};
use serde::{Deserialize, Serialize};

/// The settings of a [`Ridge`] posterior.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RidgeOptions {
    /// The prior precision λ > 0: A starts at λI, its inverse at I/λ.
    pub lambda: f64,
    /// Forgetting: before an arm learns, what it learned counts γ times as much; in (0, 1], 1 forgets nothing.
    ///
    /// A ← γA + (1 − γ)λI and b ← γb: the prior is not forgotten. The prior's part is put back one coordinate an update,
    /// in turn, (1 − γ^d)λ each time, which keeps the update O(d²). What is left of it in between, λγ^d, must be at least
    /// 1e-100, or widths would overflow.
    pub discount: f64,
    /// Keep A and b beside the factor, d(d+1)/2 + d more numbers an arm, so that merging, comparing and exact discounting lose no digits
    /// to re-deriving them. Costs traffic in each update.
    pub keep_information: bool,
}

impl Default for RidgeOptions {
    fn default() -> Self {
        Self { lambda: 1.0, discount: 1.0, keep_information: false }
    }
}

impl RidgeOptions {
    /// The defaults with this prior precision.
    pub fn with_lambda(lambda: f64) -> Self {
        Self { lambda, ..Self::default() }
    }
}

/// Ridge regressions: A = λI + Σ w xx', b = Σ w r x, θ = A⁻¹b, width² = x'A⁻¹x, one per arm.
///
/// A⁻¹ is held as U·D·Uᵀ, so scores and updates cost O(d²) and the width is never imaginary. The rewards' noise is
/// taken to be of unit scale: scale α or the rewards if it is not.
#[derive(Debug, Clone)]
pub struct Ridge {
    options: RidgeOptions,
    pub(crate) factors: Factors,
    pub(crate) updates: Vec<u64>,
    pub(crate) information: Option<Vec<Information>>,
    unit: Vec<f64>,
}

/// The learned state of one arm's [`Ridge`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RidgeArmState {
    /// θ.
    pub mean: Vec<f64>,
    /// D.
    pub diagonal: Vec<f64>,
    /// U above its unit diagonal, column by column.
    pub upper: Vec<f64>,
    /// Updates seen.
    pub updates: u64,
    /// A and b, where they are kept.
    pub information: Option<InformationState>,
}

impl Ridge {
    /// Takes an observation back: what it leaves can be loaded, or else nothing changes.
    pub(crate) fn take_back(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        // Widths grow, by as much as the whole factor tells: it is tried out on a copy behind the last arm.
        let copy = self.updates.len();
        self.push_copy(slot);
        let outcome = self.absorb(copy, context, reward, -weight).and_then(|()| {
            let Parts { mean, diagonal, upper } = self.factors.parts(copy);
            check_grown(&mean, &diagonal, &upper)
        });
        if outcome.is_ok() {
            self.copy(copy, slot);
        }
        self.swap_remove(copy);
        outcome
    }

    /// Learns with a positive weight, or unlearns with a negative one.
    fn absorb(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        check_context(context)?;
        let seen = self.factors.look(slot, context);
        let discount = self.options.discount;
        let variance = seen.variance / discount;
        let gain = 1.0 + weight * variance;
        let step = weight * (reward - seen.mean) / gain;
        let largest = self.factors.largest_seen();
        check_bounded("mean", seen.mean)?;
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
        if let Some(information) = &self.information {
            information[slot].check_added(context, reward, weight, discount)?;
        }
        if discount < 1.0 {
            self.factors.discount_looked(slot, 1.0 / discount);
        }
        self.factors.absorb(slot, weight, step);
        let lambda = self.options.lambda;
        let dimension = self.factors.dimension();
        let restored = (discount < 1.0).then(|| {
            let coordinate = (self.updates[slot] % dimension as u64) as usize;
            (coordinate, (1.0 - discount.powi(dimension as i32)) * lambda)
        });
        if let Some(information) = &mut self.information {
            let arm = &mut information[slot];
            arm.scale(discount);
            arm.add(context, reward, weight);
            if let Some((coordinate, amount)) = restored {
                arm.add_diagonal(coordinate, amount);
            }
        }
        if let Some((coordinate, amount)) = restored {
            self.unit[coordinate] = 1.0;
            let seen = self.factors.look(slot, &self.unit);
            self.factors.absorb(slot, amount, -amount * seen.mean / (1.0 + amount * seen.variance));
            self.unit[coordinate] = 0.0;
        }
        self.updates[slot] = updates;
        Ok(())
    }
}

impl Sealed for Ridge {}

impl Posterior for Ridge {
    type Options = RidgeOptions;
    type ArmState = RidgeArmState;

    const NAME: &'static str = "ridge";

    fn empty(dimension: usize, options: &RidgeOptions) -> Result<Self> {
        check_dimension(dimension)?;
        check_precision("lambda", options.lambda)?;
        let discount = options.discount;
        check_parameter("discount", discount, discount > 0.0 && discount <= 1.0, "in (0, 1]")?;
        let left = options.lambda * discount.powi(dimension as i32);
        check_parameter("discount", discount, left >= 1.0 / LARGEST, "so large that lambda × discount^d ≥ 1e-100")?;
        let information = options.keep_information.then(Vec::new);
        let (factors, unit) = (Factors::new(dimension), vec![0.0; dimension]);
        Ok(Self { options: *options, factors, updates: Vec::new(), information, unit })
    }

    fn options(&self) -> &RidgeOptions {
        &self.options
    }

    fn dimension(&self) -> usize {
        self.factors.dimension()
    }

    fn push_prior(&mut self) {
        self.factors.push(1.0 / self.options.lambda);
        self.updates.push(0);
        if let Some(information) = &mut self.information {
            information.push(Information::prior(self.factors.dimension(), self.options.lambda));
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

    fn score(&self, slot: usize, context: &[f64]) -> Score {
        self.factors.score(slot, context)
    }

    fn fold<T>(&self, slots: Slots<'_>, context: &[f64], first: T, gather: impl FnMut(T, usize, Score) -> T) -> T {
        self.factors.fold(slots, context, first, gather)
    }

    fn score_batch(&self, slots: Slots<'_>, contexts: &[f64], scores: &mut [Score]) {
        self.factors.score_batch(slots, contexts, scores);
    }

    fn check_reward(&self, reward: f64) -> Result<()> {
        check_scalar("reward", reward)
    }

    fn update(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.absorb(slot, context, reward, weight)
    }

    fn draw(&self, slot: usize, scale: f64, normal: &mut dyn FnMut() -> f64, out: &mut [f64]) {
        self.factors.draw(slot, scale, normal, out);
    }

    fn arm_state(&self, slot: usize) -> RidgeArmState {
        let parts = self.factors.parts(slot);
        let information = self.information.as_ref().map(|arms| arms[slot].state());
        let updates = self.updates[slot];
        RidgeArmState { mean: parts.mean, diagonal: parts.diagonal, upper: parts.upper, updates, information }
    }

    fn check_sums(&self) -> Result<()> {
        let discount = self.options.discount;
        check_parameter("discount", discount, discount == 1.0, "1 where evidence is to be added or taken back")
    }

    fn natural(&self, slot: usize) -> Natural {
        match &self.information {
            Some(information) => information[slot].natural(self.updates[slot]),
            None => information_of(&self.factors.parts(slot)).natural(self.updates[slot]),
        }
    }

    fn prior_natural(&self) -> Natural {
        Information::prior(self.dimension(), self.options.lambda).natural(0)
    }

    fn state_of(&self, natural: &Natural) -> Result<RidgeArmState> {
        let Parts { mean, diagonal, upper } = parts_of(&natural.precision, &natural.moment)?;
        check_factor(0, &mean, &diagonal, &upper)?;
        let kept = || InformationState { gram: natural.precision.clone(), moment: natural.moment.clone() };
        let information = self.options.keep_information.then(kept);
        information.iter().try_for_each(|kept| kept.check(self.dimension(), 0))?;
        Ok(RidgeArmState { mean, diagonal, upper, updates: natural.updates, information })
    }

    fn replace(&mut self, slot: usize, state: &RidgeArmState) {
        self.factors.set(slot, &state.mean, &state.diagonal, &state.upper);
        self.updates[slot] = state.updates;
        if let (Some(information), Some(kept)) = (&mut self.information, &state.information) {
            information[slot] = Information { gram: kept.gram.clone(), moment: kept.moment.clone() };
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
                let problem = "keep_information and what is saved disagree".to_owned();
                return Err(Error::InvalidState { what: "information of arm", index, problem });
            }
        }
        self.push_prior();
        self.replace(self.updates.len() - 1, state);
        Ok(())
    }
}
