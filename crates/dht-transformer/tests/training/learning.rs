//! Results of a training run.

use dht_toys::{classifier, config, rng};
use dht_transformer::{
    AdamWSettings, Objective, Pooling, Result, TrainSettings, Trainer,
    train::{
        Event, Predict,
        metrics::Confusion,
        optim::{Schedule, WarmUp},
    },
};

use crate::toy::{bits, model, settings, task, without_seconds};
use crate::wrapped::{BestAfter, HoldingBack};

#[test]
fn a_planted_task_is_learnt() -> Result<()> {
    let (training, validation, test) = (task(400, 1), task(60, 2), task(200, 3));
    let mut model = model(1);
    let untrained = Confusion::from_predictions(&test, &model.predictions(&test, 32)?)?.macro_f1();
    assert!(untrained < 0.6, "nothing is left to learn: {untrained}");
    let settings = TrainSettings { epochs: 8, ..settings() };
    let history = Trainer::new(settings).fit(&mut model, &training, &validation, &mut ())?;
    let trained = Confusion::from_predictions(&test, &model.predictions(&test, 32)?)?;
    assert!(trained.macro_f1() > 0.95, "{} after {:?}", trained.macro_f1(), history.epochs);
    assert_eq!((history.steps, history.samples, history.skipped_steps), (8 * 50, 8 * 400, 0));
    assert!(history.optimizer_seconds < history.train_seconds);
    Ok(())
}

#[test]
fn one_seed_gives_the_same_bits_and_another_seed_others() -> Result<()> {
    let (training, validation) = (task(37, 1), task(11, 2));
    let run = |seed| -> Result<_> {
        let mut model = model(1);
        let trainer = Trainer::new(TrainSettings { seed, ..settings() });
        let history = trainer.fit(&mut model, &training, &validation, &mut ())?;
        Ok((bits(model.parameters()), without_seconds(history)))
    };
    let first = run(3)?;
    assert_eq!(first, run(3)?);
    let other = run(4)?;
    assert!(first.0 != other.0 && first.1.losses != other.1.losses);
    Ok(())
}

#[test]
fn the_number_of_threads_changes_no_bit() -> Result<()> {
    // The model is wide enough for products that run on several threads.
    let config = config([2, 4, 96, 16], None);
    let run = |threads| -> Result<_> {
        let mut model = classifier(&config, 3, Pooling::Pooler, &mut rng(1));
        let trainer = Trainer::new(TrainSettings { epochs: 1, batch_size: 40, ..settings() });
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        pool.install(|| trainer.fit(&mut model, &task(120, 1), &task(0, 2), &mut ()))?;
        Ok(bits(model.parameters()))
    };
    let alone = run(1)?;
    for threads in [2, 3, 8] {
        assert!(run(threads)? == alone, "{threads} threads");
    }
    Ok(())
}

#[test]
fn held_back_batches_still_train_each_sample_once_an_epoch() -> Result<()> {
    for rows in [1, 7, 8, 9, 50] {
        for length_window in [1, 3] {
            let mut objective = HoldingBack::new(model(1));
            let settings = TrainSettings { epochs: 3, length_window, ..settings() };
            let history = Trainer::new(settings).fit(&mut objective, &task(rows, 1), &task(0, 2), &mut ())?;
            let every: Vec<_> = (0..3).flat_map(|epoch| (0..rows).map(move |sample| ((epoch, sample), 1))).collect();
            assert!(objective.counts.into_iter().eq(every));
            assert_eq!((history.samples, history.steps), (3 * rows, 3 * rows.div_ceil(8)));
            assert_eq!(history.losses.last().map(|(share, _)| *share), Some(1.0));
        }
    }
    Ok(())
}

#[test]
fn keep_best_restores_parameters_and_state_of_the_best_epoch() -> Result<()> {
    for (keep_best, best) in [(true, 0), (true, 1), (true, 3), (false, 1)] {
        let mut objective = BestAfter { model: model(1), best, epoch: 0 };
        let parameters = objective.parameters().clone();
        let mut after = Vec::new();
        let mut observer = |event: Event<'_>| {
            if let Event::Epoch(record) = event {
                after.push((record.validation_score, bits(&parameters)));
            }
        };
        let trainer = Trainer::new(TrainSettings { epochs: 4, keep_best, ..settings() });
        let history = trainer.fit(&mut objective, &task(20, 1), &task(9, 2), &mut observer)?;
        let selected = if keep_best { best } else { 3 };
        assert_eq!(history.best_epoch, keep_best.then_some(best));
        assert_eq!(objective.epoch, selected);
        assert_eq!(after.len(), 4);
        for (epoch, (score, then)) in after.into_iter().enumerate() {
            assert_eq!(score, Some(if epoch == best { 1.0 } else { 0.0 }));
            assert_eq!(then == bits(&parameters), epoch == selected, "epoch {epoch}");
        }
    }
    Ok(())
}

#[test]
fn an_observer_hears_every_step_and_epoch_in_their_order() -> Result<()> {
    let (mut steps, mut epochs, mut rates, mut started) = (Vec::new(), Vec::new(), Vec::new(), None);
    let mut observer = |event: Event<'_>| match event {
        Event::Started { samples, total, metric, .. } => started = Some((samples, total, metric)),
        Event::Step { progress, samples, loss, learning_rate, gradient_norm, .. } => {
            assert_eq!(progress.epoch, epochs.len());
            assert!(gradient_norm > 0.0 && gradient_norm.is_finite());
            rates.push(learning_rate);
            steps.push((progress.step, samples, loss));
        }
        Event::Epoch(record) => epochs.push(*record),
        other => panic!("{other:?}"),
    };
    let history = Trainer::new(settings()).fit(&mut model(1), &task(20, 1), &task(0, 2), &mut observer)?;
    assert_eq!(started, Some((0, 40, "macro F1")));
    assert_eq!(epochs, history.epochs);
    assert!(steps.iter().map(|step| step.0).eq(0..6));
    assert!(rates[1] > rates[5], "the rate decays: {rates:?}");
    assert!(steps.iter().map(|step| step.2).eq(history.losses.iter().map(|loss| loss.1)));
    for epoch in 0..2 {
        let of_epoch = &steps[3 * epoch..3 * (epoch + 1)];
        assert_eq!(of_epoch.iter().map(|step| step.1).sum::<usize>(), 20);
        let mean = of_epoch.iter().map(|step| step.2 * step.1 as f64).sum::<f64>() / 20.0;
        approx::assert_relative_eq!(history.epochs[epoch].loss, mean, max_relative = 1e-12);
    }
    Ok(())
}

#[test]
fn each_setting_changes_the_training() -> Result<()> {
    let run = |settings: TrainSettings| -> Result<_> {
        let mut model = model(1);
        Trainer::new(settings).fit(&mut model, &task(30, 1), &task(0, 2), &mut ())?;
        Ok(bits(model.parameters()))
    };
    let usual = run(settings())?;
    let slower = AdamWSettings { learning_rate: 1e-3, ..settings().optimizer };
    let constant = Schedule::Constant { warm_up: WarmUp::NONE };
    for changed in [
        TrainSettings { epochs: 3, ..settings() },
        TrainSettings { batch_size: 10, ..settings() },
        TrainSettings { length_window: 1, ..settings() },
        TrainSettings { optimizer: slower, ..settings() },
        TrainSettings { schedule: constant, ..settings() },
    ] {
        assert!(run(changed.clone())? != usual, "{changed:?}");
    }
    Ok(())
}
