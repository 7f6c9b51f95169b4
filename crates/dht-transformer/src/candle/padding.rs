//! Conversion between padded batches of candle programs and packed batches, which have no padding.

use candle_core::{DType, Tensor};

use crate::data::PackedBatch;
use crate::error::{Error, Result};
use crate::tensors::{Hidden, Spans, wide};

impl PackedBatch {
    /// Converts padded token ids to a packed batch.
    ///
    /// # Shapes
    /// All arguments are (samples, length). `ids` and `token_types` (default: 0) are in u32. `mask` is 1 for tokens and
    /// 0 for padding; without a mask, all positions are tokens. In the result, samples are numbered from 0 and their
    /// labels are 0.
    ///
    /// # Errors
    /// [`Error::Shape`] if shapes differ; [`Error::Argument`] if a sample has no token.
    pub fn from_padded(ids: &Tensor, token_types: Option<&Tensor>, mask: Option<&Tensor>) -> Result<Self> {
        let (samples, length) = ids.dims2()?;
        let values = |what: &str, tensor: &Tensor| -> Result<Vec<u32>> {
            if tensor.dims() != ids.dims() {
                let (expected, got) = (ids.dims().to_vec(), tensor.dims().to_vec());
                return Err(Error::Shape { what: what.into(), expected, got });
            }
            Ok(tensor.to_dtype(DType::U32)?.flatten_all()?.to_vec1()?)
        };
        let ids = values("ids", ids)?;
        let token_types = token_types.map_or_else(|| Ok(vec![0; ids.len()]), |types| values("token_types", types))?;
        let mask = mask.map_or_else(|| Ok(vec![1; ids.len()]), |mask| values("mask", mask))?;
        let real: Vec<usize> = (0..ids.len()).filter(|&token| mask[token] != 0).collect();
        let tokens = |sample: usize| mask[sample * length..][..length].iter().filter(|value| **value != 0).count();
        Ok(Self {
            ids: real.iter().map(|&token| ids[token]).collect(),
            type_ids: real.iter().map(|&token| token_types[token]).collect(),
            spans: Spans::from_lengths((0..samples).map(tokens))?,
            labels: vec![0; samples],
            targets: Vec::new(),
            sample_ids: (0..samples as u64).collect(),
            rest: Vec::new(),
        })
    }
}

impl Hidden {
    /// Converts packed hidden states (tokens, hidden) to a padded tensor (samples, longest, hidden), with zeros after
    /// the last token of each sample. `longest` is the number of tokens of the longest sample. Gradients pass through
    /// the conversion. The result is in at least single precision.
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn to_padded(&self) -> Result<Tensor> {
        let (rows, spans) = (&wide(self.tensor())?, self.spans());
        let (tokens, width) = rows.dims2()?;
        let longest = spans.longest();
        // The row after the last one is zero.
        let index = |sample: usize, token: usize| {
            let range = spans.range(sample);
            if token < range.len() { range.start + token } else { tokens }
        };
        let indices: Vec<u32> = (0..spans.samples())
            .flat_map(|sample| (0..longest).map(move |token| (sample, token)))
            .map(|(sample, token)| index(sample, token) as u32)
            .collect();
        let zero = Tensor::zeros((1, width), rows.dtype(), rows.device())?;
        let indices = Tensor::from_vec(indices, spans.samples() * longest, rows.device())?;
        Ok(Tensor::cat(&[rows, &zero], 0)?.index_select(&indices, 0)?.reshape((spans.samples(), longest, width))?)
    }
}
