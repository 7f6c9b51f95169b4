//! Evaluation every few steps, and by metrics other than the objective's own.

use dht_toys::Outcome;
use dht_transformer::EncodedDataset;
use dht_transformer::data::Metric;
use dht_transformer::error::CheckpointProblem;
use dht_transformer::train::Predict;
use dht_transformer::train::metrics::Confusion;
use dht_transformer::train::{Event, WithMetric};
use dht_transformer::{AdamWSettings, Error, Objective, Result, TrainSettings, Trainer};

use super::toy::{bits, checkpointed, model, settings, task, without_seconds};
use super::wrapped::{Place, Stop, Stopping};

/// Settings of two epochs with five batches each. Evaluations are after the steps 2, 4, 6, 8 and 10, and at the ends of
/// epochs, after the steps 5 and 10.
fn every_two() -> TrainSettings {
    TrainSettings { evaluate_every: Some(2), ..settings() }
}

#[test]
fn the_best_step_comes_back_and_not_only_the_best_epoch() -> Outcome {
    let (training, validation) = (task(37, 1), task(30, 2));
    let mut within_an_epoch = 0;
    for seed in 1..6 {
        let mut trained = model(seed);
        let parameters = trained.parameters().clone();
        let (mut steps, mut scored) = (0, Vec::new());
        let mut observer = |event: Event<'_>| match event {
            Event::Step { .. } => steps += 1,
            Event::Evaluation(record) => {
                assert_eq!(record.step, steps);
                scored.push((steps, record.validation_score, bits(&parameters)));
            }
            Event::Epoch(record) if steps != 10 => {
                scored.push((steps, record.validation_score.unwrap_or(f64::NAN), bits(&parameters)));
            }
            _ => {}
        };
        let fast = AdamWSettings { learning_rate: 3e-2, ..settings().optimizer };
        let trainer = Trainer::new(TrainSettings { optimizer: fast, ..every_two() });
        let history = trainer.fit(&mut trained, &training, &validation, &mut observer)?;
        assert_eq!(scored.iter().map(|(step, ..)| *step).collect::<Vec<_>>(), [2, 4, 5, 6, 8, 10]);
        assert_eq!(history.evaluations.iter().map(|record| record.step).collect::<Vec<_>>(), [2, 4, 6, 8, 10]);
        // An evaluation at the last step of an epoch is also the evaluation of the epoch.
        assert_eq!(history.epochs[1].validation_score, Some(history.evaluations[4].validation_score));
        // The first of several equally good evaluations is the best one, as for epochs.
        let best = scored.iter().map(|(_, score, _)| *score).fold(0.0, f64::max);
        let (step, _, then) = scored.into_iter().find(|(_, score, _)| *score == best).ok_or("an evaluation")?;
        assert_eq!((history.best_step, history.best_score), (Some(step), Some(best)));
        assert_eq!(history.best_epoch, Some(usize::from(step > 5)));
        assert!(bits(trained.parameters()) == then, "step {step} of seed {seed}");
        within_an_epoch += u32::from(step != 5 && step != 10);
    }
    assert!(within_an_epoch > 0, "no seed was best within an epoch");
    Ok(())
}

#[test]
fn a_long_interval_leaves_the_ends_of_epochs() -> Outcome {
    let (training, validation) = (task(37, 1), task(30, 2));
    let mut models = (model(1), model(1));
    let never = TrainSettings { evaluate_every: Some(1000), ..settings() };
    let history = Trainer::new(never).fit(&mut models.0, &training, &validation, &mut ())?;
    let plain = Trainer::new(settings()).fit(&mut models.1, &training, &validation, &mut ())?;
    assert!(history.best_step.is_some() && without_seconds(history) == without_seconds(plain));
    assert!(bits(models.0.parameters()) == bits(models.1.parameters()));
    Ok(())
}

#[test]
fn evaluations_change_no_step() -> Outcome {
    let (training, validation) = (task(37, 1), task(11, 2));
    let mut without = (model(1), model(1));
    let plain = TrainSettings { keep_best: false, ..settings() };
    let often = TrainSettings { evaluate_every: Some(1), ..plain.clone() };
    let first = Trainer::new(plain).fit(&mut without.0, &training, &validation, &mut ())?;
    let second = Trainer::new(often).fit(&mut without.1, &training, &validation, &mut ())?;
    assert_eq!((first.losses, first.epochs), (second.losses, second.epochs));
    assert_eq!((first.evaluations.len(), second.evaluations.len(), second.best_step), (0, 10, None));
    assert!(bits(without.0.parameters()) == bits(without.1.parameters()));
    Ok(())
}

#[test]
fn a_training_stopped_between_evaluations_resumes_alike() -> Outcome {
    let (training, validation) = (task(37, 1), task(11, 2));
    let mut uninterrupted = model(1);
    let history = Trainer::new(every_two()).fit(&mut uninterrupted, &training, &validation, &mut ())?;
    let expected = (bits(uninterrupted.parameters()), without_seconds(history));
    let mut stops = 0;
    for every_steps in [1, 3] {
        for place in [Place::Offer, Place::Loss, Place::Drain, Place::Predict] {
            for steps in [0, 2, 3, 4, 5, 6, 7, 8] {
                let folder = tempfile::tempdir()?;
                let trainer = checkpointed(every_two(), &folder.path().join("training"), every_steps);
                let mut stopped = Stopping::new(model(1), Some((place, steps)));
                match trainer.fit(&mut stopped, &training, &validation, &mut ()) {
                    Err(Stop::Asked) => stops += 1,
                    Err(Stop::Failed(error)) => return Err(error.into()),
                    Ok(_) => {}
                }
                let started_over = !folder.path().join("training").exists();
                let mut resumed = model(if started_over { 1 } else { 99 });
                let history = trainer.fit(&mut resumed, &training, &validation, &mut ())?;
                let got = (bits(resumed.parameters()), without_seconds(history));
                assert!(got == expected, "stopped at {place:?} {steps}, kept every {every_steps} steps");
            }
        }
    }
    assert!(stops > 40, "{stops}");
    Ok(())
}

#[test]
fn patience_counts_epochs_whatever_is_evaluated_between() -> Outcome {
    let (training, validation) = (task(37, 1), task(30, 2));
    let slow = AdamWSettings { learning_rate: 1e-12, ..settings().optimizer };
    let slow = TrainSettings { epochs: 9, patience: Some(2), optimizer: slow, ..every_two() };
    let history = Trainer::new(slow).fit(&mut model(1), &training, &validation, &mut ())?;
    assert_eq!((history.epochs.len(), history.best_step), (3, Some(2)));
    Ok(())
}

#[test]
fn intervals_of_zero_or_without_validation_are_refused() -> Outcome {
    let (training, validation, none) = (task(37, 1), task(11, 2), task(0, 2));
    let mut model = model(1);
    let before = bits(model.parameters());
    let never = TrainSettings { evaluate_every: Some(0), ..settings() };
    for (settings, validation) in [(never, &validation), (every_two(), &none)] {
        let refused = Trainer::new(settings).fit(&mut model, &training, validation, &mut ());
        assert!(matches!(refused, Err(Error::Argument { name: "evaluate_every", .. })), "{refused:?}");
    }
    assert!(bits(model.parameters()) == before);
    Ok(())
}

#[test]
fn an_objective_is_judged_by_the_metric_that_is_asked_for() -> Outcome {
    let data = task(60, 1);
    let mut model = model(1);
    Trainer::new(settings()).fit(&mut model, &data, &data, &mut ())?;
    let confusion = Confusion::from_predictions(&data, &model.predictions(&data, 16)?)?;
    let of = |model: &mut _, metric| -> Result<(f64, &'static str)> {
        let judged = WithMetric::new(model, metric)?;
        Ok((judged.score(&data, 16)?, judged.metric()))
    };
    assert_eq!(of(&mut model, Metric::Accuracy)?, (confusion.accuracy(), "accuracy"));
    assert_eq!(of(&mut model, Metric::Matthews)?, (confusion.matthews(), "Matthews correlation"));
    assert_eq!(of(&mut model, Metric::F1 { class: "2" })?, (confusion.f1(2).unwrap_or(f64::NAN), "F1"));
    assert!(confusion.matthews() != confusion.accuracy() && confusion.accuracy() != confusion.macro_f1());
    let share = |texts: &EncodedDataset, predicted: &[u32]| {
        let right = texts.samples.iter().zip(predicted).filter(|(sample, prediction)| sample.label == **prediction);
        right.count() as f64 / texts.len() as f64
    };
    let judged = WithMetric::by("share of right answers", &mut model, share);
    assert_eq!((judged.score(&data, 16)?, judged.metric()), (confusion.accuracy(), "share of right answers"));
    drop(judged);
    let refused = of(&mut model, Metric::Correlations);
    assert!(matches!(refused, Err(Error::Argument { name: "metric", .. })), "{refused:?}");
    // A class that the data lack is refused before anything is trained.
    let before = bits(model.parameters());
    let mut judged = WithMetric::new(&mut model, Metric::F1 { class: "four" })?;
    let refused = Trainer::new(settings()).fit(&mut judged, &data, &data, &mut ());
    drop(judged);
    assert!(matches!(refused, Err(Error::Argument { name: "metric", .. })), "{refused:?}");
    assert!(bits(model.parameters()) == before);
    Ok(())
}

#[test]
fn a_resume_by_another_metric_is_refused() -> Outcome {
    let (training, validation) = (task(37, 1), task(11, 2));
    let folder = tempfile::tempdir()?;
    let trainer = checkpointed(every_two(), &folder.path().join("training"), 1);
    let mut first = model(1);
    let history = trainer.fit(&mut WithMetric::new(&mut first, Metric::Matthews)?, &training, &validation, &mut ())?;
    let mut other = model(1);
    let refused = trainer.fit(&mut WithMetric::new(&mut other, Metric::Accuracy)?, &training, &validation, &mut ());
    let Err(Error::Checkpoint { problem: CheckpointProblem::OtherTraining { differences }, .. }) = refused else {
        return Err("another metric went on".into());
    };
    assert_eq!(differences[0].to_string(), "metric is \"Matthews correlation\" there and \"accuracy\" here");
    assert!(trainer.fit(&mut other, &training, &validation, &mut ()).is_err(), "nor by its own score");
    let mut again = model(99);
    let resumed = trainer.fit(&mut WithMetric::new(&mut again, Metric::Matthews)?, &training, &validation, &mut ())?;
    assert_eq!(without_seconds(resumed), without_seconds(history));
    assert!(bits(again.parameters()) == bits(first.parameters()));
    Ok(())
}
