//! A task whose answer is planted, and a model small enough to learn it in no time.

use candle_core::Device;
use dht_transformer::{
    AdamWSettings, BertConfig, CheckpointSettings, EncodedDataset, Encoder, Encoding, Pooling, Result, Sample,
    TextClassifier, TrainSettings, Trainer, tensors::Parameters, train::History,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const CLASSES: u32 = 3;
const CLS: u32 = 0;
const FILLERS: std::ops::Range<u32> = 4..16;

/// Texts of three to eight tokens, one of them 1, 2 or 3: that is the class.
pub fn task(rows: u64, seed: u64) -> EncodedDataset {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let samples = (0..rows).map(|id| {
        let label = rng.random_range(0..CLASSES);
        let mut ids: Vec<u32> = (0..rng.random_range(2..8)).map(|_| rng.random_range(FILLERS)).collect();
        let place = rng.random_range(0..ids.len());
        ids[place] = 1 + label;
        ids.insert(0, CLS);
        let type_ids = vec![0; ids.len()];
        Sample {
            id,
            label,
            targets: Vec::new(),
            encoding: Encoding { ids, type_ids, truncated: false, rest: Default::default() },
        }
    });
    let labels = (0..CLASSES).map(|class| class.to_string()).collect();
    EncodedDataset { samples: samples.collect(), labels, truncated_rows: 0 }
}

/// A model with dropout, so that a step depends on its seed.
pub fn model(seed: u64) -> Result<TextClassifier> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut config = BertConfig::small(2, 2, 16, FILLERS.end as usize)?;
    (config.max_position_embeddings, config.initializer_range) = (9, 0.1);
    let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    TextClassifier::new(encoder, CLASSES as usize, Pooling::Mean, &mut rng)
}

pub fn settings() -> TrainSettings {
    TrainSettings {
        epochs: 2,
        batch_size: 8,
        length_window: 2,
        seed: 3,
        optimizer: AdamWSettings { learning_rate: 3e-3, ..AdamWSettings::default() },
        ..TrainSettings::default()
    }
}

/// A training with these settings that is kept in a file, from which it goes on if it is there.
pub fn kept(settings: TrainSettings, path: &std::path::Path, every_steps: u64) -> Trainer {
    let checkpoint = CheckpointSettings { path: path.into(), every_steps, resume: true };
    Trainer { checkpoint: Some(checkpoint), ..Trainer::new(settings) }
}

/// Every number of every parameter, to the bit.
pub fn bits(parameters: &Parameters) -> Result<Vec<(String, Vec<u32>)>> {
    let values = parameters.values()?.into_iter();
    Ok(values.map(|(name, tensor)| (name, tensor.values.into_iter().map(f32::to_bits).collect())).collect())
}

/// A history without what differs from run to run.
pub fn without_seconds(history: History) -> History {
    History { train_seconds: 0.0, optimizer_seconds: 0.0, ..history }
}
