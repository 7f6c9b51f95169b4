//! Plain models: the full one, and truncations of it.

use dht_transformer::{
    EncodedDataset, Encoder, TextClassifier,
    flops::BackwardNeeds,
    train::{
        History,
        metrics::{predict_all, score},
    },
};

use super::job::{CLASSIFIERS, Job, pooling, rng};
use crate::error::Result;
use crate::progress::TrainingProgress;
use crate::record::ModelResult;

/// A plain model, trained and tested.
pub(super) struct Plain {
    pub(super) result: ModelResult,
    pub(super) history: History,
    pub(super) labels: Vec<u32>,
}

impl Job<'_> {
    /// The first `depth` layers as a model of their own.
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
        let (forward, backward) = flops(&model, &data.train);
        let (inference, _) = flops(&model, &data.test);
        let result = ModelResult {
            macro_f1: confusion.macro_f1(),
            accuracy: confusion.accuracy(),
            train_seconds: history.train_seconds - history.optimizer_seconds,
            inference_seconds: predictions.seconds,
            optimizer_seconds: history.optimizer_seconds,
            train_flops: self.plan.epochs as u64 * (forward + backward),
            inference_flops: inference,
        };
        Ok(Plain { result, history, labels: predictions.labels })
    }
}

/// FLOPs of a forward and a backward over all texts.
fn flops(model: &TextClassifier, texts: &EncodedDataset) -> (u64, u64) {
    let (block, classifier) = (model.encoder().block_shape(), model.classifier().shape());
    let (load, samples) = (dht_transformer::flops::Load::of_texts(texts.lengths()), texts.len() as u64);
    let layers = model.encoder().layers() as u64;
    let all = BackwardNeeds::ALL;
    let backward =
        layers * block.backward(load, block.full(), all).total().0 + classifier.backward(samples, all).total().0;
    let forward = layers * block.forward(load, block.full()).total().0 + classifier.forward(samples).total().0;
    (forward, backward)
}
