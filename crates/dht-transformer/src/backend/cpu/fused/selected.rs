//! Attention or feed-forward sublayer on the CPU, complete or with a subset of its heads or neurons.

use candle_core::Result;

use super::sublayer::{Output, PackedSublayer, PackedVariant, Sublayer, accumulate_bias};
use super::weight_slices::{Selection, Side};
use crate::backend::context::ForwardContext;
use crate::backend::cpu::kernels::{
    Dropout, GradientChunks, HeadShape, InnerFunction, ProbabilityDropout, Projection, RowGradients, Segment,
    sublayer_gradients, transposed,
};
use crate::backend::cpu::packed_weights::{Direction, PackedWeights};
use crate::backend::cpu::variants::{CHUNK, Choice, Variants};
use crate::backend::parameters::{AttentionParameters, FeedForwardParameters};
use crate::backend::relative_bias::RelativeBias;
use crate::config::Activation;
use crate::tensors::{Gradient, HeadSet, Packing, Parameter, RowBlock, with_weight_slices};

/// Function between the two matrix products of a sublayer: attention or an activation.
#[derive(Debug)]
enum Inner {
    Attention { layer: usize, head_dim: usize, dropout: Option<Dropout>, bias: Option<RelativeBias> },
    Activation(Activation),
}

/// Attention or feed-forward sublayer in which each sample runs a subset of the heads or neurons. A subset selects rows
/// of the first weight W₁ and columns of the second weight W₂.
#[derive(Debug)]
pub(crate) struct SelectedSublayer {
    /// Parameters in this order: first weight W₁ (wide, hidden), bias b₁, second weight W₂ (hidden, inner), bias b₂,
    /// and the scale γ and shift β of the layer norm.
    parameters: [Parameter; 6],
    epsilon: f64,
    selection: Selection,
    inner: Inner,
    dropout: Option<Dropout>,
}

impl SelectedSublayer {
    /// Creates the attention sublayer of one layer. Each item of `sets` has a number of consecutive samples, and the
    /// heads that these samples run.
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
            selection: Selection {
                hidden,
                chunks: GradientChunks { inward: 3 * p.head_dim, outward: p.head_dim, wide: 3 * hidden, inner: hidden },
                variants: Variants::new(sets.into_iter().map(|(samples, set)| (samples, Choice::Heads(set))), p.heads),
            },
            inner: Inner::Attention { layer, head_dim: p.head_dim, dropout: probability_dropout, bias: p.bias.clone() },
            dropout,
        }
    }

    /// Creates a feed-forward sublayer. Each item of `widths` has a number of consecutive samples, and the number of
    /// neurons that these samples run, counted from the first neuron.
    pub(crate) fn feed_forward(
        p: &FeedForwardParameters,
        widths: impl IntoIterator<Item = (usize, usize)>,
        dropout: Option<Dropout>,
    ) -> Self {
        Self {
            parameters: [&p.up, &p.up_bias, &p.down, &p.down_bias, &p.scale, &p.shift].map(Clone::clone),
            epsilon: p.epsilon,
            selection: Selection {
                hidden: p.hidden,
                chunks: GradientChunks { inward: CHUNK, outward: CHUNK, wide: p.neurons, inner: p.neurons },
                variants: Variants::new(
                    widths.into_iter().map(|(samples, width)| (samples, Choice::Neurons(width))),
                    p.neurons,
                ),
            },
            inner: Inner::Activation(p.activation),
            dropout,
        }
    }

    fn relative_bias(&self) -> Option<&RelativeBias> {
        match &self.inner {
            Inner::Attention { bias, .. } => bias.as_ref(),
            Inner::Activation(_) => None,
        }
    }

    /// Mean number of tokens in an uninterrupted run of samples that share a variant (subset of heads or neurons).
    /// `number` is the variant's index.
    fn run_tokens(&self, number: usize, packing: &Packing) -> usize {
        let runs = || self.selection.variants.runs.iter().filter(|(_, variant)| *variant == number);
        let samples = runs().flat_map(|(run, _)| run.clone());
        samples.map(|sample| packing.spans().range(sample).len()).sum::<usize>() / runs().count().max(1)
    }

    /// Reorders rows of `width` values that are sorted by head (Q, K and V of the first head, then of the second). The
    /// result has the order of the weight: all of Q, then all of K, then all of V.
    fn by_part(&self, by_head: &[f32], width: usize) -> Vec<f32> {
        let size = self.selection.chunks.outward * width;
        let mut result = Vec::with_capacity(by_head.len());
        for part in 0..3 {
            by_head.chunks_exact(3 * size).for_each(|head| result.extend_from_slice(&head[part * size..][..size]));
        }
        result
    }
}

impl Sublayer for SelectedSublayer {
    fn trains(&self) -> bool {
        !self.parameters.iter().chain(self.relative_bias().map(|bias| &bias.table)).all(Parameter::is_frozen)
    }

    fn multiply_adds_of_a_row(&self) -> usize {
        self.selection.hidden * (self.selection.chunks.wide + self.selection.chunks.inner)
    }

    fn packed(
        &self,
        direction: Direction,
        packing: &Packing,
        packed_weights: &PackedWeights,
    ) -> Result<PackedSublayer> {
        let relative_bias = self.relative_bias().map(RelativeBias::numbers).transpose()?.unwrap_or_default();
        with_weight_slices(&self.parameters.each_ref().map(|parameter| parameter.var().as_tensor()), |slices| {
            let variants = self.selection.variants.different.iter().enumerate().map(|(number, variant)| {
                let run_tokens = self.run_tokens(number, packing);
                let weight_slice = |side, index: usize| {
                    let weight = (&self.parameters[index], slices[index]);
                    self.selection.weight_slice(side, direction, (variant, run_tokens), weight, packed_weights)
                };
                let (inward, outward) = (weight_slice(Side::Inward, 0)?, weight_slice(Side::Outward, 2)?);
                let inward_bias = self.selection.inward_bias(variant, slices[1]);
                Ok(PackedVariant { inward: vec![inward], inward_bias, outward })
            });
            Ok(PackedSublayer {
                variants: variants.collect::<Result<_>>()?,
                outward_bias: slices[3].to_vec(),
                scale: slices[4].to_vec(),
                shift: slices[5].to_vec(),
                relative_bias,
            })
        })
    }

    fn segments<'a>(
        &'a self,
        packed: &'a PackedSublayer,
        packing: &'a Packing,
        block: &RowBlock,
    ) -> Vec<Segment<'a, f32>> {
        let runs = self.selection.variants.within(block.samples.clone());
        let segments = runs.map(|(samples, variant, number)| {
            let first = block.samples.start;
            let inside = samples.start - first..samples.end - first;
            let rows = block.spans.range(inside.start).start..block.spans.range(inside.end - 1).end;
            let PackedVariant { inward, inward_bias, outward } = &packed.variants[number];
            let function = match &self.inner {
                Inner::Attention { head_dim, dropout, bias, .. } => {
                    let spans = block.spans.part(inside);
                    let of_heads =
                        |bias: &RelativeBias| bias.by_distance(&packed.relative_bias, &variant.heads, spans.longest());
                    let bias = bias.as_ref().map(of_heads);
                    let shape = HeadShape::alike(variant.heads.len(), *head_dim).with_bias(bias);
                    let dropout = dropout.map(|dropout| ProbabilityDropout {
                        dropout,
                        sample_ids: &packing.sample_ids()[samples],
                        kept: &variant.heads,
                    });
                    InnerFunction::Attention { spans, shape, dropout }
                }
                Inner::Activation(activation) => InnerFunction::Activation(*activation),
            };
            let inward = inward.iter().map(|weight| Projection {
                inputs: None,
                outputs: 0..inward_bias.len(),
                weight: weight.part(),
            });
            let (inward, outward, positions) = (inward.collect(), outward.part(), variant.positions.clone());
            Segment { rows, inward, inward_bias, outward, function, positions }
        });
        segments.collect()
    }

    fn output(&self) -> Output {
        Output { epsilon: self.epsilon, dropout: self.dropout }
    }

    fn attention_layer(&self) -> Option<usize> {
        match &self.inner {
            Inner::Attention { layer, .. } => Some(*layer),
            Inner::Activation(_) => None,
        }
    }

    fn accumulate(&self, blocks: &[(Vec<f32>, RowGradients<f32>)], ctx: &ForwardContext) {
        let gradients = sublayer_gradients(blocks, self.selection.hidden, self.selection.chunks);
        let _span = tracing::trace_span!("adding up gradients").entered();
        let outward = transposed(&gradients.outward, self.selection.hidden);
        let (inward, inward_bias) = match self.inner {
            Inner::Activation(_) => (gradients.inward, gradients.inward_bias),
            Inner::Attention { .. } => {
                (self.by_part(&gradients.inward, self.selection.hidden), self.by_part(&gradients.inward_bias, 1))
            }
        };
        let all = [inward, inward_bias, outward, gradients.outward_bias, gradients.scale, gradients.shift];
        for (parameter, gradient) in self.parameters.iter().zip(all) {
            ctx.accumulate(parameter.id(), Gradient::Dense(gradient));
        }
        accumulate_bias(self.relative_bias(), blocks, ctx);
    }
}
