//! A plain encoder with a classifier: what dynamic models are compared with.

use candle_core::D;
use rand::Rng;

use super::losses::cross_entropy;
use super::objective::{Objective, Progress, StepLoss};
use crate::{Classifier, EncodedDataset, Encoder, Error, HeadPlan, PackedBatch, Parameters, Pass, Pooling, Result};

/// All layers, all heads, one classifier behind the last layer; the loss is the mean cross-entropy.
#[derive(Debug)]
pub struct TextClassifier {
    encoder: Encoder,
    classifier: Classifier,
    waiting: Option<PackedBatch>,
}

impl TextClassifier {
    /// Adds a classifier to an encoder.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer than two classes.
    pub fn new<R: Rng + ?Sized>(mut encoder: Encoder, classes: usize, pooling: Pooling, rng: &mut R) -> Result<Self> {
        let classifier = encoder.add_classifier("classifier", classes, pooling, rng)?;
        Ok(Self { encoder, classifier, waiting: None })
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The classifier.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    fn logits(&self, batch: &PackedBatch, pass: &Pass) -> Result<candle_core::Tensor> {
        let hidden = self.encoder.embed(batch, pass)?;
        let hidden = self.encoder.run(0..self.encoder.layers(), hidden, &HeadPlan::Full, pass)?;
        self.classifier.forward(&hidden, pass)
    }
}

impl Objective for TextClassifier {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.encoder.parameters()
    }

    fn offer(&mut self, batch: PackedBatch, _: Progress) -> Result<()> {
        self.waiting = Some(batch);
        Ok(())
    }

    fn next_loss(&mut self, progress: Progress, _drain: bool) -> Result<Option<StepLoss>> {
        let Some(batch) = self.waiting.take() else { return Ok(None) };
        let pass = Pass::training(self.parameters(), progress.seed, progress.step as u32);
        let loss = cross_entropy(&self.logits(&batch, &pass)?, &batch.labels)?.mean_all()?;
        Ok(Some(StepLoss { loss, pass, samples: batch.len() }))
    }

    fn predict(&self, batch: &PackedBatch) -> Result<Vec<u32>> {
        Ok(self.logits(batch, &Pass::inference())?.argmax(D::Minus1)?.to_vec1()?)
    }

    /// A batch is answered by a loss at once, so there is nothing to keep.
    fn state(&self) -> Result<serde_json::Value> {
        Ok(serde_json::Value::Null)
    }

    fn restore(&mut self, _: serde_json::Value, _: &EncodedDataset) -> Result<()> {
        Ok(())
    }
}
