//! Models of fixed depth: the full model and its truncations.

use dht_search::cost::{FlopsCost, WidthCoupling};
use dht_transformer::{
    EncodedDataset, Encoder, TextClassifier,
    flops::Load,
    train::{
        History,
        metrics::{predict_all, score},
    },
};

use super::job::{CLASSIFIERS, Job, pooling, rng};
use crate::error::Result;
use crate::record::ModelResult;
use dht_cli::TrainingProgress;

/// A trained and tested model of fixed depth. The time of its predictions is measured later, beside the other models'.
pub(super) struct Plain {
    pub(super) result: ModelResult,
    pub(super) history: History,
    pub(super) labels: Vec<u32>,
    pub(super) model: TextClassifier,
}

impl Job<'_> {
    /// Trains and tests the first `depth` layers as a model of their own.
    pub(super) fn plain(&self, name: &str, encoder: &Encoder, depth: usize) -> Result<Plain> {
        let data = self.data;
        let classes = data.train.labels.len();
        let mut rng = rng(self.plan, CLASSIFIERS);
        let mut model = TextClassifier::new(encoder.truncated(depth)?, classes, pooling(self.plan), &mut rng)?;
        let mut progress = TrainingProgress::new(name, self.plan.quiet);
        let history = self.trainer(name).fit(&mut model, &data.train, &data.validation, &mut progress)?;
        drop(progress);
        let predictions = predict_all(&model, &data.test, self.test_batch())?;
        let confusion = score(&data.test, &predictions.labels)?;
        let (forward, backward) = flops(&model, &data.train)?;
        let (inference, _) = flops(&model, &data.test)?;
        let result = ModelResult {
            macro_f1: confusion.macro_f1(),
            accuracy: confusion.accuracy(),
            train_seconds: history.train_seconds - history.optimizer_seconds,
            inference_seconds: 0.0,
            optimizer_seconds: history.optimizer_seconds,
            train_flops: self.plan.epochs as u64 * (forward + backward),
            inference_flops: inference,
        };
        Ok(Plain { result, history, labels: predictions.labels, model })
    }
}

/// FLOPs of a forward and a backward over all texts.
pub(crate) fn flops(model: &TextClassifier, texts: &EncodedDataset) -> Result<(u64, u64)> {
    let (encoder, classifier) = (model.encoder(), model.classifier().shape());
    let cost = FlopsCost::new(encoder.layers(), encoder.block_shape(), classifier, WidthCoupling::Heads)?;
    let load = Load::of_texts(texts.lengths());
    Ok((cost.full_forward(load).total().0, cost.full_backward(load).total().0))
}
