//! AdamW over candle's variables.

use std::sync::PoisonError;

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Var};
use candle_nn::{Optimizer, VarMap};

use super::module::to_candle;
use crate::tensors::{Gradients, Parameters};
use crate::train::optim::{AdamW, AdamWSettings, Multipliers, ParameterGroups};

/// This crate's [`AdamW`] as a `candle_nn::Optimizer`, with one pass over memory for each variable. The gradient is
/// clipped to [`AdamWSettings::clip_norm`], and steps with a gradient that is not finite are skipped.
///
/// With [`new`](Optimizer::new), all variables have weight decay, as in `candle_nn::AdamW`. The steps then equal the
/// steps of `candle_nn::AdamW` up to rounding, if every variable has a gradient in every step and no gradient is
/// clipped. (The first condition is due to the step count in Adam's bias correction. In this optimiser, the count of a
/// variable includes only steps in which that variable had a gradient; candle counts all steps.) With
/// [`of_var_map`](Self::of_var_map), biases and layer norms have no weight decay.
#[derive(Debug, Clone)]
pub struct VarAdamW {
    parameters: Parameters,
    inner: AdamW,
    learning_rate: f64,
}

impl VarAdamW {
    /// Creates an optimiser for all variables of a `VarMap`, ordered by name, with [standard
    /// groups](ParameterGroups::standard): no weight decay for biases and layer norms.
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

    /// Inner optimiser, with its moments and step counts.
    pub fn inner(&self) -> &AdamW {
        &self.inner
    }

    /// Optimised variables.
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
