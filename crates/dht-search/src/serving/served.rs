//! What an engine runs: a classifier in full, or a dynamic model.

use dht_transformer::tensors::{finite_rows, log_softmax};
use dht_transformer::{BertConfig, EncodedDataset, ForwardContext, PackedBatch, Sample, Task, TextClassifier};

use crate::error::{Error, Result};
use crate::evaluation::Predictor;
use crate::model::{BatchPredictions, DynamicModel};
use crate::space::{ModelShape, Route};

/// A model that answers texts. A clone is another handle on the same weights.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ServedModel {
    /// All layers for every text; of any [`Task`].
    Classifier(Box<TextClassifier>),
    /// As many as a text needs; of classes.
    Dynamic(Box<DynamicModel>),
}

impl From<TextClassifier> for ServedModel {
    fn from(model: TextClassifier) -> Self {
        Self::Classifier(Box::new(model))
    }
}

impl From<DynamicModel> for ServedModel {
    fn from(model: DynamicModel) -> Self {
        Self::Dynamic(Box::new(model))
    }
}

impl ServedModel {
    /// The configuration of its encoder.
    pub fn config(&self) -> &BertConfig {
        match self {
            Self::Classifier(model) => model.encoder().config(),
            Self::Dynamic(model) => model.encoder().config(),
        }
    }

    /// How many layers and heads its encoder has.
    pub fn shape(&self) -> ModelShape {
        match self {
            Self::Classifier(model) => {
                ModelShape { layers: model.encoder().layers(), heads: model.encoder().block_shape().heads }
            }
            Self::Dynamic(model) => model.space().model_shape(),
        }
    }

    /// What its outputs mean.
    pub fn task(&self) -> Task {
        match self {
            Self::Classifier(model) => model.task(),
            Self::Dynamic(_) => Task::Class,
        }
    }

    /// How many classes, labels or values it gives.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classifier(model) => model.classifier().classes(),
            Self::Dynamic(model) => model.model().classes(),
        }
    }

    /// Whether an exit before its first layer reads texts whole.
    pub fn reads_rest(&self) -> bool {
        matches!(self, Self::Dynamic(model) if model.front().is_some())
    }

    /// The dynamic model.
    ///
    /// # Errors
    /// [`Error::Setting`] for a classifier.
    pub fn dynamic(&self) -> Result<&DynamicModel> {
        match self {
            Self::Dynamic(model) => Ok(model),
            Self::Classifier(_) => {
                Err(Error::setting("model", "a dynamic one", "a classifier that runs all its layers for every text"))
            }
        }
    }

    /// The same model, whose head sets are drawn for each text; see [`DynamicModel::with_own_head_sets`].
    #[must_use]
    pub fn with_own_head_sets(self) -> Self {
        match self {
            Self::Dynamic(model) => (*model).with_own_head_sets().into(),
            Self::Classifier(_) => self,
        }
    }

    /// Its speed; `None` for a model of one speed.
    pub fn speed(&self) -> Option<f64> {
        self.dynamic().ok()?.speed()
    }

    /// The same model at another speed; see [`DynamicModel::with_speed`].
    ///
    /// # Errors
    /// As there; [`Error::Setting`] for a classifier.
    pub fn with_speed(&self, speed: f64) -> Result<Self> {
        Ok(self.dynamic()?.with_speed(speed)?.into())
    }
}

impl Predictor for ServedModel {
    /// Probabilities of classes or of labels, or values.
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions> {
        let model = match self {
            Self::Dynamic(model) => return model.predict(batch, ctx),
            Self::Classifier(model) => model,
        };
        let logits = model.logits(batch, ctx)?;
        let answers = match model.task() {
            Task::Class => log_softmax(&logits)?.exp()?,
            Task::Labels => (logits.neg()?.exp()? + 1.0)?.recip()?,
            Task::Number => logits,
        };
        let shape = self.shape();
        let route = Route::truncated(shape, shape.layers)?;
        let flops = batch.spans.lengths().map(|tokens| model.full_flops(tokens));
        Ok(BatchPredictions::of_fixed_route(finite_rows(&answers, &batch.sample_ids)?, &route, flops))
    }

    fn predict_all(&self, samples: &[Sample], batch_size: usize, ctx: &ForwardContext) -> Result<BatchPredictions> {
        match self {
            Self::Dynamic(model) => model.predict_all(samples, batch_size, ctx),
            Self::Classifier(_) => BatchPredictions::in_batches(samples, batch_size, |batch| self.predict(batch, ctx)),
        }
    }

    fn check(&self, texts: &EncodedDataset) -> Result<()> {
        match self {
            Self::Classifier(model) => model.check(texts),
            Self::Dynamic(model) => model.check(texts),
        }
    }

    fn full_flops(&self, tokens: usize) -> u64 {
        match self {
            Self::Classifier(model) => model.full_flops(tokens),
            Self::Dynamic(model) => model.full_flops(tokens),
        }
    }
}
