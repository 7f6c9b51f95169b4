//! AdamW: Adam with decoupled weight decay.

use candle_core::{Device, Var};

use super::clip::{clip_scale, global_norm};
use super::groups::{Multipliers, ParameterGroups};
use super::settings::{AdamWSettings, not_negative};
use crate::backend::{Coefficients, Moments, select};
use crate::error::{Error, Result, same_length};
use crate::tensors::{Gradient, Gradients, ParameterId, Parameters};

/// Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019, algorithm 2), with PyTorch's order
/// of operations:
///
/// p ← p (1 − η λ);  m ← m + (1 − β₁)(g − m);  v ← β₂ v + (1 − β₂) g²;
/// p ← p − η / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
///
/// Here p is a parameter, g its gradient, m and v are its moments, and t counts the steps in which the parameter had a
/// gradient. [`AdamWSettings`] defines the other letters. Values and moments of a parameter do not change if it is
/// frozen or has no gradient. Rows that a [`Gradient::Rows`] does not have count as rows with a gradient of zero: their
/// moments and values change as in dense AdamW, bit for bit.
///
/// On the CPU a step takes one pass over the memory of each parameter, on all cores. The result is the same for any
/// number of threads. On CUDA a step takes one kernel for each parameter, on other devices tensor operations. Moments
/// take twice the memory of the parameters that ever had a gradient.
#[derive(Debug, Clone)]
pub struct AdamW {
    settings: AdamWSettings,
    pub(super) device: Device,
    pub(super) slots: Vec<Slot>,
    pub(super) skipped: u64,
    pub(super) skipped_in_a_row: u32,
}

/// Optimiser state of one parameter, and its factors on weight decay and learning rate.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    multipliers: Multipliers,
    pub(super) steps: u64,
    pub(super) moments: Option<Box<dyn Moments>>,
}

impl AdamW {
    /// Creates an optimiser for `parameters`.
    ///
    /// # Errors
    /// [`Error::Argument`] for invalid settings or multipliers, [`Error::Shape`] if the groups belong to another model.
    pub fn new(settings: AdamWSettings, groups: &ParameterGroups, parameters: &Parameters) -> Result<Self> {
        settings.check()?;
        let multipliers = groups.as_slice();
        same_length("parameter groups", parameters.len(), multipliers.len())?;
        for multipliers in multipliers {
            not_negative("multipliers.decay", multipliers.decay)?;
            not_negative("multipliers.rate", multipliers.rate)?;
        }
        let slots = parameters.iter().zip(multipliers).map(|((_, name, var), &multipliers)| Slot {
            name: name.to_owned(),
            shape: var.dims().to_vec(),
            multipliers,
            steps: 0,
            moments: None,
        });
        let device = parameters.device().clone();
        Ok(Self { settings, device, slots: slots.collect(), skipped: 0, skipped_in_a_row: 0 })
    }

    /// Settings of the optimiser.
    pub fn settings(&self) -> &AdamWSettings {
        &self.settings
    }

    /// Number of steps so far that were skipped because their gradient was not finite.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Takes one step: clips the gradient, and updates every parameter that is not frozen and has a gradient.
    ///
    /// Returns the Euclidean norm of the gradient over all trained parameters, before clipping. If a gradient has a NaN
    /// or infinite value, the norm is NaN or infinite, too. In this case the whole step is skipped: parameters, moments
    /// and counts do not change.
    ///
    /// # Errors
    /// [`Error::NonFiniteGradient`] when `patience` consecutive steps were skipped; [`Error::Argument`] for an invalid
    /// rate; [`Error::Shape`] and [`Error::Parameter`] for gradients that do not fit. After these errors nothing has
    /// changed. [`Error::Candle`] if a device other than the CPU fails, after which some parameters may have changed.
    pub fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<f64> {
        not_negative("learning_rate", learning_rate)?;
        same_length("parameters", self.slots.len(), parameters.len())?;
        for (id, gradient) in gradients.iter() {
            let slot = self.slots.get(id.index());
            let slot = slot.ok_or(Error::Parameter { name: format!("{id:?}"), problem: "is not known" })?;
            check_gradient(slot, gradient)?;
        }
        let trained = |(id, _): &(ParameterId, &Gradient)| !parameters.is_frozen(*id);

        let norm = global_norm(gradients.iter().filter(trained))?;
        if !norm.norm.is_finite() {
            return self.skip(norm.norm, norm.first_non_finite);
        }
        self.skipped_in_a_row = 0;
        let clipped = |(id, _): &(ParameterId, &Gradient)| self.slots[id.index()].multipliers.clipped;
        let clipped_norm = match gradients.iter().filter(trained).all(|of| clipped(&of)) {
            true => norm.norm,
            false => global_norm(gradients.iter().filter(trained).filter(clipped))?.norm,
        };
        let scale = self.settings.clip_norm.map_or(1.0, |limit| clip_scale(clipped_norm, limit));
        let stepped = gradients.iter().filter(trained).try_for_each(|(id, gradient)| {
            let slot = &mut self.slots[id.index()];
            let scale = if slot.multipliers.clipped { scale } else { 1.0 };
            let with = coefficients(&self.settings, slot, learning_rate, scale);
            slot.step(parameters.var(id), gradient, with)
        });
        parameters.changed();
        stepped?;
        Ok(norm.norm)
    }

    fn skip(&mut self, norm: f64, culprit: Option<ParameterId>) -> Result<f64> {
        self.skipped += 1;
        self.skipped_in_a_row = self.skipped_in_a_row.saturating_add(1);
        if self.skipped_in_a_row < self.settings.patience {
            return Ok(norm);
        }
        let parameter = culprit.map_or_else(String::new, |id| self.slots[id.index()].name.clone());
        Err(Error::NonFiniteGradient { steps: self.skipped_in_a_row, parameter })
    }
}

impl Slot {
    pub(super) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    fn step(&mut self, var: &Var, gradient: &Gradient, with: Coefficients) -> Result<()> {
        let moments = match &mut self.moments {
            Some(moments) => moments,
            none => none.insert(select(var.device()).moments(None, &self.shape, var.device())?),
        };
        moments.step(var, gradient, with)?;
        self.steps += 1;
        Ok(())
    }
}

/// Computes the constants of the next AdamW step of a parameter. Their operations have the same order as in PyTorch.
pub(super) fn coefficients(settings: &AdamWSettings, slot: &Slot, learning_rate: f64, scale: f64) -> Coefficients {
    let AdamWSettings { beta1, beta2, epsilon, weight_decay, .. } = *settings;
    let steps = (slot.steps + 1) as f64;
    let learning_rate = learning_rate * slot.multipliers.rate;
    Coefficients {
        shrink: 1.0 - learning_rate * weight_decay * slot.multipliers.decay,
        scale,
        beta1,
        beta2,
        root_correction: (1.0 - beta2.powf(steps)).sqrt(),
        epsilon,
        rate: learning_rate / (1.0 - beta1.powf(steps)),
    }
}

fn check_gradient(slot: &Slot, gradient: &Gradient) -> Result<()> {
    let shape = |expected: &[usize], got: &[usize]| {
        if expected == got {
            return Ok(());
        }
        let what = format!("gradient of {}", slot.name);
        Err(Error::Shape { what, expected: expected.to_vec(), got: got.to_vec() })
    };
    match gradient {
        Gradient::Dense(values) => shape(&[slot.elements()], &[values.len()]),
        Gradient::Device(tensor) => shape(&slot.shape, tensor.dims()),
        Gradient::Rows { rows, values } => {
            let problem = |problem| Err(Error::Parameter { name: slot.name.clone(), problem });
            if !rows.is_sorted_by(|left, right| left < right) {
                return problem("has a gradient whose rows are not strictly increasing");
            }
            let height = slot.shape.first().copied().unwrap_or(0);
            if rows.last().is_some_and(|&row| row as usize >= height) {
                return problem("has a gradient for a row that it does not have");
            }
            shape(&[rows.len() * slot.width()], &[values.len()])
        }
    }
}
