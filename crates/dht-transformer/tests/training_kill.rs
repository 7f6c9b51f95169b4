//! A training process is killed again and again; resumed, it arrives where one arrives that was left alone.

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use candle_core::Device;
use dht_transformer::{
    AdamWSettings, BertConfig, Checkpoint, CheckpointSettings, EncodedDataset, Encoder, Encoding, Objective, Pooling,
    Sample, StoredTensors, TextClassifier, TrainSettings, Trainer,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Set in the process that is killed: where it keeps its training.
const KEEP_IN: &str = "DHT_TEST_TRAIN_IN";
const KILLS: u64 = 10;
const STEPS: u64 = 90;

/// Trains to the end, from the checkpoint if there is one; the parameters.
fn train(path: Option<&Path>) -> Result<StoredTensors, Box<dyn Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let samples = (0..120).map(|id| {
        let ids: Vec<u32> = (0..rng.random_range(2..9)).map(|_| rng.random_range(0..30)).collect();
        let (type_ids, label) = (vec![0; ids.len()], ids[0] % 2);
        Sample { id, label, targets: Vec::new(), encoding: Encoding { ids, type_ids, truncated: false } }
    });
    let (samples, labels) = (samples.collect(), vec!["even".into(), "odd".into()]);
    let data = EncodedDataset { samples, labels, truncated_rows: 0 };
    let encoder = Encoder::random(&BertConfig::small(2, 2, 32, 30)?, &Device::Cpu, &mut rng)?;
    let mut model = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
    let settings = TrainSettings {
        epochs: 6,
        batch_size: 8,
        optimizer: AdamWSettings { learning_rate: 1e-3, ..AdamWSettings::default() },
        ..TrainSettings::default()
    };
    let checkpoint = path.map(|path| CheckpointSettings { path: path.into(), every_steps: 1, resume: true });
    let history = Trainer { checkpoint, ..Trainer::new(settings) }.fit(&mut model, &data, &data, &mut ())?;
    assert_eq!(history.steps, STEPS);
    Ok(model.parameters().values()?)
}

/// The steps behind the checkpoint, 0 before the first.
fn steps(path: &Path) -> Result<u64, Box<dyn Error>> {
    if !path.exists() {
        return Ok(0);
    }
    Ok(serde_json::from_value(Checkpoint::load(path)?.state["history"]["steps"].clone())?)
}

#[test]
fn a_training_killed_at_any_moment_arrives_at_the_same_bits() -> Result<(), Box<dyn Error>> {
    if let Some(path) = std::env::var_os(KEEP_IN) {
        train(Some(Path::new(&path)))?;
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("training");
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut killed_midway = 0;
    for _ in 0..KILLS {
        let before = steps(&path)?;
        let mut trainer = Command::new(std::env::current_exe()?)
            .args(["--exact", "a_training_killed_at_any_moment_arrives_at_the_same_bits"])
            .env(KEEP_IN, &path)
            .stdout(Stdio::null())
            .spawn()?;
        // Some steps further at least, and then any moment of computing, writing, flushing or renaming.
        while steps(&path)? < before + 3 && trainer.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(rng.random_range(0..8_000)));
        trainer.kill()?;
        trainer.wait()?;
        killed_midway += u64::from(steps(&path)? < STEPS);
    }
    assert!(killed_midway >= KILLS / 2, "only {killed_midway} kills came before the end");
    assert_eq!(train(Some(&path))?, train(None)?);
    Ok(())
}
