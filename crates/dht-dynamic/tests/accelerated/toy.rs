//! A task whose answer is planted, and a classifier that has learned it.

use std::sync::OnceLock;

use candle_core::Device;
use dht_dynamic::Result;
use dht_dynamic::transformer::{
    AdamWSettings, BertConfig, EncodedDataset, Encoder, Encoding, Pooling, Sample, TextClassifier, TrainSettings,
    Trainer, tensors::Parameters,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const CLASSES: usize = 3;
pub const LAYERS: usize = 4;
const HEADS: usize = 2;

/// Texts of two to seven tokens, one of them 1, 2 or 3: that is the class.
pub fn task(rows: u64, seed: u64) -> EncodedDataset {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let samples = (0..rows).map(|id| {
        let label = rng.random_range(0..CLASSES as u32);
        let mut ids: Vec<u32> = (0..rng.random_range(1..7)).map(|_| rng.random_range(4..20)).collect();
        let index = rng.random_range(0..ids.len());
        ids[index] = 1 + label;
        ids.insert(0, 0);
        let encoding = Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() };
        Sample { id, label, targets: Vec::new(), encoding }
    });
    let labels = (0..CLASSES).map(|class| class.to_string()).collect();
    EncodedDataset { samples: samples.collect(), labels, truncated_rows: 0 }
}

/// No texts of the same classes.
fn nothing() -> EncodedDataset {
    task(0, 0)
}

/// An encoder with dropout, so that a step depends on its seed.
pub fn encoder(layers: usize, seed: u64) -> Result<Encoder> {
    let mut config = BertConfig::small(layers, HEADS, 16, 20)?;
    (config.max_position_embeddings, config.initializer_range) = (10, 0.2);
    Ok(Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(seed))?)
}

fn train_settings(epochs: usize) -> TrainSettings {
    let optimizer = AdamWSettings { learning_rate: 3e-3, ..AdamWSettings::default() };
    TrainSettings { epochs, batch_size: 8, length_window: 2, seed: 3, optimizer, ..TrainSettings::default() }
}

/// A classifier of [`LAYERS`] layers that has learned the task for one epoch, so that some texts are hard for it.
pub fn full_model(pooling: Pooling) -> &'static TextClassifier {
    static MODELS: [OnceLock<TextClassifier>; 3] = [const { OnceLock::new() }; 3];
    let index = [Pooling::Cls, Pooling::Mean, Pooling::Pooler].iter().position(|own| *own == pooling);
    let train = || -> Result<TextClassifier> {
        let mut model = TextClassifier::new(encoder(LAYERS, 1)?, CLASSES, pooling, &mut ChaCha8Rng::seed_from_u64(2))?;
        Trainer::new(train_settings(1)).fit(&mut model, &task(300, 1), &nothing(), &mut ())?;
        Ok(model)
    };
    MODELS[index.expect("a pooling")].get_or_init(|| train().expect("a training"))
}

/// The bits of every value of every parameter, by name.
pub fn bits(parameters: &Parameters) -> Result<Vec<(String, Vec<u32>)>> {
    let values = parameters.values()?.into_iter();
    Ok(values.map(|(name, tensor)| (name, tensor.values.into_iter().map(f32::to_bits).collect())).collect())
}
