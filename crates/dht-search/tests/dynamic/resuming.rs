//! A training run that is stopped and resumed ends with the same bits as an uninterrupted run.

use dht_search::transformer::{Objective, TrainSettings, Trainer};
use dht_search::{Result, SearchObjective, SearchSettings};
use dht_toys::checkpointed;

use crate::toy::{Observed, Stop, evaluate, kinds, model, task, train_settings, weights_and_state, without_seconds};

/// Five batches an epoch, the last of them short; two epochs.
const ROWS: u64 = 37;

/// Trains the model of `build` (by seed of the initial weights) without and with an interruption, and compares the
/// results. Returns whether a sample was queued when a training run stopped.
pub fn check(name: &str, build: &dyn Fn(u64) -> Result<SearchObjective>) -> Result<bool, Stop> {
    let (training, validation) = (task(ROWS, 1), task(11, 2));
    // The last weights, not the best: the best could hide a difference at the end.
    let settings = TrainSettings { keep_best: false, ..train_settings() };
    let mut uninterrupted = build(1)?;
    let history = Trainer::new(settings.clone()).fit(&mut uninterrupted, &training, &validation, &mut ())?;
    let expected = (weights_and_state(&uninterrupted)?, without_seconds(history));
    let mut queued = false;
    for offers in [3, 5, 7, 9] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("training");
        let trainer = checkpointed(settings.clone(), &path, 1);
        let mut stopped = Observed { stop_after: Some(offers), ..Observed::new(build(1)?) };
        match trainer.fit(&mut stopped, &training, &validation, &mut ()) {
            Err(Stop::Asked) => {}
            Err(Stop::Failed(error)) => return Err(error.into()),
            Ok(_) => panic!("{name}: it did not stop"),
        }
        assert!(path.exists(), "{name}: no checkpoint after {offers} batches");
        let state = stopped.model.state()?;
        let queues = state["queues"]["queues"].as_array().into_iter().flatten();
        queued |= queues.flat_map(|queue| queue.as_array()).any(|queue| !queue.is_empty());
        // Other initial weights, since the checkpoint must replace them.
        let mut resumed = build(99)?;
        let history = trainer.fit(&mut resumed, &training, &validation, &mut ())?;
        let got = (weights_and_state(&resumed)?, without_seconds(history));
        assert!(got.0.0 == expected.0.0, "{name}, stopped after {offers}: weights");
        assert_eq!(got.0.1, expected.0.1, "{name}, stopped after {offers}: state");
        assert!(got.1 == expected.1, "{name}, stopped after {offers}: history");
    }
    Ok(queued)
}

#[test]
fn a_search_resumed_in_mid_epoch_equals_an_uninterrupted_one() -> Result<(), Stop> {
    for (name, search) in kinds() {
        let queued = check(name, &|seed| model(search.clone(), seed))?;
        assert_eq!(queued, name.contains("queues") || name == "the paper's", "{name}: samples in queues");
    }
    Ok(())
}

#[test]
fn a_resume_of_another_search_names_the_file_and_what_differs() -> Result<()> {
    let (training, validation) = (task(ROWS, 1), task(11, 2));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("training");
    let mut trainer = checkpointed(train_settings(), &path, 1);
    trainer.fit(&mut model(SearchSettings::default(), 1)?, &training, &validation, &mut ())?;
    trainer.settings.seed += 1;
    let mut other =
        model(SearchSettings { prior_precision: 2.0, nested_feedback: false, ..SearchSettings::default() }, 1)?;
    let before = weights_and_state(&other)?;
    let error = trainer.fit(&mut other, &training, &validation, &mut ()).expect_err("of another search");
    let problem = "belongs to another training run: seed is 3 there and 4 here, search.nested_feedback is true there and false here, \
                   search.prior_precision is 1.0 there and 2.0 here; repeat the settings of that run, or start again without resuming or at \
                   another path";
    assert_eq!(error.to_string(), format!("checkpoint {}: {problem}", path.display()));
    assert!(weights_and_state(&other)? == before);
    Ok(())
}

#[test]
fn the_best_epoch_comes_back_with_the_bandits_that_knew_it() -> Result<(), Stop> {
    let (training, validation) = (task(ROWS, 1), task(11, 2));
    for (name, search) in kinds() {
        let mut restored = model(search.clone(), 1)?;
        let history = Trainer::new(train_settings()).fit(&mut restored, &training, &validation, &mut ())?;
        let best = history.best_epoch.expect("a validated training has a best epoch");
        let scores = history.epochs.iter().filter_map(|epoch| epoch.validation_score);
        let best_score = scores.fold(0.0, f64::max);
        assert_eq!(history.epochs[best].validation_score, Some(best_score), "{name}");
        // The restored model has the score of its epoch: weights and bandits belong together.
        let evaluation = evaluate(restored.model(), &validation, 2 * train_settings().batch_size)?;
        assert_eq!(evaluation.confusion.macro_f1(), best_score, "{name}");
    }
    Ok(())
}

#[test]
fn a_training_after_one_that_failed_starts_with_empty_queues() -> Result<(), Stop> {
    let (training, validation) = (task(ROWS, 1), task(11, 2));
    for (name, search) in kinds() {
        let mut stopped = Observed { stop_after: Some(3), ..Observed::new(model(search, 1)?) };
        assert!(Trainer::new(train_settings()).fit(&mut stopped, &training, &validation, &mut ()).is_err());
        let before = stopped.model.accounting().samples;
        stopped.stop_after = None;
        Trainer::new(train_settings()).fit(&mut stopped, &training, &validation, &mut ())?;
        assert_eq!(stopped.model.accounting().samples - before, 2 * ROWS, "{name}");
    }
    Ok(())
}
