//! BERT's head for masked language modelling, which computes logits over the vocabulary from hidden states.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::Rng;

use super::linear::{LinearTensors, linear};
use crate::backend::{ForwardContext, LinearParameters};
use crate::config::{Activation, BertConfig};
use crate::error::{Error, Result};
use crate::tensors::{Parameter, Parameters};

/// Name of the first linear layer in a Hugging Face file of a `BertForMaskedLM`.
const DENSE: &str = "cls.predictions.transform.dense";
const SCALE: &str = "cls.predictions.transform.LayerNorm.weight";
const SHIFT: &str = "cls.predictions.transform.LayerNorm.bias";
const BIAS: &str = "cls.predictions.bias";

/// Language-model head, which computes logits over the vocabulary from hidden states h:
///
/// ```text
/// t = LayerNorm(gelu(h·Wᵀ + b))        (rows, hidden)
/// logits = t·Eᵀ + c                    (rows, vocabulary)
/// ```
///
/// E is the word embedding of the encoder (Devlin et al. 2019, appendix A; Press and Wolf 2017 for the tied weights).
/// Pass only the rows of the tokens to predict: with 30,522 tokens in the vocabulary, the logits of a row cost more
/// than a layer.
///
/// The parameters belong to the encoder. A clone shares them.
#[derive(Debug, Clone)]
pub(crate) struct LanguageHead {
    dense: LinearParameters,
    activation: Activation,
    scale: Parameter,
    shift: Parameter,
    epsilon: f64,
    decoder: LinearParameters,
}

/// Tensors of a language-model head before they are registered as parameters.
#[derive(Debug, Clone)]
pub(crate) struct LanguageHeadTensors {
    dense: LinearTensors,
    scale: Tensor,
    shift: Tensor,
    bias: Tensor,
}

impl LanguageHeadTensors {
    /// Draws initial tensors of the head: weights from N(0, `initializer_range`²), a layer norm with scale one and
    /// shift zero, and biases of zero.
    pub(crate) fn random<R: Rng + ?Sized>(config: &BertConfig, rng: &mut R) -> Result<Self> {
        let hidden = config.hidden_size;
        let full = |value: f32, count: usize| Tensor::full(value, count, &Device::Cpu);
        Ok(Self {
            dense: LinearTensors::random(config, hidden, rng)?,
            scale: full(1.0, hidden)?,
            shift: full(0.0, hidden)?,
            bias: full(0.0, config.vocab_size)?,
        })
    }

    /// Finds the tensors of a language-model head among the tensors of a file. Returns `None` if one of them is
    /// missing.
    pub(crate) fn find(tensors: &BTreeMap<String, Tensor>) -> Option<Self> {
        let find = |name| tensors.get(name).cloned();
        let dense = LinearTensors::find(tensors, DENSE)?;
        Some(Self { dense, scale: find(SCALE)?, shift: find(SHIFT)?, bias: find(BIAS)? })
    }
}

impl LanguageHead {
    /// Registers the parameters of a language-model head. `word` is the encoder's word embedding, which the head
    /// shares.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the model already has a language-model head.
    pub(crate) fn new(
        parameters: &mut Parameters,
        config: &BertConfig,
        word: &Parameter,
        tensors: LanguageHeadTensors,
    ) -> Result<Self> {
        if parameters.id(BIAS).is_ok() {
            return Err(Error::Parameter { name: BIAS.into(), problem: "is registered twice" });
        }
        let dense = tensors.dense.insert(parameters, DENSE)?;
        let (scale, shift) = (parameters.insert(SCALE, &tensors.scale)?, parameters.insert(SHIFT, &tensors.shift)?);
        let bias = parameters.insert(BIAS, &tensors.bias)?;
        let (inputs, outputs) = (config.hidden_size, config.vocab_size);
        let decoder = LinearParameters { weight: word.clone(), bias, inputs, outputs };
        Ok(Self { dense, activation: config.hidden_act, scale, shift, epsilon: config.layer_norm_eps, decoder })
    }

    /// Copies the head's tensors. They have Hugging Face's names; the decoder's weight is the encoder's word embedding.
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn to_tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let own = [&self.dense.weight, &self.dense.bias, &self.scale, &self.shift, &self.decoder.bias];
        own.into_iter().map(|own| Ok((own.name().to_owned(), own.var().as_detached_tensor().copy()?))).collect()
    }

    /// Computes logits over the vocabulary, (rows, hidden) → (rows, vocabulary).
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn logits(&self, rows: &Tensor, ctx: &ForwardContext) -> Result<Tensor> {
        linear(&self.transform(rows, ctx)?, &self.decoder, ctx)
    }

    /// Computes the mean cross-entropy (in nats) of the logits of `rows` against `targets`, as a scalar. On the CPU the
    /// logits are computed block by block, so that they are never stored together.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are no targets, or if their number differs from the number of rows;
    /// [`Error::Argument`] for a target that is not a token id.
    pub fn loss(&self, rows: &Tensor, targets: &[u32], ctx: &ForwardContext) -> Result<Tensor> {
        let (count, hidden) = rows.dims2()?;
        if targets.is_empty() || targets.len() != count || hidden != self.decoder.inputs {
            let (what, got) = ("masked rows".into(), vec![count, hidden]);
            return Err(Error::Shape { what, expected: vec![targets.len().max(1), self.decoder.inputs], got });
        }
        if let Some(target) = targets.iter().find(|target| **target as usize >= self.decoder.outputs) {
            return Err(Error::Range { what: "target", got: *target as usize, below: self.decoder.outputs });
        }
        let rows = self.transform(rows, ctx)?;
        ctx.backend(rows.device()).vocabulary_loss(&rows, &self.decoder, targets, ctx)
    }

    /// Applies the head's dense layer, activation and layer norm, which precede the decoder: (rows, hidden) → (rows,
    /// hidden).
    fn transform(&self, rows: &Tensor, ctx: &ForwardContext) -> Result<Tensor> {
        let rows = self.activation.apply(&linear(rows, &self.dense, ctx)?)?;
        let operations = ctx.backend(rows.device()).operations();
        operations.layer_norm(&rows, &self.scale, &self.shift, self.epsilon)
    }
}
