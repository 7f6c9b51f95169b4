//! One layer of the encoder: attention and feed-forward.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::{composed, names};
use crate::heads::check_width;
use crate::kernels::activation::Activation;
use crate::kernels::dropout::{Dropout, Place};
use crate::ops::{AttentionParameters, FeedForwardParameters, Half, LayersOp};
use crate::{BertConfig, HeadPlan, HeadSet, Hidden, Parameter, Pass, Result};

/// Attention half, feed-forward half, and the layer's place.
#[derive(Debug, Clone)]
pub(super) struct Block {
    layer: usize,
    pub(super) attention: AttentionParameters,
    pub(super) feed_forward: FeedForwardParameters,
    hidden_dropout: f64,
    probability_dropout: f64,
    /// The heads that were not cut out; the others are zeros.
    pub(super) kept: HeadSet,
    /// The neurons that were not cut out: the first so many.
    pub(super) width: usize,
}

impl Block {
    pub(super) fn build(
        config: &BertConfig,
        layer: usize,
        (kept, width): (HeadSet, usize),
        insert: &mut impl FnMut(String) -> Result<Parameter>,
    ) -> Result<Self> {
        let mut insert = |tensor: &str| insert(names::of_layer(layer, tensor));
        let attention = AttentionParameters {
            qkv: insert(names::QKV)?,
            qkv_bias: insert(names::QKV_BIAS)?,
            output: insert(names::OUTPUT)?,
            output_bias: insert(names::OUTPUT_BIAS)?,
            scale: insert(names::ATTENTION_SCALE)?,
            shift: insert(names::ATTENTION_SHIFT)?,
            epsilon: config.layer_norm_eps,
            heads: config.num_attention_heads,
            head_dim: config.hidden_size / config.num_attention_heads,
        };
        let feed_forward = FeedForwardParameters {
            up: insert(names::UP)?,
            up_bias: insert(names::UP_BIAS)?,
            down: insert(names::DOWN)?,
            down_bias: insert(names::DOWN_BIAS)?,
            scale: insert(names::FEED_FORWARD_SCALE)?,
            shift: insert(names::FEED_FORWARD_SHIFT)?,
            epsilon: config.layer_norm_eps,
            hidden: config.hidden_size,
            neurons: config.intermediate_size,
            activation: config.hidden_act,
        };
        Ok(Self {
            layer,
            attention,
            feed_forward,
            hidden_dropout: config.hidden_dropout_prob,
            probability_dropout: config.attention_probs_dropout_prob,
            kept,
            width,
        })
    }

    pub(super) fn parameters(&self) -> [&Parameter; 12] {
        let (a, f) = (&self.attention, &self.feed_forward);
        [
            &a.qkv,
            &a.qkv_bias,
            &a.output,
            &a.output_bias,
            &a.scale,
            &a.shift,
            &f.up,
            &f.up_bias,
            &f.down,
            &f.down_bias,
            &f.scale,
            &f.shift,
        ]
    }

    /// Checks a plan and a width, and gives the width.
    pub(super) fn check(&self, hidden: &Hidden, plan: &HeadPlan, width: Option<usize>) -> Result<usize> {
        plan.check(self.attention.heads, hidden.samples())?;
        let width = width.unwrap_or(self.width);
        check_width(width, self.feed_forward.neurons)?;
        Ok(width)
    }

    /// Both halves with one head set for all samples, for a run of fused layers.
    pub(super) fn halves(&self, kept: HeadSet, width: usize, pass: &Pass) -> Result<[Half; 2]> {
        let (probabilities, output, feed_forward) = self.dropouts(pass);
        Ok([
            Half::attention(self.layer, &self.attention, kept, (probabilities, output))?,
            Half::feed_forward(&self.feed_forward, width, feed_forward)?,
        ])
    }

    /// The layer as separate operations: a head set for each sample, or another device than the CPU.
    pub(super) fn forward(&self, hidden: &Hidden, plan: &HeadPlan, width: usize, pass: &Pass) -> Result<Hidden> {
        let attended = match plan {
            HeadPlan::Full => self.attention(hidden, self.kept, pass)?,
            HeadPlan::Same(set) => self.attention(hidden, *set, pass)?,
            HeadPlan::PerSample(sets) => self.attention_by_set(hidden, sets, pass)?,
        };
        let (x, packing) = (attended.tensor(), attended.packing());
        let (.., dropout) = self.dropouts(pass);
        let y = if x.device().is_cpu() {
            LayersOp::run(x, packing, vec![Half::feed_forward(&self.feed_forward, width, dropout)?], pass)?
        } else {
            composed::feed_forward_half(x, packing, &self.feed_forward, width, dropout)?
        };
        Hidden::new(y, packing.clone())
    }

    /// Of attention probabilities, of the attention half's output, of the feed-forward half's.
    fn dropouts(&self, pass: &Pass) -> (Option<Dropout>, Option<Dropout>, Option<Dropout>) {
        let layer = self.layer;
        (
            pass.dropout(self.probability_dropout, Place::AttentionProbabilities { layer }),
            pass.dropout(self.hidden_dropout, Place::AttentionOutput { layer }),
            pass.dropout(self.hidden_dropout, Place::FeedForwardOutput { layer }),
        )
    }

    fn attention(&self, hidden: &Hidden, kept: HeadSet, pass: &Pass) -> Result<Hidden> {
        let (probabilities, output, _) = self.dropouts(pass);
        let (x, packing, dropouts) = (hidden.tensor(), hidden.packing(), (probabilities, output));
        let y = if x.device().is_cpu() {
            LayersOp::run(x, packing, vec![Half::attention(self.layer, &self.attention, kept, dropouts)?], pass)?
        } else {
            let gates = pass.gates(self.layer, packing, kept, x.device())?;
            composed::attention_half(x, packing, &self.attention, kept, dropouts, gates.as_ref())?
        };
        Hidden::new(y, packing.clone())
    }

    /// Samples of one head set run together, then all return to their places.
    fn attention_by_set(&self, hidden: &Hidden, sets: &[HeadSet], pass: &Pass) -> Result<Hidden> {
        let mut groups: BTreeMap<HeadSet, Vec<usize>> = BTreeMap::new();
        for (sample, set) in sets.iter().enumerate() {
            groups.entry(*set).or_default().push(sample);
        }
        let parts = groups
            .iter()
            .map(|(set, samples)| self.attention(&hidden.select(samples)?, *set, pass))
            .collect::<Result<Vec<_>>>()?;
        let mut place = vec![0; sets.len()];
        for (at, sample) in groups.values().flatten().enumerate() {
            place[*sample] = at;
        }
        Hidden::concat(&parts)?.select(&place)
    }
}

/// The activation composed of candle's operations.
pub(super) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Gelu => x.gelu_erf()?,
        Activation::GeluNew => x.gelu()?,
        Activation::Relu => x.relu()?,
    })
}
