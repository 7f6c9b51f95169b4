//! Small models with random weights, and access to the numbers in their tensors.

use candle_core::{Device, Tensor};
use dht_transformer::tensors::Parameters;
use dht_transformer::{
    AdamWSettings, BertConfig, Encoder, ForwardContext, HeadPlan, HeadSet, Hidden, PackedBatch, Pooling, TextClassifier,
};
use rand_chacha::ChaCha8Rng;

/// Configuration of a small encoder. `range` is the standard deviation of the random weights; `None` keeps the default
/// of `BertConfig`.
pub fn config([layers, heads, hidden, vocabulary]: [usize; 4], range: impl Into<Option<f64>>) -> BertConfig {
    let config = BertConfig::small(layers, heads, hidden, vocabulary).expect("sizes that fit");
    BertConfig { initializer_range: range.into().unwrap_or(config.initializer_range), ..config }
}

/// Encoder with random weights.
pub fn encoder(config: &BertConfig, rng: &mut ChaCha8Rng) -> Encoder {
    Encoder::random(config, &Device::Cpu, rng).expect("a configuration that fits")
}

/// Classifier with random weights.
pub fn classifier(config: &BertConfig, classes: usize, pooling: Pooling, rng: &mut ChaCha8Rng) -> TextClassifier {
    TextClassifier::new(encoder(config, rng), classes, pooling, rng).expect("at least two classes")
}

/// AdamW settings with the default values except for the learning rate.
pub fn adamw(learning_rate: f64) -> AdamWSettings {
    AdamWSettings { learning_rate, ..AdamWSettings::default() }
}

/// Set of the heads `indices` of a layer with `heads` heads.
pub fn head_set(indices: &[usize], heads: usize) -> HeadSet {
    HeadSet::from_indices(indices.iter().copied(), heads).expect("heads that are there")
}

/// Hidden states of a batch after all layers, computed with all heads.
pub fn run(encoder: &Encoder, batch: &PackedBatch, ctx: &ForwardContext) -> dht_transformer::Result<Hidden> {
    encoder.run(0..encoder.layers(), &encoder.embed(batch, ctx)?, &HeadPlan::Full, ctx)
}

/// All numbers of a tensor, in row-major order.
pub fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("numbers in single precision")
}

/// Bit patterns of the numbers of each parameter, with the parameter's name.
pub type Bits = Vec<(String, Vec<u32>)>;

/// Bit patterns of all parameters, for exact comparisons.
pub fn bits(parameters: &Parameters) -> Bits {
    let values = parameters.values().expect("parameters on the CPU").into_iter();
    values.map(|(name, tensor)| (name, tensor.values.into_iter().map(f32::to_bits).collect())).collect()
}
