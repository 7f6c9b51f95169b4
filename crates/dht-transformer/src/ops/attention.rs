//! The attention half of a block on slices, with the tensors of its weights.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::slices::with_slices;
use crate::kernels::attention::{HeadShape, ProbabilityDropout};
use crate::kernels::blocks::{
    AttentionDropout, AttentionSaved, AttentionWeights, attention_half, attention_half_backward,
};
use crate::kernels::dropout::Dropout;
use crate::kernels::norm::{Norm, RowKeys};
use crate::parameters::{Gradient, Parameter};
use crate::{HeadSet, Packing, Pass};

/// The parameters of an attention half. `qkv` is (3·hidden, hidden): the rows of Q, then those of K, then those of V.
#[derive(Debug, Clone)]
pub(crate) struct AttentionParameters {
    pub(crate) qkv: Parameter,
    pub(crate) qkv_bias: Parameter,
    pub(crate) output: Parameter,
    pub(crate) output_bias: Parameter,
    pub(crate) scale: Parameter,
    pub(crate) shift: Parameter,
    pub(crate) epsilon: f64,
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
}

impl AttentionParameters {
    fn tensors(&self) -> [&Tensor; 6] {
        [&self.qkv, &self.qkv_bias, &self.output, &self.output_bias, &self.scale, &self.shift]
            .map(|p| p.var().as_tensor())
    }

    /// Whether any of them is trained.
    pub(crate) fn trains(&self) -> bool {
        let all = [&self.qkv, &self.qkv_bias, &self.output, &self.output_bias, &self.scale, &self.shift];
        !all.iter().all(|p| p.is_frozen())
    }

    fn hidden(&self) -> usize {
        self.heads * self.head_dim
    }

    /// The rows of `qkv` that belong to these heads: of Q, of K, of V.
    pub(crate) fn qkv_rows(&self, kept: &[usize]) -> Vec<usize> {
        (0..3).flat_map(|part| self.columns(kept).into_iter().map(move |c| part * self.hidden() + c)).collect()
    }

    /// The columns of `output` that belong to these heads.
    pub(crate) fn columns(&self, kept: &[usize]) -> Vec<usize> {
        kept.iter().flat_map(|head| head * self.head_dim..(head + 1) * self.head_dim).collect()
    }
}

/// The weights of some heads, cut out once for a batch.
#[derive(Debug)]
struct Cut {
    qkv_rows: Vec<usize>,
    columns: Vec<usize>,
    qkv: Vec<f32>,
    qkv_bias: Vec<f32>,
    output: Vec<f32>,
}

/// y = LayerNorm(x + dropout(attention(x) of the kept heads · Wₒᵀ + bₒ)).
#[derive(Debug)]
pub(crate) struct AttentionHalf {
    parameters: AttentionParameters,
    packing: Arc<Packing>,
    kept: Vec<usize>,
    cut: Option<Cut>,
    probability_dropout: Option<Dropout>,
    output_dropout: Option<Dropout>,
}

impl AttentionHalf {
    /// The half with these heads.
    pub(crate) fn new(
        packing: &Arc<Packing>,
        parameters: &AttentionParameters,
        kept: HeadSet,
        (probability_dropout, output_dropout): (Option<Dropout>, Option<Dropout>),
    ) -> Result<Self> {
        let all = kept.is_full(parameters.heads);
        let kept: Vec<usize> = kept.iter().collect();
        let cut = if all { None } else { Some(cut(parameters, &kept)?) };
        let (parameters, packing) = (parameters.clone(), packing.clone());
        Ok(Self { parameters, packing, kept, cut, probability_dropout, output_dropout })
    }

    /// The parameter that stands for the half where something must.
    pub(crate) fn anchor(&self) -> &Parameter {
        &self.parameters.scale
    }

    /// Whether any of its parameters is trained.
    pub(crate) fn trains(&self) -> bool {
        self.parameters.trains()
    }

    /// (tokens, hidden) → (tokens, hidden), and with `keep` what the backward needs.
    pub(crate) fn forward(&self, x: &[f32], keep: bool) -> Result<(Vec<f32>, Option<AttentionSaved<f32>>)> {
        self.with_weights(|weights| {
            attention_half(x, self.packing.spans(), self.shape(), weights, self.dropout(), keep)
        })
    }

    /// Adds the gradients of the weights to the pass; gives that of `x` where it is asked for.
    pub(crate) fn backward(
        &self,
        x: &[f32],
        dy: &[f32],
        saved: AttentionSaved<f32>,
        input_needed: bool,
        pass: &Pass,
    ) -> Result<Option<Vec<f32>>> {
        let needs = (self.trains(), input_needed);
        let gradients = self.with_weights(|weights| {
            attention_half_backward(x, dy, saved, self.packing.spans(), self.shape(), weights, self.dropout(), needs)
        })?;
        if let Some(weights) = gradients.weights {
            let (p, hidden) = (&self.parameters, self.parameters.hidden());
            match &self.cut {
                None => {
                    pass.accumulate(p.qkv.id(), Gradient::Dense(weights.qkv));
                    pass.accumulate(p.qkv_bias.id(), Gradient::Dense(weights.qkv_bias));
                    pass.accumulate(p.output.id(), Gradient::Dense(weights.output));
                }
                Some(cut) => {
                    let every: Vec<usize> = (0..hidden).collect();
                    let rows = &cut.qkv_rows;
                    pass.accumulate_block(p.qkv.id(), [3 * hidden, hidden], rows, &every, &weights.qkv);
                    pass.accumulate_block(p.qkv_bias.id(), [3 * hidden, 1], rows, &[0], &weights.qkv_bias);
                    pass.accumulate_block(p.output.id(), [hidden, hidden], &every, &cut.columns, &weights.output);
                }
            }
            pass.accumulate(p.output_bias.id(), Gradient::Dense(weights.output_bias));
            pass.accumulate(p.scale.id(), Gradient::Dense(weights.scale));
            pass.accumulate(p.shift.id(), Gradient::Dense(weights.shift));
        }
        Ok(gradients.dx)
    }

    fn shape(&self) -> HeadShape {
        HeadShape { heads: self.kept.len(), head_dim: self.parameters.head_dim }
    }

    fn dropout(&self) -> AttentionDropout<'_> {
        let sample_ids = self.packing.sample_ids();
        let keys = RowKeys { samples: self.packing.row_samples(), tokens: self.packing.row_tokens() };
        AttentionDropout {
            probabilities: self.probability_dropout.map(|dropout| ProbabilityDropout {
                dropout,
                sample_ids,
                kept: &self.kept,
            }),
            output: self.output_dropout.map(|dropout| (dropout, keys)),
        }
    }

    fn with_weights<R>(&self, f: impl FnOnce(AttentionWeights<'_, f32>) -> R) -> Result<R> {
        with_slices(&self.parameters.tensors(), |slices| {
            let (qkv, qkv_bias, output) = match &self.cut {
                Some(cut) => (&*cut.qkv, &*cut.qkv_bias, &*cut.output),
                None => (slices[0], slices[1], slices[2]),
            };
            let norm = Norm { scale: slices[4], shift: slices[5], epsilon: self.parameters.epsilon };
            Ok(f(AttentionWeights { qkv, qkv_bias, output, output_bias: slices[3], norm }))
        })
    }
}

/// Copies the rows and columns of the kept heads.
fn cut(parameters: &AttentionParameters, kept: &[usize]) -> Result<Cut> {
    let (qkv_rows, columns) = (parameters.qkv_rows(kept), parameters.columns(kept));
    let hidden = parameters.hidden();
    with_slices(&parameters.tensors()[..3], |slices| {
        let qkv = qkv_rows.iter().flat_map(|row| &slices[0][row * hidden..(row + 1) * hidden]).copied().collect();
        let qkv_bias = qkv_rows.iter().map(|row| slices[1][*row]).collect();
        let mut output = Vec::with_capacity(hidden * columns.len());
        for row in slices[2].chunks_exact(hidden) {
            for head in kept {
                output.extend_from_slice(&row[head * parameters.head_dim..(head + 1) * parameters.head_dim]);
            }
        }
        Ok((qkv, qkv_bias, output))
    })
    .map(|(qkv, qkv_bias, output)| Cut { qkv_rows, columns, qkv, qkv_bias, output })
}
