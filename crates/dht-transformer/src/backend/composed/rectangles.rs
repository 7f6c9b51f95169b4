//! Attention composed of candle's operations. Before it, the packed rows of a batch are padded to equal lengths.

use candle_core::{D, Device, Tensor};

use super::operations::{indices, weight};
use crate::backend::cpu::Dropout;
use crate::backend::relative_bias::RelativeBias;
use crate::error::Result;
use crate::tensors::{Packing, wide};

/// Converter between packed rows (tokens of all samples, without padding) and padded rectangles (samples, longest).
pub(crate) struct Rectangles<'a> {
    packing: &'a Packing,
    longest: usize,
    /// Number of the packed row that each position of the padded rectangles contains, shape (samples·longest).
    rows: Tensor,
    /// Position of each packed row within the padded rectangles, shape (tokens).
    places: Tensor,
    /// Attention mask, shape (samples, 1, 1, longest): 0 for a token, −∞ for padding.
    mask: Tensor,
}

/// Dropout of attention probabilities, and the number of each head in the model, which is part of the key of its
/// dropout mask.
pub(crate) type HeadDropout<'a> = Option<(Dropout, &'a [usize])>;

/// Relative-position bias of attention scores, and the numbers of the heads whose scores it is added to.
pub(crate) type HeadBias<'a> = Option<(&'a RelativeBias, &'a [usize])>;

/// Adds the relative-position bias to attention scores of shape (samples, heads, longest, longest), if the model has
/// one.
pub(crate) fn add_bias(scores: Tensor, bias: HeadBias<'_>) -> Result<Tensor> {
    let Some((bias, heads)) = bias else { return Ok(scores) };
    let (longest, device) = (scores.dims()[2], scores.device());
    let by_distance = bias.rows(longest);
    let rows = (0..longest).flat_map(|query| &by_distance[longest - 1 - query..][..longest]);
    let rows = rows.map(|row| *row as u32).collect();
    let heads = indices(heads.iter().map(|head| *head as u32).collect(), device)?;
    let table = weight(&bias.table).to_dtype(scores.dtype())?;
    let biases = table.t()?.contiguous()?.index_select(&heads, 0)?; // (heads, buckets)
    let biases = biases.index_select(&indices(rows, device)?, 1)?; // (heads, longest·longest)
    Ok(scores.broadcast_add(&biases.reshape(((), longest, longest))?)?)
}

impl<'a> Rectangles<'a> {
    pub(crate) fn new(packing: &'a Packing, device: &Device) -> Result<Self> {
        let spans = packing.spans();
        let (samples, longest) = (spans.samples(), spans.longest());
        let (mut rows, mut places, mut mask) = (Vec::new(), Vec::new(), Vec::new());
        for sample in 0..samples {
            let range = spans.range(sample);
            for position in 0..longest {
                let inside = position < range.len();
                if inside {
                    places.push(rows.len() as u32);
                }
                rows.push(if inside { range.start + position } else { range.start } as u32);
                mask.push(if inside { 0f32 } else { f32::NEG_INFINITY });
            }
        }
        let (padded, tokens) = (rows.len(), places.len());
        Ok(Self {
            packing,
            longest,
            rows: Tensor::from_vec(rows, padded, device)?,
            places: Tensor::from_vec(places, tokens, device)?,
            mask: Tensor::from_vec(mask, (samples, 1, 1, longest), device)?,
        })
    }

    fn samples(&self) -> usize {
        self.packing.spans().samples()
    }

    /// Pads packed rows, (tokens, heads, width) → (samples, heads, longest, width).
    fn padded(&self, x: &Tensor) -> Result<Tensor> {
        let (_, heads, width) = x.dims3()?;
        let x = x.contiguous()?.index_select(&self.rows, 0)?.reshape((self.samples(), self.longest, heads, width))?;
        Ok(x.transpose(1, 2)?.contiguous()?)
    }

    /// Computes the attention scores scale·Q·Kᵀ + bias in at least single precision, (tokens, heads, width) → (samples,
    /// heads, longest, longest). Scores at positions without a token are undefined.
    pub(crate) fn scores(&self, q: &Tensor, k: &Tensor, scale: f64, bias: HeadBias<'_>) -> Result<Tensor> {
        let scores = (wide(&self.padded(q)?.matmul(&self.padded(k)?.t()?)?)? * scale)?;
        add_bias(scores, bias)
    }

    /// Computes the attention output gates ∘ dropout(softmax(scores))·V, (tokens, heads, width) → (tokens, heads,
    /// width). The gates on heads have shape (samples, heads).
    pub(crate) fn context(
        &self,
        scores: &Tensor,
        v: &Tensor,
        dropout: HeadDropout<'_>,
        gates: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (_, heads, width) = v.dims3()?;
        let (samples, longest) = (self.samples(), self.longest);
        let scores = scores.broadcast_add(&self.mask.to_dtype(scores.dtype())?)?;
        let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let mut probabilities = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
        if let Some((dropout, numbers)) = dropout {
            let keep = self.kept_probabilities(dropout, numbers);
            let keep = Tensor::from_vec(keep, (samples, heads, longest, longest), v.device())?;
            probabilities = (&probabilities * keep.to_dtype(probabilities.dtype())?)?;
        }
        let context = probabilities.to_dtype(v.dtype())?.matmul(&self.padded(v)?)?; // (samples, heads, longest, width)
        let context = match gates {
            Some(gates) => context.broadcast_mul(&gates.to_dtype(v.dtype())?.reshape((samples, heads, 1, 1))?)?,
            None => context,
        };
        let context = context.transpose(1, 2)?.contiguous()?.reshape((samples * longest, heads, width))?;
        Ok(context.index_select(&self.places, 0)?)
    }

    fn kept_probabilities(&self, dropout: Dropout, heads: &[usize]) -> Vec<f32> {
        let (longest, spans) = (self.longest, self.packing.spans());
        let mut keep = vec![1f32; self.samples() * heads.len() * longest * longest];
        for (index, row) in keep.chunks_exact_mut(longest).enumerate() {
            let (sample, head, query) = (index / longest / heads.len(), index / longest % heads.len(), index % longest);
            let length = spans.range(sample).len();
            dropout.apply(self.packing.sample_ids()[sample], query, heads[head], &mut row[..length]);
        }
        keep
    }
}
