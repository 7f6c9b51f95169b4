//! Dynamic model: an encoder with exits, and the routers that decide where a text stops.

use std::sync::Arc;

use dht_transformer::{EncodedDataset, Encoder, TextClassifier};
use serde_json::Value;

use super::seen_texts::SeenTexts;
use crate::error::Result;
use crate::exit::FrontExit;
use crate::exit_model::ExitModel;
use crate::router::{LeavingRule, Router};

/// Text classifier with early exits. A [`Router`] decides at which exit each text stops.
///
/// [`accelerate`](fn@crate::accelerate::accelerate) builds a dynamic model from a fine-tuned classifier. A clone is
/// another handle on the same weights.
///
/// # Examples
/// An untrained model with a linear exit after each of two layers; its speed is the threshold of the confidence rule:
///
/// ```
/// use candle_core::Device;
/// use dht_dynamic::router::LeavingRule;
/// use dht_dynamic::transformer::{BertConfig, Encoder};
/// use dht_dynamic::{DynamicModel, ExitModel, ExitSettings};
/// use rand::SeedableRng;
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let encoder = Encoder::random(&BertConfig::small(2, 6, 24, 50)?, &Device::Cpu, &mut rng)?;
/// let exits = ExitModel::new(encoder, ExitSettings::linear(vec![1, 2]), 2, &mut rng)?;
/// let model = DynamicModel::new(exits, LeavingRule::Confidence)?;
/// let faster = model.with_speed(0.5)?;
/// assert_eq!((model.speed(), faster.speed()), (Some(0.0), Some(0.5)));
/// assert_eq!(model.depths().collect::<Vec<_>>(), [1, 2]);
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DynamicModel {
    model: ExitModel,
    front: Option<Arc<FrontExit>>,
    router: Arc<dyn Router>,
    /// Second router, which selects heads; `None` if `router` selects them.
    heads: Option<Arc<dyn Router>>,
    /// Description of a model whose layout and routers the calling program builds.
    description: Option<Arc<Value>>,
    seen: Arc<SeenTexts>,
}

impl DynamicModel {
    /// Builds a model whose texts stop at the first exit whose answer satisfies a rule. The speed is 0 at first, so
    /// that all texts run all layers.
    ///
    /// # Errors
    /// None currently: a speed of 0 is valid for every rule.
    pub fn new(model: ExitModel, rule: LeavingRule) -> Result<Self> {
        Ok(Self::of_router(model, rule.router(0.0)?))
    }

    /// Builds a model from an encoder with exits and a router.
    pub fn of_router(model: ExitModel, router: Arc<dyn Router>) -> Self {
        Self { model, front: None, router, heads: None, description: None, seen: Arc::default() }
    }

    /// Sets a second router, which selects the [heads](Router::heads) of each text.
    #[must_use]
    pub fn with_head_router(self, heads: Arc<dyn Router>) -> Self {
        Self { heads: Some(heads), ..self }
    }

    /// Sets the description of a model whose layout and routers the calling program builds, such as a model of the
    /// crate `dht-search`. The description is saved with the model, and
    /// [`OwnParts::with_model`](crate::OwnParts::with_model) gets the description when the model is loaded.
    #[must_use]
    pub fn with_description(self, description: Value) -> Self {
        Self { description: Some(Arc::new(description)), ..self }
    }

    /// Description of the model, if [`with_description`](Self::with_description) set one.
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

    /// Replaces the router, for example by a custom router. The router sees exits by their index in
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
    /// * [`Error::Shape`](crate::Error::Shape) if the n-gram exit has another number of classes than the model, or does
    ///   not have weights for each exit.
    /// * [`Error::State`](crate::Error::State) if a weight is not finite.
    pub fn with_front(self, front: FrontExit) -> Result<Self> {
        front.check(self.model.depths().len(), self.model.outputs())?;
        Ok(Self { front: Some(Arc::new(front)), ..self })
    }

    /// Sets the record of the texts that the model was fitted on. Their digests are saved with the model.
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

    /// Encoder with its exits.
    pub fn model(&self) -> &ExitModel {
        &self.model
    }

    /// Encoder of the model.
    pub fn encoder(&self) -> &Encoder {
        self.model.encoder()
    }

    /// N-gram exit before the first layer, if there is one.
    pub fn front(&self) -> Option<&FrontExit> {
        self.front.as_deref()
    }

    /// Router that decides at which exit each text stops.
    pub fn router(&self) -> &dyn Router {
        &*self.router
    }

    /// Router that selects heads: the second router if there is one, otherwise [`router`](Self::router).
    pub fn head_router(&self) -> &dyn Router {
        self.heads.as_deref().unwrap_or(&*self.router)
    }

    /// Second router, which selects heads, if there is one.
    pub(super) fn second_router(&self) -> Option<&dyn Router> {
        self.heads.as_deref()
    }

    /// Record of the texts that the model was fitted on. The record is empty unless the texts were recorded, as
    /// [`accelerate`](fn@crate::accelerate::accelerate) does.
    pub fn seen_texts(&self) -> &SeenTexts {
        &self.seen
    }

    /// Depth of each exit, by exit index: 0 for an n-gram exit, then the number of layers before each other exit.
    pub fn depths(&self) -> impl Iterator<Item = usize> {
        self.front.iter().map(|_| 0).chain(self.model.depths().iter().copied())
    }

    /// Speed of the router, as set by [`set_speed`](Self::set_speed); `None` for a router with a single speed.
    pub fn speed(&self) -> Option<f64> {
        self.router.speed()
    }

    /// Sets the speed of the router. A higher speed is cheaper. For a threshold rule, the speed is the threshold. For a
    /// patience (the number of consecutive exits that must agree), the speed is the reciprocal of the patience. A
    /// custom router defines its own speed.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if the speed is not finite or below 0, or if the router has a single
    /// speed.
    pub fn set_speed(&mut self, speed: f64) -> Result<()> {
        *self = self.with_speed(speed)?;
        Ok(())
    }

    /// Returns a handle on the same weights with another [speed](Self::set_speed). This model does not change.
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

    /// Returns a handle on the same weights whose texts run all layers with all heads, whatever the router is.
    ///
    /// # Errors
    /// None currently: a speed of 0 is valid for every rule.
    pub(crate) fn with_all_layers(&self) -> Result<Self> {
        Ok(Self { router: LeavingRule::default().router(0.0)?, heads: None, ..self.clone() })
    }

    /// Builds an ordinary classifier from the first `depth` layers and the exit after them, as
    /// [`ExitModel::classifier_at`] does. The n-gram exit is not part of the result.
    ///
    /// # Errors
    /// As [`ExitModel::classifier_at`].
    pub fn classifier_at(&self, depth: usize) -> Result<TextClassifier> {
        self.model.classifier_at(depth)
    }

    /// FLOPs that the full model needs to predict a data set: see [`ExitModel::full_inference_flops`].
    pub fn full_inference_flops(&self, texts: &EncodedDataset) -> u64 {
        self.model.full_inference_flops(texts)
    }

    /// FLOPs that the full model needs for each text of a data set.
    pub(crate) fn full_flops_of_each(&self, texts: &EncodedDataset) -> Vec<u64> {
        texts.lengths().into_iter().map(|tokens| self.model.full_flops(tokens)).collect()
    }
}
