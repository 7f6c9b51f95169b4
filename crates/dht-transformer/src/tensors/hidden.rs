//! Hidden states of a packed batch.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::distinct_rows::distinct_rows;
use super::packing::{Packing, Spans};
use super::precision::wide;
use crate::error::{Error, Result};

/// Hidden states of a packed batch, with one row for each token. Cloning does not copy the values.
///
/// # Shapes
/// The tensor is (tokens, hidden), contiguous, in the precision in which layers run.
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
/// use dht_transformer::{ForwardContext, Hidden};
///
/// let hidden = encoder.embed(&batch, &ForwardContext::inference())?;
/// assert_eq!(hidden.mean_rows()?.dims(), [2, 16]);
/// let second = hidden.select(&[1])?;
/// assert_eq!(second.spans().tokens(), hidden.spans().range(1).len());
/// assert_eq!(Hidden::concat(&[hidden, second])?.samples(), 3);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Hidden {
    tensor: Tensor,
    packing: Arc<Packing>,
}

impl Hidden {
    /// Combines hidden states, which have one row for each token, with the layout of their batch.
    ///
    /// # Errors
    /// [`Error::Shape`] if the tensor does not have one row for each token.
    pub fn new(tensor: Tensor, packing: Arc<Packing>) -> Result<Self> {
        let tokens = packing.spans().tokens();
        if tensor.rank() != 2 || tensor.dims()[0] != tokens {
            return Err(Error::Shape {
                what: "hidden rows".into(),
                expected: vec![tokens],
                got: tensor.dims().to_vec(),
            });
        }
        Ok(Self { tensor: tensor.contiguous()?, packing })
    }

    /// Tensor of the hidden states (tokens, hidden). It is in bf16 for a model that [computes in
    /// bf16](super::Precision), otherwise in f32.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Converts the hidden states (tokens, hidden) to single precision. Gradients pass through the conversion.
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn to_f32(&self) -> Result<Tensor> {
        Ok(self.tensor.to_dtype(DType::F32)?)
    }

    /// Layout of the batch: the rows and the id of each sample.
    pub fn packing(&self) -> &Arc<Packing> {
        &self.packing
    }

    /// Row range of each sample.
    pub fn spans(&self) -> &Spans {
        self.packing.spans()
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.spans().samples()
    }

    /// Selects some samples of the batch, in the order of `samples`. Gradients pass through the selection.
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    ///
    /// # Panics
    /// If a sample is not below [`samples`](Self::samples).
    pub fn select(&self, samples: &[usize]) -> Result<Self> {
        if samples.iter().copied().eq(0..self.samples()) {
            return Ok(self.clone());
        }
        let (packing, rows) = self.packing.select(samples);
        let first = samples.first().copied().unwrap_or(0);
        let neighbours = samples.iter().copied().eq(first..first + samples.len());
        let tensor = if neighbours {
            self.tensor.narrow(0, rows.first().map_or(0, |row| *row as usize), rows.len())?
        } else {
            let mut seen = vec![false; self.samples()];
            let distinct = samples.iter().all(|sample| !std::mem::replace(&mut seen[*sample], true));
            match distinct {
                true => distinct_rows(&self.tensor, rows)?,
                false => self.tensor.index_select(&Tensor::new(rows, self.tensor.device())?, 0)?,
            }
        };
        Ok(Self { tensor, packing: Arc::new(packing) })
    }

    /// Concatenates the samples of several batches into one batch.
    ///
    /// # Errors
    /// [`Error::Argument`] if `parts` is empty; [`Error::Candle`] if a tensor operation fails.
    pub fn concat(parts: &[Self]) -> Result<Self> {
        match parts {
            [] => Err(Error::argument("parts", "at least one", "none")),
            [part] => Ok(part.clone()),
            _ => {
                let tensors: Vec<&Tensor> = parts.iter().map(Self::tensor).collect();
                let packing = Packing::concat(parts.iter().map(|part| &*part.packing));
                Ok(Self { tensor: Tensor::cat(&tensors, 0)?, packing: Arc::new(packing) })
            }
        }
    }

    /// Selects the first row of each sample, which is the hidden state of `[CLS]`: shape (samples, hidden), in at least
    /// single precision.
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn first_rows(&self) -> Result<Tensor> {
        let starts = self.spans().starts().iter().map(|start| *start as u32).collect();
        wide(&distinct_rows(&self.tensor, starts)?)
    }

    /// Averages the rows of each sample: shape (samples, hidden), in at least single precision.
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn mean_rows(&self) -> Result<Tensor> {
        let (samples, device) = (self.samples(), self.tensor.device());
        let owner: Vec<u32> =
            self.spans().lengths().enumerate().flat_map(|(sample, n)| std::iter::repeat_n(sample as u32, n)).collect();
        let share: Vec<f32> = self.spans().lengths().map(|length| 1.0 / length as f32).collect();
        let owner = Tensor::from_vec(owner, self.spans().tokens(), device)?;
        let rows = wide(&self.tensor)?;
        let sums = Tensor::zeros((samples, rows.dims()[1]), rows.dtype(), device)?;
        let sums = sums.index_add(&owner, &rows, 0)?;
        Ok(sums.broadcast_mul(&Tensor::from_vec(share, (samples, 1), device)?)?)
    }

    /// Detaches the hidden states from candle's graph, so that no gradients pass through the result. The values are
    /// shared.
    pub fn detach(&self) -> Self {
        Self { tensor: self.tensor.detach(), packing: self.packing.clone() }
    }
}
