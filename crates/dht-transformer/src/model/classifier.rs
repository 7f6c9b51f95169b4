//! Linear classifier of pooled hidden states.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::linear::{LinearTensors, linear};
use crate::backend::{ForwardContext, LinearParameters};
use crate::config::{HeadActivation, Pooling};
use crate::error::{Error, Result};
use crate::flops::ClassifierShape;
use crate::tensors::{Hidden, Parameters};

/// Linear classifier of pooled hidden states h: logits = pool(h)·Wᵀ + b, with the weight W and the bias b. The function
/// pool combines the hidden states of a text's tokens into one vector.
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
/// use dht_transformer::{ForwardContext, HeadPlan, Pooling};
///
/// let classifier = encoder.add_classifier("classifier", 3, Pooling::Mean, &mut rng)?;
/// let ctx = ForwardContext::inference();
/// let hidden = encoder.run(0..2, &encoder.embed(&batch, &ctx)?, &HeadPlan::Full, &ctx)?;
/// let logits = classifier.forward(&hidden, &ctx)?;
/// assert_eq!(logits.dims(), [2, 3]); // two texts, three classes
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Classifier {
    pooling: Pooling,
    pooler: Option<LinearParameters>,
    dense: LinearParameters,
    activation: HeadActivation,
}

impl Classifier {
    /// Registers the classifier's parameters as `{name}.weight` and `{name}.bias`, and those of its pooler, if there is
    /// one, as `{name}.pooler.*`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a name is already used. In this case, no parameter is registered.
    pub(crate) fn new(
        parameters: &mut Parameters,
        name: &str,
        classes: LinearTensors,
        pooling: Pooling,
        pooler: Option<LinearTensors>,
        activation: HeadActivation,
    ) -> Result<Self> {
        for name in ["weight", "bias", "pooler.weight", "pooler.bias"].map(|part| format!("{name}.{part}")) {
            if parameters.id(&name).is_ok() {
                return Err(Error::Parameter { name, problem: "is registered twice" });
            }
        }
        let pooler = pooler.map(|pooler| pooler.insert(parameters, &format!("{name}.pooler"))).transpose()?;
        Ok(Self { pooling, pooler, dense: classes.insert(parameters, name)?, activation })
    }

    /// Method that combines the hidden states of a text's tokens into one vector.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Copies the classifier's tensors. They have the names that BERT's Hugging Face files use, `classifier.…` and
    /// `pooler.dense.…`.
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn to_tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let layers = [Some(("classifier", &self.dense)), self.pooler.as_ref().map(|pooler| ("pooler.dense", pooler))];
        let mut tensors = BTreeMap::new();
        for (name, layer) in layers.into_iter().flatten() {
            tensors.insert(format!("{name}.weight"), layer.weight.var().as_detached_tensor().copy()?);
            tensors.insert(format!("{name}.bias"), layer.bias.var().as_detached_tensor().copy()?);
        }
        Ok(tensors)
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.dense.outputs
    }

    /// Sizes from which the classifier's FLOPs are computed.
    pub fn shape(&self) -> ClassifierShape {
        ClassifierShape { hidden: self.dense.inputs, classes: self.dense.outputs, pooler: self.pooler.is_some() }
    }

    pub(crate) fn trains(&self) -> bool {
        [Some(&self.dense), self.pooler.as_ref()].into_iter().flatten().any(LinearParameters::trains)
    }

    /// Computes the logits of a batch from its hidden states, shape (samples, classes).
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn forward(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<Tensor> {
        let pooled = match self.pooling {
            Pooling::Cls | Pooling::Pooler => hidden.first_rows()?,
            Pooling::Mean => hidden.mean_rows()?,
        };
        let pooled = match &self.pooler {
            Some(pooler) => {
                let dense = linear(&pooled, pooler, ctx)?;
                match self.activation {
                    HeadActivation::Tanh => dense.tanh()?,
                    HeadActivation::Relu => dense.relu()?,
                }
            }
            None => pooled,
        };
        linear(&pooled, &self.dense, ctx)
    }
}
