//! Training runs that end early, and losses other than the task's.

use candle_core::Tensor;
use dht_toys::whole_batch;
use dht_transformer::tensors::cross_entropy;
use dht_transformer::train::{Event, Observer};
use dht_transformer::{
    Error, ErrorKind, ForwardContext, Objective, PackedBatch, Result, TextClassifier, TrainSettings, Trainer,
};

use super::toy::{bits, checkpointed, model, settings, task, without_seconds};

#[test]
fn a_training_ends_after_epochs_without_a_better_score() -> Result<()> {
    let (training, validation) = (task(40, 1), task(30, 2));
    // With a tiny learning rate, no epoch is better than the first.
    let mut slow = settings();
    slow.optimizer.learning_rate = 1e-12;
    let slow = TrainSettings { epochs: 9, patience: Some(2), ..slow };
    let history = Trainer::new(slow.clone()).fit(&mut model(1), &training, &validation, &mut ())?;
    assert_eq!((history.epochs.len(), history.best_epoch), (3, Some(0)));
    let patient = TrainSettings { patience: None, ..slow.clone() };
    assert_eq!(Trainer::new(patient).fit(&mut model(1), &training, &validation, &mut ())?.epochs.len(), 9);
    let refused =
        Trainer::new(TrainSettings { patience: Some(0), ..slow }).fit(&mut model(1), &training, &validation, &mut ());
    assert!(matches!(refused, Err(Error::Argument { name: "patience", .. })));
    Ok(())
}

#[test]
fn resuming_an_early_stopped_training_repeats_its_result() -> Result<()> {
    let (training, validation) = (task(40, 1), task(30, 2));
    let folder = tempfile::tempdir().expect("a folder");
    let mut slow = settings();
    slow.optimizer.learning_rate = 1e-12;
    let slow = TrainSettings { epochs: 9, patience: Some(1), ..slow };
    let trainer = checkpointed(slow, &folder.path().join("training"), 1);
    let mut first = model(1);
    let history = trainer.fit(&mut first, &training, &validation, &mut ())?;
    assert!(history.epochs.len() < 9, "it was to stop early");
    let mut again = model(1);
    let resumed = trainer.fit(&mut again, &training, &validation, &mut ())?;
    assert_eq!(without_seconds(resumed), without_seconds(history));
    assert_eq!(bits(first.encoder().parameters()), bits(again.encoder().parameters()));
    Ok(())
}

#[test]
fn a_loss_with_class_weights_is_the_mean_of_weighted_losses() -> Result<()> {
    let data = task(12, 4);
    let batch = whole_batch(&data);
    let weights = [0.5, 1.0, 4.0];
    let weighted = model(1).with_class_weights(&weights)?;
    let ctx = ForwardContext::inference();
    let loss: f32 = weighted.loss(&batch, &ctx)?.to_scalar()?;
    let logits: Vec<Vec<f32>> = weighted.logits(&batch, &ctx)?.to_vec2()?;
    let mut sum = 0.0;
    for (row, label) in logits.iter().zip(&batch.labels) {
        let norm: f32 = row.iter().map(|logit| logit.exp()).sum::<f32>().ln();
        sum += weights[*label as usize] * (norm - row[*label as usize]);
    }
    let mean = sum / batch.labels.len() as f32;
    assert!((loss - mean).abs() < 1e-5, "{loss} {mean}");
    let plain: Tensor = model(1).loss(&batch, &ctx)?;
    assert!((plain.to_scalar::<f32>()? - loss).abs() > 1e-4, "the weights must matter");
    for weights in [&[1.0, 1.0][..], &[1.0, 0.0, 1.0], &[1.0, f32::NAN, 1.0]] {
        let refused = model(1).with_class_weights(weights);
        assert!(matches!(refused, Err(Error::Argument { name: "class_weights", .. })), "{weights:?}");
    }
    Ok(())
}

#[test]
fn a_loss_of_the_callers_own_trains_like_the_tasks() -> Result<()> {
    let trained = |mut model: TextClassifier| -> Result<_> {
        Trainer::new(settings()).fit(&mut model, &task(20, 1), &task(0, 2), &mut ())?;
        Ok(bits(model.parameters()))
    };
    let own = model(1).with_loss(|logits, batch| Ok(cross_entropy(logits, &batch.labels)?.mean_all()?));
    assert!(trained(own)? == trained(model(1))?);
    let halved = model(1).with_loss(|logits, batch| Ok((cross_entropy(logits, &batch.labels)?.mean_all()? * 0.5)?));
    assert!(trained(halved)? != trained(model(1))?);
    Ok(())
}

#[test]
fn a_loss_that_fails_ends_the_training_with_its_error() {
    let failing = |_: &Tensor, _: &PackedBatch| Err(Error::custom("no loss today"));
    let mut model = model(1).with_loss(failing);
    let failed = Trainer::new(settings()).fit(&mut model, &task(20, 1), &task(0, 2), &mut ());
    let failed = failed.expect_err("a loss that fails");
    assert_eq!((failed.kind(), failed.to_string().as_str()), (ErrorKind::Custom, "no loss today"));
    let mut rows = self::model(1).with_loss(|logits, batch| cross_entropy(logits, &batch.labels));
    let failed = Trainer::new(settings()).fit(&mut rows, &task(20, 1), &task(0, 2), &mut ());
    assert!(failed.is_err(), "a loss for each sample is no scalar");
}

#[test]
fn an_observer_ends_a_training_that_resumes() -> Result<()> {
    struct After(usize);
    impl Observer for After {
        fn observe(&mut self, event: Event<'_>) {
            self.0 = self.0.saturating_sub(usize::from(matches!(event, Event::Step { .. })));
        }

        fn stops(&self) -> bool {
            self.0 == 0
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let trainer = checkpointed(settings(), &folder.path().join("training"), u64::MAX);
    let stopped = trainer.fit(&mut model(1), &task(20, 1), &task(9, 2), &mut After(4));
    assert!(matches!(stopped, Err(Error::Stopped { steps: 4 })));
    let (mut resumed, mut whole) = (model(9), model(1));
    trainer.fit(&mut resumed, &task(20, 1), &task(9, 2), &mut After(usize::MAX))?;
    Trainer::new(settings()).fit(&mut whole, &task(20, 1), &task(9, 2), &mut ())?;
    assert!(bits(resumed.parameters()) == bits(whole.parameters()));
    Ok(())
}
