//! Small random models, and the numbers in them.

use candle_core::{Device, Tensor};
use dht_transformer::tensors::Parameters;
use dht_transformer::{
    AdamWSettings, BertConfig, Encoder, ForwardContext, HeadPlan, HeadSet, Hidden, PackedBatch, Pooling, TextClassifier,
};
use rand_chacha::ChaCha8Rng;

/// The configuration of a small encoder, with the usual range of random weights or another one.
pub fn config([layers, heads, hidden, vocabulary]: [usize; 4], range: impl Into<Option<f64>>) -> BertConfig {
    let config = BertConfig::small(layers, heads, hidden, vocabulary).expect("sizes that fit");
    BertConfig { initializer_range: range.into().unwrap_or(config.initializer_range), ..config }
}

/// An encoder of random weights.
pub fn encoder(config: &BertConfig, rng: &mut ChaCha8Rng) -> Encoder {
    Encoder::random(config, &Device::Cpu, rng).expect("a configuration that fits")
}

/// A classifier of random weights.
pub fn classifier(config: &BertConfig, classes: usize, pooling: Pooling, rng: &mut ChaCha8Rng) -> TextClassifier {
    TextClassifier::new(encoder(config, rng), classes, pooling, rng).expect("at least two classes")
}

/// AdamW with this learning rate.
pub fn adamw(learning_rate: f64) -> AdamWSettings {
    AdamWSettings { learning_rate, ..AdamWSettings::default() }
}

/// A set of some of `heads` heads.
pub fn head_set(indices: &[usize], heads: usize) -> HeadSet {
    HeadSet::from_indices(indices.iter().copied(), heads).expect("heads that are there")
}

/// The states of a batch after all layers with all heads.
pub fn run(encoder: &Encoder, batch: &PackedBatch, ctx: &ForwardContext) -> dht_transformer::Result<Hidden> {
    encoder.run(0..encoder.layers(), &encoder.embed(batch, ctx)?, &HeadPlan::Full, ctx)
}

/// All numbers of a tensor.
pub fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("numbers in single precision")
}

/// The bits of the numbers of each parameter, by its name.
pub type Bits = Vec<(String, Vec<u32>)>;

/// The bits of all parameters.
pub fn bits(parameters: &Parameters) -> Bits {
    let values = parameters.values().expect("parameters on the CPU").into_iter();
    values.map(|(name, tensor)| (name, tensor.values.into_iter().map(f32::to_bits).collect())).collect()
}
