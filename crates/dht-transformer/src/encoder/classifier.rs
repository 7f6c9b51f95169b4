//! From hidden rows to logits.

use candle_core::{Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{composed, initial};
use crate::ops::{LinearOp, LinearParameters};
use crate::{BertConfig, ClassifierShape, Error, Hidden, Parameters, Pass, Result};

/// How the rows of a sample become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The first row, the state of `[CLS]`.
    Cls,
    /// The first row through a dense layer and tanh: BERT's pooler.
    Pooler,
    /// The mean of all rows.
    #[default]
    Mean,
}

/// A linear classifier over pooled rows: logits = pool(h)·Wᵀ + b.
#[derive(Debug, Clone)]
pub struct Classifier {
    pooling: Pooling,
    pooler: Option<LinearParameters>,
    dense: LinearParameters,
}

impl Classifier {
    /// Registers the classifier's parameters as `{name}.weight`, `{name}.bias` (and `{name}.pooler.*`).
    ///
    /// # Errors
    /// [`Error::Parameter`] when the name is taken; [`Error::Setting`] for fewer than two classes.
    pub(super) fn new<R: Rng + ?Sized>(
        parameters: &mut Parameters,
        name: &str,
        config: &BertConfig,
        classes: usize,
        pooling: Pooling,
        rng: &mut R,
    ) -> Result<Self> {
        if classes < 2 {
            let (expected, got) = ("at least 2".into(), classes.to_string());
            return Err(Error::Setting { field: "classes", expected, got });
        }
        let (hidden, deviation) = (config.hidden_size, config.initializer_range);
        let mut linear = |name: String, outputs: usize| -> Result<LinearParameters> {
            let weight = initial::normal(&[outputs, hidden], deviation, rng)?;
            let bias = Tensor::from_vec(vec![0f32; outputs], outputs, &Device::Cpu)?;
            Ok(LinearParameters {
                weight: parameters.insert(format!("{name}.weight"), &weight)?,
                bias: parameters.insert(format!("{name}.bias"), &bias)?,
                inputs: hidden,
                outputs,
            })
        };
        let pooler = match pooling {
            Pooling::Pooler => Some(linear(format!("{name}.pooler"), hidden)?),
            Pooling::Cls | Pooling::Mean => None,
        };
        Ok(Self { pooling, pooler, dense: linear(name.to_string(), classes)? })
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
            Some(pooler) => linear(&pooled, pooler, pass)?.tanh()?,
            None => pooled,
        };
        linear(&pooled, &self.dense, pass)
    }
}

fn linear(x: &Tensor, parameters: &LinearParameters, pass: &Pass) -> Result<Tensor> {
    if x.device().is_cpu() {
        LinearOp::run(x, parameters, pass)
    } else {
        composed::dense(x, &parameters.weight, &parameters.bias)
    }
}
