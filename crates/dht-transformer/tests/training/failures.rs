//! A training run that fails reports the reason, and leaves the last good checkpoint.

use dht_toys::Outcome;
use dht_transformer::{
    AdamWSettings, EncodedDataset, Error, Objective, Sample, TrainSettings, Trainer,
    train::{
        Event,
        optim::{Schedule, WarmUp},
    },
};

use crate::toy::{bits, checkpointed, model, settings, task, without_seconds};
use crate::wrapped::{Poison, Poisoned};

/// Change that makes a sample invalid.
type Change = fn(&mut Sample);

const PATIENCE: u32 = 3;

fn impatient() -> TrainSettings {
    TrainSettings { optimizer: AdamWSettings { patience: PATIENCE, ..settings().optimizer }, ..settings() }
}

#[test]
fn a_poisoned_training_resumes_from_its_last_good_checkpoint() -> Outcome {
    let (training, validation) = (task(37, 1), task(11, 2));
    let mut healthy = model(1);
    let history = Trainer::new(impatient()).fit(&mut healthy, &training, &validation, &mut ())?;
    let expected = (bits(healthy.parameters()), without_seconds(history));
    for poison in [Poison::Weight, Poison::Step, Poison::Gradient] {
        let folder = tempfile::tempdir()?;
        // A skipped step counts as a step, so no checkpoint is written between them.
        let every_steps = if poison == Poison::Gradient { 6 } else { 1 };
        let trainer = checkpointed(impatient(), &folder.path().join("training"), every_steps);
        let mut objective = Poisoned::new(model(1), poison, 6);
        match trainer.fit(&mut objective, &training, &validation, &mut ()) {
            Err(Error::Diverged { step: 6, loss }) => assert!(poison == Poison::Weight && !loss.is_finite()),
            Err(Error::NonFiniteGradient { steps: PATIENCE, .. }) => assert_eq!(poison, Poison::Gradient),
            Err(Error::Parameter { name, .. }) => {
                assert_eq!((poison, name.as_str()), (Poison::Step, "parameter/classifier.bias"));
            }
            other => panic!("{poison:?}: {other:?}"),
        }
        let mut resumed = model(99);
        let history = trainer.fit(&mut resumed, &training, &validation, &mut ())?;
        assert!((bits(resumed.parameters()), without_seconds(history)) == expected, "{poison:?}");
    }
    Ok(())
}

#[test]
fn non_finite_gradients_are_skipped_and_counted_up_to_patience() -> Outcome {
    let (training, nothing) = (task(8, 1), task(0, 2));
    let settings = TrainSettings { epochs: PATIENCE as usize - 1, ..impatient() };
    let mut objective = Poisoned::new(model(1), Poison::Gradient, 0);
    let history = Trainer::new(settings).fit(&mut objective, &training, &nothing, &mut ())?;
    assert_eq!((history.steps, history.skipped_steps), (2, 2));
    assert!(bits(objective.parameters()) == bits(model(1).parameters()));
    Ok(())
}

#[test]
fn a_huge_learning_rate_never_leaves_non_finite_parameters() -> Outcome {
    let optimizer = AdamWSettings { learning_rate: 1e6, clip_norm: None, ..settings().optimizer };
    let schedule = Schedule::Constant { warm_up: WarmUp::NONE };
    let settings = TrainSettings { epochs: 20, optimizer, schedule, ..settings() };
    let folder = tempfile::tempdir()?;
    let trainer = checkpointed(settings, &folder.path().join("training"), 1);
    let mut diverging = model(1);
    let error = trainer.fit(&mut diverging, &task(37, 1), &task(0, 2), &mut ()).expect_err("it diverges");
    assert!(matches!(error, Error::Diverged { .. } | Error::NonFiniteGradient { .. }), "{error}");
    assert!(error.to_string().contains("lower the learning rate"));
    // The checkpoint has no NaN and can be loaded, and training fails in the same way again.
    let again = trainer.fit(&mut model(99), &task(37, 1), &task(0, 2), &mut ()).expect_err("it diverges");
    assert_eq!(again.to_string(), error.to_string());
    assert!(diverging.parameters().values()?.values().all(|tensor| tensor.values.iter().all(|v| v.is_finite())));
    Ok(())
}

#[test]
fn impossible_settings_and_empty_training_sets_are_refused() {
    let refused = |settings: TrainSettings, rows, expected: &str| {
        let fitted = Trainer::new(settings).fit(&mut model(1), &task(rows, 1), &task(0, 2), &mut ());
        assert_eq!(dht_toys::refused(fitted), expected);
    };
    refused(TrainSettings { epochs: 0, ..settings() }, 5, "epochs");
    refused(TrainSettings { batch_size: 0, ..settings() }, 5, "batch_size");
    refused(TrainSettings { length_window: 0, ..settings() }, 5, "length_window");
    let optimizer = AdamWSettings { learning_rate: f64::NAN, ..settings().optimizer };
    refused(TrainSettings { optimizer, ..settings() }, 5, "learning_rate");
    refused(settings(), 0, "training");
}

#[test]
fn a_diverging_training_leaves_its_best_epoch_and_history() -> Outcome {
    let (training, validation) = (task(37, 1), task(11, 2));
    // An epoch has five steps, so the seventh step is in the second epoch.
    for keep_best in [true, false] {
        let mut objective = Poisoned::new(model(1), Poison::Weight, 7);
        let mut failed = None;
        let mut observer = |event: Event<'_>| {
            if let Event::Failed(history) = event {
                failed = Some(history.clone());
            }
        };
        // The schedule does not depend on the number of epochs, so the first epoch equals that of the model above.
        let schedule = Schedule::Constant { warm_up: WarmUp::NONE };
        let of = |epochs| TrainSettings { epochs, keep_best, schedule, ..settings() };
        let fitted = Trainer::new(of(3)).fit(&mut objective, &training, &validation, &mut observer);
        assert!(matches!(fitted, Err(Error::Diverged { step: 7, .. })), "{fitted:?}");
        let history = failed.expect("it is told");
        assert_eq!((history.epochs.len(), history.steps, history.best_epoch), (1, 7, keep_best.then_some(0)));
        let mut once = model(1);
        Trainer::new(of(1)).fit(&mut once, &training, &validation, &mut ())?;
        assert_eq!(bits(objective.parameters()) == bits(once.parameters()), keep_best);
    }
    Ok(())
}

#[test]
fn samples_that_cannot_be_trained_on_are_refused_with_their_row() -> Outcome {
    let (good, validation) = (task(37, 1), task(11, 2));
    let change = |data: &EncodedDataset, row: usize, change: Change| {
        let mut changed = data.clone();
        change(&mut changed.samples[row]);
        changed
    };
    let changes: [(&str, Change); 5] = [
        ("label is 9 in row 5, expected below 3, the classes of the model", |sample| sample.label = 9),
        ("length is 12 in row 5, expected 1 to 9 tokens, the positions of the model", |sample| {
            (sample.encoding.ids, sample.encoding.type_ids) = (vec![4; 12], Vec::new());
        }),
        ("token id is 16 in row 5, expected below 16", |sample| sample.encoding.ids[1] = 16),
        ("token type is 2 in row 5, expected below 2", |sample| sample.encoding.type_ids[1] = 2),
        ("targets is 2 in row 5, expected none, for a model of classes", |sample| sample.targets = vec![1.0, 0.0]),
    ];
    for (expected, wrong) in changes {
        for (training, validation) in
            [(change(&good, 5, wrong), validation.clone()), (good.clone(), change(&validation, 5, wrong))]
        {
            let mut objective = model(1);
            let mut events = 0;
            let fitted =
                Trainer::new(settings()).fit(&mut objective, &training, &validation, &mut |_: Event<'_>| events += 1);
            let refused = fitted.expect_err(expected).to_string();
            assert_eq!(refused, expected);
            assert_eq!(events, 0, "nothing was trained");
        }
    }
    let patient = TrainSettings { patience: Some(1), ..settings() };
    let refused = Trainer::new(patient).fit(&mut model(1), &good, &task(0, 2), &mut ()).expect_err("no judge");
    assert!(refused.to_string().starts_with("patience is set, expected none without validation samples"), "{refused}");
    Ok(())
}
