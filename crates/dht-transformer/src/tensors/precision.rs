//! Numeric precision in which encoder layers run.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Tensor};

use crate::error::Result;

/// Numeric precision in which encoder layers run. Stored weights and optimiser states are always in single precision.
///
/// | | matrix products | hidden states between layers | devices | gradients |
/// |---|---|---|---|---|
/// | `F32` | f32 | f32 | all | yes |
/// | `Tf32` | f32 rounded to TF32 | f32 | CUDA | yes |
/// | `Bf16` | bf16, sums in f32 | bf16 | CUDA, Metal | yes |
/// | `Int8` | 8-bit integers, exact sums | f32 | CPU | no |
///
/// Norms, the attention softmax, sums of bias gradients, poolers, classifiers, losses, and context vectors for bandits
/// are always in single precision. If a device does not support the precision, an error is returned; no other precision
/// is used instead.
///
/// [`ForwardContext::inference_in`](crate::ForwardContext::inference_in) sets the precision for one context,
/// [`Parameters::compute_in`](super::Parameters::compute_in) for all passes of a model, including training.
///
/// ```
/// # use candle_core::Device;
/// # use dht_transformer::{BertConfig, Encoder, TextTokenizer};
/// # use rand::SeedableRng;
/// # let texts = ["a fine day", "bad food today"];
/// # let tokenizer = TextTokenizer::train(texts, 100)?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let config = BertConfig::small(2, 4, 16, tokenizer.vocabulary_size())?;
/// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// # let batch = tokenizer.encode_texts(&texts, 16)?.batch(&[0, 1])?;
/// use dht_transformer::{ForwardContext, Precision};
///
/// assert!(Precision::Bf16.trains() && !Precision::Int8.trains());
/// Precision::Int8.check_on(&Device::Cpu)?;
/// let hidden = encoder.embed(&batch, &ForwardContext::inference_in(Precision::Int8))?;
/// assert_eq!(hidden.samples(), 2);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Single precision, 32 bits.
    #[default]
    F32,
    /// Single precision, but matrix products round their factors to 10 bits of fraction, on NVIDIA's tensor cores
    /// (Ampere or later).
    ///
    /// candle has one switch for the whole process, which every forward pass on a CUDA device sets. Therefore do not
    /// run models in `F32` and in `Tf32` at the same time.
    Tf32,
    /// Sixteen bits with the exponent range of single precision ("mixed precision"). Weights are rounded for each
    /// forward pass. The stored weights and their gradients are in single precision. No loss scaling is needed.
    Bf16,
    /// Eight-bit integers with exact sums ("dynamic quantisation"), for inference only. The weights of each output are
    /// rounded to integers −127 … 127 times a scale: their largest absolute value divided by 127. The hidden states of
    /// each token are rounded in the same way at run time. Embeddings, attention scores, norms, poolers, classifiers
    /// and the stored weights stay in single precision.
    ///
    /// Outputs differ slightly from those in single precision; measure the effect with an evaluation. The outputs do
    /// not depend on the other texts of a batch, nor on the processor's integer instructions, bit for bit.
    Int8,
}

impl Precision {
    pub(super) const ALL: [(Self, &str); 4] =
        [(Self::F32, "f32"), (Self::Tf32, "tf32"), (Self::Bf16, "bf16"), (Self::Int8, "int8")];

    /// Returns whether the precision supports gradients.
    pub fn trains(self) -> bool {
        self != Self::Int8
    }
}

/// Displays `f32`, `tf32`, `bf16` or `int8`.
impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(precision, _)| precision == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entry = Self::ALL.iter().find(|(_, name)| *name == text);
        entry.map(|(precision, _)| *precision).ok_or_else(|| format!("expected f32, tf32, bf16 or int8, not {text:?}"))
    }
}

/// Converts a tensor to at least single precision: sixteen-bit values become f32, others do not change. Gradients pass
/// through the conversion.
pub(crate) fn wide(x: &Tensor) -> Result<Tensor> {
    Ok(match x.dtype() {
        DType::BF16 | DType::F16 => x.to_dtype(DType::F32)?,
        _ => x.clone(),
    })
}
