//! Gradient accumulation: several batches in one step.

use dht_toys::Outcome;
use dht_transformer::{
    AdamWSettings, Error, Objective, Result, TrainSettings, Trainer,
    tensors::Parameters,
    train::{Event, History},
};

use crate::toy::{bits, checkpointed, model, settings, task, without_seconds};
use crate::wrapped::{Cramped, Place, Poison, Poisoned, Stop, Stopping};

/// Training settings with small batches in the same order as larger ones.
fn in_batches(batch_size: usize, accumulate: usize) -> TrainSettings {
    // With a small ε, rounding errors of tiny gradients would become steps of full length.
    let optimizer = AdamWSettings { epsilon: 1e-4, ..settings().optimizer };
    TrainSettings { batch_size, accumulate, length_window: 1, keep_best: false, optimizer, ..settings() }
}

fn distance(a: &Parameters, b: &Parameters) -> Result<f32> {
    let (a, b) = (a.values()?, b.values()?);
    let pairs = a.iter().flat_map(|(name, tensor)| tensor.values.iter().zip(&b[name].values));
    Ok(pairs.fold(0.0, |most, (a, b)| f32::max(most, (a - b).abs())))
}

#[test]
fn accumulated_batches_make_the_step_of_one_large_batch() -> Outcome {
    // 37 rows: the last step of an epoch has two batches instead of three, and the last batch one row instead of four.
    let (training, nothing) = (task(37, 1), task(0, 2));
    let train = |batch_size, accumulate| -> Result<_> {
        let (mut model, mut steps) = (model(1), Vec::new());
        let mut observer = |event: Event<'_>| {
            if let Event::Step { samples, .. } = event {
                steps.push(samples);
            }
        };
        let history =
            Trainer::new(in_batches(batch_size, accumulate)).fit(&mut model, &training, &nothing, &mut observer)?;
        Ok((model, history, steps))
    };
    let (large, large_history, large_steps) = train(12, 1)?;
    let (accumulated, history, steps) = train(4, 3)?;
    assert_eq!(steps, [12, 12, 12, 1, 12, 12, 12, 1]);
    assert_eq!((steps, history.steps, history.samples), (large_steps, large_history.steps, large_history.samples));
    for ((share, loss), (large_share, large_loss)) in history.losses.iter().zip(&large_history.losses) {
        assert_eq!(share, large_share);
        assert!((loss - large_loss).abs() < 1e-5, "loss {loss}, of one batch {large_loss}");
    }
    let moved = distance(model(1).parameters(), large.parameters())?;
    let apart = distance(accumulated.parameters(), large.parameters())?;
    assert!(moved > 1e-3 && apart < 1e-5, "moved by {moved}, apart by {apart}");
    // The agreement is not trivial, since three small steps instead of one give other weights.
    assert!(distance(train(4, 1)?.0.parameters(), large.parameters())? > 1e-4);
    Ok(())
}

#[test]
fn a_stop_between_the_batches_of_a_step_changes_no_bit() -> Outcome {
    let (training, nothing) = (task(37, 1), task(0, 2));
    let whole = |trainer: Trainer| -> Result<(Vec<_>, History)> {
        let mut model = model(1);
        let history = trainer.fit(&mut model, &training, &nothing, &mut ())?;
        Ok((bits(model.parameters()), without_seconds(history)))
    };
    let expected = whole(Trainer::new(in_batches(4, 3)))?;
    for steps in [1, 3, 5] {
        let folder = tempfile::tempdir()?;
        let trainer = checkpointed(in_batches(4, 3), &folder.path().join("training"), 1);
        let mut stopped = Stopping::new(model(1), Some((Place::Loss, steps)));
        assert!(matches!(trainer.fit(&mut stopped, &training, &nothing, &mut ()), Err(Stop::Asked)));
        assert!(whole(trainer)? == expected, "stopped at step {steps}");
    }
    Ok(())
}

#[test]
fn one_gradient_that_is_no_number_spoils_its_step_alone() -> Outcome {
    let (training, nothing) = (task(24, 1), task(0, 2));
    // An epoch has two steps; from the second step on, every gradient is NaN.
    let settings = TrainSettings { epochs: 1, ..in_batches(4, 3) };
    let mut objective = Poisoned::new(model(1), Poison::Gradient, 1);
    let history = Trainer::new(settings.clone()).fit(&mut objective, &training, &nothing, &mut ())?;
    assert_eq!((history.steps, history.skipped_steps), (2, 1));
    let none = TrainSettings { accumulate: 0, ..settings };
    let refused = Trainer::new(none).fit(&mut model(1), &training, &nothing, &mut ());
    assert!(matches!(refused, Err(Error::Argument { name: "accumulate", .. })), "{refused:?}");
    Ok(())
}

#[test]
fn a_batch_that_memory_does_not_hold_is_one_step_in_parts() -> Outcome {
    let (training, nothing) = (task(37, 1), task(0, 2));
    let fit = |objective: &mut Cramped, accumulate| {
        Trainer::new(in_batches(12, accumulate)).fit(objective, &training, &nothing, &mut ())
    };
    let mut roomy = Cramped::new(model(1), 12, 0);
    let expected = fit(&mut roomy, 1)?;
    let mut cramped = Cramped::new(model(1), 4, 2);
    let history = fit(&mut cramped, 1)?;
    // The batch size that fits is determined once, in the third step: 12, 6 and then 3.
    assert_eq!(cramped.refused, [12, 6]);
    assert_eq!((history.steps, history.samples), (expected.steps, expected.samples));
    let apart = distance(cramped.model.parameters(), roomy.model.parameters())?;
    assert!(apart < 1e-5, "apart by {apart}");

    // One sample is the minimum, and the gradients of several batches cannot be undone.
    for (most, accumulate) in [(0, 1), (4, 2)] {
        let refused = fit(&mut Cramped::new(model(1), most, 0), accumulate);
        let Err(Error::DeviceMemory(_)) = &refused else { panic!("{refused:?}") };
        assert!(refused.unwrap_err().to_string().contains("fewer texts at once"));
    }
    Ok(())
}
