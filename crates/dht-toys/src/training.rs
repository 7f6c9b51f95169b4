//! Training runs for tests: settings, checkpoints, and comparisons of results.

use std::error::Error;
use std::fmt::Debug;
use std::path::Path;

use dht_transformer::train::{Event, History};
use dht_transformer::{CheckpointSettings, EncodedDataset, Objective, TrainSettings, Trainer};

use crate::models::{adamw, bits};

/// Result of a test function, with any error.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Settings for training runs on the [planted](crate::planted) task.
pub fn train_settings(epochs: usize) -> TrainSettings {
    let optimizer = adamw(3e-3);
    TrainSettings { epochs, batch_size: 8, length_window: 2, seed: 3, optimizer, ..TrainSettings::default() }
}

/// Trainer that writes a checkpoint to `path` every `every_steps` steps, and resumes from that file if it exists.
pub fn checkpointed(settings: TrainSettings, path: &Path, every_steps: u64) -> Trainer {
    let checkpoint = CheckpointSettings { path: path.into(), every_steps, resume: true };
    Trainer { checkpoint: Some(checkpoint), ..Trainer::new(settings) }
}

/// Training history with all times in seconds set to 0, since times differ between runs.
pub fn without_seconds(history: History) -> History {
    History { train_seconds: 0.0, optimizer_seconds: 0.0, ..history }
}

/// Asserts that a resumed training run equals an uninterrupted one. `build` creates the objective from the seed of its
/// initial weights. The interruption is after seven of ten steps. Weights, training histories and the values that
/// `read` returns are compared.
pub fn assert_resumes<O: Objective<Error: Debug>, T: PartialEq + Debug>(
    build: impl Fn(u64) -> O,
    [training, validation]: [&EncodedDataset; 2],
    read: impl Fn(&O) -> T,
) {
    let folder = tempfile::tempdir().expect("a folder");
    let [path, middle] = ["training", "middle"].map(|name| folder.path().join(name));
    let mut copy = |event: Event<'_>| {
        if matches!(event, Event::Step { progress, .. } if progress.step == 7) {
            std::fs::copy(&path, &middle).expect("a checkpoint of the step before");
        }
    };
    let fit = |seed, path: &Path, observer: &mut dyn FnMut(Event<'_>)| {
        let mut objective = build(seed);
        let trainer = checkpointed(train_settings(2), path, 1);
        let history = trainer.fit(&mut objective, training, validation, &mut |event: Event<'_>| observer(event));
        (objective, without_seconds(history.expect("a completed training run")))
    };
    let (whole, history) = fit(1, &path, &mut copy);
    assert_eq!(history.steps, 10);
    // The resumed run starts from other initial weights, since the checkpoint must determine the result.
    let (resumed, again) = fit(99, &middle, &mut |_| ());
    assert!(bits(resumed.parameters()) == bits(whole.parameters()));
    assert_eq!((again, read(&resumed)), (history, read(&whole)));
}

/// Name of the argument, index or part that an error refuses, whether the error is of `dht-transformer` or of a crate
/// that wraps it.
pub fn refused<T, E: Debug>(result: Result<T, E>) -> String {
    let error = format!("{:?}", result.err().expect("it is refused"));
    let own = error.strip_prefix("Dynamic(").unwrap_or(&error);
    let own = own.strip_prefix("Transformer(").unwrap_or(own);
    let named = ["Argument { name: \"", "Shape { what: \"", "Range { what: \"", "State { what: \"", "Limit { what: \""]
        .iter()
        .find_map(|variant| own.strip_prefix(variant)?.split_once('"'));
    named.unwrap_or_else(|| panic!("{error}")).0.to_owned()
}
