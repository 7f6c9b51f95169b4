//! A task whose answer is planted, a classifier that has learned it, and a training that is interrupted.

use std::sync::OnceLock;

use candle_core::Device;
use dht_search::{Error, Result};
use dht_search::{
    transformer::tensors::Parameters,
    transformer::train::{Event, History},
    transformer::{
        AdamWSettings, BertConfig, CheckpointSettings, EncodedDataset, Encoder, Encoding, Objective, Pooling, Sample,
        TextClassifier, TrainSettings, Trainer,
    },
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const CLASSES: usize = 3;
pub const LAYERS: usize = 4;
pub const HEADS: usize = 2;

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
pub fn nothing() -> EncodedDataset {
    task(0, 0)
}

/// An encoder with dropout, so that a step depends on its seed.
pub fn encoder(layers: usize, seed: u64) -> Result<Encoder> {
    let mut config = BertConfig::small(layers, HEADS, 16, 20)?;
    (config.max_position_embeddings, config.initializer_range) = (10, 0.2);
    Ok(Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(seed))?)
}

pub fn train_settings(epochs: usize) -> TrainSettings {
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

/// Trains the objective of `build` (by seed of its initial weights) without and with an interruption after seven steps, and
/// compares weights, states and histories.
pub fn assert_resumes<O: Objective<Error: Into<Error>>>(build: impl Fn(u64) -> Result<O>) -> Result<()> {
    let (training, validation) = (task(37, 1), task(11, 2));
    let folder = tempfile::tempdir().expect("a folder");
    let [path, middle] = ["training", "middle"].map(|name| folder.path().join(name));
    let kept = |path: &std::path::Path| {
        let checkpoint = CheckpointSettings { path: path.into(), every_steps: 1, resume: true };
        Trainer { checkpoint: Some(checkpoint), ..Trainer::new(train_settings(2)) }
    };
    let mut copy = |event: Event<'_>| {
        if let Event::Step { progress, .. } = event
            && progress.step == 7
        {
            std::fs::copy(&path, &middle).expect("a checkpoint of the step before");
        }
    };
    let without_seconds = |history: History| History { train_seconds: 0.0, optimizer_seconds: 0.0, ..history };
    let mut whole = build(1)?;
    let history = kept(&path).fit(&mut whole, &training, &validation, &mut copy).map_err(Into::into)?;
    assert_eq!(history.steps, 10);
    // Other initial weights: all that counts is in the checkpoint.
    let mut resumed = build(99)?;
    let again = kept(&middle).fit(&mut resumed, &training, &validation, &mut ()).map_err(Into::into)?;
    assert!(bits(resumed.parameters())? == bits(whole.parameters())?);
    assert_eq!(without_seconds(again), without_seconds(history));
    let state = |objective: &O| -> Result<serde_json::Value> {
        let mut state = objective.state().map_err(Into::into)?;
        if let Some(accounting) = state.get_mut("accounting") {
            accounting["bandit_seconds"] = 0.into();
        }
        Ok(state)
    };
    assert_eq!(state(&resumed)?, state(&whole)?);
    Ok(())
}

/// The name of the setting that is refused.
pub fn refused<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
    match result {
        Err(Error::Setting { field, .. }) => field,
        Err(Error::Transformer(dht_search::transformer::Error::Setting { field, .. })) => field,
        other => panic!("{other:?}"),
    }
}
