//! Attention with pruned dimensions, whose heads differ in width ("ragged attention"), composed of differentiable
//! operations.

use candle_core::Tensor;

use super::operations::Operations;
use super::rectangles::Rectangles;
use crate::backend::cpu::Dropout;
use crate::backend::parameters::RaggedParameters;
use crate::error::Result;
use crate::tensors::Hidden;

impl Operations {
    /// Applies the projection of Q, K or V (`part` 0, 1 or 2) to x, (tokens, hidden) → (tokens, outputs).
    fn project(self, part: usize, x: &Tensor, p: &RaggedParameters) -> Result<Tensor> {
        self.linear(p.read_columns(part, x)?.as_ref().unwrap_or(x), &p.projections[part])
    }

    /// Computes the attention scores before the softmax. Returns one tensor (samples, 1, longest, longest) for each
    /// head.
    pub(super) fn ragged_scores(
        self,
        x: &Tensor,
        p: &RaggedParameters,
        rectangles: &Rectangles<'_>,
    ) -> Result<Vec<Tensor>> {
        let (q, k) = (self.project(0, x, p)?, self.project(1, x, p)?);
        let mut first = 0;
        let scores = p.heads.iter().map(|head| {
            let of_head = |rows: &Tensor| rows.narrow(1, first, head.query_key)?.unsqueeze(1);
            let (q, k) = (of_head(&q)?, of_head(&k)?);
            first += head.query_key;
            let bias = p.bias.as_ref().map(|bias| (bias, std::slice::from_ref(&head.number)));
            rectangles.scores(&q, &k, 1.0 / (p.head_dim as f64).sqrt(), bias)
        });
        scores.collect()
    }

    /// Runs attention whose heads differ in width, (tokens, hidden) → (tokens, hidden). `gates` multiply the heads'
    /// outputs, shape (samples, heads).
    pub(super) fn ragged_attention(
        self,
        hidden: &Hidden,
        p: &RaggedParameters,
        (probability_dropout, output_dropout): (Option<Dropout>, Option<Dropout>),
        gates: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (x, packing) = (hidden.tensor(), hidden.packing());
        let rectangles = Rectangles::new(packing, x.device())?;
        let (scores, v) = (self.ragged_scores(x, p, &rectangles)?, self.project(2, x, p)?);
        let (mut contexts, mut first) = (Vec::new(), 0);
        for (place, (head, scores)) in p.heads.iter().zip(&scores).enumerate() {
            let v = v.narrow(1, first, head.value)?.unsqueeze(1)?;
            let dropout = probability_dropout.as_ref().map(|dropout| (*dropout, std::slice::from_ref(&head.number)));
            let gates = gates.map(|gates| gates.narrow(1, place, 1)?.contiguous()).transpose()?;
            contexts.push(rectangles.context(scores, &v, dropout, gates.as_ref())?.squeeze(1)?);
            first += head.value;
        }
        let h = self.linear(&Tensor::cat(&contexts, 1)?, &p.output)?;
        let z = (x + self.drop_rows(&h, packing, output_dropout)?)?;
        self.layer_norm(&z, &p.scale, &p.shift, p.epsilon)
    }
}
