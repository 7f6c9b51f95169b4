//! The model of an engine: a full classifier or a dynamic model.

use dht_transformer::{BertConfig, EncodedDataset, ForwardContext, PackedBatch, Sample, Task, TextClassifier};

use crate::error::{Error, Result};
use crate::model::DynamicModel;
use crate::prediction::{BatchPredictions, Predictor};
use crate::route::ModelShape;

/// A model that answers texts. A clone is another handle on the same weights.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ServedModel {
    /// A classifier of any [`Task`] that runs all layers for every text.
    Classifier(Box<TextClassifier>),
    /// A model of classes or of several labels whose depth varies by text.
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

    /// The number of layers and heads of the encoder.
    pub fn shape(&self) -> ModelShape {
        match self {
            Self::Classifier(model) => {
                ModelShape { layers: model.encoder().layers(), heads: model.encoder().block_shape().heads }
            }
            Self::Dynamic(model) => model.model().shape(),
        }
    }

    /// The task of the model, which defines the meaning of its outputs.
    pub fn task(&self) -> Task {
        match self {
            Self::Classifier(model) => model.task(),
            Self::Dynamic(model) => model.model().outputs().task(),
        }
    }

    /// The number of classes, labels or values.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classifier(model) => model.classifier().classes(),
            Self::Dynamic(model) => model.model().classes(),
        }
    }

    /// Returns whether an n-gram exit before the first layer reads the whole text.
    pub fn reads_rest(&self) -> bool {
        matches!(self, Self::Dynamic(model) if model.front().is_some())
    }

    /// The dynamic model.
    ///
    /// # Errors
    /// [`Error::Argument`] for any other model.
    pub fn dynamic(&self) -> Result<&DynamicModel> {
        match self {
            Self::Dynamic(model) => Ok(model),
            Self::Classifier(_) => {
                Err(Error::argument("model", "a dynamic one", "a classifier that runs all its layers for every text"))
            }
        }
    }

    /// Returns a model whose answer to a text does not depend on the other texts of its batch.
    #[must_use]
    pub fn independent(self) -> Self {
        match self {
            Self::Dynamic(model) => model.independent().into(),
            Self::Classifier(_) => self,
        }
    }

    /// The model's speed; `None` for a model with a single speed.
    pub fn speed(&self) -> Option<f64> {
        match self {
            Self::Classifier(_) => None,
            Self::Dynamic(model) => model.speed(),
        }
    }

    /// Returns this model at another speed; see [`DynamicModel::with_speed`].
    ///
    /// # Errors
    /// As [`DynamicModel::with_speed`]; [`Error::Argument`] for a classifier.
    pub fn with_speed(&self, speed: f64) -> Result<Self> {
        Ok(self.dynamic()?.with_speed(speed)?.into())
    }
}

impl Predictor for ServedModel {
    /// Predicts probabilities of classes or labels, or values.
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<BatchPredictions> {
        match self {
            Self::Dynamic(model) => model.predict(batch, ctx),
            Self::Classifier(model) => model.predict(batch, ctx),
        }
    }

    fn predict_all(&self, samples: &[Sample], batch_size: usize, ctx: &ForwardContext) -> Result<BatchPredictions> {
        match self {
            Self::Dynamic(model) => model.predict_all(samples, batch_size, ctx),
            Self::Classifier(model) => model.predict_all(samples, batch_size, ctx),
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
