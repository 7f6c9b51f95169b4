//! The dynamic model, and its speed.

use std::sync::Arc;

use dht_transformer::{EncodedDataset, Encoder, TextClassifier};

use super::exit_model::ExitModel;
use super::seen_texts::SeenTexts;
use crate::error::Result;
use crate::exit::FrontExit;
use crate::router::{LeavingRule, Router};

/// An encoder with exits and a [`Router`], which decides for each text at which of them it leaves.
///
/// [`accelerate`](fn@crate::accelerate) makes it of a fine-tuned classifier. A clone is another handle on the same weights.
#[derive(Debug, Clone)]
pub struct DynamicModel {
    model: ExitModel,
    front: Option<Arc<FrontExit>>,
    router: Arc<dyn Router>,
    seen: Arc<SeenTexts>,
}

impl DynamicModel {
    /// A model whose texts leave where they are sure by this rule. The speed is 0: all texts run all layers.
    ///
    /// # Errors
    /// None at that speed.
    pub fn new(model: ExitModel, rule: LeavingRule) -> Result<Self> {
        Ok(Self { model, front: None, router: rule.router(0.0)?, seen: Arc::default() })
    }

    /// The same model with another router, for example one of a user's own. It sees exits by their place in
    /// [`depths`](Self::depths): with an exit before the first layer, that is exit 0. What [`save`](Self::save) writes is then read by
    /// [`load_with`](Self::load_with).
    #[must_use]
    pub fn with_router(self, router: Box<dyn Router>) -> Self {
        Self { router: router.into(), ..self }
    }

    /// The same model with an exit before its first layer, where texts may leave and which is stacked on every other exit. It
    /// becomes exit 0 of the router's, and the index of each other exit rises by one.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a front exit of other classes, without weights for each exit, or with
    /// weights that are not finite.
    pub fn with_front(self, front: FrontExit) -> Result<Self> {
        front.check(self.model.depths().len(), self.model.classes())?;
        Ok(Self { front: Some(Arc::new(front)), ..self })
    }

    /// The same model, which says what texts it was fitted on; they are saved with it.
    #[must_use]
    pub fn with_seen_texts(self, seen: SeenTexts) -> Self {
        Self { seen: Arc::new(seen), ..self }
    }

    /// A copy with weights of its own: training one leaves the other as it is.
    ///
    /// # Errors
    /// What candle reports.
    pub fn deep_clone(&self) -> Result<Self> {
        Ok(Self { model: self.model.deep_clone()?, ..self.clone() })
    }

    /// The encoder and its exits.
    pub fn model(&self) -> &ExitModel {
        &self.model
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        self.model.encoder()
    }

    /// The exit before the first layer, if there is one.
    pub fn front(&self) -> Option<&FrontExit> {
        self.front.as_deref()
    }

    /// What decides where a text leaves.
    pub fn router(&self) -> &dyn Router {
        &*self.router
    }

    /// The texts that it was fitted on, as far as it was told; [`accelerate`](fn@crate::accelerate) tells it.
    pub fn seen_texts(&self) -> &SeenTexts {
        &self.seen
    }

    /// The depth of each exit that a text may pass: 0 for one before the first layer, and those after layers.
    pub fn depths(&self) -> impl Iterator<Item = usize> {
        self.front.iter().map(|_| 0).chain(self.model.depths().iter().copied())
    }

    /// The [speed](Self::set_speed) of the router; `None` for a router of one speed.
    pub fn speed(&self) -> Option<f64> {
        self.router.speed()
    }

    /// Sets the speed of the router: the higher, the cheaper. For a threshold it is the threshold, for a patience its reciprocal; a
    /// router of a user's own has a speed of its own.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a speed that is not finite or below 0, and for routers of one speed.
    pub fn set_speed(&mut self, speed: f64) -> Result<()> {
        self.router = self.router.at_speed(speed)?;
        Ok(())
    }

    /// The same model at another speed: a handle on the same weights, set as by [`set_speed`](Self::set_speed). This model stays
    /// as it is.
    ///
    /// # Errors
    /// As [`set_speed`](Self::set_speed).
    pub fn with_speed(&self, speed: f64) -> Result<Self> {
        Ok(Self { router: self.router.at_speed(speed)?, ..self.clone() })
    }

    /// As [`ExitModel::classifier_at`]: what is stacked on the exit is not in it.
    ///
    /// # Errors
    /// As there.
    pub fn classifier_at(&self, depth: usize) -> Result<TextClassifier> {
        self.model.classifier_at(depth)
    }

    /// FLOPs of predicting these texts with the full model: see [`ExitModel::full_inference_flops`].
    pub fn full_inference_flops(&self, texts: &EncodedDataset) -> u64 {
        self.model.full_inference_flops(texts)
    }
}
