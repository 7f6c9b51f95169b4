//! A sublayer with the tensors of its weights: attention or feed-forward, whole or cut to some heads or neurons.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Result;

use super::slices::with_slices;
use crate::backend::context::ForwardContext;
use crate::backend::cpu::kernels::{
    Concatenated, Dropout, GradientChunks, HeadShape, InnerFunction, Matrix, Norm, OutputNorm, Packed, Part,
    ProbabilityDropout, RowGradients, RowKeys, SavedActivations, Scratch, Segment, Wanted, sublayer, sublayer_backward,
    sublayer_gradients, transposed,
};
use crate::backend::cpu::packed_weights::{Direction, Extent, PackedWeights};
use crate::backend::cpu::variants::{CHUNK, Choice, Variant, Variants};
use crate::config::Activation;
use crate::tensors::{Gradient, HeadSet, Packing, Parameter, RowBlock};

/// The parameters of an attention sublayer. `qkv` is (3·hidden, hidden): the rows of Q, then those of K, then those of V.
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
    /// The hidden size.
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

/// The parameters of a feed-forward sublayer: `up` is (ffn, hidden), `down` (hidden, ffn).
#[derive(Debug, Clone)]
pub(crate) struct FeedForwardParameters {
    pub(crate) up: Parameter,
    pub(crate) up_bias: Parameter,
    pub(crate) down: Parameter,
    pub(crate) down_bias: Parameter,
    pub(crate) scale: Parameter,
    pub(crate) shift: Parameter,
    pub(crate) epsilon: f64,
    pub(crate) hidden: usize,
    pub(crate) neurons: usize,
    pub(crate) activation: Activation,
}

/// What lies between the two products of a sublayer.
#[derive(Debug)]
enum Inner {
    Attention { layer: usize, head_dim: usize, dropout: Option<Dropout> },
    Activation(Activation),
}

/// y = LayerNorm(x + dropout(f(x·W₁ᵀ + b₁)·W₂ᵀ + b₂)) with some of the rows of W₁ and columns of W₂.
#[derive(Debug)]
pub(crate) struct Sublayer {
    /// W₁ (wide, hidden), b₁, W₂ (hidden, inner), b₂, γ, β.
    parameters: [Parameter; 6],
    epsilon: f64,
    hidden: usize,
    chunks: GradientChunks,
    variants: Variants,
    inner: Inner,
    dropout: Option<Dropout>,
}

/// The weights of a sublayer, packed for the products of one direction.
pub(crate) struct PackedSublayer {
    variants: Vec<PackedVariant>,
    outward_bias: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

/// The weights of one variant.
struct PackedVariant {
    inward: WeightSlice,
    inward_bias: Vec<f32>,
    outward: WeightSlice,
}

/// Some rows or columns of a packed weight.
struct WeightSlice {
    packed: Arc<Packed<f32>>,
    rows: Vec<Range<usize>>,
    groups: Vec<usize>,
    columns: usize,
}

impl WeightSlice {
    fn part(&self) -> Part<'_, f32> {
        self.packed.part(&self.rows, &self.groups, self.columns)
    }
}

/// Tokens in a run from which on a copy of the weights packed for its own set of heads costs next to nothing. Shorter runs
/// come in turn again and again, and the copies of several sets would evict each other from the second-level cache.
const OWN_PACKING: usize = 512;

/// One of the two weights.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Inward,
    Outward,
}

impl Sublayer {
    /// The attention of layer `layer`. `sets`: pairs of a number of consecutive samples and the heads that they run.
    pub(crate) fn attention(
        layer: usize,
        p: &AttentionParameters,
        sets: impl IntoIterator<Item = (usize, HeadSet)>,
        (probability_dropout, dropout): (Option<Dropout>, Option<Dropout>),
    ) -> Self {
        let parameters = [&p.qkv, &p.qkv_bias, &p.output, &p.output_bias, &p.scale, &p.shift].map(Clone::clone);
        let hidden = p.hidden();
        Self {
            parameters,
            epsilon: p.epsilon,
            hidden,
            chunks: GradientChunks { inward: 3 * p.head_dim, outward: p.head_dim, wide: 3 * hidden, inner: hidden },
            variants: Variants::new(sets.into_iter().map(|(samples, set)| (samples, Choice::Heads(set))), p.heads),
            inner: Inner::Attention { layer, head_dim: p.head_dim, dropout: probability_dropout },
            dropout,
        }
    }

    /// The feed-forward. `widths`: pairs of a number of consecutive samples and the number of first neurons that they run.
    pub(crate) fn feed_forward(
        p: &FeedForwardParameters,
        widths: impl IntoIterator<Item = (usize, usize)>,
        dropout: Option<Dropout>,
    ) -> Self {
        Self {
            parameters: [&p.up, &p.up_bias, &p.down, &p.down_bias, &p.scale, &p.shift].map(Clone::clone),
            epsilon: p.epsilon,
            hidden: p.hidden,
            chunks: GradientChunks { inward: CHUNK, outward: CHUNK, wide: p.neurons, inner: p.neurons },
            variants: Variants::new(
                widths.into_iter().map(|(samples, width)| (samples, Choice::Neurons(width))),
                p.neurons,
            ),
            inner: Inner::Activation(p.activation),
            dropout,
        }
    }

    /// The parameter whose variable the operation takes as its anchor.
    pub(crate) fn anchor(&self) -> &Parameter {
        &self.parameters[4]
    }

    /// Whether any of its parameters is trained.
    pub(crate) fn trains(&self) -> bool {
        !self.parameters.iter().all(Parameter::is_frozen)
    }

    /// The weights for a direction.
    pub(crate) fn packed(
        &self,
        direction: Direction,
        packing: &Packing,
        packed_weights: &PackedWeights,
    ) -> Result<PackedSublayer> {
        with_slices(&self.parameters.each_ref().map(|parameter| parameter.var().as_tensor()), |slices| {
            let variants = self.variants.different.iter().enumerate().map(|(number, variant)| {
                let run_tokens = self.run_tokens(number, packing);
                let weight_slice =
                    |side, slice| self.weight_slice(side, direction, (variant, run_tokens), slice, packed_weights);
                let (inward, outward) = (weight_slice(Side::Inward, slices[0]), weight_slice(Side::Outward, slices[2]));
                PackedVariant { inward, inward_bias: self.inward_bias(variant, slices[1]), outward }
            });
            Ok(PackedSublayer {
                variants: variants.collect(),
                outward_bias: slices[3].to_vec(),
                scale: slices[4].to_vec(),
                shift: slices[5].to_vec(),
            })
        })
    }

    /// The mean number of tokens in a variant's runs.
    fn run_tokens(&self, number: usize, packing: &Packing) -> usize {
        let runs = || self.variants.runs.iter().filter(|(_, variant)| *variant == number);
        let samples = runs().flat_map(|(run, _)| run.clone());
        samples.map(|sample| packing.spans().range(sample).len()).sum::<usize>() / runs().count().max(1)
    }

    /// The part of b₁ that a variant runs.
    fn inward_bias(&self, variant: &Variant, bias: &[f32]) -> Vec<f32> {
        match variant.choice {
            Choice::Neurons(width) => bias[..width].to_vec(),
            Choice::Heads(_) => {
                let rows = variant.heads.iter().flat_map(|head| self.rows_of_head(*head));
                rows.flat_map(|rows| bias[rows].iter().copied()).collect()
            }
        }
    }

    /// The rows of Q, of K and of V that belong to a head.
    fn rows_of_head(&self, head: usize) -> [Range<usize>; 3] {
        let size = self.chunks.outward;
        [0, 1, 2].map(|part| part * self.hidden + head * size).map(|first| first..first + size)
    }

    /// The part of a weight that a variant runs; `run_tokens` is the mean length of its runs.
    ///
    /// Where the variant takes a part of the products' inner dimension, they skip rows of the weight packed for all. Where it
    /// takes a part of the columns, the weight is packed so that each head begins a panel, or packed for the variant
    /// alone, which leaves no panel partly filled.
    fn weight_slice(
        &self,
        side: Side,
        direction: Direction,
        (variant, run_tokens): (&Variant, usize),
        weight: &[f32],
        packed_weights: &PackedWeights,
    ) -> WeightSlice {
        let (chunk, parameter) = match side {
            Side::Inward => (self.chunks.inward, &self.parameters[0]),
            Side::Outward => (self.chunks.outward, &self.parameters[2]),
        };
        let pack = |choice, by_head| {
            let extent = Extent { choice, by_head };
            packed_weights.of(parameter, direction, extent, || self.matrices(side, direction, extent, weight))
        };
        let all = self.variants.all;
        // The positions of a variant's heads among those that are packed.
        let positions = |choice: Choice| -> Vec<usize> {
            let heads = choice.heads();
            variant.heads.iter().filter_map(|head| heads.binary_search(head).ok()).collect()
        };
        let concatenated = concatenated(side, direction);
        match (concatenated, variant.choice) {
            (Concatenated::Rows, Choice::Neurons(width)) => {
                WeightSlice { packed: pack(all, false), rows: whole(width), groups: vec![0], columns: self.hidden }
            }
            (Concatenated::Rows, Choice::Heads(_)) => {
                let mut rows: Vec<Range<usize>> = Vec::new();
                for position in positions(all) {
                    match rows.last_mut() {
                        Some(last) if last.end == position * chunk => last.end += chunk,
                        _ => rows.push(position * chunk..(position + 1) * chunk),
                    }
                }
                WeightSlice { packed: pack(all, false), rows, groups: vec![0], columns: self.hidden }
            }
            (Concatenated::Columns, Choice::Neurons(width)) => {
                WeightSlice { packed: pack(all, false), rows: whole(self.hidden), groups: vec![0], columns: width }
            }
            (Concatenated::Columns, own) if own == all || run_tokens >= OWN_PACKING => {
                let columns = variant.heads.len() * chunk;
                WeightSlice { packed: pack(own, false), rows: whole(self.hidden), groups: vec![0], columns }
            }
            (Concatenated::Columns, _) => WeightSlice {
                packed: pack(all, true),
                rows: whole(self.hidden),
                groups: positions(all),
                columns: chunk,
            },
        }
    }

    /// The matrices of a part of a weight, for a direction.
    fn matrices<'a>(
        &self,
        side: Side,
        direction: Direction,
        extent: Extent,
        weight: &'a [f32],
    ) -> (Vec<Vec<Matrix<'a, f32>>>, Concatenated) {
        let hidden = self.hidden;
        let inward =
            |rows: Range<usize>| Matrix::new(&weight[rows.start * hidden..rows.end * hidden], rows.len(), hidden);
        let outward = |first: usize, wide| Matrix::strided(&weight[first..], hidden, wide, self.chunks.inner);
        let chunks: Vec<Vec<Matrix<'a, f32>>> = match (extent.choice, side) {
            (Choice::Neurons(width), Side::Inward) => vec![vec![inward(0..width)]],
            (Choice::Neurons(width), Side::Outward) => vec![vec![outward(0, width)]],
            (Choice::Heads(set), Side::Inward) => {
                set.iter().map(|head| self.rows_of_head(head).map(inward).into()).collect()
            }
            (Choice::Heads(set), Side::Outward) => {
                let size = self.chunks.outward;
                set.iter().map(|head| vec![outward(head * size, size)]).collect()
            }
        };
        let turn = |matrix: Matrix<'a, f32>| match direction {
            Direction::Forward => matrix.transposed(),
            Direction::Backward => matrix,
        };
        let chunks = chunks.into_iter().map(|chunk| chunk.into_iter().map(turn).collect());
        let groups = match extent.by_head {
            true => chunks.collect(),
            false => vec![chunks.flat_map(|chunk: Vec<_>| chunk).collect()],
        };
        (groups, concatenated(side, direction))
    }

    /// (tokens, hidden) → (tokens, hidden) of a block, and with `keep` what the backward needs; see [`sublayer`].
    pub(crate) fn forward(
        &self,
        packed: &PackedSublayer,
        x: &[f32],
        (packing, block): (&Packing, &RowBlock),
        keep_and_task: (bool, usize),
        scratch: &mut Scratch<f32>,
    ) -> (Vec<f32>, Option<SavedActivations<f32>>) {
        let segments = self.segments(packed, packing, block);
        sublayer(x, &segments, self.end(packed, packing, block), keep_and_task, scratch)
    }

    /// The gradient of x where it is asked for, and the row gradients that those of the weights are computed from.
    pub(crate) fn backward(
        &self,
        packed: &PackedSublayer,
        dy: &[f32],
        saved: SavedActivations<f32>,
        (packing, block): (&Packing, &RowBlock),
        wanted: Wanted,
    ) -> (Option<Vec<f32>>, RowGradients<f32>) {
        let segments = self.segments(packed, packing, block);
        sublayer_backward(dy, saved, &segments, self.end(packed, packing, block), wanted)
    }

    /// Adds the gradients of the weights to the context, from each block's x and row gradients.
    pub(crate) fn accumulate(&self, blocks: &[(Vec<f32>, RowGradients<f32>)], ctx: &ForwardContext) {
        let gradients = sublayer_gradients(blocks, self.hidden, self.chunks);
        let _span = tracing::trace_span!("adding up gradients").entered();
        let outward = transposed(&gradients.outward, self.hidden);
        let (inward, inward_bias) = match self.inner {
            Inner::Activation(_) => (gradients.inward, gradients.inward_bias),
            Inner::Attention { .. } => {
                (self.by_part(&gradients.inward, self.hidden), self.by_part(&gradients.inward_bias, 1))
            }
        };
        let all = [inward, inward_bias, outward, gradients.outward_bias, gradients.scale, gradients.shift];
        for (parameter, gradient) in self.parameters.iter().zip(all) {
            ctx.accumulate(parameter.id(), Gradient::Dense(gradient));
        }
    }

    /// Reorders rows of `width` values from head-major to the row order of W₁: Q, then K, then V.
    fn by_part(&self, by_head: &[f32], width: usize) -> Vec<f32> {
        let size = self.chunks.outward * width;
        let mut result = Vec::with_capacity(by_head.len());
        for part in 0..3 {
            by_head.chunks_exact(3 * size).for_each(|head| result.extend_from_slice(&head[part * size..][..size]));
        }
        result
    }

    /// Adds the gradients of gates on its heads, if it has heads, to the context.
    pub(crate) fn record_gate_gradients<'a>(
        &self,
        rows: impl Iterator<Item = &'a RowGradients<f32>>,
        packing: &Packing,
        ctx: &ForwardContext,
    ) {
        let Inner::Attention { layer, .. } = &self.inner else { return };
        for (sample, (heads, gradients)) in packing.sample_ids().iter().zip(rows.flat_map(RowGradients::gate_gradients))
        {
            ctx.record_gate_gradients(*layer, *sample, &heads, gradients);
        }
    }

    fn segments<'a>(
        &'a self,
        packed: &'a PackedSublayer,
        packing: &'a Packing,
        block: &RowBlock,
    ) -> Vec<Segment<'a, f32>> {
        let runs = self.variants.within(block.samples.clone());
        let segments = runs.map(|(samples, variant, number)| {
            let first = block.samples.start;
            let inside = samples.start - first..samples.end - first;
            let rows = block.spans.range(inside.start).start..block.spans.range(inside.end - 1).end;
            let PackedVariant { inward, inward_bias, outward } = &packed.variants[number];
            let function = match &self.inner {
                Inner::Attention { head_dim, dropout, .. } => InnerFunction::Attention {
                    spans: block.spans.part(inside),
                    shape: HeadShape { heads: variant.heads.len(), head_dim: *head_dim },
                    dropout: dropout.map(|dropout| ProbabilityDropout {
                        dropout,
                        sample_ids: &packing.sample_ids()[samples],
                        kept: &variant.heads,
                    }),
                },
                Inner::Activation(activation) => InnerFunction::Activation(*activation),
            };
            let (inward, outward, positions) = (inward.part(), outward.part(), variant.positions.clone());
            Segment { rows, inward, inward_bias, outward, function, positions }
        });
        segments.collect()
    }

    fn end<'a>(&self, packed: &'a PackedSublayer, packing: &'a Packing, block: &RowBlock) -> OutputNorm<'a, f32> {
        OutputNorm {
            outward_bias: &packed.outward_bias,
            norm: Norm { scale: &packed.scale, shift: &packed.shift, epsilon: self.epsilon },
            dropout: self.dropout.map(|dropout| (dropout, keys(packing, block))),
        }
    }
}

/// The range of all rows.
fn whole(rows: usize) -> Vec<Range<usize>> {
    std::iter::once(0..rows).collect()
}

/// Whether a slice of a weight takes columns of a product's right factor, or rows.
fn concatenated(side: Side, direction: Direction) -> Concatenated {
    match (side, direction) {
        (Side::Inward, Direction::Forward) | (Side::Outward, Direction::Backward) => Concatenated::Columns,
        (Side::Inward, Direction::Backward) | (Side::Outward, Direction::Forward) => Concatenated::Rows,
    }
}

/// What keys the dropout masks of a block's rows.
pub(crate) fn keys<'a>(packing: &'a Packing, block: &RowBlock) -> RowKeys<'a> {
    let rows = block.rows.clone();
    RowKeys { samples: &packing.row_samples()[rows.clone()], tokens: &packing.row_tokens()[rows] }
}
