//! Linear layers beside the encoder's own: of classifiers, and of whatever a user puts on an encoder.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::Rng;

use super::init;
use super::var_source::VarSource;
use crate::backend::{ForwardContext, LinearParameters};
use crate::config::BertConfig;
use crate::error::{Error, Result};
use crate::flops::ClassifierShape;
use crate::tensors::Parameters;

/// A linear layer whose parameters are an encoder's: y = x·Wᵀ + b. Made by
/// [`Encoder::add_linear`](crate::Encoder::add_linear).
///
/// A clone is another handle on the same parameters, which are the encoder's.
#[derive(Debug, Clone)]
pub struct Linear(LinearParameters);

impl Linear {
    pub(crate) fn new(parameters: LinearParameters) -> Self {
        Self(parameters)
    }

    /// (rows, inputs) → (rows, outputs).
    ///
    /// # Errors
    /// What candle reports, for rows of another width among others.
    pub fn forward(&self, x: &Tensor, ctx: &ForwardContext) -> Result<Tensor> {
        linear(x, &self.0, ctx)
    }

    /// The sizes that its FLOPs depend on: those of a classifier of as many classes as it has outputs.
    pub fn shape(&self) -> ClassifierShape {
        ClassifierShape { hidden: self.0.inputs, classes: self.0.outputs, pooler: false }
    }
}

/// The values of a linear layer before they are parameters: weight (outputs, inputs) and bias (outputs).
#[derive(Debug, Clone)]
pub(crate) struct LinearTensors {
    weight: Tensor,
    bias: Tensor,
}

impl LinearTensors {
    /// A layer over hidden rows: weights from N(0, `initializer_range`²), biases zero.
    pub(crate) fn random<R: Rng + ?Sized>(config: &BertConfig, outputs: usize, rng: &mut R) -> Result<Self> {
        Self::random_over(config, config.hidden_size, outputs, rng)
    }

    /// The same over rows of so many inputs.
    pub(crate) fn random_over<R: Rng + ?Sized>(
        config: &BertConfig,
        inputs: usize,
        outputs: usize,
        rng: &mut R,
    ) -> Result<Self> {
        let weight = init::normal(&[outputs, inputs], config.initializer_range, rng)?;
        Ok(Self { weight, bias: Tensor::from_vec(vec![0f32; outputs], outputs, &Device::Cpu)? })
    }

    /// A layer of a model whose tensors a `VarBuilder` has; variables stay variables.
    pub(crate) fn from_var_source(config: &BertConfig, source: &VarSource, name: &str, outputs: usize) -> Result<Self> {
        let weight = source.head_tensor(config, &format!("{name}.weight"), &[outputs, config.hidden_size])?;
        Ok(Self { weight, bias: source.head_tensor(config, &format!("{name}.bias"), &[outputs])? })
    }

    /// How many outputs the layer has.
    pub(crate) fn outputs(&self) -> Result<usize> {
        Ok(self.weight.dims2()?.0)
    }

    /// `{name}.weight` and `{name}.bias`, if both are there.
    pub(crate) fn find(tensors: &BTreeMap<String, Tensor>, name: &str) -> Option<Self> {
        let find = |part: &str| tensors.get(&format!("{name}.{part}")).cloned();
        Some(Self { weight: find("weight")?, bias: find("bias")? })
    }

    /// A copy, if the layer has these outputs and inputs.
    ///
    /// # Errors
    /// [`Error::Shape`] if it has others.
    pub(crate) fn checked(&self, name: &str, (outputs, inputs): (usize, usize)) -> Result<Self> {
        let parts = [("weight", &self.weight, vec![outputs, inputs]), ("bias", &self.bias, vec![outputs])];
        for (part, tensor, expected) in parts {
            if tensor.dims() != expected {
                let (what, got) = (format!("{name}.{part}"), tensor.dims().to_vec());
                return Err(Error::Shape { what, expected, got });
            }
        }
        Ok(self.clone())
    }

    pub(crate) fn insert(self, parameters: &mut Parameters, name: &str) -> Result<LinearParameters> {
        let (outputs, inputs) = self.weight.dims2()?;
        Ok(LinearParameters {
            weight: parameters.share_or_insert(format!("{name}.weight"), &self.weight)?,
            bias: parameters.share_or_insert(format!("{name}.bias"), &self.bias)?,
            inputs,
            outputs,
        })
    }
}

/// x·Wᵀ + b on any device, in single precision.
pub(crate) fn linear(x: &Tensor, parameters: &LinearParameters, ctx: &ForwardContext) -> Result<Tensor> {
    ctx.backend(x.device()).linear(x, parameters, ctx)
}
