//! The model of a search, which predicts, has a speed, and can be saved and loaded.

use dht_dynamic::{DynamicModel, ExitModel, ExitSettings};
use dht_transformer::{EncodedDataset, Encoder, HeadSet};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::executor::{Executor, PassedExits};
use super::routed_encoder::RoutedEncoder;
use crate::error::{Error, Result};
use crate::reward::RewardShape;
use crate::routing::{ForwardTrace, HeadRouter, Losses, Mode, Router, RouterState, build};
use crate::settings::{ClassifierSharing, HeadDraws, PinnedHeads, SearchSettings};
use crate::space::SearchSpace;

/// An encoder with exits and two routers: for each text, a [`Router`] decides the depth, and a [`HeadRouter`] decides
/// the heads.
///
/// A [`SearchObjective`](crate::training::SearchObjective) trains the model. A clone is another handle on the same
/// weights with a copy of the routers' state, so that training a clone changes the weights of the original.
/// [`deep_clone`](Self::deep_clone) copies the weights.
#[derive(Debug, Clone)]
pub struct SearchModel {
    pub(crate) model: RoutedEncoder,
    pub(crate) router: Box<dyn Router>,
    pub(crate) heads: Box<dyn HeadRouter>,
    pub(crate) settings: SearchSettings,
    /// True if the router is custom, so that the settings do not contain its speed and cannot rebuild it.
    pub(super) own_router: bool,
    pub(super) own_heads: bool,
}

impl SearchModel {
    /// Builds a dynamic model from an encoder, as [`RoutedEncoder::new`] does, with the routers that the settings
    /// define.
    ///
    /// # Errors
    /// As [`RoutedEncoder::new`].
    pub fn new<R: Rng + ?Sized>(
        encoder: Encoder,
        space: SearchSpace,
        settings: SearchSettings,
        classes: usize,
        rng: &mut R,
    ) -> Result<Self> {
        let model = RoutedEncoder::new(encoder, space, &settings, classes, rng)?;
        Self::of_model(model, settings)
    }

    /// Builds the model as [`new`](Self::new), from an encoder with exits.
    pub(crate) fn of_model(model: RoutedEncoder, settings: SearchSettings) -> Result<Self> {
        let (router, heads) = build(&model.space, &settings, model.encoder.block_shape(), model.exits.shape())?;
        Ok(Self { model, router, heads, settings, own_router: false, own_heads: false })
    }

    /// Replaces the router, for example by a custom one. In an integrated space, which decides depth and heads at once,
    /// the router must [take arms](crate::Decisions::taking_arms). A model with a custom router is saved by
    /// [`save`](Self::save) and loaded by [`load_with`](Self::load_with). The [speed](Self::set_speed) is then that
    /// router's speed.
    #[must_use]
    pub fn with_router(self, router: Box<dyn Router>) -> Self {
        Self { router, own_router: true, ..self }
    }

    /// Replaces the head router; see [`with_router`](Self::with_router).
    #[must_use]
    pub fn with_head_router(self, heads: Box<dyn HeadRouter>) -> Self {
        Self { heads, own_heads: true, ..self }
    }

    /// The learned state of the router; `None` for a router without state.
    pub fn router_state(&self) -> Option<&dyn RouterState> {
        self.router.state()
    }

    /// Returns a copy with separate weights and routers: training one does not change the other.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn deep_clone(&self) -> Result<Self> {
        Ok(Self { model: self.model.deep_clone(&self.settings)?, ..self.clone() })
    }

    /// Converts to a [`DynamicModel`] of early exits, such as PABEE's. The new model has copies of the weights, and
    /// texts leave at the same exits.
    ///
    /// # Errors
    /// [`Error::Argument`] for a model whose routers are bandits or custom routers, whose exits share a classifier, or
    /// whose routes differ in more than their depth.
    pub fn to_dynamic(&self) -> Result<DynamicModel> {
        let (space, settings) = (self.space(), &self.settings);
        let plain = self.heads.keeps_all()
            && space.tail().is_none()
            && space.base().map(|base| base.end()) == space.exits().first().copied()
            && settings.classifier_sharing == ClassifierSharing::PerExit;
        let rule = settings.router.rule().filter(|_| plain && !self.own_router);
        let (Some(rule), Some(speed)) = (rule, settings.speed()) else {
            let expected =
                "one whose routes differ in depth alone, with a classifier for each exit and a rule that decides";
            return Err(Error::argument("model", expected, "another"));
        };
        let exits = ExitSettings {
            depths: space.exits().to_vec(),
            kind: settings.exit_kind,
            pooling: settings.pooling,
            last_pooling: settings.last_exit_pooling,
        };
        let encoder = self.encoder().truncated(self.encoder().layers())?;
        // All random values are replaced.
        let mut nothing = ChaCha8Rng::seed_from_u64(0);
        let model = ExitModel::new(encoder, exits, self.model.classes(), &mut nothing)?;
        model.encoder().parameters().set_values(self.encoder().parameters().values()?)?;
        Ok(DynamicModel::new(model, rule)?.with_speed(speed)?)
    }

    /// Draws head sets for each text separately ([`HeadDraws::PerSample`](crate::settings::HeadDraws::PerSample)), so
    /// that a prediction does not depend on the other texts of its batch. Head routers without bandits do not change.
    #[must_use]
    pub fn with_own_head_sets(mut self) -> Self {
        if let Some(heads) = self.heads.state_mut() {
            heads.draw_for_each_sample();
        }
        self.settings.head_draws = HeadDraws::PerSample;
        self
    }

    /// The encoder and its exits.
    pub fn model(&self) -> &RoutedEncoder {
        &self.model
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.model.encoder
    }

    /// The space of routes.
    pub fn space(&self) -> &SearchSpace {
        &self.model.space
    }

    /// The settings.
    pub fn settings(&self) -> &SearchSettings {
        &self.settings
    }

    /// The [speed](Self::set_speed) of the router; `None` for a router with a single speed.
    pub fn speed(&self) -> Option<f64> {
        self.router.state()?.speed()
    }

    /// The price λ of the full model's cost in nats of loss; `None` if the bandits learn the cost as part of the
    /// reward.
    pub fn lambda(&self) -> Option<f64> {
        match self.settings.reward_shape {
            RewardShape::Utility { lambda } | RewardShape::Gain { lambda } => Some(lambda),
            RewardShape::Ratio | RewardShape::Log | RewardShape::Clipped { .. } => None,
        }
    }

    /// Sets the speed of the router: a higher speed gives cheaper routes. For bandits it is λ, the price of the full
    /// model's cost in nats of loss. The score of an arm is its predicted reward minus λ·(FLOPs of the arm / FLOPs of
    /// the full model), and no learned state changes. For a threshold router the speed is the threshold. For a
    /// patience, the number of consecutive exits that must agree, it is the reciprocal. A custom router defines its own
    /// speed, which does not affect the head router or the settings. Not in the paper.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a speed that is not finite or below 0, and for routers with a
    /// single speed, such as bandits that learned the cost as part of the reward.
    pub fn set_speed(&mut self, speed: f64) -> Result<()> {
        let mut router = self.router.clone();
        let Some(state) = router.state_mut() else {
            return Err(Error::argument("speed", "none, for a router of one speed", speed));
        };
        if self.own_router {
            state.set_speed(speed)?;
        } else {
            let settings = self.settings.at_speed(speed)?;
            state.set_speed(speed)?;
            if let Some(heads) = self.heads.state_mut() {
                heads.set_speed(speed)?;
            }
            self.settings = settings;
        }
        self.router = router;
        Ok(())
    }

    /// Returns a handle on the same weights at another speed, with a copy of the routers' state, set as by
    /// [`set_speed`](Self::set_speed). This model does not change.
    ///
    /// # Errors
    /// As [`set_speed`](Self::set_speed).
    pub fn with_speed(&self, speed: f64) -> Result<Self> {
        let mut model = self.clone();
        model.set_speed(speed)?;
        Ok(model)
    }

    /// FLOPs of one training epoch of the full model: see [`RoutedEncoder::full_training_flops`].
    ///
    /// # Errors
    /// As [`RoutedEncoder::full_training_flops`].
    pub fn full_training_flops(&self, texts: &EncodedDataset) -> Result<u64> {
        self.model.full_training_flops(texts)
    }

    /// FLOPs of predicting these texts with the full model: see [`RoutedEncoder::full_inference_flops`].
    ///
    /// # Errors
    /// As [`RoutedEncoder::full_inference_flops`].
    pub fn full_inference_flops(&self, texts: &EncodedDataset) -> Result<u64> {
        self.model.full_inference_flops(texts)
    }

    /// Builds an executor of this model.
    pub(crate) fn executor<'a>(
        &'a self,
        ctx: &'a dht_transformer::ForwardContext,
        mode: Mode,
        passed: PassedExits,
    ) -> Executor<'a> {
        let (model, router, heads) = (&self.model, &*self.router, &*self.heads);
        Executor { model, router, heads, ctx, mode, passed, together: usize::MAX }
    }

    /// Returns whether the warm-up of both routers is over.
    pub(crate) fn is_warm(&self) -> bool {
        let heads = self.heads.state().is_none_or(|heads| heads.is_warm());
        heads && self.router.state().is_none_or(|router| router.is_warm())
    }

    /// Updates the routers from a batch. Returns the FLOPs of the update.
    pub(crate) fn learn(&mut self, trace: &ForwardTrace, losses: &Losses) -> Result<u64> {
        let ForwardTrace { decisions, groups, .. } = trace;
        let router = self.router.state_mut().map_or(Ok(0), |router| router.learn(decisions, groups, losses))?;
        Ok(router + self.heads.state_mut().map_or(Ok(0), |heads| heads.learn(decisions, groups, losses))?)
    }

    /// Restores the learned state of both routers; `refused` builds the error for a router that rejects its state, from
    /// the router's name. A router without a state accepts only `null`.
    pub(crate) fn restore_routers(
        &mut self,
        router: Value,
        heads: Value,
        refused: impl Fn(&'static str, Error) -> Error,
    ) -> Result<()> {
        let unknown = |state: Value| match state {
            Value::Null => Ok(()),
            _ => Err(Error::state("router's state", "null, of a router that learns nothing", "another's")),
        };
        let restored = match self.router.state_mut() {
            Some(own) => own.restore(router),
            None => unknown(router),
        };
        restored.map_err(|error| refused("router", error))?;
        let restored = match self.heads.state_mut() {
            Some(own) => own.restore(heads),
            None => unknown(heads),
        };
        restored.map_err(|error| refused("heads", error))
    }

    /// The heads to pin until the importance of heads is known.
    pub(crate) fn provisional_pins(&self) -> Result<Option<HeadSet>> {
        match &self.settings.pinned_heads {
            PinnedHeads::Given { heads } if heads.is_empty() => Ok(None),
            PinnedHeads::Given { heads } => {
                Ok(Some(HeadSet::from_indices(heads.iter().copied(), self.space().model_shape().heads)?))
            }
            PinnedHeads::GradientImportance | PinnedHeads::LargestNorm => self.model.heads_of_largest_norm(),
        }
    }

    /// FLOPs of the routers for samples that left at these exits. `group_runs` is the number of groups of layers that
    /// the samples ran in total.
    pub(crate) fn routing_flops(&self, exits: &[usize], group_runs: usize) -> u64 {
        let depth: u64 = exits.iter().map(|exit| self.router.flops(*exit)).sum();
        depth + group_runs as u64 * self.heads.flops()
    }
}
