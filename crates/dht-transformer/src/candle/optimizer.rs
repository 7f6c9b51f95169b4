//! AdamW as a `candle_nn` optimiser.

use std::sync::PoisonError;

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Var};
use candle_nn::{Optimizer, VarMap};

use super::module::to_candle;
use crate::tensors::{Gradients, Parameters};
use crate::train::optim::{AdamW, AdamWSettings, Multipliers, ParameterGroups};

/// AdamW optimiser of this crate ([`AdamW`]) as a `candle_nn::Optimizer`. A step takes one pass over memory for each
/// variable. Gradients are clipped to [`AdamWSettings::clip_norm`], and a step whose gradient is not finite is skipped.
///
/// With [`new`](Optimizer::new), all variables have weight decay, as in `candle_nn::AdamW`. With
/// [`of_var_map`](Self::of_var_map), biases and layer norms have none.
///
/// Steps after `new` equal those of `candle_nn::AdamW` up to rounding under two conditions: no gradient is clipped, and
/// every variable has a gradient in every step. The second condition is needed for the bias correction: this optimiser
/// counts, for each variable, the steps in which the variable had a gradient, while candle counts all steps.
#[derive(Debug, Clone)]
pub struct VarAdamW {
    parameters: Parameters,
    inner: AdamW,
    learning_rate: f64,
}

impl VarAdamW {
    /// Creates an optimiser for all variables of a `VarMap`, ordered by name. Biases and layer norms have no weight
    /// decay (see [`ParameterGroups::standard`]).
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for invalid settings; [`Error::Parameter`](crate::Error::Parameter)
    /// for a variable that is not in f32 and contiguous.
    pub fn of_var_map(vars: &VarMap, settings: AdamWSettings) -> crate::error::Result<Self> {
        let data = vars.data().lock().unwrap_or_else(PoisonError::into_inner);
        let mut named: Vec<(String, Var)> = data.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
        named.sort_by(|left, right| left.0.cmp(&right.0));
        Self::with(named, settings, ParameterGroups::standard)
    }

    fn with(
        named: Vec<(String, Var)>,
        settings: AdamWSettings,
        groups: impl Fn(&Parameters) -> ParameterGroups,
    ) -> crate::error::Result<Self> {
        let device = named.first().map_or(Device::Cpu, |(_, var)| var.device().clone());
        let mut parameters = Parameters::new(&device);
        for (name, var) in named.into_iter().filter(|(_, var)| var.dtype().is_float()) {
            parameters.share(name, var)?;
        }
        let learning_rate = settings.learning_rate;
        let inner = AdamW::new(settings, &groups(&parameters), &parameters)?;
        Ok(Self { parameters, inner, learning_rate })
    }

    /// Underlying optimiser, with its moments and step counts.
    pub fn inner(&self) -> &AdamW {
        &self.inner
    }

    /// Variables that this optimiser updates.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

impl Optimizer for VarAdamW {
    type Config = AdamWSettings;

    fn new(vars: Vec<Var>, settings: AdamWSettings) -> Result<Self> {
        let named = vars.into_iter().enumerate().map(|(index, var)| (format!("variable {index}"), var)).collect();
        let alike = |parameters: &Parameters| ParameterGroups::by_name(parameters, |_| Multipliers::ONE);
        Self::with(named, settings, alike).map_err(to_candle)
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        let gradients = Gradients::from_grad_store(grads, &self.parameters);
        let step = gradients.and_then(|gradients| self.inner.step(&self.parameters, &gradients, self.learning_rate));
        step.map(|_| ()).map_err(to_candle)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, lr: f64) {
        self.learning_rate = lr;
    }
}
