//! Interface of the encoder's sublayers on the CPU.

use candle_core::Result;

use super::weight_slices::WeightSlice;
use crate::backend::context::ForwardContext;
use crate::backend::cpu::kernels::{
    Dropout, Norm, OutputNorm, RequestedGradients, RowGradients, RowKeys, SavedActivations, Scratch, Segment, sublayer,
    sublayer_backward,
};
use crate::backend::cpu::packed_weights::{Direction, PackedWeights};
use crate::backend::relative_bias::RelativeBias;
use crate::tensors::{Gradient, Packing, RowBlock};

/// Attention or feed-forward sublayer y = LayerNorm(x + dropout(f(x·W₁ᵀ + b₁)·W₂ᵀ + b₂)), where f is attention or an
/// activation. Samples of a batch may run different heads or neurons.
pub(crate) trait Sublayer: Send + Sync {
    fn trains(&self) -> bool;

    /// Number of multiply-adds in both matrix products of the sublayer for one row, with all heads and neurons.
    fn multiply_adds_of_a_row(&self) -> usize;

    /// Packs the sublayer's weights for matrix products of the forward pass or of the backward pass.
    fn packed(&self, direction: Direction, packing: &Packing, packed_weights: &PackedWeights)
    -> Result<PackedSublayer>;

    /// Divides a block of rows into segments of neighbouring samples that run the same heads or neurons.
    fn segments<'a>(
        &'a self,
        packed: &'a PackedSublayer,
        packing: &'a Packing,
        block: &RowBlock,
    ) -> Vec<Segment<'a, f32>>;

    fn output(&self) -> Output;

    fn attention_layer(&self) -> Option<usize>;

    /// Computes the gradients of the sublayer's weights and adds them to the context. Each block has the sublayer's
    /// input x and the gradients of its rows.
    fn accumulate(&self, blocks: &[(Vec<f32>, RowGradients<f32>)], ctx: &ForwardContext);
}

/// Last step of a sublayer: parameters of the layer norm, and the dropout.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) epsilon: f64,
    pub(crate) dropout: Option<Dropout>,
}

pub(crate) struct PackedSublayer {
    pub(super) variants: Vec<PackedVariant>,
    pub(super) outward_bias: Vec<f32>,
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    /// Values of the table of relative-position biases. The list is empty if the model has no such table.
    pub(super) relative_bias: Vec<f32>,
}

/// Weights of a sublayer packed for one subset of its heads or neurons.
pub(super) struct PackedVariant {
    /// Packed first weight W₁ of the sublayer. If single dimensions were pruned from attention, there are three packed
    /// weights instead, for Q, K and V.
    pub(super) inward: Vec<WeightSlice>,
    pub(super) inward_bias: Vec<f32>,
    pub(super) outward: WeightSlice,
}

impl dyn Sublayer {
    /// Runs the sublayer on one block of rows, (tokens, hidden) → (tokens, hidden). With `keep`, also returns the
    /// activations that the backward pass needs. See [`sublayer`].
    pub(crate) fn forward(
        &self,
        packed: &PackedSublayer,
        x: &[f32],
        (packing, block): (&Packing, &RowBlock),
        keep_and_chunk_rows: (bool, usize),
        scratch: &mut Scratch<f32>,
    ) -> (Vec<f32>, Option<SavedActivations<f32>>) {
        let segments = self.segments(packed, packing, block);
        sublayer(x, &segments, self.output_norm(packed, packing, block), keep_and_chunk_rows, scratch)
    }

    /// Runs the sublayer's backward pass for one block of rows. Returns the gradient of the input x if it is requested,
    /// and the row gradients from which the gradients of the weights are computed.
    pub(crate) fn backward(
        &self,
        packed: &PackedSublayer,
        dy: &[f32],
        saved: SavedActivations<f32>,
        (packing, block): (&Packing, &RowBlock),
        requested: RequestedGradients,
    ) -> (Option<Vec<f32>>, RowGradients<f32>) {
        let segments = self.segments(packed, packing, block);
        sublayer_backward(dy, saved, &segments, self.output_norm(packed, packing, block), requested)
    }

    /// Adds the gradients of gates on attention heads to the context. A feed-forward sublayer has none.
    pub(crate) fn record_gate_gradients<'a>(
        &self,
        rows: impl Iterator<Item = &'a RowGradients<f32>>,
        packing: &Packing,
        ctx: &ForwardContext,
    ) {
        let Some(layer) = self.attention_layer() else { return };
        for (sample, (heads, gradients)) in packing.sample_ids().iter().zip(rows.flat_map(RowGradients::gate_gradients))
        {
            ctx.record_gate_gradients(layer, *sample, &heads, gradients);
        }
    }

    fn output_norm<'a>(
        &self,
        packed: &'a PackedSublayer,
        packing: &'a Packing,
        block: &RowBlock,
    ) -> OutputNorm<'a, f32> {
        let Output { epsilon, dropout } = self.output();
        OutputNorm {
            outward_bias: &packed.outward_bias,
            norm: Norm { scale: &packed.scale, shift: &packed.shift, epsilon },
            dropout: dropout.map(|dropout| (dropout, keys(packing, block))),
        }
    }
}

/// Sample id and token position of each row in a block. The dropout mask of a row depends on them.
pub(crate) fn keys<'a>(packing: &'a Packing, block: &RowBlock) -> RowKeys<'a> {
    let rows = block.rows.clone();
    RowKeys { samples: &packing.row_samples()[rows.clone()], tokens: &packing.row_tokens()[rows] }
}

/// Adds the gradient of the table of relative-position biases to the context. Does nothing if the model has no table.
pub(super) fn accumulate_bias(
    bias: Option<&RelativeBias>,
    blocks: &[(Vec<f32>, RowGradients<f32>)],
    ctx: &ForwardContext,
) {
    let Some(bias) = bias else { return };
    let segments = blocks.iter().flat_map(|(_, rows)| &rows.segments);
    let gradients = segments.filter_map(|segment| Some((&*segment.positions, segment.bias.as_ref()?)));
    ctx.accumulate(bias.table.id(), Gradient::Dense(bias.table_gradient(gradients)));
}
