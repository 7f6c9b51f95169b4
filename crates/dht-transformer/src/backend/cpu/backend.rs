//! Backend for the CPU, which runs fused operations.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::adamw::HostMoments;
use super::fused::{
    EmbeddingOp, HeadScoresOp, LayersOp, LinearOp, RaggedSublayer, SelectedSublayer, Sublayer, VocabularyLossOp,
};
use super::kernels::Dropout;
use crate::backend::adamw::Moments;
use crate::backend::backend::Backend;
use crate::backend::composed::add_bias;
use crate::backend::context::ForwardContext;
use crate::backend::layer::{Layer, LayerAttention};
use crate::backend::parameters::{EmbeddingParameters, LinearParameters, TokenIds};
use crate::error::Result;
use crate::tensors::{Gradient, HeadSet, Hidden, Packing, Precision};

pub(crate) struct Cpu;

impl Backend for Cpu {
    fn precisions(&self) -> (&'static [Precision], &'static str) {
        (&[Precision::F32, Precision::Int8], "f32 or int8 on the CPU")
    }

    fn embed(
        &self,
        ids: TokenIds,
        packing: &Arc<Packing>,
        parameters: &EmbeddingParameters,
        dropout: Option<Dropout>,
        ctx: &ForwardContext,
    ) -> Result<Tensor> {
        EmbeddingOp::run(ids, packing, parameters, dropout, ctx)
    }

    fn layers(&self, hidden: &Hidden, layers: &[Layer<'_>], ctx: &ForwardContext) -> Result<Hidden> {
        let (sublayers, packing) = (layers.iter().flat_map(sublayers).collect(), hidden.packing());
        Hidden::new(LayersOp::run(hidden.tensor(), packing, sublayers, ctx)?, packing.clone())
    }

    fn scores(
        &self,
        hidden: &Hidden,
        attention: LayerAttention<'_>,
        heads: HeadSet,
        ctx: &ForwardContext,
    ) -> Result<Tensor> {
        let (x, packing) = (hidden.tensor(), hidden.packing());
        match attention {
            LayerAttention::Whole(whole) => {
                let (q, k) = self.operations().queries_and_keys(x, whole, heads)?;
                let scores = HeadScoresOp::run(&q, &k, packing, vec![whole.head_dim; heads.len()], whole.head_dim)?;
                let numbers: Vec<usize> = heads.iter().collect();
                add_bias(scores, whole.bias.as_ref().map(|bias| (bias, &numbers[..])))
            }
            LayerAttention::Ragged(ragged) => {
                let project = |part: usize| {
                    let read = ragged.read_columns(part, x)?;
                    LinearOp::run(read.as_ref().unwrap_or(x), &ragged.projections[part], ctx)
                };
                let (q, k) = (project(0)?, project(1)?);
                let widths = ragged.heads.iter().map(|head| head.query_key).collect();
                let scores = HeadScoresOp::run(&q, &k, packing, widths, ragged.head_dim)?;
                let numbers: Vec<usize> = ragged.heads.iter().map(|head| head.number).collect();
                add_bias(scores, ragged.bias.as_ref().map(|bias| (bias, &numbers[..])))
            }
        }
    }

    fn linear(&self, x: &Tensor, parameters: &LinearParameters, ctx: &ForwardContext) -> Result<Tensor> {
        LinearOp::run(x, parameters, ctx)
    }

    /// Computes the loss for one block of rows at a time, so that the logits of all rows are never stored together.
    fn vocabulary_loss(
        &self,
        x: &Tensor,
        decoder: &LinearParameters,
        targets: &[u32],
        ctx: &ForwardContext,
    ) -> Result<Tensor> {
        VocabularyLossOp::run(x, decoder, targets, ctx)
    }

    fn gradient(&self, gradient: &Tensor) -> Result<Gradient> {
        Ok(Gradient::Dense(gradient.flatten_all()?.to_vec1()?))
    }

    fn moments(&self, values: Option<[Vec<f32>; 2]>, shape: &[usize], _: &Device) -> Result<Box<dyn Moments>> {
        Ok(Box::new(HostMoments::new(values, shape)))
    }
}

fn sublayers(layer: &Layer<'_>) -> [Box<dyn Sublayer>; 2] {
    let sets = layer.groups.iter().map(|group| (group.samples, group.heads));
    let widths = layer.groups.iter().map(|group| (group.samples, group.neurons));
    let attention: Box<dyn Sublayer> = match layer.attention {
        LayerAttention::Whole(whole) => {
            Box::new(SelectedSublayer::attention(layer.number, whole, sets, layer.attention_dropouts))
        }
        LayerAttention::Ragged(ragged) => Box::new(RaggedSublayer::new(layer.number, ragged, layer.attention_dropouts)),
    };
    [attention, Box::new(SelectedSublayer::feed_forward(layer.feed_forward, widths, layer.feed_forward_dropout))]
}
