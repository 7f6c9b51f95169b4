//! Attention with pruned dimensions ("ragged attention") on the CPU. Q, K and V may read different columns, and heads
//! may differ in width.

use std::sync::Arc;

use candle_core::Result;

use super::sublayer::{Output, PackedSublayer, PackedVariant, Sublayer, accumulate_bias};
use super::weight_slices::WeightSlice;
use crate::backend::context::ForwardContext;
use crate::backend::cpu::kernels::{
    Concatenated, Dropout, HeadShape, InnerFunction, Matrix, ProbabilityDropout, Projection, RowGradients, Segment,
    projection_gradients, transposed,
};
use crate::backend::cpu::packed_weights::{Direction, Extent, PackedWeights};
use crate::backend::cpu::variants::Choice;
use crate::backend::parameters::{LinearParameters, RaggedParameters};
use crate::backend::relative_bias::RelativeBias;
use crate::tensors::{Gradient, Packing, Parameter, RowBlock, released, with_weight_slices};

/// Attention sublayer with pruned dimensions. All samples run the same heads and dimensions.
pub(crate) struct RaggedSublayer {
    layer: usize,
    parameters: Arc<RaggedParameters>,
    /// Numbers that the remaining heads had in the unpruned layer, in increasing order.
    heads: Vec<usize>,
    /// Entry for each head of the unpruned layer: its index among the remaining heads, or `None` if it was pruned.
    positions: Arc<[Option<usize>]>,
    probability_dropout: Option<Dropout>,
    dropout: Option<Dropout>,
}

impl RaggedSublayer {
    /// Creates the attention sublayer of one layer. It has two dropouts: on the attention probabilities, and on the
    /// output.
    pub(crate) fn new(
        layer: usize,
        parameters: &Arc<RaggedParameters>,
        (probability_dropout, dropout): (Option<Dropout>, Option<Dropout>),
    ) -> Self {
        let heads: Vec<usize> = parameters.heads.iter().map(|head| head.number).collect();
        let positions = (0..parameters.all_heads).map(|head| heads.binary_search(&head).ok()).collect();
        Self { layer, parameters: parameters.clone(), heads, positions, probability_dropout, dropout }
    }

    fn hidden(&self) -> usize {
        self.parameters.output.outputs
    }

    fn shape(&self, numbers: &[f32], longest: usize) -> HeadShape<f32> {
        let bias = self.parameters.bias.as_ref().map(|bias| bias.by_distance(numbers, &self.heads, longest));
        let widths = self.parameters.heads.iter().map(|head| (head.query_key, head.value));
        HeadShape::ragged(widths, self.parameters.head_dim).with_bias(bias)
    }
}

/// Packs a weight for the products of a direction.
fn packed(
    linear: &LinearParameters,
    numbers: &[f32],
    direction: Direction,
    known: &PackedWeights,
) -> Result<WeightSlice> {
    let extent = Extent { choice: Choice::Neurons(linear.outputs), whole: true, by_head: false };
    let rows = match direction {
        Direction::Forward => linear.inputs,
        Direction::Backward => linear.outputs,
    };
    let parts = || {
        if numbers.is_empty() {
            return Err(released());
        }
        let matrix = Matrix::new(numbers, linear.outputs, linear.inputs);
        let matrix = if direction == Direction::Forward { matrix.transposed() } else { matrix };
        Ok((vec![vec![matrix]], Concatenated::Columns))
    };
    Ok(WeightSlice::all(known.packed(&linear.weight, direction, (extent, known.precision()), parts)?, rows))
}

impl Sublayer for RaggedSublayer {
    fn trains(&self) -> bool {
        let bias = self.parameters.bias.as_ref().map(|bias| &bias.table);
        self.parameters.all().into_iter().chain(bias).any(|parameter| !parameter.is_frozen())
    }

    fn multiply_adds_of_a_row(&self) -> usize {
        let linears = self.parameters.projections.iter().chain([&self.parameters.output]);
        linears.map(|linear| linear.inputs * linear.outputs).sum()
    }

    fn packed(&self, direction: Direction, _: &Packing, packed_weights: &PackedWeights) -> Result<PackedSublayer> {
        let p = &*self.parameters;
        let relative_bias = p.bias.as_ref().map(RelativeBias::numbers).transpose()?.unwrap_or_default();
        with_weight_slices(&p.all().map(|parameter| parameter.var().as_tensor()), |slices| {
            let linears = p.projections.iter().chain([&p.output]).zip(slices.chunks(2));
            let packed = linears.map(|(linear, slices)| packed(linear, slices[0], direction, packed_weights));
            let mut inward = packed.collect::<Result<Vec<_>>>()?;
            let outward = inward.split_off(3).remove(0);
            let inward_bias = [slices[1], slices[3], slices[5]].concat();
            Ok(PackedSublayer {
                variants: vec![PackedVariant { inward, inward_bias, outward }],
                outward_bias: slices[7].to_vec(),
                scale: slices[8].to_vec(),
                shift: slices[9].to_vec(),
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
        let projections = self.parameters.inputs.iter().zip(self.parameters.outputs());
        let of_variant =
            |variant: &'a PackedVariant| {
                let projections = projections.clone().zip(&variant.inward).map(|((inputs, outputs), weight)| {
                    Projection { inputs: inputs.as_deref(), outputs, weight: weight.part() }
                });
                Segment {
                    rows: 0..block.rows.len(),
                    inward: projections.collect(),
                    inward_bias: &variant.inward_bias,
                    outward: variant.outward.part(),
                    function: InnerFunction::Attention {
                        spans: block.spans.clone(),
                        shape: self.shape(&packed.relative_bias, block.spans.longest()),
                        dropout: self.probability_dropout.map(|dropout| ProbabilityDropout {
                            dropout,
                            sample_ids: &packing.sample_ids()[block.samples.clone()],
                            kept: &self.heads,
                        }),
                    },
                    positions: self.positions.clone(),
                }
            };
        packed.variants.iter().map(of_variant).collect()
    }

    fn output(&self) -> Output {
        Output { epsilon: self.parameters.epsilon, dropout: self.dropout }
    }

    fn attention_layer(&self) -> Option<usize> {
        Some(self.layer)
    }

    fn accumulate(&self, blocks: &[(Vec<f32>, RowGradients<f32>)], ctx: &ForwardContext) {
        let p = &*self.parameters;
        let inputs = p.inputs.iter().map(|inputs| inputs.as_deref());
        let projections: Vec<_> = inputs.zip(p.outputs()).collect();
        let gradients = projection_gradients(blocks, self.hidden(), &projections, p.output.inputs);
        let _span = tracing::trace_span!("adding up gradients").entered();
        let add = |parameter: &Parameter, gradient| ctx.accumulate(parameter.id(), Gradient::Dense(gradient));
        let (mut weights, mut biases) = (&gradients.inward[..], &gradients.inward_bias[..]);
        for projection in &p.projections {
            let (weight, bias);
            (weight, weights) = weights.split_at(projection.inputs * projection.outputs);
            (bias, biases) = biases.split_at(projection.outputs);
            add(&projection.weight, weight.to_vec());
            add(&projection.bias, bias.to_vec());
        }
        add(&p.output.weight, transposed(&gradients.outward, self.hidden()));
        add(&p.output.bias, gradients.outward_bias);
        add(&p.scale, gradients.scale);
        add(&p.shift, gradients.shift);
        accumulate_bias(p.bias.as_ref(), blocks, ctx);
    }
}
