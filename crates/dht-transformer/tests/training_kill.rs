//! Training in a process that is killed repeatedly and resumed. It ends with the same weights as in an uninterrupted
//! process.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use dht_toys::{Outcome, adamw, classifier, config, parities, rng};
use dht_transformer::{
    CheckpointSettings, Objective, Pooling, TrainSettings, Trainer,
    storage::StoredTensor,
    train::{Event, checkpoint::Checkpoint},
};

/// Environment variables of the child process: the directory of its checkpoint, and the point at which it dies.
const KEEP_IN: &str = "DHT_TEST_TRAIN_IN";
const DIE_AT: &str = "DHT_TEST_DIE_AT";
const STEPS: u64 = 90;
/// Points at which the process dies (steps and ends of epochs of 15 steps), and the number of steps in the checkpoint
/// afterwards. A step that is not saved yet is lost. The tests of checkpoints cover a death during saving.
const DEATHS: [(&str, u64); 12] = [
    ("step 0", 0),
    ("step 1", 1),
    ("step 1", 1),
    ("step 2", 2),
    ("step 14", 14),
    ("epoch 0", 15),
    ("epoch 0", 15),
    ("step 15", 15),
    ("step 40", 40),
    ("epoch 2", 45),
    ("step 89", 89),
    ("epoch 5", 90),
];

/// Trains to the end, or to the point at which the process dies, and resumes from the checkpoint if there is one.
/// Returns the parameters.
fn train(path: Option<&Path>, die_at: &str) -> Outcome<BTreeMap<String, StoredTensor>> {
    let rng = &mut rng(1);
    let data = parities(120, rng);
    let mut model = classifier(&config([2, 2, 32, 30], None), 2, Pooling::Mean, rng);
    let settings = TrainSettings { epochs: 6, batch_size: 8, optimizer: adamw(1e-3), ..TrainSettings::default() };
    let checkpoint = path.map(|path| CheckpointSettings { path: path.into(), every_steps: 1, resume: true });
    let mut observer = |event: Event<'_>| {
        let here = match event {
            Event::Step { progress, .. } => format!("step {}", progress.step),
            Event::Epoch(record) => format!("epoch {}", record.epoch),
            _ => return,
        };
        if here == die_at {
            // As with a kill, nothing is dropped, flushed or removed.
            std::process::abort();
        }
    };
    let history = Trainer { checkpoint, ..Trainer::new(settings) }.fit(&mut model, &data, &data, &mut observer)?;
    assert_eq!(history.steps, STEPS);
    Ok(model.parameters().values()?)
}

/// Number of steps in the checkpoint; 0 without one.
fn steps(path: &Path) -> Outcome<u64> {
    if !path.exists() {
        return Ok(0);
    }
    Ok(serde_json::from_value(Checkpoint::load(path)?.state["history"]["steps"].clone())?)
}

#[test]
fn a_training_killed_repeatedly_ends_with_the_same_bits() -> Outcome {
    if let (Some(path), Ok(die_at)) = (std::env::var_os(KEEP_IN), std::env::var(DIE_AT)) {
        train(Some(Path::new(&path)), &die_at)?;
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("training");
    for (die_at, kept) in DEATHS {
        let died = Command::new(std::env::current_exe()?)
            .args(["--exact", "a_training_killed_repeatedly_ends_with_the_same_bits"])
            .env(KEEP_IN, &path)
            .env(DIE_AT, die_at)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        assert!(!died.success(), "it lived on at {die_at}");
        assert_eq!(steps(&path)?, kept, "at {die_at}");
    }
    assert_eq!(train(Some(&path), "")?, train(None, "")?);
    Ok(())
}
