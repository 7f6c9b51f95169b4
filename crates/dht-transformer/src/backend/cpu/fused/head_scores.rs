//! Attention scores before the softmax as one fused CPU operation.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use crate::backend::cpu::kernels::{ComparedHeads, head_scores, head_scores_backward};
use crate::tensors::{Packing, slice, with_slices};

/// Fused operation that computes the attention scores Q·Kᵀ/√dim for each head of each sample.
pub(crate) struct HeadScoresOp {
    packing: Arc<Packing>,
    heads: ComparedHeads,
}

impl HeadScoresOp {
    /// Computes attention scores from queries Q and keys K, both (tokens, columns). The result is (samples, heads,
    /// longest, longest), with 0 at positions without a token.
    pub(crate) fn run(
        q: &Tensor,
        k: &Tensor,
        packing: &Arc<Packing>,
        widths: Vec<usize>,
        head_dim: usize,
    ) -> crate::error::Result<Tensor> {
        let op = Self { packing: packing.clone(), heads: ComparedHeads { widths, head_dim } };
        Ok(q.contiguous()?.apply_op2(&k.contiguous()?, op)?)
    }
}

impl CustomOp2 for HeadScoresOp {
    fn name(&self) -> &'static str {
        "attention scores"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (spans, heads) = (self.packing.spans(), self.heads.widths.len());
        let scores = head_scores(slice(q, q_layout)?, slice(k, k_layout)?, spans, &self.heads);
        let longest = spans.longest();
        Ok((CpuStorage::F32(scores), Shape::from((spans.samples(), heads, longest, longest))))
    }

    fn bwd(&self, q: &Tensor, k: &Tensor, _: &Tensor, dscores: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dscores = dscores.contiguous()?;
        let (dq, dk) = with_slices(&[q, k, &dscores], |slices| {
            Ok(head_scores_backward(slices[0], slices[1], slices[2], self.packing.spans(), &self.heads))
        })?;
        let of = |gradient: Vec<f32>, x: &Tensor| Tensor::from_vec(gradient, x.shape(), x.device());
        Ok((Some(of(dq, q)?), Some(of(dk, k)?)))
    }
}
