//! A training that goes wrong says so, and leaves the last good checkpoint.

use std::error::Error as StdError;

use dht_transformer::{
    AdamWSettings, Error, Objective, Result, TrainSettings, Trainer,
    train::optim::{Schedule, WarmUp},
};

use crate::toy::{bits, kept, model, settings, task, without_seconds};
use crate::wrapped::{Poison, Poisoned};

type Outcome = Result<(), Box<dyn StdError>>;

const PATIENCE: u32 = 3;

fn impatient() -> TrainSettings {
    TrainSettings { optimizer: AdamWSettings { patience: PATIENCE, ..settings().optimizer }, ..settings() }
}

#[test]
fn a_poisoned_training_is_an_error_and_goes_on_from_its_last_good_checkpoint() -> Outcome {
    let (training, validation) = (task(37, 1), task(11, 2));
    let mut healthy = model(1)?;
    let history = Trainer::new(impatient()).fit(&mut healthy, &training, &validation, &mut ())?;
    let expected = (bits(healthy.parameters())?, without_seconds(history));
    for poison in [Poison::Weight, Poison::Step, Poison::Gradient] {
        let folder = tempfile::tempdir()?;
        // A step that is skipped counts as a step, so keep none of them.
        let every_steps = if poison == Poison::Gradient { 6 } else { 1 };
        let trainer = kept(impatient(), &folder.path().join("training"), every_steps);
        let mut objective = Poisoned::new(model(1)?, poison, 6);
        match trainer.fit(&mut objective, &training, &validation, &mut ()) {
            Err(Error::Diverged { step: 6, loss }) => assert!(poison == Poison::Weight && !loss.is_finite()),
            Err(Error::NonFiniteGradient { steps: PATIENCE, .. }) => assert_eq!(poison, Poison::Gradient),
            Err(Error::Parameter { name, .. }) => {
                assert_eq!((poison, name.as_str()), (Poison::Step, "parameter/classifier.bias"));
            }
            other => panic!("{poison:?}: {other:?}"),
        }
        let mut resumed = model(99)?;
        let history = trainer.fit(&mut resumed, &training, &validation, &mut ())?;
        assert!((bits(resumed.parameters())?, without_seconds(history)) == expected, "{poison:?}");
    }
    Ok(())
}

#[test]
fn a_gradient_that_is_no_number_is_skipped_and_counted_while_patience_lasts() -> Outcome {
    let (training, nothing) = (task(8, 1), task(0, 2));
    let settings = TrainSettings { epochs: PATIENCE as usize - 1, ..impatient() };
    let mut objective = Poisoned::new(model(1)?, Poison::Gradient, 0);
    let history = Trainer::new(settings).fit(&mut objective, &training, &nothing, &mut ())?;
    assert_eq!((history.steps, history.skipped_steps), (2, 2));
    assert!(bits(objective.parameters())? == bits(model(1)?.parameters())?);
    Ok(())
}

#[test]
fn a_learning_rate_beyond_reason_never_leaves_parameters_that_are_no_numbers() -> Outcome {
    let optimizer = AdamWSettings { learning_rate: 1e6, clip_norm: None, ..settings().optimizer };
    let schedule = Schedule::Constant { warm_up: WarmUp::NONE };
    let settings = TrainSettings { epochs: 20, optimizer, schedule, ..settings() };
    let folder = tempfile::tempdir()?;
    let trainer = kept(settings, &folder.path().join("training"), 1);
    let mut diverging = model(1)?;
    let error = trainer.fit(&mut diverging, &task(37, 1), &task(0, 2), &mut ()).expect_err("it diverges");
    assert!(matches!(error, Error::Diverged { .. } | Error::NonFiniteGradient { .. }), "{error}");
    assert!(error.to_string().contains("lower the learning rate"));
    // What is in the file can be loaded, which NaN could not, and it fails the same way again.
    let again = trainer.fit(&mut model(99)?, &task(37, 1), &task(0, 2), &mut ()).expect_err("it diverges");
    assert_eq!(again.to_string(), error.to_string());
    assert!(diverging.parameters().values()?.values().all(|tensor| tensor.values.iter().all(|v| v.is_finite())));
    Ok(())
}

#[test]
fn impossible_settings_and_empty_training_sets_are_refused() -> Result<()> {
    let refused = |settings: TrainSettings, rows, expected: &str| {
        match Trainer::new(settings).fit(&mut model(1)?, &task(rows, 1), &task(0, 2), &mut ()) {
            Err(Error::Setting { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
        Ok(())
    };
    refused(TrainSettings { epochs: 0, ..settings() }, 5, "epochs")?;
    refused(TrainSettings { batch_size: 0, ..settings() }, 5, "batch_size")?;
    refused(TrainSettings { length_window: 0, ..settings() }, 5, "length_window")?;
    let optimizer = AdamWSettings { learning_rate: f64::NAN, ..settings().optimizer };
    refused(TrainSettings { optimizer, ..settings() }, 5, "learning_rate")?;
    refused(settings(), 0, "training")
}
