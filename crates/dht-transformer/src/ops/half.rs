//! Half of a layer with the tensors of its weights: attention or feed-forward, whole or cut to some heads or neurons.

use std::sync::Arc;

use candle_core::Result;

use super::layouts::{Direction, Layouts};
use super::slices::with_slices;
use crate::kernels::activation::Activation;
use crate::kernels::attention::{HeadShape, ProbabilityDropout};
use crate::kernels::dropout::Dropout;
use crate::kernels::half::{Between, HalfRows, HalfSaved, HalfWeights, Wanted, half, half_backward, half_gradients};
use crate::kernels::norm::{Norm, RowKeys};
use crate::kernels::product::{Matrix, Packed};
use crate::packed::RowBlock;
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
    /// The hidden size.
    pub(super) fn hidden(&self) -> usize {
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

/// The rows of W₁ and the columns of W₂ that run, and copies of them.
#[derive(Debug)]
struct Cut {
    rows: Vec<usize>,
    columns: Vec<usize>,
    inward: Vec<f32>,
    inward_bias: Vec<f32>,
    outward: Vec<f32>,
}

/// What lies between the two products of a half.
#[derive(Debug)]
enum Middle {
    Attention { layer: usize, kept: Vec<usize>, head_dim: usize, dropout: Option<Dropout> },
    Activation(Activation),
}

/// y = LayerNorm(x + dropout(between(x·W₁ᵀ + b₁)·W₂ᵀ + b₂)) with some of the rows of W₁ and columns of W₂.
#[derive(Debug)]
pub(crate) struct Half {
    inward: Parameter,
    inward_bias: Parameter,
    outward: Parameter,
    outward_bias: Parameter,
    scale: Parameter,
    shift: Parameter,
    epsilon: f64,
    /// Rows of the whole W₁, hidden size, columns of the whole W₂.
    sizes: (usize, usize, usize),
    cut: Option<Cut>,
    middle: Middle,
    dropout: Option<Dropout>,
}

/// The weights of a half, laid out for the products of one direction.
pub(super) struct HalfLayout {
    inward: Arc<Packed<f32>>,
    outward: Arc<Packed<f32>>,
    inward_bias: Vec<f32>,
    outward_bias: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Half {
    /// Attention with these heads. `layer` is its layer's number.
    pub(crate) fn attention(
        layer: usize,
        p: &AttentionParameters,
        kept: HeadSet,
        (probability_dropout, dropout): (Option<Dropout>, Option<Dropout>),
    ) -> Result<Self> {
        let all = kept.is_full(p.heads);
        let kept: Vec<usize> = kept.iter().collect();
        let (rows, columns) = (p.qkv_rows(&kept), p.columns(&kept));
        let mut half = Self {
            inward: p.qkv.clone(),
            inward_bias: p.qkv_bias.clone(),
            outward: p.output.clone(),
            outward_bias: p.output_bias.clone(),
            scale: p.scale.clone(),
            shift: p.shift.clone(),
            epsilon: p.epsilon,
            sizes: (3 * p.hidden(), p.hidden(), p.hidden()),
            cut: None,
            middle: Middle::Attention { layer, kept, head_dim: p.head_dim, dropout: probability_dropout },
            dropout,
        };
        if !all {
            half.cut = Some(half.cut_to(rows, columns)?);
        }
        Ok(half)
    }

    /// The feed-forward with its first `width` neurons.
    pub(crate) fn feed_forward(p: &FeedForwardParameters, width: usize, dropout: Option<Dropout>) -> Result<Self> {
        let mut half = Self {
            inward: p.up.clone(),
            inward_bias: p.up_bias.clone(),
            outward: p.down.clone(),
            outward_bias: p.down_bias.clone(),
            scale: p.scale.clone(),
            shift: p.shift.clone(),
            epsilon: p.epsilon,
            sizes: (p.neurons, p.hidden, p.neurons),
            cut: None,
            middle: Middle::Activation(p.activation),
            dropout,
        };
        if width < p.neurons {
            half.cut = Some(half.cut_to((0..width).collect(), (0..width).collect())?);
        }
        Ok(half)
    }

    /// Copies the rows of W₁ and the columns of W₂ that run.
    fn cut_to(&self, rows: Vec<usize>, columns: Vec<usize>) -> Result<Cut> {
        let (_, hidden, inner) = self.sizes;
        with_slices(&[self.inward.var(), self.inward_bias.var(), self.outward.var()], |slices| {
            let mut inward = Vec::with_capacity(rows.len() * hidden);
            rows.iter().for_each(|row| inward.extend_from_slice(&slices[0][row * hidden..(row + 1) * hidden]));
            let mut outward = Vec::with_capacity(hidden * columns.len());
            for row in slices[2].chunks_exact(inner) {
                outward.extend(columns.iter().map(|column| row[*column]));
            }
            let inward_bias = rows.iter().map(|row| slices[1][*row]).collect();
            Ok((inward, inward_bias, outward))
        })
        .map(|(inward, inward_bias, outward)| Cut { rows, columns, inward, inward_bias, outward })
    }

    /// The parameter that stands for the half where something must.
    pub(crate) fn anchor(&self) -> &Parameter {
        &self.scale
    }

    /// Whether any of its parameters is trained.
    pub(crate) fn trains(&self) -> bool {
        let all = [&self.inward, &self.inward_bias, &self.outward, &self.outward_bias, &self.scale, &self.shift];
        !all.iter().all(|parameter| parameter.is_frozen())
    }

    /// The weights for a direction.
    pub(super) fn layout(&self, direction: Direction, layouts: &Layouts) -> Result<HalfLayout> {
        let all = [&self.inward, &self.inward_bias, &self.outward, &self.outward_bias, &self.scale, &self.shift];
        let (wide, hidden, inner) = self.sizes;
        with_slices(&all.map(|parameter| parameter.var().as_tensor()), |slices| {
            let (inward, outward) = match &self.cut {
                Some(cut) => (
                    Arc::new(direction.lay_out(Matrix::new(&cut.inward, cut.rows.len(), hidden))),
                    Arc::new(direction.lay_out(Matrix::new(&cut.outward, hidden, cut.columns.len()))),
                ),
                None => (
                    layouts.of(&self.inward, direction, Matrix::new(slices[0], wide, hidden)),
                    layouts.of(&self.outward, direction, Matrix::new(slices[2], hidden, inner)),
                ),
            };
            Ok(HalfLayout {
                inward,
                outward,
                inward_bias: self.cut.as_ref().map_or(slices[1], |cut| &cut.inward_bias).to_vec(),
                outward_bias: slices[3].to_vec(),
                scale: slices[4].to_vec(),
                shift: slices[5].to_vec(),
            })
        })
    }

    /// (tokens, hidden) → (tokens, hidden) of a block, and with `keep` what the backward needs.
    pub(super) fn forward(
        &self,
        layout: &HalfLayout,
        x: &[f32],
        (packing, block): (&Packing, &RowBlock),
        keep: bool,
    ) -> (Vec<f32>, Option<HalfSaved<f32>>) {
        let dropout = self.dropout.map(|dropout| (dropout, keys(packing, block)));
        half(x, self.weights(layout), self.between(packing, block), dropout, keep)
    }

    /// The gradient of x where it is asked for, and what the gradients of the weights follow from.
    pub(super) fn backward(
        &self,
        layout: &HalfLayout,
        dy: &[f32],
        saved: HalfSaved<f32>,
        (packing, block): (&Packing, &RowBlock),
        wanted: Wanted,
    ) -> (Option<Vec<f32>>, HalfRows<f32>) {
        let dropout = self.dropout.map(|dropout| (dropout, keys(packing, block)));
        half_backward(dy, saved, self.weights(layout), self.between(packing, block), dropout, wanted)
    }

    /// Adds the gradients of the weights to the pass, from each block's x and rows.
    pub(super) fn accumulate(&self, blocks: &[(Vec<f32>, HalfRows<f32>)], pass: &Pass) {
        let (wide, hidden, inner) = self.sizes;
        let gradients = half_gradients(blocks, hidden);
        let _span = tracing::trace_span!("adding up gradients").entered();
        match &self.cut {
            None => {
                pass.accumulate(self.inward.id(), Gradient::Dense(gradients.inward));
                pass.accumulate(self.inward_bias.id(), Gradient::Dense(gradients.inward_bias));
                pass.accumulate(self.outward.id(), Gradient::Dense(gradients.outward));
            }
            Some(cut) => {
                let every: Vec<usize> = (0..hidden).collect();
                pass.accumulate_block(self.inward.id(), [wide, hidden], &cut.rows, &every, &gradients.inward);
                pass.accumulate_block(self.inward_bias.id(), [wide, 1], &cut.rows, &[0], &gradients.inward_bias);
                pass.accumulate_block(self.outward.id(), [hidden, inner], &every, &cut.columns, &gradients.outward);
            }
        }
        pass.accumulate(self.outward_bias.id(), Gradient::Dense(gradients.outward_bias));
        pass.accumulate(self.scale.id(), Gradient::Dense(gradients.scale));
        pass.accumulate(self.shift.id(), Gradient::Dense(gradients.shift));
    }

    /// Adds the slopes along gates on its heads, if it has heads, to the pass.
    pub(super) fn record_slopes<'a>(
        &self,
        rows: impl Iterator<Item = &'a HalfRows<f32>>,
        packing: &Packing,
        pass: &Pass,
    ) {
        let Middle::Attention { layer, kept, .. } = &self.middle else { return };
        let of_samples = rows.flat_map(|rows| rows.gates.chunks_exact(kept.len()));
        for (sample, slopes) in packing.sample_ids().iter().zip(of_samples) {
            pass.record_slopes(*layer, *sample, kept, slopes);
        }
    }

    fn between<'a>(&'a self, packing: &'a Packing, block: &'a RowBlock) -> Between<'a> {
        match &self.middle {
            Middle::Attention { kept, head_dim, dropout, .. } => Between::Attention {
                spans: &block.spans,
                shape: HeadShape { heads: kept.len(), head_dim: *head_dim },
                dropout: dropout.map(|dropout| ProbabilityDropout {
                    dropout,
                    sample_ids: &packing.sample_ids()[block.samples.clone()],
                    kept,
                }),
            },
            Middle::Activation(activation) => Between::Activation(*activation),
        }
    }

    fn weights<'a>(&self, layout: &'a HalfLayout) -> HalfWeights<'a, f32> {
        HalfWeights {
            inward: &layout.inward,
            inward_bias: &layout.inward_bias,
            outward: &layout.outward,
            outward_bias: &layout.outward_bias,
            norm: Norm { scale: &layout.scale, shift: &layout.shift, epsilon: self.epsilon },
        }
    }
}

/// What keys the dropout masks of a block's rows.
pub(super) fn keys<'a>(packing: &'a Packing, block: &RowBlock) -> RowKeys<'a> {
    let rows = block.rows.clone();
    RowKeys { samples: &packing.row_samples()[rows.clone()], tokens: &packing.row_tokens()[rows] }
}
