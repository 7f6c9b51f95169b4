//! From hidden rows to logits.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::Rng;

use super::init;
use super::var_source::VarSource;
use crate::backend::{ForwardContext, LinearOp, LinearParameters, composed};
use crate::config::{BertConfig, Family, Pooling};
use crate::error::{Error, Result};
use crate::flops::ClassifierShape;
use crate::tensors::{Hidden, Parameters};

/// A linear classifier over pooled rows: logits = pool(h)·Wᵀ + b.
#[derive(Debug, Clone)]
pub struct Classifier {
    pooling: Pooling,
    pooler: Option<LinearParameters>,
    dense: LinearParameters,
    family: Family,
}

/// The numbers of a linear layer before they are parameters: weight (outputs, inputs) and bias (outputs).
#[derive(Debug, Clone)]
pub(crate) struct LinearTensors {
    weight: Tensor,
    bias: Tensor,
}

impl LinearTensors {
    /// Weights from N(0, `initializer_range`²), biases zero.
    pub(crate) fn random<R: Rng + ?Sized>(config: &BertConfig, outputs: usize, rng: &mut R) -> Result<Self> {
        let weight = init::normal(&[outputs, config.hidden_size], config.initializer_range, rng)?;
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

impl Classifier {
    /// Registers the classifier's parameters as `{name}.weight`, `{name}.bias` (and `{name}.pooler.*`).
    ///
    /// # Errors
    /// [`Error::Parameter`] when a name is taken, and nothing is registered then.
    pub(crate) fn new(
        parameters: &mut Parameters,
        name: &str,
        classes: LinearTensors,
        pooling: Pooling,
        pooler: Option<LinearTensors>,
        family: Family,
    ) -> Result<Self> {
        for name in ["weight", "bias", "pooler.weight", "pooler.bias"].map(|part| format!("{name}.{part}")) {
            if parameters.id(&name).is_ok() {
                return Err(Error::Parameter { name, problem: "is registered twice" });
            }
        }
        let pooler = pooler.map(|pooler| pooler.insert(parameters, &format!("{name}.pooler"))).transpose()?;
        Ok(Self { pooling, pooler, dense: classes.insert(parameters, name)?, family })
    }

    /// How a sample's rows become one.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// The classifier's tensors under BERT's names in Hugging Face's files, `classifier.…` and `pooler.dense.…`, copied.
    ///
    /// # Errors
    /// What candle reports.
    pub fn to_tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let layers = [Some(("classifier", &self.dense)), self.pooler.as_ref().map(|pooler| ("pooler.dense", pooler))];
        let mut tensors = BTreeMap::new();
        for (name, layer) in layers.into_iter().flatten() {
            tensors.insert(format!("{name}.weight"), layer.weight.var().as_detached_tensor().copy()?);
            tensors.insert(format!("{name}.bias"), layer.bias.var().as_detached_tensor().copy()?);
        }
        Ok(tensors)
    }

    /// How many classes it tells apart.
    pub fn classes(&self) -> usize {
        self.dense.outputs
    }

    /// The sizes that its FLOPs depend on.
    pub fn shape(&self) -> ClassifierShape {
        ClassifierShape { hidden: self.dense.inputs, classes: self.dense.outputs, pooler: self.pooler.is_some() }
    }

    /// (samples, classes).
    ///
    /// # Errors
    /// What candle reports.
    pub fn forward(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<Tensor> {
        let pooled = match self.pooling {
            Pooling::Cls | Pooling::Pooler => hidden.first_rows()?,
            Pooling::Mean => hidden.mean_rows()?,
        };
        let pooled = match &self.pooler {
            // DistilBERT's `pre_classifier` is followed by a relu.
            Some(pooler) if self.family == Family::DistilBert => linear(&pooled, pooler, ctx)?.relu()?,
            Some(pooler) => linear(&pooled, pooler, ctx)?.tanh()?,
            None => pooled,
        };
        linear(&pooled, &self.dense, ctx)
    }
}

/// x·Wᵀ + b on any device.
pub(crate) fn linear(x: &Tensor, parameters: &LinearParameters, ctx: &ForwardContext) -> Result<Tensor> {
    if ctx.fuses(x.device()) {
        LinearOp::run(x, parameters, ctx)
    } else {
        composed::dense(x, &parameters.weight, &parameters.bias)
    }
}
