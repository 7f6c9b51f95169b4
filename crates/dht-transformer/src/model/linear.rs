//! Linear layers over an encoder's hidden states, for classifiers and custom heads.

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

/// Linear layer y = x·Wᵀ + b with the weight W and the bias b. [`Encoder::add_linear`](crate::Encoder::add_linear)
/// creates it.
///
/// The parameters belong to the encoder. A clone shares them.
///
/// ```
/// # use candle_core::Device;
/// # use dht_transformer::{BertConfig, Encoder, TextTokenizer};
/// # use rand::SeedableRng;
/// # let texts = ["a fine day", "bad food today"];
/// # let tokenizer = TextTokenizer::train(texts, 100)?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let config = BertConfig::small(2, 4, 16, tokenizer.vocabulary_size())?;
/// # let mut encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// # let batch = tokenizer.encode_texts(&texts, 16)?.batch(&[0, 1])?;
/// use dht_transformer::{ForwardContext, HeadPlan};
///
/// let regression = encoder.add_linear("score", 16, 1, &mut rng)?;
/// let ctx = ForwardContext::inference();
/// let hidden = encoder.run(0..2, &encoder.embed(&batch, &ctx)?, &HeadPlan::Full, &ctx)?;
/// let scores = regression.forward(&hidden.mean_rows()?, &ctx)?;
/// assert_eq!(scores.dims(), [2, 1]);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Linear(LinearParameters);

impl Linear {
    pub(crate) fn new(parameters: LinearParameters) -> Self {
        Self(parameters)
    }

    /// Applies the layer to `x`, (rows, inputs) → (rows, outputs).
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails, for example because rows have another
    /// width.
    pub fn forward(&self, x: &Tensor, ctx: &ForwardContext) -> Result<Tensor> {
        linear(x, &self.0, ctx)
    }

    /// Sizes from which the layer's FLOPs are computed. An output counts as a class.
    pub fn shape(&self) -> ClassifierShape {
        ClassifierShape { hidden: self.0.inputs, classes: self.0.outputs, pooler: false }
    }
}

/// Tensors of a linear layer before they are registered as parameters: weight (outputs, inputs) and bias (outputs).
#[derive(Debug, Clone)]
pub(crate) struct LinearTensors {
    weight: Tensor,
    bias: Tensor,
}

impl LinearTensors {
    /// Draws initial tensors of a linear layer over hidden states: weights from N(0, `initializer_range`²), and biases
    /// of zero.
    pub(crate) fn random<R: Rng + ?Sized>(config: &BertConfig, outputs: usize, rng: &mut R) -> Result<Self> {
        Self::random_over(config, config.hidden_size, outputs, rng)
    }

    /// Draws initial tensors of a linear layer with any number of inputs: weights from N(0, `initializer_range`²), and
    /// biases of zero.
    pub(crate) fn random_over<R: Rng + ?Sized>(
        config: &BertConfig,
        inputs: usize,
        outputs: usize,
        rng: &mut R,
    ) -> Result<Self> {
        let weight = init::normal(&[outputs, inputs], config.initializer_range, rng)?;
        Ok(Self { weight, bias: Tensor::from_vec(vec![0f32; outputs], outputs, &Device::Cpu)? })
    }

    /// Reads the tensors of a linear layer from a `VarBuilder`. Its variables are shared, not copied.
    pub(crate) fn from_var_source(config: &BertConfig, source: &VarSource, name: &str, outputs: usize) -> Result<Self> {
        let weight = source.head_tensor(config, &format!("{name}.weight"), &[outputs, config.hidden_size])?;
        Ok(Self { weight, bias: source.head_tensor(config, &format!("{name}.bias"), &[outputs])? })
    }

    pub(crate) fn outputs(&self) -> Result<usize> {
        Ok(self.weight.dims2()?.0)
    }

    /// Finds `{name}.weight` and `{name}.bias` among tensors. Returns `None` if one is missing. Variables are detached,
    /// since several layers may be initialised from them.
    pub(crate) fn find(tensors: &BTreeMap<String, Tensor>, name: &str) -> Option<Self> {
        let find = |part: &str| tensors.get(&format!("{name}.{part}")).map(Tensor::detach);
        Some(Self { weight: find("weight")?, bias: find("bias")? })
    }

    /// Copies the tensors of a linear layer after checking its numbers of outputs and inputs.
    ///
    /// # Errors
    /// [`Error::Shape`] if the layer has other numbers of outputs or inputs.
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

/// Computes x·Wᵀ + b on any device, in single precision.
pub(crate) fn linear(x: &Tensor, parameters: &LinearParameters, ctx: &ForwardContext) -> Result<Tensor> {
    ctx.backend(x.device()).linear(x, parameters, ctx)
}
