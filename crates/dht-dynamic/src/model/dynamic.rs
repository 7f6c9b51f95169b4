//! Dynamic model: an encoder with early exits, and the routers that decide at which exit each text stops.

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
/// Untrained model with a linear exit after each of two layers. A text stops at an exit if 1 − its largest probability
/// is below the speed:
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
    /// Second router, which selects attention heads; `None` if `router` selects them.
    heads: Option<Arc<dyn Router>>,
    /// JSON description of a model with a custom layout or custom routers. The calling program rebuilds both from it
    /// when the model is loaded. `None` if they are built in.
    description: Option<Arc<Value>>,
    seen: Arc<SeenTexts>,
}

impl DynamicModel {
    /// Builds a model whose texts stop at the first exit whose prediction satisfies a rule. The threshold, which is the
    /// model's speed, is 0 at first: all texts run all layers.
    ///
    /// # Errors
    /// Does not fail at present, since a speed of 0 is valid for every rule.
    pub fn new(model: ExitModel, rule: LeavingRule) -> Result<Self> {
        Ok(Self::of_router(model, rule.router(0.0)?))
    }

    /// Builds a model from an encoder with early exits and a router.
    pub fn of_router(model: ExitModel, router: Arc<dyn Router>) -> Self {
        Self { model, front: None, router, heads: None, description: None, seen: Arc::default() }
    }

    /// Sets a second router, which selects the attention [heads](Router::heads) of each text.
    #[must_use]
    pub fn with_head_router(self, heads: Arc<dyn Router>) -> Self {
        Self { heads: Some(heads), ..self }
    }

    /// Sets the JSON description of a model whose layout and routers the calling program builds, such as a model of the
    /// crate `dht-search`. The description is saved with the model. When the model is loaded, the function in
    /// [`OwnParts::with_model`](crate::OwnParts::with_model) receives it and rebuilds the model.
    #[must_use]
    pub fn with_description(self, description: Value) -> Self {
        Self { description: Some(Arc::new(description)), ..self }
    }

    /// JSON description that [`with_description`](Self::with_description) set; `None` for a model with built-in layout
    /// and routers.
    pub fn description(&self) -> Option<&Value> {
        self.description.as_deref()
    }

    /// Returns a model whose prediction for a text does not depend on the other texts of its batch.
    #[must_use]
    pub fn independent(self) -> Self {
        let router = self.router.independent().unwrap_or_else(|| self.router.clone());
        let heads = self.heads.as_ref().map(|heads| heads.independent().unwrap_or_else(|| heads.clone()));
        Self { router, heads, ..self }
    }

    /// Replaces the router, which decides where texts stop, for example by a custom router. The router identifies exits
    /// by their index in [`depths`](Self::depths), where an n-gram classifier has index 0. A model with a custom router
    /// is saved by [`save`](Self::save) and loaded by [`load_with`](Self::load_with): see
    /// [`OwnParts`](crate::OwnParts).
    ///
    /// The speed of the new router is not calibrated. For an accelerated model and a router with several speeds, use
    /// [`Accelerated::with_router`](crate::accelerate::Accelerated::with_router), which measures accuracy and cost at
    /// each speed and selects a speed.
    #[must_use]
    pub fn with_router(self, router: Box<dyn Router>) -> Self {
        Self { router: router.into(), ..self }
    }

    /// Adds an n-gram classifier as an exit before the first layer. Its log-probabilities are combined with those of
    /// every other exit. Routers see it as exit 0, and the index of each other exit increases by one.
    ///
    /// # Errors
    /// * [`Error::Shape`](crate::Error::Shape) if the n-gram classifier has another number of classes than the model,
    ///   or if the number of stacking weights does not match the number of exits.
    /// * [`Error::State`](crate::Error::State) if a weight is not finite.
    pub fn with_front(self, front: FrontExit) -> Result<Self> {
        front.check(self.model.depths().len(), self.model.outputs())?;
        Ok(Self { front: Some(Arc::new(front)), ..self })
    }

    /// Sets the record of the texts that the model was fitted on. The record consists of text hashes, which are saved
    /// with the model.
    #[must_use]
    pub fn with_seen_texts(self, seen: SeenTexts) -> Self {
        Self { seen: Arc::new(seen), ..self }
    }

    /// Returns a deep copy with separate weights: training one does not change the other.
    ///
    /// # Errors
    /// [`Error`](crate::Error) if a tensor cannot be copied.
    pub fn deep_clone(&self) -> Result<Self> {
        Ok(Self { model: self.model.deep_clone()?, ..self.clone() })
    }

    /// Encoder with its early exits, without routers.
    pub fn model(&self) -> &ExitModel {
        &self.model
    }

    /// Encoder of the model, which runs the layers.
    pub fn encoder(&self) -> &Encoder {
        self.model.encoder()
    }

    /// N-gram classifier that acts as an exit before the first layer, if there is one.
    pub fn front(&self) -> Option<&FrontExit> {
        self.front.as_deref()
    }

    /// Router that decides at which exit each text stops.
    pub fn router(&self) -> &dyn Router {
        &*self.router
    }

    /// Router that selects attention heads: the second router if there is one, otherwise [`router`](Self::router).
    pub fn head_router(&self) -> &dyn Router {
        self.heads.as_deref().unwrap_or(&*self.router)
    }

    pub(super) fn second_router(&self) -> Option<&dyn Router> {
        self.heads.as_deref()
    }

    /// Record of the texts that the model was fitted on. [`accelerate`](fn@crate::accelerate::accelerate) sets it;
    /// otherwise it may be empty.
    pub fn seen_texts(&self) -> &SeenTexts {
        &self.seen
    }

    /// Depth of each exit, by exit index: 0 for an n-gram classifier, then the number of layers before each other exit.
    pub fn depths(&self) -> impl Iterator<Item = usize> {
        self.front.iter().map(|_| 0).chain(self.model.depths().iter().copied())
    }

    /// Speed of the router (exit threshold), as set by [`set_speed`](Self::set_speed); `None` if the router has no
    /// adjustable speed.
    pub fn speed(&self) -> Option<f64> {
        self.router.speed()
    }

    /// Sets the speed of the router, such as an exit threshold. A higher speed is cheaper. For a threshold rule, the
    /// speed is the threshold. For a patience (the number of consecutive exits that must agree), the speed is the
    /// reciprocal of the patience. A custom router defines its own speed.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if the speed is not finite or below 0, or if the router has no
    /// adjustable speed.
    pub fn set_speed(&mut self, speed: f64) -> Result<()> {
        *self = self.with_speed(speed)?;
        Ok(())
    }

    /// Returns a handle on the same weights with another [speed](Self::set_speed) (exit threshold). `self` keeps its
    /// speed.
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
    /// [`ExitModel::classifier_at`] does. An n-gram classifier is not part of the result.
    ///
    /// # Errors
    /// As [`ExitModel::classifier_at`].
    pub fn classifier_at(&self, depth: usize) -> Result<TextClassifier> {
        self.model.classifier_at(depth)
    }

    /// FLOPs that the full model, which runs all layers, needs to predict a data set: see
    /// [`ExitModel::full_inference_flops`].
    pub fn full_inference_flops(&self, texts: &EncodedDataset) -> u64 {
        self.model.full_inference_flops(texts)
    }

    /// FLOPs of the full model, which runs all layers, for each of the texts.
    pub(crate) fn full_flops_of_each(&self, texts: &EncodedDataset) -> Vec<u64> {
        texts.lengths().into_iter().map(|tokens| self.model.full_flops(tokens)).collect()
    }
}
