//! From hidden rows to logits.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{composed, initial};
use crate::ops::{LinearOp, LinearParameters};
use crate::{BertConfig, ClassifierShape, Error, Family, Hidden, Parameters, Pass, Result};

/// How the rows of a sample become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The first row, the state of `[CLS]`.
    Cls,
    /// The first row through a dense layer and tanh: BERT's pooler (in DistilBERT a relu).
    ///
    /// What it is in files, each family calls in its own way: `pooler.dense`, `pre_classifier`, `classifier.dense`.
    Pooler,
    /// The mean of all rows.
    #[default]
    Mean,
}

/// Our own field of `config.json`; without it, a classifier has a pooler.
const FIELD: &str = "classifier_pooling";

impl Pooling {
    /// That of a directory's classifier, as `config.json` has it.
    pub(crate) fn of_config(config: &BertConfig) -> Result<Self> {
        let Some(value) = config.other.get(FIELD) else { return Ok(Self::Pooler) };
        serde_json::from_value(value.clone()).map_err(|_| Error::Setting {
            field: FIELD,
            expected: r#""cls", "mean" or "pooler""#.into(),
            got: value.to_string(),
        })
    }

    /// Says it in `config.json`.
    pub(crate) fn describe(self, config: &mut BertConfig) {
        match self {
            Self::Pooler => config.other.remove(FIELD),
            Self::Cls => config.other.insert(FIELD.into(), "cls".into()),
            Self::Mean => config.other.insert(FIELD.into(), "mean".into()),
        };
    }
}

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
        let weight = initial::normal(&[outputs, config.hidden_size], config.initializer_range, rng)?;
        Ok(Self { weight, bias: Tensor::from_vec(vec![0f32; outputs], outputs, &Device::Cpu)? })
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

    pub(super) fn insert(self, parameters: &mut Parameters, name: &str) -> Result<LinearParameters> {
        let (outputs, inputs) = self.weight.dims2()?;
        Ok(LinearParameters {
            weight: parameters.insert(format!("{name}.weight"), &self.weight)?,
            bias: parameters.insert(format!("{name}.bias"), &self.bias)?,
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
    pub(super) fn new(
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
    pub fn forward(&self, hidden: &Hidden, pass: &Pass) -> Result<Tensor> {
        let pooled = match self.pooling {
            Pooling::Cls | Pooling::Pooler => hidden.first_rows()?,
            Pooling::Mean => hidden.mean_rows()?,
        };
        let pooled = match &self.pooler {
            // DistilBERT's `pre_classifier` is followed by a relu.
            Some(pooler) if self.family == Family::DistilBert => linear(&pooled, pooler, pass)?.relu()?,
            Some(pooler) => linear(&pooled, pooler, pass)?.tanh()?,
            None => pooled,
        };
        linear(&pooled, &self.dense, pass)
    }
}

/// x·Wᵀ + b on any device.
pub(super) fn linear(x: &Tensor, parameters: &LinearParameters, pass: &Pass) -> Result<Tensor> {
    if x.device().is_cpu() {
        LinearOp::run(x, parameters, pass)
    } else {
        composed::dense(x, &parameters.weight, &parameters.bias)
    }
}
