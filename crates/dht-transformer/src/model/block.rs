//! One layer of the encoder: attention and feed-forward.

use std::collections::BTreeMap;

use super::names;
use crate::backend::{
    AttentionParameters, Dropout, DropoutSite, FeedForwardParameters, ForwardContext, Sublayer, composed,
};
use crate::config::BertConfig;
use crate::error::Result;
use crate::tensors::{HeadPlan, HeadSet, Hidden, Parameter, SampleGroup};

/// Attention sublayer, feed-forward sublayer, and the layer's index.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    layer: usize,
    pub(crate) attention: AttentionParameters,
    pub(crate) feed_forward: FeedForwardParameters,
    hidden_dropout: f64,
    probability_dropout: f64,
    /// The heads that were not pruned; the others are zeros.
    pub(crate) kept: HeadSet,
    /// The neurons that were not pruned, which come first.
    pub(crate) width: usize,
}

impl Block {
    pub(crate) fn build(
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

    pub(crate) fn parameters(&self) -> [&Parameter; 12] {
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

    /// What each sample runs under a plan, with the first `width` neurons (`None`: all that were not pruned).
    pub(crate) fn groups(&self, plan: &HeadPlan, width: Option<usize>, samples: usize) -> Result<Vec<SampleGroup>> {
        let (heads, neurons) = (self.attention.heads, width.unwrap_or(self.width));
        plan.check(heads, samples)?;
        let group = |samples, heads| SampleGroup { samples, heads, neurons };
        let groups = match plan {
            HeadPlan::Full => vec![group(samples, self.kept)],
            HeadPlan::Same(set) => vec![group(samples, *set)],
            HeadPlan::PerSample(sets) => sets.iter().map(|set| group(1, *set)).collect(),
        };
        SampleGroup::check_all(&groups, heads, self.feed_forward.neurons, samples)?;
        Ok(groups)
    }

    /// Both sublayers of samples in groups, for a run of fused layers.
    pub(crate) fn sublayers(&self, groups: &[SampleGroup], ctx: &ForwardContext) -> [Sublayer; 2] {
        let (probabilities, output, feed_forward) = self.dropouts(ctx);
        let sets = groups.iter().map(|group| (group.samples, group.heads));
        let widths = groups.iter().map(|group| (group.samples, group.neurons));
        [
            Sublayer::attention(self.layer, &self.attention, sets, (probabilities, output)),
            Sublayer::feed_forward(&self.feed_forward, widths, feed_forward),
        ]
    }

    /// The layer composed of candle's operations: samples that run the same together, then all in their
    /// order again.
    pub(crate) fn composed(&self, hidden: &Hidden, groups: &[SampleGroup], ctx: &ForwardContext) -> Result<Hidden> {
        let mut alike: BTreeMap<(HeadSet, usize), Vec<usize>> = BTreeMap::new();
        let mut samples = 0..;
        for SampleGroup { samples: count, heads, neurons } in groups {
            alike.entry((*heads, *neurons)).or_default().extend(samples.by_ref().take(*count));
        }
        let (probabilities, output, feed_forward) = self.dropouts(ctx);
        let run = |((heads, neurons), samples): (&(HeadSet, usize), &Vec<usize>)| {
            let part = hidden.select(samples)?;
            let (x, packing) = (part.tensor(), part.packing());
            let gates = ctx.gates(self.layer, packing, *heads, x.device())?;
            let dropouts = (probabilities, output);
            let x = composed::attention_sublayer(x, packing, &self.attention, *heads, dropouts, gates.as_ref())?;
            let y = composed::feed_forward_sublayer(&x, packing, &self.feed_forward, *neurons, feed_forward)?;
            Hidden::new(y, packing.clone())
        };
        let parts = alike.iter().map(run).collect::<Result<Vec<_>>>()?;
        let mut position = vec![0; hidden.samples()];
        for (at, sample) in alike.values().flatten().enumerate() {
            position[*sample] = at;
        }
        Hidden::concat(&parts)?.select(&position)
    }

    /// Of attention probabilities, of the attention sublayer's output, of the feed-forward sublayer's.
    fn dropouts(&self, ctx: &ForwardContext) -> (Option<Dropout>, Option<Dropout>, Option<Dropout>) {
        let layer = self.layer;
        (
            ctx.dropout(self.probability_dropout, DropoutSite::AttentionProbabilities { layer }),
            ctx.dropout(self.hidden_dropout, DropoutSite::AttentionOutput { layer }),
            ctx.dropout(self.hidden_dropout, DropoutSite::FeedForwardOutput { layer }),
        )
    }
}
