//! Served model: a classifier that runs all layers, or a model with early exits.

use dht_transformer::{BertConfig, EncodedDataset, ForwardContext, PackedBatch, Sample, Task, TextClassifier};

use crate::error::{Error, Result};
use crate::model::DynamicModel;
use crate::prediction::{BatchPredictions, Predictor};
use crate::route::ModelShape;

/// Model that an [`Engine`](crate::Engine) serves: a classifier that runs all layers, or a model with early exits. A
/// clone shares its weights.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ServedModel {
    /// Classifier without early exits, for any [`Task`]. It runs all layers for every text.
    Classifier(Box<TextClassifier>),
    /// Model with early exits, for classes or multi-label texts. The number of layers that run depends on the text.
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
    /// Configuration of the encoder.
    pub fn config(&self) -> &BertConfig {
        match self {
            Self::Classifier(model) => model.encoder().config(),
            Self::Dynamic(model) => model.encoder().config(),
        }
    }

    /// Number of layers and attention heads of the encoder.
    pub fn shape(&self) -> ModelShape {
        match self {
            Self::Classifier(model) => {
                ModelShape { layers: model.encoder().layers(), heads: model.encoder().block_shape().heads }
            }
            Self::Dynamic(model) => model.model().shape(),
        }
    }

    /// Task of the model, which defines the meaning of its outputs.
    pub fn task(&self) -> Task {
        match self {
            Self::Classifier(model) => model.task(),
            Self::Dynamic(model) => model.model().outputs().task(),
        }
    }

    /// Number of classes, labels or values that the model predicts for a text.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classifier(model) => model.classifier().classes(),
            Self::Dynamic(model) => model.model().classes(),
        }
    }

    /// Returns whether the model has an n-gram classifier before its first layer, which also reads tokens beyond the
    /// encoder's limit.
    pub fn reads_rest(&self) -> bool {
        matches!(self, Self::Dynamic(model) if model.front().is_some())
    }

    /// Returns the model with early exits.
    ///
    /// # Errors
    /// [`Error::Argument`] if the model is a classifier that runs all layers.
    pub fn dynamic(&self) -> Result<&DynamicModel> {
        match self {
            Self::Dynamic(model) => Ok(model),
            Self::Classifier(_) => {
                Err(Error::argument("model", "a dynamic one", "a classifier that runs all its layers for every text"))
            }
        }
    }

    /// Makes the predictions for a text independent of the other texts in its batch.
    #[must_use]
    pub fn independent(self) -> Self {
        match self {
            Self::Dynamic(model) => model.independent().into(),
            Self::Classifier(_) => self,
        }
    }

    /// Speed (exit threshold) of the model; `None` for a model that always runs all layers.
    pub fn speed(&self) -> Option<f64> {
        match self {
            Self::Classifier(_) => None,
            Self::Dynamic(model) => model.speed(),
        }
    }

    /// Returns a handle on the same weights at another [speed](DynamicModel::with_speed) (exit threshold).
    ///
    /// # Errors
    /// * [`Error::Argument`] if the model is a classifier that runs all layers.
    /// * Errors of [`DynamicModel::with_speed`].
    pub fn with_speed(&self, speed: f64) -> Result<Self> {
        Ok(self.dynamic()?.with_speed(speed)?.into())
    }
}

impl Predictor for ServedModel {
    /// Predicts the probabilities of classes or labels, or in a regression the number.
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
