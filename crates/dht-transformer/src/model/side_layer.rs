//! Narrow additional layers (side layers) on which classifiers for early exits can be trained.

use rand::Rng;

use super::block::Block;
use super::encoder::Encoder;
use super::linear::Linear;
use super::{init, names};
use crate::backend::ForwardContext;
use crate::config::BertConfig;
use crate::error::{Error, Result};
use crate::flops::{BackwardNeeds, BlockShape, FlopCount, Load};
use crate::tensors::{HeadPlan, HeadSet, Hidden};

/// Number of columns of an attention head in a side layer. A side layer that is narrower has one head of its own width.
const HEAD: usize = 32;
/// Ratio of feed-forward neurons to the width of a side layer.
const NEURONS: usize = 2;

/// Additional transformer layer of any width, which reads an encoder's hidden states h. It computes layer(h·Wᵀ + b):
/// the weight W and the bias b project from the hidden size to the width. [`Encoder::add_side_layer`] creates it.
///
/// The parameters belong to the encoder. A clone shares them.
///
/// ```
/// # use candle_core::Device;
/// # use dht_transformer::{BertConfig, Encoder, TextTokenizer};
/// # use rand::SeedableRng;
/// # let texts = ["a fine day", "bad food today"];
/// # let tokenizer = TextTokenizer::train(texts, 100)?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let config = BertConfig::small(2, 4, 16, tokenizer.vocabulary_size())?;
/// # let mut encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// # let batch = tokenizer.encode_texts(&texts, 16)?.batch(&[0, 1])?;
/// use dht_transformer::{ForwardContext, HeadPlan};
///
/// let side = encoder.add_side_layer("side", 1, 8, &mut rng)?;
/// let ctx = ForwardContext::inference();
/// let hidden = encoder.layer(0, &encoder.embed(&batch, &ctx)?, &HeadPlan::Full, None, &ctx)?;
/// assert_eq!(side.forward(&hidden, &ctx)?.tensor().dims(), [batch.tokens(), 8]);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SideLayer {
    narrow: Linear,
    block: Block,
    shape: BlockShape,
}

impl Encoder {
    /// Adds a side layer (narrow additional layer) that reads the hidden states after `depth` layers. Its parameters,
    /// `{name}.…`, are trained and saved together with the encoder's.
    ///
    /// The layer has heads of 32 columns (a single head if `width` is smaller), 2·`width` neurons, and the encoder's
    /// dropouts and activation. The initial matrices of its attention and feed-forward are random from N(0, 1/n), where
    /// n is the number of inputs of the matrix.
    ///
    /// # Errors
    /// [`Error::Argument`] for a width of 0, or for a width above 32 that is not a multiple of 32; [`Error::Parameter`]
    /// if a name is already used.
    pub fn add_side_layer<R: Rng + ?Sized>(
        &mut self,
        name: &str,
        depth: usize,
        width: usize,
        rng: &mut R,
    ) -> Result<SideLayer> {
        if width == 0 || width > HEAD && !width.is_multiple_of(HEAD) {
            return Err(Error::argument(
                "width of a side layer",
                format!("1 to {HEAD}, or a multiple of it"),
                width.to_string(),
            ));
        }
        let heads = (width / HEAD).max(1);
        let config = BertConfig {
            hidden_size: width,
            num_attention_heads: heads,
            intermediate_size: NEURONS * width,
            num_hidden_layers: 1,
            ..self.config().clone()
        };
        let narrow = self.add_linear(&format!("{name}.narrow"), self.config().hidden_size, width, rng)?;
        // The layer's number follows the encoder's layers, so that its dropout masks differ.
        let layer = self.layers() + depth;
        let mut insert = |tensor: String| {
            let tensor = names::in_layer(&tensor).map_or("", |(_, tensor)| tensor);
            let of_first = names::of_layer(0, tensor);
            let value = init::tensor(&config, &of_first, init::of_inputs(&config, &of_first), rng)?;
            self.add_parameter(format!("{name}.{tensor}"), &value)
        };
        let all = (HeadSet::full(heads)?, config.intermediate_size);
        // The layer has its own heads, and no relative-position bias, since the encoder's table is for the encoder's
        // heads.
        let block = Block::build(&config, layer, all, None, &mut insert)?;
        let shape = BlockShape { hidden: width, heads, head_dim: width / heads, ffn: config.intermediate_size };
        Ok(SideLayer { narrow, block, shape })
    }
}

impl SideLayer {
    /// Applies the layer to hidden states, (tokens, hidden) → (tokens, width).
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn forward(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<Hidden> {
        // Gates on the encoder's heads do not apply to this layer.
        let ctx = &ctx.without_head_gates();
        let narrow = Hidden::new(self.narrow.forward(hidden.tensor(), ctx)?, hidden.packing().clone())?;
        let groups = self.block.groups(&HeadPlan::Full, None, narrow.samples())?;
        let layer = self.block.with_groups(groups, ctx)?;
        ctx.backend(narrow.tensor().device()).layers(&narrow, &[layer], ctx)
    }

    /// Number of columns of the layer's output.
    pub fn width(&self) -> usize {
        self.shape.hidden
    }

    /// FLOPs of the forward pass for a text with `tokens` tokens.
    pub fn forward_flops(&self, tokens: usize) -> FlopCount {
        let narrow = self.narrow.shape().forward(tokens as u64).total();
        narrow + self.shape.forward(Load::of_text(tokens), self.shape.full()).total()
    }

    /// FLOPs of the backward pass for a text with `tokens` tokens. `needs` concerns the projection from the hidden size
    /// to the width: whether the gradients of its weights, and of the encoder's hidden states, are included.
    pub fn backward_flops(&self, tokens: usize, needs: BackwardNeeds) -> FlopCount {
        let narrow = self.narrow.shape().backward(tokens as u64, needs).total();
        narrow + self.shape.backward(Load::of_text(tokens), self.shape.full(), BackwardNeeds::ALL).total()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::data::{Encoding, PackedBatch, Sample};

    fn encoder() -> Encoder {
        let config = BertConfig::small(2, 3, 24, 50).unwrap();
        Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(1)).unwrap()
    }

    fn hidden(encoder: &Encoder) -> Hidden {
        let text = |id: u64, tokens: u32| {
            let ids: Vec<u32> = (0..tokens).map(|token| 5 + (7 * token + id as u32) % 40).collect();
            let encoding = Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() };
            Sample { id, label: 0, targets: Vec::new(), encoding }
        };
        let batch = PackedBatch::from_samples(&[text(0, 5), text(1, 3)]).unwrap();
        encoder.embed(&batch, &ForwardContext::inference()).unwrap()
    }

    #[test]
    fn the_fused_layer_is_the_one_in_candles_graph() {
        for width in [8, 32, 64] {
            let mut encoder = encoder();
            let side = encoder.add_side_layer("side", 1, width, &mut ChaCha8Rng::seed_from_u64(2)).unwrap();
            let (hidden, ctx) = (hidden(&encoder), ForwardContext::inference());
            let actual = side.forward(&hidden, &ctx).unwrap();
            assert_eq!((actual.tensor().dims(), side.width()), (&[8, width][..], width));
            let expected = side.forward(&hidden, &ForwardContext::inference_in_candle_graph()).unwrap();
            let values = |hidden: &Hidden| -> Vec<f32> { hidden.tensor().flatten_all().unwrap().to_vec1().unwrap() };
            for (actual, expected) in values(&actual).iter().zip(values(&expected)) {
                approx::assert_relative_eq!(*actual, expected, epsilon = 1e-4);
            }
        }
    }

    #[test]
    fn taken_names_and_widths_that_make_no_heads_are_rejected() {
        let mut encoder = encoder();
        let mut add = |name, width| encoder.add_side_layer(name, 1, width, &mut ChaCha8Rng::seed_from_u64(2));
        add("side", 8).unwrap();
        assert!(add("side", 8).unwrap_err().to_string().contains("registered twice"));
        for width in [0, 33] {
            assert!(add("other", width).unwrap_err().to_string().contains("multiple"), "{width}");
        }
    }
}
