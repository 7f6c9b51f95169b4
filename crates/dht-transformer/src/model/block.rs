//! Encoder layer: an attention sublayer and a feed-forward sublayer.

use candle_core::Tensor;

use super::names;
use super::ragged::RaggedAttention;
use crate::backend::{
    AttentionParameters, Dropout, DropoutSite, FeedForwardParameters, ForwardContext, Layer, LayerAttention,
    LayerGates, RelativeBias,
};
use crate::config::{BertConfig, KeptDimensions};
use crate::error::{Error, Result};
use crate::flops::{BlockShape, LayerSizes, Width};
use crate::tensors::{HeadPlan, HeadSet, Hidden, Parameter, Parameters, SampleGroup};

/// Output and attention scores of an encoder layer, such as for a distillation loss.
#[derive(Debug, Clone)]
pub struct LayerRecord {
    /// Hidden states after the layer, with one row for each token.
    pub hidden: Hidden,
    /// Attention scores before the softmax, shape (samples, heads, longest, longest), where the longest sample has
    /// `longest` tokens. Scores are undefined at positions without a token.
    pub scores: Tensor,
    /// Head number within the layer, for each head in `scores`. Pruned heads have no scores.
    pub heads: Vec<usize>,
}

/// Attention sublayer of an encoder layer: complete, or with single dimensions pruned.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one a layer, read in every forward")]
pub(crate) enum Attention {
    Whole(AttentionParameters),
    Ragged(Box<RaggedAttention>),
}

impl Attention {
    fn parameters(&self) -> LayerAttention<'_> {
        match self {
            Self::Whole(whole) => LayerAttention::Whole(whole),
            Self::Ragged(ragged) => LayerAttention::Ragged(ragged.weights()),
        }
    }

    /// Weight of the output projection, from the outputs of all heads to the hidden size: shape (hidden, columns of all
    /// heads).
    pub(crate) fn output(&self) -> &Parameter {
        match self {
            Self::Whole(whole) => &whole.output,
            Self::Ragged(ragged) => ragged.output(),
        }
    }

    /// Number of the head to which each column of the output projection belongs.
    pub(crate) fn column_heads(&self) -> Vec<usize> {
        match self {
            Self::Whole(whole) => (0..whole.heads * whole.head_dim).map(|column| column / whole.head_dim).collect(),
            Self::Ragged(ragged) => ragged.column_heads(),
        }
    }
}

/// Encoder layer: its parameters, its dropouts, and the heads and neurons that remain after pruning.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(super) layer: usize,
    pub(crate) attention: Attention,
    pub(crate) feed_forward: FeedForwardParameters,
    hidden_dropout: f64,
    probability_dropout: f64,
    /// Attention heads that were not pruned. The weights of pruned heads are zeros.
    pub(crate) kept: HeadSet,
    /// Number of neurons that were not pruned. They are the first neurons of the layer; the weights of the others are
    /// zeros.
    pub(crate) width: usize,
}

impl Block {
    pub(crate) fn build(
        config: &BertConfig,
        layer: usize,
        (kept, width): (HeadSet, usize),
        bias: Option<&RelativeBias>,
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
            bias: bias.cloned(),
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
            attention: Attention::Whole(attention),
            feed_forward,
            hidden_dropout: config.hidden_dropout_prob,
            probability_dropout: config.attention_probs_dropout_prob,
            kept,
            width,
        })
    }

    /// Builds a layer from which single dimensions were pruned. `fetch` returns a tensor of the unpruned encoder by its
    /// name.
    pub(super) fn ragged(
        config: &BertConfig,
        layer: usize,
        (dimensions, neurons, bias): (&KeptDimensions, usize, Option<&RelativeBias>),
        fetch: &dyn Fn(&str) -> Result<Tensor>,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let attention = RaggedAttention::build(config, layer, (dimensions, bias), fetch, parameters)?;
        let mut first = |tensor: &str, axis: Option<usize>| {
            let (name, whole) = (names::of_layer(layer, tensor), fetch(&names::of_layer(layer, tensor))?);
            let part = axis.map_or(Ok(whole.clone()), |axis| whole.narrow(axis, 0, neurons))?;
            parameters.insert(name, &part)
        };
        let feed_forward = FeedForwardParameters {
            up: first(names::UP, Some(0))?,
            up_bias: first(names::UP_BIAS, Some(0))?,
            down: first(names::DOWN, Some(1))?,
            down_bias: first(names::DOWN_BIAS, None)?,
            scale: first(names::FEED_FORWARD_SCALE, None)?,
            shift: first(names::FEED_FORWARD_SHIFT, None)?,
            epsilon: config.layer_norm_eps,
            hidden: config.hidden_size,
            neurons,
            activation: config.hidden_act,
        };
        Ok(Self {
            layer,
            attention: Attention::Ragged(Box::new(attention)),
            feed_forward,
            hidden_dropout: config.hidden_dropout_prob,
            probability_dropout: config.attention_probs_dropout_prob,
            kept: HeadSet::from_indices(dimensions.heads(), config.num_attention_heads)?,
            width: neurons,
        })
    }

    pub(crate) fn parameters(&self) -> Vec<&Parameter> {
        let f = &self.feed_forward;
        let attention = match &self.attention {
            Attention::Whole(a) => vec![&a.qkv, &a.qkv_bias, &a.output, &a.output_bias, &a.scale, &a.shift],
            Attention::Ragged(ragged) => ragged.parameters(),
        };
        let feed_forward = [&f.up, &f.up_bias, &f.down, &f.down_bias, &f.scale, &f.shift];
        attention.into_iter().chain(feed_forward).collect()
    }

    /// Sizes of the layer after pruning, from which its FLOPs are computed.
    pub(crate) fn sizes(&self, block: BlockShape) -> LayerSizes {
        let whole = LayerSizes::of_block(block, Width { heads: self.kept.len(), ffn: self.width });
        match &self.attention {
            Attention::Whole(_) => whole,
            Attention::Ragged(ragged) => ragged.sizes(whole),
        }
    }

    /// Divides a batch into groups of samples that run the same heads, as `plan` selects them. All groups run the first
    /// `width` neurons; `None` selects all neurons that were not pruned.
    pub(crate) fn groups(&self, plan: &HeadPlan, width: Option<usize>, samples: usize) -> Result<Vec<SampleGroup>> {
        let neurons = width.unwrap_or(self.width);
        let heads = match &self.attention {
            Attention::Whole(whole) => whole.heads,
            Attention::Ragged(ragged) => ragged.weights().all_heads,
        };
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

    /// Combines the layer's parameters with groups of samples, for a backend to run. Each group runs its own heads and
    /// neurons.
    ///
    /// # Errors
    /// [`Error::Argument`] if a group runs only some heads or neurons, and single dimensions were pruned from the
    /// layer.
    pub(super) fn with_groups(&self, groups: Vec<SampleGroup>, ctx: &ForwardContext) -> Result<Layer<'_>> {
        if let Attention::Ragged(_) = &self.attention {
            self.check_whole(&groups)?;
        }
        let (probabilities, output, feed_forward) = self.dropouts(ctx);
        Ok(Layer {
            number: self.layer,
            attention: self.attention.parameters(),
            feed_forward: &self.feed_forward,
            groups,
            attention_dropouts: (probabilities, output),
            feed_forward_dropout: feed_forward,
        })
    }

    /// Checks that every group runs all heads and neurons. Layers from which single dimensions were pruned require it.
    fn check_whole(&self, groups: &[SampleGroup]) -> Result<()> {
        match groups.iter().find(|group| group.heads != self.kept || group.neurons != self.width) {
            None => Ok(()),
            Some(group) => Err(Error::argument(
                "heads and neurons",
                format!(
                    "all {} and {} of layer {}, which has dimensions taken out",
                    self.kept.len(),
                    self.width,
                    self.layer
                ),
                format!("{} and {}", group.heads.len(), group.neurons),
            )),
        }
    }

    /// Runs the layer with trainable gates on its dimensions, composed of candle's operations on every device. Also
    /// returns the attention scores of all heads.
    pub(super) fn gated(&self, hidden: &Hidden, gates: &LayerGates, ctx: &ForwardContext) -> Result<LayerRecord> {
        let (Attention::Whole(whole), feed_forward) = (&self.attention, &self.feed_forward) else {
            return Err(Error::argument("layer", "a layer without dimensions taken out", self.layer.to_string()));
        };
        gates.check(feed_forward.hidden, whole.heads, feed_forward.neurons)?;
        let (packing, (probabilities, output, last)) = (hidden.packing(), self.dropouts(ctx));
        let (x, operations) = (hidden.tensor(), ctx.backend(hidden.tensor().device()).operations());
        let (x, scores) = operations.gated_attention(x, packing, whole, (probabilities, output), gates)?;
        let y = operations.gated_feed_forward(&x, packing, feed_forward, last, gates.neurons.as_ref())?;
        Ok(LayerRecord { hidden: Hidden::new(y, packing.clone())?, scores, heads: (0..whole.heads).collect() })
    }

    /// Runs the layer, and also returns the attention scores before the softmax, for all heads that were not pruned.
    /// Fused operations do not return scores, so queries and keys are multiplied once more.
    pub(super) fn recorded(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<LayerRecord> {
        let backend = ctx.backend(hidden.tensor().device());
        let scores = backend.scores(hidden, self.attention.parameters(), self.kept, ctx)?;
        let groups = vec![SampleGroup { samples: hidden.samples(), heads: self.kept, neurons: self.width }];
        let hidden = backend.layers(hidden, &[self.with_groups(groups, ctx)?], ctx)?;
        Ok(LayerRecord { hidden, scores, heads: self.kept.iter().collect() })
    }

    /// Three dropouts of the layer: on the attention probabilities, on the attention output, and on the feed-forward
    /// output.
    fn dropouts(&self, ctx: &ForwardContext) -> (Option<Dropout>, Option<Dropout>, Option<Dropout>) {
        let layer = self.layer;
        (
            ctx.dropout(self.probability_dropout, DropoutSite::AttentionProbabilities { layer }),
            ctx.dropout(self.hidden_dropout, DropoutSite::AttentionOutput { layer }),
            ctx.dropout(self.hidden_dropout, DropoutSite::FeedForwardOutput { layer }),
        )
    }
}
