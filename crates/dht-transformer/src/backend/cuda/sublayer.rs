//! Attention and feed-forward sublayers on CUDA, with explicit backward passes. Candle's graph would store a gradient
//! for each intermediate tensor and add it up, which takes two more passes over each tensor. The gradients of weights
//! go to the [`ForwardContext`].

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

use super::activation;
use super::attention::Attention;
use super::graph::in_graph;
use super::keys::BatchKeys;
use super::norm::{Norm, NormInputs};
use super::rows::sum_rows;
use crate::backend::context::ForwardContext;
use crate::backend::cpu::Dropout;
use crate::backend::parameters::{AttentionParameters, FeedForwardParameters};
use crate::tensors::{HeadSet, Packing, Parameter};

/// Value of a parameter for the forward pass, detached from candle's graph.
fn value(parameter: &Parameter) -> Tensor {
    parameter.var().as_detached_tensor()
}

fn product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)
}

/// Computes the gradient of the weight W in y = x·Wᵀ from x and dy, the gradient of y. The result is in f32.
fn weight_gradient(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    dy.t()?.matmul(x)?.to_dtype(DType::F32)
}

/// Pads `part` with zeros along an axis until the axis has `size` values.
fn widened(part: Tensor, axis: usize, size: usize) -> Result<Tensor> {
    let missing = size - part.dims()[axis];
    if missing == 0 { Ok(part) } else { part.pad_with_zeros(axis, 0, missing) }
}

/// Adds a gradient to the sum that `ctx` stores for a parameter. If the parameter is frozen, `gradient` is not called.
fn accumulate(ctx: &ForwardContext, parameter: &Parameter, gradient: impl FnOnce() -> Result<Tensor>) -> Result<()> {
    if parameter.is_frozen() {
        return Ok(());
    }
    ctx.accumulate_on_device(parameter.id(), gradient()?).map_err(candle_core::Error::wrap)
}

/// Last step of a sublayer, LayerNorm(x + dropout(h + bias)), where x is the residual and h the last matrix product.
struct End {
    norm: Norm,
    inputs: NormInputs,
    /// Bias of the last matrix product, and the layer norm's scale γ and shift β.
    parameters: [Parameter; 3],
}

impl End {
    fn new(
        [x, h]: [&Tensor; 2],
        [bias, scale, shift]: [&Parameter; 3],
        epsilon: f64,
        dropout: Option<(Dropout, BatchKeys)>,
    ) -> Self {
        let (x, h) = (Some(x.clone()), h.clone());
        let inputs = NormInputs { x, h, bias: Some(value(bias)), scale: value(scale), shift: value(shift) };
        let parameters = [bias, scale, shift].map(Clone::clone);
        Self { norm: Norm { epsilon, dropout }, inputs, parameters }
    }

    /// Computes the gradients of x and h from dy, the gradient of the output. Adds the gradients of the parameters to
    /// `ctx`.
    fn backward(&self, dy: &Tensor, ctx: &ForwardContext) -> Result<[Tensor; 2]> {
        let [dz, dh, sums] = self.norm.backward(&self.inputs, dy)?;
        for (index, parameter) in self.parameters.iter().enumerate() {
            accumulate(ctx, parameter, || sums.get(index))?;
        }
        Ok([dz, dh])
    }
}

/// Runs the attention sublayer LayerNorm(x + dropout(attention(x)·Wᵀ + b)) for some of its heads. W and b belong to the
/// output projection.
pub(super) fn attention(
    (layer, x, packing): (usize, &Tensor, &Arc<Packing>),
    p: &AttentionParameters,
    kept: HeadSet,
    (probabilities, output): (Option<Dropout>, Option<Dropout>),
    ctx: &ForwardContext,
) -> Result<Tensor> {
    let (graph_x, x) = (x.contiguous()?, x.contiguous()?.detach());
    let (device, dtype) = (x.device(), x.dtype());
    let heads: Vec<usize> = kept.iter().collect();
    // The selected heads' rows of the Q, K and V weights, and their columns of the output weight; `None` if all heads
    // run.
    let as_u32 = |places: Vec<usize>| places.into_iter().map(|place| place as u32).collect::<Vec<u32>>();
    let part = (!kept.is_full(p.heads)).then(|| (as_u32(p.qkv_rows(&heads)), as_u32(p.columns(&heads))));
    let (mut qkv_weight, mut output_weight) = (ctx.rounded(&p.qkv, dtype)?, ctx.rounded(&p.output, dtype)?);
    let mut qkv_bias = value(&p.qkv_bias);
    if let Some((rows, columns)) = &part {
        let rows = Tensor::new(rows.as_slice(), device)?;
        qkv_weight = qkv_weight.index_select(&rows, 0)?;
        qkv_bias = qkv_bias.index_select(&rows, 0)?;
        output_weight = output_weight.index_select(&Tensor::new(columns.as_slice(), device)?, 1)?;
    }
    let keys = BatchKeys::of(packing, device)?;
    let attention = Attention {
        keys: keys.clone(),
        heads: Tensor::new(as_u32(heads.clone()), device)?,
        dim: p.head_dim,
        longest: packing.spans().longest(),
        dropout: probabilities,
    };

    let qkv = product(&x, &qkv_weight)?;
    let [context, logs] = attention.forward([&qkv, &qkv_bias])?;
    let h = product(&context, &output_weight)?;
    let weights = [&p.output_bias, &p.scale, &p.shift];
    let end = End::new([&x, &h], weights, p.epsilon, output.map(|dropout| (dropout, keys)));
    let y = end.norm.forward(&end.inputs)?;

    let shape = x.dims2()?;
    let (p, ctx, packing) = (p.clone(), ctx.clone(), packing.clone());
    let anchor = anchor(&p.qkv, &[&p.qkv, &p.qkv_bias, &p.output, &p.output_bias, &p.scale, &p.shift], &ctx);
    in_graph("attention", (y, shape), &[&graph_x, &anchor], move |dy| {
        ctx.check_in_backward("attention")?;
        let [dz, dh] = end.backward(dy, &ctx)?;
        accumulate(&ctx, &p.output, || {
            let gradient = weight_gradient(&context, &dh)?;
            match &part {
                None => Ok(gradient),
                Some((_, columns)) => {
                    sum_rows(&gradient.t()?.contiguous()?, columns, p.heads * p.head_dim)?.t()?.contiguous()
                }
            }
        })?;
        let dcontext = dh.matmul(&output_weight)?;
        let [dqkv, gates] = attention.backward([&qkv, &qkv_bias], [&context, &logs], &dcontext)?;
        ctx.keep_gate_gradients(layer, &packing, kept, || {
            let owners = packing.spans().lengths().enumerate();
            let owners: Vec<u32> = owners.flat_map(|(sample, n)| std::iter::repeat_n(sample as u32, n)).collect();
            sum_rows(&gates, &owners, packing.spans().samples())
        })?;
        let rows = 3 * p.heads * p.head_dim;
        accumulate(&ctx, &p.qkv, || {
            let gradient = weight_gradient(&x, &dqkv)?;
            part.as_ref().map_or(Ok(gradient.clone()), |(part, _)| sum_rows(&gradient, part, rows))
        })?;
        accumulate(&ctx, &p.qkv_bias, || {
            let gradient = activation::column_sums(&dqkv)?;
            match &part {
                None => Ok(gradient),
                Some((part, _)) => sum_rows(&gradient.unsqueeze(1)?, part, rows)?.squeeze(1),
            }
        })?;
        Ok([Some((dz + dqkv.matmul(&qkv_weight)?)?), None, None])
    })
}

/// Runs the feed-forward sublayer LayerNorm(x + dropout(f(x·Uᵀ + b)·Dᵀ + c)) for its first `width` neurons. f is the
/// activation; U and b belong to the up projection, D and c to the down projection.
pub(super) fn feed_forward(
    (x, packing): (&Tensor, &Packing),
    p: &FeedForwardParameters,
    width: usize,
    dropout: Option<Dropout>,
    ctx: &ForwardContext,
) -> Result<Tensor> {
    let (graph_x, x) = (x.contiguous()?, x.contiguous()?.detach());
    let up = ctx.rounded(&p.up, x.dtype())?.narrow(0, 0, width)?.contiguous()?;
    let up_bias = value(&p.up_bias).narrow(0, 0, width)?;
    let down = ctx.rounded(&p.down, x.dtype())?.narrow(1, 0, width)?.contiguous()?;
    let u = product(&x, &up)?;
    let a = super::launch::tensor(activation::forward(&u, &up_bias, Some(p.activation))?, u.shape());
    let h = product(&a, &down)?;
    let keys = dropout.map(|dropout| Ok::<_, candle_core::Error>((dropout, BatchKeys::of(packing, x.device())?)));
    let weights = [&p.down_bias, &p.scale, &p.shift];
    let end = End::new([&x, &h], weights, p.epsilon, keys.transpose()?);
    let y = end.norm.forward(&end.inputs)?;

    let (shape, p, ctx) = (x.dims2()?, p.clone(), ctx.clone());
    let anchor = anchor(&p.up, &[&p.up, &p.up_bias, &p.down, &p.down_bias, &p.scale, &p.shift], &ctx);
    in_graph("feed-forward", (y, shape), &[&graph_x, &anchor], move |dy| {
        ctx.check_in_backward("feed-forward")?;
        let [dz, dh] = end.backward(dy, &ctx)?;
        accumulate(&ctx, &p.down, || widened(weight_gradient(&a, &dh)?, 1, p.neurons))?;
        let da = dh.matmul(&down)?;
        let [du, dbias] = activation::backward(&u, &up_bias, Some(p.activation), &da)?;
        accumulate(&ctx, &p.up, || widened(weight_gradient(&x, &du)?, 0, p.neurons))?;
        accumulate(&ctx, &p.up_bias, || widened(dbias, 0, p.neurons))?;
        Ok([Some((dz + du.matmul(&up)?)?), None, None])
    })
}

/// Weight that is passed to an operation as an additional argument. If any of the parameters `all` is trained, it is
/// part of candle's graph, so that candle runs the operation's backward pass even if its input rows have no gradient.
/// Otherwise it is detached.
fn anchor(weight: &Parameter, all: &[&Parameter], ctx: &ForwardContext) -> Tensor {
    let trains = ctx.is_training() && all.iter().any(|parameter| !parameter.is_frozen());
    if trains { weight.var().as_tensor().clone() } else { value(weight) }
}
