//! Dynamic model and its speed.

use std::sync::Arc;

use dht_transformer::{EncodedDataset, Encoder, TextClassifier};
use serde_json::Value;

use super::seen_texts::SeenTexts;
use crate::error::Result;
use crate::exit::FrontExit;
use crate::exit_model::ExitModel;
use crate::router::{LeavingRule, Router};

/// Encoder with exits and a [`Router`], which decides at which exit each text leaves.
///
/// [`accelerate`](fn@crate::accelerate::accelerate) builds it from a fine-tuned classifier. A clone is another handle
/// on the same weights.
#[derive(Debug, Clone)]
pub struct DynamicModel {
    model: ExitModel,
    front: Option<Arc<FrontExit>>,
    router: Arc<dyn Router>,
    /// Router that decides heads; `None` if the other one does.
    heads: Option<Arc<dyn Router>>,
    /// Description of a model whose layout and routers its program builds.
    description: Option<Arc<Value>>,
    seen: Arc<SeenTexts>,
}

impl DynamicModel {
    /// Model whose texts leave where this rule is satisfied. The speed is 0 at first, so all texts run all layers.
    ///
    /// # Errors
    /// None currently: a speed of 0 is valid for every rule.
    pub fn new(model: ExitModel, rule: LeavingRule) -> Result<Self> {
        Ok(Self::of_router(model, rule.router(0.0)?))
    }

    /// Model with this router.
    pub fn of_router(model: ExitModel, router: Arc<dyn Router>) -> Self {
        Self { model, front: None, router, heads: None, description: None, seen: Arc::default() }
    }

    /// Lets a second router decide the [heads](Router::heads) of each text.
    #[must_use]
    pub fn with_head_router(self, heads: Arc<dyn Router>) -> Self {
        Self { heads: Some(heads), ..self }
    }

    /// Describes a model whose layout and routers the calling program builds, such as the model of a search. The
    /// description is saved, and [`OwnParts::with_model`](crate::OwnParts::with_model) gets it.
    #[must_use]
    pub fn with_description(self, description: Value) -> Self {
        Self { description: Some(Arc::new(description)), ..self }
    }

    /// The [description](Self::with_description), if there is one.
    pub fn description(&self) -> Option<&Value> {
        self.description.as_deref()
    }

    /// Returns a model whose answer to a text does not depend on the other texts of its batch.
    #[must_use]
    pub fn independent(self) -> Self {
        let router = self.router.independent().unwrap_or_else(|| self.router.clone());
        let heads = self.heads.as_ref().map(|heads| heads.independent().unwrap_or_else(|| heads.clone()));
        Self { router, heads, ..self }
    }

    /// Replaces the router, for example by a custom one. The router sees exits by their index in
    /// [`depths`](Self::depths); an n-gram exit has index 0. A model with a custom router is saved by
    /// [`save`](Self::save) and loaded by [`load_with`](Self::load_with): see [`OwnParts`](crate::OwnParts).
    ///
    /// This method measures nothing. For an accelerated model and a router with several speeds, use
    /// [`Accelerated::with_router`](crate::accelerate::Accelerated::with_router), which measures the curve and selects
    /// a speed.
    #[must_use]
    pub fn with_router(self, router: Box<dyn Router>) -> Self {
        Self { router: router.into(), ..self }
    }

    /// Adds an n-gram exit before the first layer, whose log-probabilities are added to those of every other exit. The
    /// router sees the n-gram exit at index 0, and the index of each other exit increases by one.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for an n-gram exit with a different number of classes, without
    /// weights for each exit, or with weights that are not finite.
    pub fn with_front(self, front: FrontExit) -> Result<Self> {
        front.check(self.model.depths().len(), self.model.outputs())?;
        Ok(Self { front: Some(Arc::new(front)), ..self })
    }

    /// Records the texts that the model was fitted on; their digests are saved with the model.
    #[must_use]
    pub fn with_seen_texts(self, seen: SeenTexts) -> Self {
        Self { seen: Arc::new(seen), ..self }
    }

    /// Returns a copy with separate weights: training one does not change the other.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn deep_clone(&self) -> Result<Self> {
        Ok(Self { model: self.model.deep_clone()?, ..self.clone() })
    }

    /// Encoder and its exits.
    pub fn model(&self) -> &ExitModel {
        &self.model
    }

    /// Encoder.
    pub fn encoder(&self) -> &Encoder {
        self.model.encoder()
    }

    /// N-gram exit before the first layer, if there is one.
    pub fn front(&self) -> Option<&FrontExit> {
        self.front.as_deref()
    }

    /// Router.
    pub fn router(&self) -> &dyn Router {
        &*self.router
    }

    /// Router that decides heads.
    pub fn head_router(&self) -> &dyn Router {
        self.heads.as_deref().unwrap_or(&*self.router)
    }

    /// Router that decides heads, if it is a second one.
    pub(super) fn second_router(&self) -> Option<&dyn Router> {
        self.heads.as_deref()
    }

    /// Texts that the model was fitted on, as far as they were recorded;
    /// [`accelerate`](fn@crate::accelerate::accelerate) records them.
    pub fn seen_texts(&self) -> &SeenTexts {
        &self.seen
    }

    /// Depth of each exit that a text may pass, by exit index: 0 for an n-gram exit, then the exits after layers.
    pub fn depths(&self) -> impl Iterator<Item = usize> {
        self.front.iter().map(|_| 0).chain(self.model.depths().iter().copied())
    }

    /// The [speed](Self::set_speed) of the router; `None` for a router with a single speed.
    pub fn speed(&self) -> Option<f64> {
        self.router.speed()
    }

    /// Sets the speed of the router: a higher speed is cheaper. For a threshold rule, the speed is the threshold. For a
    /// patience (the number of consecutive exits that must agree), the speed is the reciprocal. A custom router defines
    /// its own speed.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a speed that is not finite or below 0, and for routers with a
    /// single speed.
    pub fn set_speed(&mut self, speed: f64) -> Result<()> {
        *self = self.with_speed(speed)?;
        Ok(())
    }

    /// Returns a handle on the same weights at another speed, set as by [`set_speed`](Self::set_speed). This model does
    /// not change.
    ///
    /// # Errors
    /// As [`set_speed`](Self::set_speed).
    pub fn with_speed(&self, speed: f64) -> Result<Self> {
        let heads = match self.heads.as_ref().filter(|heads| heads.speed().is_some()) {
            Some(heads) => Some(heads.at_speed(speed)?),
            None => self.heads.clone(),
        };
        Ok(Self { router: self.router.at_speed(speed)?, heads, ..self.clone() })
    }

    /// First `depth` layers and the exit after them, as [`ExitModel::classifier_at`]; without the stacked n-gram
    /// exit.
    ///
    /// # Errors
    /// As [`ExitModel::classifier_at`].
    pub fn classifier_at(&self, depth: usize) -> Result<TextClassifier> {
        self.model.classifier_at(depth)
    }

    /// FLOPs of predicting these texts with the full model: see [`ExitModel::full_inference_flops`].
    pub fn full_inference_flops(&self, texts: &EncodedDataset) -> u64 {
        self.model.full_inference_flops(texts)
    }

    /// FLOPs of each text in the full model.
    pub(crate) fn full_flops_of_each(&self, texts: &EncodedDataset) -> Vec<u64> {
        texts.lengths().into_iter().map(|tokens| self.model.full_flops(tokens)).collect()
    }
}
