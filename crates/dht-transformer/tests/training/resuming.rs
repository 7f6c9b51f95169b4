//! A training run that is stopped and resumed ends with the same bits as an uninterrupted run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dht_toys::{Outcome, encoder, rng};
use dht_transformer::{
    AdamWSettings, CheckpointSettings, EncodedDataset, Error, Objective, Pooling, Result, TextClassifier,
    TrainSettings, Trainer,
    error::CheckpointProblem,
    storage::StoredTensor,
    train::{Event, checkpoint::Checkpoint},
};

use crate::toy::{CLASSES, bits, checkpointed, model, settings, task, without_seconds};
use crate::wrapped::{BestAfter, HoldingBack, Place, Stop, Stopping};

/// Number of training rows: each of the two epochs has five batches, of which the last is short.
const ROWS: u64 = 37;

#[test]
fn a_training_resumed_anywhere_equals_an_uninterrupted_one() -> Outcome {
    let (training, validation) = (task(ROWS, 1), task(11, 2));
    let mut uninterrupted = model(1);
    let history = Trainer::new(settings()).fit(&mut uninterrupted, &training, &validation, &mut ())?;
    let expected = (bits(uninterrupted.parameters()), without_seconds(history));

    let mut stops = 0;
    for every_steps in [1, 3] {
        for place in [Place::Offer, Place::Loss, Place::Drain, Place::Predict] {
            for steps in [0, 4, 5, 7, 10] {
                let folder = tempfile::tempdir()?;
                let trainer = checkpointed(settings(), &folder.path().join("training"), every_steps);
                let mut stopped = Stopping::new(model(1), Some((place, steps)));
                match trainer.fit(&mut stopped, &training, &validation, &mut ()) {
                    Err(Stop::Asked) => stops += 1,
                    Err(Stop::Failed(error)) => return Err(error.into()),
                    // The run has no eleventh batch to stop at.
                    Ok(_) => assert_eq!((place, steps), (Place::Offer, 10)),
                }
                // The resumed run has other initial weights, since a checkpoint must determine the result, if there is
                // one.
                let started_over = !folder.path().join("training").exists();
                let mut resumed = model(if started_over { 1 } else { 99 });
                let history = trainer.fit(&mut resumed, &training, &validation, &mut ())?;
                let got = (bits(resumed.parameters()), without_seconds(history));
                assert!(got == expected, "stopped at {place:?} {steps}, kept every {every_steps} steps");
            }
        }
    }
    assert_eq!(stops, 2 * (4 * 5 - 1));
    Ok(())
}

#[test]
fn checkpoints_by_time_change_no_result() -> Outcome {
    let (training, validation) = (task(ROWS, 1), task(11, 2));
    for accumulate in [1, 3] {
        let settings = TrainSettings { accumulate, ..settings() };
        let mut uninterrupted = model(1);
        let history = Trainer::new(settings.clone()).fit(&mut uninterrupted, &training, &validation, &mut ())?;
        let expected = (bits(uninterrupted.parameters()), without_seconds(history));
        // A checkpoint is written after each step, and each of them is the last one in turn.
        let mut stops = 0;
        for asked_at in 0..12 {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("training");
            let stop = Arc::new(AtomicBool::new(false));
            let trainer = Trainer {
                save_every: Duration::ZERO,
                stop: Some(stop.clone()),
                ..checkpointed(settings.clone(), &path, u64::MAX)
            };
            let (mut steps, mut first) = (0, model(1));
            let mut observer = |event: Event<'_>| {
                if let Event::Step { .. } = event {
                    steps += 1;
                    stop.store(steps == asked_at, Ordering::Relaxed);
                }
            };
            let stopped = trainer.fit(&mut first, &training, &validation, &mut observer);
            match stopped {
                Ok(history) => {
                    assert!(asked_at == 0 || asked_at >= expected.1.steps, "asked at step {asked_at}");
                    assert!((bits(first.parameters()), without_seconds(history)) == expected, "not stopped");
                    continue;
                }
                Err(Error::Stopped { steps }) => assert_eq!(steps, asked_at),
                Err(error) => return Err(error.into()),
            }
            let checkpoint = Checkpoint::load(&path)?;
            assert_eq!(checkpoint.state["history"]["steps"], asked_at);
            stop.store(false, Ordering::Relaxed);
            let mut resumed = model(99);
            let history = trainer.fit(&mut resumed, &training, &validation, &mut ())?;
            let got = (bits(resumed.parameters()), without_seconds(history));
            assert!(got == expected, "stopped after step {asked_at}, {accumulate} a step");
            stops += 1;
        }
        assert!(stops >= 3, "{stops} stops");
    }
    Ok(())
}

#[test]
fn a_training_stopped_many_times_over_arrives_all_the_same() -> Outcome {
    let (training, validation) = (task(ROWS, 1), task(11, 2));
    let mut uninterrupted = model(1);
    Trainer::new(settings()).fit(&mut uninterrupted, &training, &validation, &mut ())?;

    let folder = tempfile::tempdir()?;
    let trainer = checkpointed(settings(), &folder.path().join("training"), 1);
    let mut model_seed = 1;
    for steps in 1..10 {
        let mut stopped = Stopping::new(model(model_seed), Some((Place::Offer, steps)));
        assert!(matches!(trainer.fit(&mut stopped, &training, &validation, &mut ()), Err(Stop::Asked)));
        model_seed += 1;
    }
    let mut resumed = model(model_seed);
    trainer.fit(&mut resumed, &training, &validation, &mut ())?;
    assert!(bits(resumed.parameters()) == bits(uninterrupted.parameters()));
    Ok(())
}

#[test]
fn held_back_samples_and_the_best_epoch_survive_a_checkpoint() -> Outcome {
    let (training, validation) = (task(ROWS, 1), task(11, 2));
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("training");

    // The last checkpoint of a run with two epochs is from its end, so the earlier checkpoint is copied while the run
    // continues.
    let mut whole = HoldingBack::new(model(1));
    let middle = folder.path().join("middle");
    let mut left = 0;
    let mut observer = |event: Event<'_>| {
        if let Event::Step { progress, samples, .. } = event {
            if progress.step == 7 {
                std::fs::copy(&path, &middle).expect("a checkpoint was written before");
            }
            left += if progress.step >= 7 { samples } else { 0 };
        }
    };
    checkpointed(settings(), &path, 1).fit(&mut whole, &training, &validation, &mut observer)?;
    let mut resumed = HoldingBack::new(model(99));
    checkpointed(settings(), &middle, 1).fit(&mut resumed, &training, &validation, &mut ())?;
    assert!(bits(resumed.parameters()) == bits(whole.parameters()));
    // Steps 0 to 6 are done; the second run trained on exactly the remaining samples.
    assert_eq!(resumed.counts.len(), left);
    assert!(resumed.counts.iter().all(|(sample, count)| whole.counts[sample] == *count));

    // The checkpoint of a finished training run restores the best epoch again.
    let path = folder.path().join("best");
    let settings = TrainSettings { epochs: 3, ..settings() };
    let mut first = BestAfter { model: model(1), best: 1, epoch: 0 };
    checkpointed(settings.clone(), &path, 1).fit(&mut first, &training, &validation, &mut ())?;
    let mut again = BestAfter { model: model(99), best: 2, epoch: 0 };
    let history = checkpointed(settings, &path, 1).fit(&mut again, &training, &validation, &mut ())?;
    assert_eq!((history.best_epoch, again.epoch), (Some(1), 1));
    assert!(bits(again.parameters()) == bits(first.parameters()));
    Ok(())
}

#[test]
fn changed_settings_or_data_reject_a_resume_and_change_nothing() -> Outcome {
    let (training, validation) = (task(ROWS, 1), task(11, 2));
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("training");
    checkpointed(settings(), &path, 2).fit(&mut model(1), &training, &validation, &mut ())?;
    let slower = AdamWSettings { learning_rate: 1e-3, ..settings().optimizer };
    let before = bits(model(5).parameters());
    let refused = |settings: TrainSettings, training: &EncodedDataset, expected: &[[&str; 3]]| -> Result<()> {
        let mut model = model(5);
        let result = checkpointed(settings, &path, 2).fit(&mut model, training, &validation, &mut ());
        let Err(Error::Checkpoint { path: named, problem: CheckpointProblem::OtherTraining { differences } }) = result
        else {
            panic!("{result:?}");
        };
        let got: Vec<[&str; 3]> = differences.iter().map(|d| [&*d.field, &*d.stored, &*d.asked]).collect();
        assert_eq!((named, &*got), (path.clone(), expected));
        assert!(bits(model.parameters()) == before);
        Ok(())
    };
    refused(TrainSettings { seed: 4, ..settings() }, &training, &[["seed", "3", "4"]])?;
    refused(TrainSettings { epochs: 3, ..settings() }, &training, &[["epochs", "2", "3"]])?;
    refused(TrainSettings { batch_size: 9, ..settings() }, &training, &[["batch_size", "8", "9"]])?;
    let rate = ["optimizer.learning_rate", "0.003", "0.001"];
    refused(TrainSettings { optimizer: slower.clone(), ..settings() }, &training, &[rate])?;
    let sum = |data: &EncodedDataset| format!("{:?}", data.sha256());
    let (other, longer) = (task(ROWS, 3), task(ROWS + 1, 1));
    refused(settings(), &other, &[["training.sha256", &sum(&training), &sum(&other)]])?;
    let rows = ["training.rows", "37", "38"];
    refused(settings(), &longer, &[rows, ["training.sha256", &sum(&training), &sum(&longer)]])?;
    refused(TrainSettings { optimizer: slower, seed: 4, ..settings() }, &training, &[rate, ["seed", "3", "4"]])?;
    // Without `resume`, an existing checkpoint is replaced.
    let mut trainer = checkpointed(TrainSettings { seed: 4, ..settings() }, &path, 2);
    trainer.checkpoint = trainer.checkpoint.map(|settings| CheckpointSettings { resume: false, ..settings });
    trainer.fit(&mut model(5), &training, &validation, &mut ())?;
    Ok(())
}

#[test]
fn a_resume_with_another_model_is_rejected_and_changes_nothing() -> Outcome {
    let (training, validation) = (task(ROWS, 1), task(11, 2));
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("training");
    checkpointed(settings(), &path, 2).fit(&mut model(1), &training, &validation, &mut ())?;
    let rng = &mut rng(5);
    let mut config = model(1).encoder().config().clone();
    config.num_attention_heads = 4;
    let mut other = TextClassifier::new(encoder(&config, rng), CLASSES, Pooling::Cls, rng)?;
    let before = bits(other.parameters());
    let refused = checkpointed(settings(), &path, 2).fit(&mut other, &training, &validation, &mut ());
    let Err(Error::Checkpoint { problem: CheckpointProblem::OtherTraining { differences }, .. }) = refused else {
        panic!("{refused:?}");
    };
    let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["encoder.num_attention_heads is 2 there and 4 here", r#"pooling is "mean" there and "cls" here"#]
    );
    assert!(bits(other.parameters()) == before);
    Ok(())
}

#[test]
fn an_invalid_checkpoint_is_rejected_and_changes_nothing() -> Outcome {
    let (training, validation) = (task(ROWS, 1), task(11, 2));
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("training");
    checkpointed(settings(), &path, 2).fit(&mut model(1), &training, &validation, &mut ())?;
    let good = Checkpoint::load(&path)?;
    let before = bits(model(5).parameters());
    let refused = |change: &dyn Fn(&mut Checkpoint)| -> Result<Error> {
        let mut bad = good.clone();
        change(&mut bad);
        bad.save(&path)?;
        let mut model = model(5);
        let result = checkpointed(settings(), &path, 2).fit(&mut model, &training, &validation, &mut ());
        assert!(bits(model.parameters()) == before);
        Ok(result.expect_err("a bad checkpoint"))
    };
    let name = "classifier.weight";
    let set = |checkpoint: &mut Checkpoint, prefix: &str, value| {
        if let Some(tensor) = checkpoint.tensors.get_mut(&format!("{prefix}{name}")) {
            tensor.values[1] = value;
        }
    };
    for value in [f32::NAN, f32::INFINITY] {
        let error = refused(&|checkpoint| set(checkpoint, "parameter/", value))?;
        assert!(matches!(&error, Error::Parameter { name: n, .. } if n == name), "{error}");
        let error = refused(&|checkpoint| set(checkpoint, "best/", value))?;
        assert!(matches!(&error, Error::Parameter { name: n, .. } if n == name), "{error}");
    }
    let error = refused(&|checkpoint| {
        let other = StoredTensor { shape: vec![1], values: vec![0.0] };
        checkpoint.tensors.insert(format!("parameter/{name}"), other);
    })?;
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    let error = refused(&|checkpoint| {
        checkpoint.tensors.remove(&format!("parameter/{name}"));
    })?;
    assert!(matches!(error, Error::Parameter { .. }), "{error}");
    let error = refused(&|checkpoint| checkpoint.state["epoch"] = "two".into())?;
    assert!(matches!(error, Error::Json { .. }), "{error}");
    std::fs::write(&path, b"a torn file")?;
    let torn = checkpointed(settings(), &path, 2).fit(&mut model(5), &training, &validation, &mut ());
    assert!(matches!(torn, Err(Error::Checkpoint { .. })), "{torn:?}");
    Ok(())
}
