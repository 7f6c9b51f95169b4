//! Attention scores before the softmax, Q·Kᵀ/√dim + bias.

use candle_core::Tensor;

use super::operations::{Operations, indices, weight};
use super::rectangles::Rectangles;
use crate::backend::layer::LayerAttention;
use crate::backend::parameters::AttentionParameters;
use crate::error::Result;
use crate::tensors::{HeadSet, Hidden};

impl Operations {
    /// Computes the attention scores of the selected heads, shape (samples, heads, longest, longest). Scores at
    /// positions without a token are undefined.
    pub(crate) fn scores(self, hidden: &Hidden, attention: LayerAttention<'_>, heads: HeadSet) -> Result<Tensor> {
        let (x, packing) = (hidden.tensor(), hidden.packing());
        match attention {
            LayerAttention::Whole(whole) => {
                let (q, k) = self.queries_and_keys(x, whole, heads)?;
                let (tokens, dim) = (x.dims()[0], whole.head_dim);
                let of_heads = |rows: &Tensor| rows.reshape((tokens, heads.len(), dim));
                let scale = 1.0 / (dim as f64).sqrt();
                let numbers: Vec<usize> = heads.iter().collect();
                let bias = whole.bias.as_ref().map(|bias| (bias, &numbers[..]));
                Rectangles::new(packing, x.device())?.scores(&of_heads(&q)?, &of_heads(&k)?, scale, bias)
            }
            LayerAttention::Ragged(ragged) => {
                let scores = self.ragged_scores(x, ragged, &Rectangles::new(packing, x.device())?)?;
                Ok(Tensor::cat(&scores, 1)?)
            }
        }
    }

    /// Computes the queries Q and keys K of the selected heads, each (tokens, hidden) → (tokens, heads·dim).
    pub(crate) fn queries_and_keys(
        self,
        x: &Tensor,
        parameters: &AttentionParameters,
        kept: HeadSet,
    ) -> Result<(Tensor, Tensor)> {
        let (heads, dim): (Vec<usize>, usize) = (kept.iter().collect(), parameters.head_dim);
        let compared = 2 * heads.len() * dim;
        let (mut rows, mut bias) = (weight(&parameters.qkv), weight(&parameters.qkv_bias));
        if !kept.is_full(parameters.heads) {
            let at = parameters.qkv_rows(&heads).into_iter().take(compared).map(|row| row as u32).collect();
            let at = indices(at, x.device())?;
            (rows, bias) = (rows.index_select(&at, 0)?, bias.index_select(&at, 0)?);
        }
        let both = self.product_and_bias(x, &rows.narrow(0, 0, compared)?, &bias.narrow(0, 0, compared)?)?;
        Ok((both.narrow(1, 0, compared / 2)?, both.narrow(1, compared / 2, compared / 2)?))
    }
}
