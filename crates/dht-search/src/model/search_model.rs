//! Search model: an encoder with early exits, and the routers that decide depth and heads for each text.

use dht_dynamic::passage::Trace;
use dht_dynamic::{DynamicModel, ExitModel};
use dht_transformer::flops::ClassifierShape;
use dht_transformer::pruning::{Importance, PrunePlan};
use dht_transformer::{EncodedDataset, Encoder, HeadSet, Pooling};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::cost::WidthCoupling;
use crate::error::{Error, Result};
use crate::reward::RewardShape;
use crate::routing::{Learner, Losses, build};
use crate::settings::{ClassifierSharing, HeadDraws, PinnedHeads, SearchSettings};
use crate::space::SearchSpace;

/// Transformer encoder with early exits and two routers: for each text, one selects the exit at which the text stops,
/// and the other the attention heads that it keeps.
///
/// A [`SearchObjective`](crate::training::SearchObjective) trains the model. A clone is another handle on the same
/// weights with a copy of the routers' state, so that training a clone changes the weights of the original.
/// [`deep_clone`](Self::deep_clone) copies the weights.
#[derive(Debug, Clone)]
pub struct SearchModel {
    pub(crate) model: ExitModel,
    pub(crate) space: SearchSpace,
    pub(crate) router: Box<dyn Learner>,
    pub(crate) heads: Box<dyn Learner>,
    pub(crate) settings: SearchSettings,
    /// True if the depth router is custom. The settings then neither contain its speed nor suffice to rebuild it.
    pub(super) own_router: bool,
    pub(super) own_heads: bool,
}

impl SearchModel {
    /// Builds a search model: adds the exits of a search space to an encoder, and the routers that the settings define.
    ///
    /// With [`WidthCoupling::HeadsAndFfn`] the feed-forward neurons of each layer are sorted by magnitude first, which
    /// does not change the encoder's output. The tail (last layers that every route runs) is frozen.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) if the settings are out of range or do not fit the space, if the
    /// space is for an encoder of another size, or if there are fewer than two classes.
    pub fn new<R: Rng + ?Sized>(
        mut encoder: Encoder,
        space: SearchSpace,
        settings: SearchSettings,
        classes: usize,
        rng: &mut R,
    ) -> Result<Self> {
        if settings.width_coupling == WidthCoupling::HeadsAndFfn {
            let importance = Importance::by_magnitude(&encoder)?;
            let shape = encoder.block_shape();
            encoder = encoder.prune(&PrunePlan::most_important(&encoder, &importance, shape.heads, shape.ffn)?)?;
        }
        Self::of_sorted(encoder, space, settings, classes, rng)
    }

    /// Builds a model as [`new`](Self::new) does, but leaves the encoder's feed-forward neurons in their present order.
    pub(crate) fn of_sorted<R: Rng + ?Sized>(
        encoder: Encoder,
        space: SearchSpace,
        settings: SearchSettings,
        classes: usize,
        rng: &mut R,
    ) -> Result<Self> {
        settings.check_with(&space)?;
        let layout = (space.layout().clone(), settings.width_coupling);
        let model = ExitModel::in_layout(encoder, layout, settings.exits(&space), classes, rng)?;
        // The bandits rank arms by an estimated cost that treats every exit as linear. All exits of a model cost the
        // same, except a separate last one, so that another kind of exit changes only the scale of the estimates.
        // Counts and ratios of FLOPs use the actual exits.
        let block = model.encoder().block_shape();
        let classifier = ClassifierShape { hidden: block.hidden, pooler: settings.pooling == Pooling::Pooler, classes };
        let (router, heads) = build(&space, &settings, block, classifier)?;
        Ok(Self { model, space, router, heads, settings, own_router: false, own_heads: false })
    }

    /// Replaces the depth router, for example by a custom one.
    ///
    /// In an integrated search space, depth and heads are decided at once, so that the router must [return
    /// arms](crate::routing::taking_arms). Use [`load_with`](Self::load_with) to load a saved model with a custom
    /// router. [`set_speed`](Self::set_speed) sets the speed of the new router.
    #[must_use]
    pub fn with_router(self, router: Box<dyn Learner>) -> Self {
        Self { router, own_router: true, ..self }
    }

    /// Replaces the head router, which decides the heads of each text. [`with_router`](Self::with_router) replaces the
    /// depth router.
    #[must_use]
    pub fn with_head_router(self, heads: Box<dyn Learner>) -> Self {
        Self { heads, own_heads: true, ..self }
    }

    /// Depth router, which decides at which early exit a text stops.
    pub fn router(&self) -> &dyn Learner {
        &*self.router
    }

    /// Returns a copy with separate weights and routers: training one does not change the other.
    ///
    /// # Errors
    /// Returns an error of candle.
    pub fn deep_clone(&self) -> Result<Self> {
        Ok(Self { model: self.model.deep_clone()?, ..self.clone() })
    }

    /// Converts an early-exit model without bandits, such as PABEE, to a [`DynamicModel`]. The weights are copied. Both
    /// models give the same exit for each text.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) if a router is a bandit or custom, if the exits share a classifier,
    /// or if routes of the search space differ in more than depth.
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
        let encoder = self.encoder().truncated(self.encoder().layers())?;
        // All random values are replaced.
        let mut nothing = ChaCha8Rng::seed_from_u64(0);
        let model = ExitModel::new(encoder, settings.exits(space), self.model.classes(), &mut nothing)?;
        model.encoder().parameters().set_values(self.encoder().parameters().values()?)?;
        Ok(DynamicModel::new(model, rule)?.with_speed(speed)?)
    }

    /// Draws head sets for each text separately ([`HeadDraws::PerSample`](crate::settings::HeadDraws::PerSample)), so
    /// that a prediction does not depend on the other texts of its batch. Head routers without bandits are unaffected.
    #[must_use]
    pub fn with_own_head_sets(mut self) -> Self {
        self.heads.draw_for_each_sample();
        self.settings.head_draws = HeadDraws::PerSample;
        self
    }

    /// Encoder with its early exits.
    pub fn model(&self) -> &ExitModel {
        &self.model
    }

    /// Transformer encoder, without its exits.
    pub fn encoder(&self) -> &Encoder {
        self.model.encoder()
    }

    /// Search space: the routes that the routers select from.
    pub fn space(&self) -> &SearchSpace {
        &self.space
    }

    /// Settings of the search.
    pub fn settings(&self) -> &SearchSettings {
        &self.settings
    }

    /// [Speed](Self::set_speed) of the depth router, which trades quality for cost; `None` for a router whose speed is
    /// fixed.
    pub fn speed(&self) -> Option<f64> {
        self.router.speed()
    }

    /// Price λ of computation: the loss in nats that equals the cost of the full model. `None` if the bandits learn the
    /// cost as part of the reward.
    pub fn lambda(&self) -> Option<f64> {
        match self.settings.reward_shape {
            RewardShape::Utility { lambda } | RewardShape::Gain { lambda } => Some(lambda),
            RewardShape::Ratio | RewardShape::Log | RewardShape::Clipped { .. } => None,
        }
    }

    /// Sets the depth router's trade-off between quality and cost: a higher speed gives cheaper routes. Learned state
    /// is unchanged. Not in the DHT paper.
    ///
    /// - For bandits the speed is λ, the loss in nats that equals the cost of the full model. The score of an arm is
    ///   its predicted reward minus λ·(FLOPs of the arm / FLOPs of the full model).
    /// - For a threshold router the speed is the threshold.
    /// - For a patience, the number of consecutive exits that must agree, the speed is the reciprocal of the patience.
    /// - A custom router defines its own speed, which does not affect the head router or the settings.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) if the speed is not finite or below 0, or if the router's speed is
    /// fixed. It is fixed for bandits that learn the cost as part of the reward.
    ///
    /// # Examples
    /// ```
    /// use candle_core::Device;
    /// use dht_search::transformer::{BertConfig, Encoder};
    /// use dht_search::{Preset, SearchModel, SearchSettings};
    /// use rand::SeedableRng;
    ///
    /// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    /// let encoder = Encoder::random(&BertConfig::small(4, 6, 24, 50)?, &Device::Cpu, &mut rng)?;
    /// let space = Preset::TDht.space(4, 6)?;
    /// let mut model = SearchModel::new(encoder, space, SearchSettings::default(), 2, &mut rng)?;
    /// assert_eq!(model.speed(), Some(0.25));
    /// model.set_speed(1.5)?;
    /// assert_eq!(model.lambda(), Some(1.5));
    /// assert!(model.set_speed(-1.0).is_err());
    /// # Ok::<(), dht_search::Error>(())
    /// ```
    pub fn set_speed(&mut self, speed: f64) -> Result<()> {
        let (mut router, mut heads) = (self.router.clone(), self.heads.clone());
        router.set_speed(speed)?;
        if !self.own_router {
            let settings = self.settings.at_speed(speed)?;
            if heads.speed().is_some() {
                heads.set_speed(speed)?;
            }
            self.settings = settings;
        }
        (self.router, self.heads) = (router, heads);
        Ok(())
    }

    /// Returns a handle on the same weights at another [speed](Self::set_speed), with a copy of the routers' state. The
    /// speed of `self` does not change.
    ///
    /// # Errors
    /// As [`set_speed`](Self::set_speed).
    pub fn with_speed(&self, speed: f64) -> Result<Self> {
        let mut model = self.clone();
        model.set_speed(speed)?;
        Ok(model)
    }

    /// FLOPs of one training epoch of the full model: see [`ExitModel::full_training_flops`].
    pub fn full_training_flops(&self, texts: &EncodedDataset) -> u64 {
        self.model.full_training_flops(texts)
    }

    /// FLOPs of predicting these texts with the full model: see [`ExitModel::full_inference_flops`].
    pub fn full_inference_flops(&self, texts: &EncodedDataset) -> u64 {
        self.model.full_inference_flops(texts)
    }

    /// Returns whether the warm-up of both routers is over.
    pub(crate) fn is_warm(&self) -> bool {
        self.heads.is_warm() && self.router.is_warm()
    }

    /// Updates the depth router and the head router from the decisions and the losses of a batch. Returns the FLOPs of
    /// the update.
    pub(crate) fn learn(&mut self, trace: &Trace, losses: &Losses) -> Result<u64> {
        Ok(self.router.learn(trace, losses)? + self.heads.learn(trace, losses)?)
    }

    /// Restores the learned state of the depth router and the head router. If a router rejects its state, `refused`
    /// builds the error from the router's name and the cause.
    pub(crate) fn restore_routers(
        &mut self,
        router: Value,
        heads: Value,
        refused: impl Fn(&'static str, Error) -> Error,
    ) -> Result<()> {
        self.router.restore(router).map_err(|error| refused("router", error))?;
        self.heads.restore(heads).map_err(|error| refused("heads", error))
    }

    /// Pinned heads, which every route keeps, during the warm-up: the configured heads or, without a configuration, the
    /// heads of the largest norm. `None` if the search space pins no heads.
    pub(crate) fn provisional_pins(&self) -> Result<Option<HeadSet>> {
        match &self.settings.pinned_heads {
            PinnedHeads::Given { heads } if heads.is_empty() => Ok(None),
            PinnedHeads::Given { heads } => {
                Ok(Some(HeadSet::from_indices(heads.iter().copied(), self.space().model_shape().heads)?))
            }
            PinnedHeads::GradientImportance | PinnedHeads::LargestNorm => self.heads_of_largest_norm(),
        }
    }

    /// Pinned heads, which every route keeps, after the warm-up: the heads of the largest importance; in a tie, the
    /// lower index. `None` if the search space pins no heads.
    ///
    /// `importance` returns the importance of each head of a layer. It is summed over the layers of the dynamic groups,
    /// which have a choice of heads.
    pub(crate) fn most_important_heads(
        &self,
        importance: impl Fn(usize) -> Result<Vec<f64>>,
    ) -> Result<Option<HeadSet>> {
        let (heads, pinned) = (self.space.model_shape().heads, self.space.pinned());
        if pinned == 0 {
            return Ok(None);
        }
        let mut sums = vec![0.0; heads];
        for layer in self.space.groups().iter().flat_map(|group| group.layers()) {
            sums.iter_mut().zip(importance(layer)?).for_each(|(sum, of_head)| *sum += of_head);
        }
        let mut order: Vec<usize> = (0..heads).collect();
        order.sort_by(|a, b| sums[*b].total_cmp(&sums[*a]).then(a.cmp(b)));
        Ok(Some(HeadSet::from_indices(order.into_iter().take(pinned), heads)?))
    }

    /// Heads of the largest [norm](Encoder::head_magnitudes), as pinned heads; `None` if the search space pins no
    /// heads.
    pub(crate) fn heads_of_largest_norm(&self) -> Result<Option<HeadSet>> {
        self.most_important_heads(|layer| Ok(self.encoder().head_magnitudes(layer)?))
    }

    /// FLOPs of the depth router and the head router for a batch. `exits` has the exit at which each sample stops.
    /// `group_runs` is the number of head decisions, one for each sample and group of layers.
    pub(crate) fn routing_flops(&self, exits: &[usize], group_runs: usize) -> u64 {
        let depth: u64 = exits.iter().map(|exit| self.router.flops(*exit)).sum();
        depth + group_runs as u64 * self.heads.group_flops()
    }
}
