//! A training that ends early, and one that weighs its classes.

use candle_core::Tensor;
use dht_toys::whole_batch;
use dht_transformer::{Error, ForwardContext, Result, TrainSettings, Trainer};

use super::toy::{bits, checkpointed, model, settings, task, without_seconds};

#[test]
fn a_training_ends_after_epochs_without_a_better_score() -> Result<()> {
    let (training, validation) = (task(40, 1), task(30, 2));
    // With a rate of next to nothing no epoch is better than the first.
    let mut slow = settings();
    slow.optimizer.learning_rate = 1e-12;
    let slow = TrainSettings { epochs: 9, patience: Some(2), ..slow };
    let history = Trainer::new(slow.clone()).fit(&mut model(1), &training, &validation, &mut ())?;
    assert_eq!((history.epochs.len(), history.best_epoch), (3, Some(0)));
    let patient = TrainSettings { patience: None, ..slow.clone() };
    assert_eq!(Trainer::new(patient).fit(&mut model(1), &training, &validation, &mut ())?.epochs.len(), 9);
    let refused =
        Trainer::new(TrainSettings { patience: Some(0), ..slow }).fit(&mut model(1), &training, &validation, &mut ());
    assert!(matches!(refused, Err(Error::Setting { field: "patience", .. })));
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
    let mut again = model(1);
    let resumed = trainer.fit(&mut again, &training, &validation, &mut ())?;
    assert_eq!(without_seconds(resumed), without_seconds(history));
    assert_eq!(bits(first.encoder().parameters()), bits(again.encoder().parameters()));
    Ok(())
}

#[test]
fn a_loss_with_class_weights_is_their_weighted_mean() -> Result<()> {
    let data = task(12, 4);
    let batch = whole_batch(&data);
    let weights = [0.5, 1.0, 4.0];
    let weighted = model(1).with_class_weights(&weights)?;
    let ctx = ForwardContext::inference();
    let loss: f32 = weighted.loss(&batch, &ctx)?.to_scalar()?;
    let logits: Vec<Vec<f32>> = weighted.logits(&batch, &ctx)?.to_vec2()?;
    let (mut sum, mut all) = (0.0, 0.0);
    for (row, label) in logits.iter().zip(&batch.labels) {
        let norm: f32 = row.iter().map(|logit| logit.exp()).sum::<f32>().ln();
        let weight = weights[*label as usize];
        sum += weight * (norm - row[*label as usize]);
        all += weight;
    }
    assert!((loss - sum / all).abs() < 1e-5, "{loss} {}", sum / all);
    let plain: Tensor = model(1).loss(&batch, &ctx)?;
    assert!((plain.to_scalar::<f32>()? - loss).abs() > 1e-4, "the weights must matter");
    for weights in [&[1.0, 1.0][..], &[1.0, 0.0, 1.0], &[1.0, f32::NAN, 1.0]] {
        let refused = model(1).with_class_weights(weights);
        assert!(matches!(refused, Err(Error::Setting { field: "class_weights", .. })), "{weights:?}");
    }
    Ok(())
}
