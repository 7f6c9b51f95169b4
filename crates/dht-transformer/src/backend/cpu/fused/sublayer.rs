//! Half of a layer with the tensors of its weights: attention or feed-forward, whole or cut to some heads or neurons.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Result;

use super::slices::with_slices;
use crate::backend::context::ForwardContext;
use crate::backend::cpu::kernels::{
    Between, Dropout, End, HalfRows, HalfSaved, HeadShape, Joined, Matrix, Norm, Packed, Part, ProbabilityDropout,
    RowKeys, Scratch, Segment, Units, Wanted, half, half_backward, half_gradients, transposed,
};
use crate::backend::cpu::packed_weights::{Direction, Extent, Layouts};
use crate::backend::cpu::variants::{CHUNK, Choice, Way, Ways};
use crate::config::Activation;
use crate::tensors::{Gradient, HeadSet, Packing, Parameter, RowBlock};

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

/// The parameters of a feed-forward half: `up` is (ffn, hidden), `down` (hidden, ffn).
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

/// What lies between the two products of a half.
#[derive(Debug)]
enum Middle {
    Attention { layer: usize, head_dim: usize, dropout: Option<Dropout> },
    Activation(Activation),
}

/// y = LayerNorm(x + dropout(between(x·W₁ᵀ + b₁)·W₂ᵀ + b₂)) with some of the rows of W₁ and columns of W₂.
#[derive(Debug)]
pub(crate) struct Half {
    /// W₁ (wide, hidden), b₁, W₂ (hidden, inner), b₂, γ, β.
    parameters: [Parameter; 6],
    epsilon: f64,
    hidden: usize,
    units: Units,
    ways: Ways,
    middle: Middle,
    dropout: Option<Dropout>,
}

/// The weights of a half, laid out for the products of one direction.
pub(crate) struct HalfLayout {
    ways: Vec<WayLayout>,
    outward_bias: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

/// What one way of running a half needs of its weights.
struct WayLayout {
    inward: Cut,
    inward_bias: Vec<f32>,
    outward: Cut,
}

/// A part of a laid out weight.
struct Cut {
    packed: Arc<Packed<f32>>,
    rows: Vec<Range<usize>>,
    groups: Vec<usize>,
    columns: usize,
}

impl Cut {
    fn part(&self) -> Part<'_, f32> {
        self.packed.part(&self.rows, &self.groups, self.columns)
    }
}

/// Tokens in a run for which a layout of its own set of heads costs next to nothing. For shorter ones, all of which come to
/// their turn again and again, the layouts of several sets would drive each other out of the second-level cache.
const OWN_LAYOUT: usize = 512;

/// One of the two weights.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Inward,
    Outward,
}

impl Half {
    /// Attention; so many samples, one after another, run these heads. `layer` is its layer's number.
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
            units: Units { inward: 3 * p.head_dim, outward: p.head_dim, wide: 3 * hidden, inner: hidden },
            ways: Ways::new(sets.into_iter().map(|(samples, set)| (samples, Choice::Heads(set))), p.heads),
            middle: Middle::Attention { layer, head_dim: p.head_dim, dropout: probability_dropout },
            dropout,
        }
    }

    /// The feed-forward; so many samples, one after another, run so many of its first neurons.
    pub(crate) fn feed_forward(
        p: &FeedForwardParameters,
        widths: impl IntoIterator<Item = (usize, usize)>,
        dropout: Option<Dropout>,
    ) -> Self {
        Self {
            parameters: [&p.up, &p.up_bias, &p.down, &p.down_bias, &p.scale, &p.shift].map(Clone::clone),
            epsilon: p.epsilon,
            hidden: p.hidden,
            units: Units { inward: CHUNK, outward: CHUNK, wide: p.neurons, inner: p.neurons },
            ways: Ways::new(widths.into_iter().map(|(samples, width)| (samples, Choice::Neurons(width))), p.neurons),
            middle: Middle::Activation(p.activation),
            dropout,
        }
    }

    /// The parameter that stands for the half where something must.
    pub(crate) fn anchor(&self) -> &Parameter {
        &self.parameters[4]
    }

    /// Whether any of its parameters is trained.
    pub(crate) fn trains(&self) -> bool {
        !self.parameters.iter().all(Parameter::is_frozen)
    }

    /// The weights for a direction.
    pub(crate) fn layout(&self, direction: Direction, packing: &Packing, layouts: &Layouts) -> Result<HalfLayout> {
        with_slices(&self.parameters.each_ref().map(|parameter| parameter.var().as_tensor()), |slices| {
            let ways = self.ways.different.iter().enumerate().map(|(number, way)| {
                let run_tokens = self.run_tokens(number, packing);
                let cut = |side, slice| self.cut(side, direction, (way, run_tokens), slice, layouts);
                let (inward, outward) = (cut(Side::Inward, slices[0]), cut(Side::Outward, slices[2]));
                WayLayout { inward, inward_bias: self.inward_bias(way, slices[1]), outward }
            });
            Ok(HalfLayout {
                ways: ways.collect(),
                outward_bias: slices[3].to_vec(),
                scale: slices[4].to_vec(),
                shift: slices[5].to_vec(),
            })
        })
    }

    /// The mean number of tokens in a way's runs.
    fn run_tokens(&self, number: usize, packing: &Packing) -> usize {
        let runs = || self.ways.runs.iter().filter(|(_, way)| *way == number);
        let samples = runs().flat_map(|(run, _)| run.clone());
        samples.map(|sample| packing.spans().range(sample).len()).sum::<usize>() / runs().count().max(1)
    }

    /// The part of b₁ that a way runs.
    fn inward_bias(&self, way: &Way, bias: &[f32]) -> Vec<f32> {
        match way.choice {
            Choice::Neurons(width) => bias[..width].to_vec(),
            Choice::Heads(_) => {
                let rows = way.heads.iter().flat_map(|head| self.rows_of_head(*head));
                rows.flat_map(|rows| bias[rows].iter().copied()).collect()
            }
        }
    }

    /// The rows of Q, of K and of V that belong to a head.
    fn rows_of_head(&self, head: usize) -> [Range<usize>; 3] {
        let size = self.units.outward;
        [0, 1, 2].map(|part| part * self.hidden + head * size).map(|first| first..first + size)
    }

    /// The part of a weight that a way runs whose runs have so many tokens.
    ///
    /// Where the products' inner dimension is cut, they skip rows of a layout for all; where their columns are, it is a
    /// layout in which each head begins a panel, or one of the way's own, which has no panels that are not full.
    fn cut(
        &self,
        side: Side,
        direction: Direction,
        (way, run_tokens): (&Way, usize),
        weight: &[f32],
        layouts: &Layouts,
    ) -> Cut {
        let (unit, parameter) = match side {
            Side::Inward => (self.units.inward, &self.parameters[0]),
            Side::Outward => (self.units.outward, &self.parameters[2]),
        };
        let lay_out = |choice, by_head| {
            let extent = Extent { choice, by_head };
            layouts.of(parameter, direction, extent, || self.matrices(side, direction, extent, weight))
        };
        let all = self.ways.all;
        // Where a way's heads lie among those that are laid out.
        let places = |choice: Choice| -> Vec<usize> {
            let heads = choice.heads();
            way.heads.iter().filter_map(|head| heads.binary_search(head).ok()).collect()
        };
        let joined = joined(side, direction);
        match (joined, way.choice) {
            (Joined::Below, Choice::Neurons(width)) => {
                Cut { packed: lay_out(all, false), rows: whole(width), groups: vec![0], columns: self.hidden }
            }
            (Joined::Below, Choice::Heads(_)) => {
                let mut rows: Vec<Range<usize>> = Vec::new();
                for place in places(all) {
                    match rows.last_mut() {
                        Some(last) if last.end == place * unit => last.end += unit,
                        _ => rows.push(place * unit..(place + 1) * unit),
                    }
                }
                Cut { packed: lay_out(all, false), rows, groups: vec![0], columns: self.hidden }
            }
            (Joined::Beside, Choice::Neurons(width)) => {
                Cut { packed: lay_out(all, false), rows: whole(self.hidden), groups: vec![0], columns: width }
            }
            (Joined::Beside, own) if own == all || run_tokens >= OWN_LAYOUT => {
                let columns = way.heads.len() * unit;
                Cut { packed: lay_out(own, false), rows: whole(self.hidden), groups: vec![0], columns }
            }
            (Joined::Beside, _) => {
                Cut { packed: lay_out(all, true), rows: whole(self.hidden), groups: places(all), columns: unit }
            }
        }
    }

    /// The matrices of a part of a weight, for a direction.
    fn matrices<'a>(
        &self,
        side: Side,
        direction: Direction,
        extent: Extent,
        weight: &'a [f32],
    ) -> (Vec<Vec<Matrix<'a, f32>>>, Joined) {
        let hidden = self.hidden;
        let inward =
            |rows: Range<usize>| Matrix::new(&weight[rows.start * hidden..rows.end * hidden], rows.len(), hidden);
        let outward = |first: usize, wide| Matrix::strided(&weight[first..], hidden, wide, self.units.inner);
        let units: Vec<Vec<Matrix<'a, f32>>> = match (extent.choice, side) {
            (Choice::Neurons(width), Side::Inward) => vec![vec![inward(0..width)]],
            (Choice::Neurons(width), Side::Outward) => vec![vec![outward(0, width)]],
            (Choice::Heads(set), Side::Inward) => {
                set.iter().map(|head| self.rows_of_head(head).map(inward).into()).collect()
            }
            (Choice::Heads(set), Side::Outward) => {
                let size = self.units.outward;
                set.iter().map(|head| vec![outward(head * size, size)]).collect()
            }
        };
        let turn = |matrix: Matrix<'a, f32>| match direction {
            Direction::Forward => matrix.transposed(),
            Direction::Backward => matrix,
        };
        let units = units.into_iter().map(|unit| unit.into_iter().map(turn).collect());
        let groups = match extent.by_head {
            true => units.collect(),
            false => vec![units.flat_map(|unit: Vec<_>| unit).collect()],
        };
        (groups, joined(side, direction))
    }

    /// (tokens, hidden) → (tokens, hidden) of a block, and with `keep` what the backward needs; see [`half`].
    pub(crate) fn forward(
        &self,
        layout: &HalfLayout,
        x: &[f32],
        (packing, block): (&Packing, &RowBlock),
        keep_and_task: (bool, usize),
        scratch: &mut Scratch<f32>,
    ) -> (Vec<f32>, Option<HalfSaved<f32>>) {
        let segments = self.segments(layout, packing, block);
        half(x, &segments, self.end(layout, packing, block), keep_and_task, scratch)
    }

    /// The gradient of x where it is asked for, and what the gradients of the weights follow from.
    pub(crate) fn backward(
        &self,
        layout: &HalfLayout,
        dy: &[f32],
        saved: HalfSaved<f32>,
        (packing, block): (&Packing, &RowBlock),
        wanted: Wanted,
    ) -> (Option<Vec<f32>>, HalfRows<f32>) {
        let segments = self.segments(layout, packing, block);
        half_backward(dy, saved, &segments, self.end(layout, packing, block), wanted)
    }

    /// Adds the gradients of the weights to the pass, from each block's x and rows.
    pub(crate) fn accumulate(&self, blocks: &[(Vec<f32>, HalfRows<f32>)], ctx: &ForwardContext) {
        let gradients = half_gradients(blocks, self.hidden, self.units);
        let _span = tracing::trace_span!("adding up gradients").entered();
        let outward = transposed(&gradients.outward, self.hidden);
        let (inward, inward_bias) = match self.middle {
            Middle::Activation(_) => (gradients.inward, gradients.inward_bias),
            Middle::Attention { .. } => {
                (self.by_part(&gradients.inward, self.hidden), self.by_part(&gradients.inward_bias, 1))
            }
        };
        let all = [inward, inward_bias, outward, gradients.outward_bias, gradients.scale, gradients.shift];
        for (parameter, gradient) in self.parameters.iter().zip(all) {
            ctx.accumulate(parameter.id(), Gradient::Dense(gradient));
        }
    }

    /// Rows of `width` numbers that are in the order of heads, in the order of W₁: those of Q, of K, of V.
    fn by_part(&self, by_head: &[f32], width: usize) -> Vec<f32> {
        let size = self.units.outward * width;
        let mut result = Vec::with_capacity(by_head.len());
        for part in 0..3 {
            by_head.chunks_exact(3 * size).for_each(|head| result.extend_from_slice(&head[part * size..][..size]));
        }
        result
    }

    /// Adds the slopes along gates on its heads, if it has heads, to the pass.
    pub(crate) fn record_slopes<'a>(
        &self,
        rows: impl Iterator<Item = &'a HalfRows<f32>>,
        packing: &Packing,
        ctx: &ForwardContext,
    ) {
        let Middle::Attention { layer, .. } = &self.middle else { return };
        for (sample, (heads, slopes)) in packing.sample_ids().iter().zip(rows.flat_map(HalfRows::slopes)) {
            ctx.record_slopes(*layer, *sample, &heads, slopes);
        }
    }

    fn segments<'a>(&'a self, layout: &'a HalfLayout, packing: &'a Packing, block: &RowBlock) -> Vec<Segment<'a, f32>> {
        let runs = self.ways.within(block.samples.clone());
        let segments = runs.map(|(samples, way, number)| {
            let first = block.samples.start;
            let inside = samples.start - first..samples.end - first;
            let rows = block.spans.range(inside.start).start..block.spans.range(inside.end - 1).end;
            let WayLayout { inward, inward_bias, outward } = &layout.ways[number];
            let between = match &self.middle {
                Middle::Attention { head_dim, dropout, .. } => Between::Attention {
                    spans: block.spans.part(inside),
                    shape: HeadShape { heads: way.heads.len(), head_dim: *head_dim },
                    dropout: dropout.map(|dropout| ProbabilityDropout {
                        dropout,
                        sample_ids: &packing.sample_ids()[samples],
                        kept: &way.heads,
                    }),
                },
                Middle::Activation(activation) => Between::Activation(*activation),
            };
            let (inward, outward, places) = (inward.part(), outward.part(), way.places.clone());
            Segment { rows, inward, inward_bias, outward, between, places }
        });
        segments.collect()
    }

    fn end<'a>(&self, layout: &'a HalfLayout, packing: &'a Packing, block: &RowBlock) -> End<'a, f32> {
        End {
            outward_bias: &layout.outward_bias,
            norm: Norm { scale: &layout.scale, shift: &layout.shift, epsilon: self.epsilon },
            dropout: self.dropout.map(|dropout| (dropout, keys(packing, block))),
        }
    }
}

/// All of so many rows, as one range.
fn whole(rows: usize) -> Vec<Range<usize>> {
    std::iter::once(0..rows).collect()
}

/// Whether what is cut of a weight are the columns of a product's right factor, or its rows.
fn joined(side: Side, direction: Direction) -> Joined {
    match (side, direction) {
        (Side::Inward, Direction::Forward) | (Side::Outward, Direction::Backward) => Joined::Beside,
        (Side::Inward, Direction::Backward) | (Side::Outward, Direction::Forward) => Joined::Below,
    }
}

/// What keys the dropout masks of a block's rows.
pub(crate) fn keys<'a>(packing: &'a Packing, block: &RowBlock) -> RowKeys<'a> {
    let rows = block.rows.clone();
    RowKeys { samples: &packing.row_samples()[rows.clone()], tokens: &packing.row_tokens()[rows] }
}
