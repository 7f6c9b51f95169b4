//! LinUCB bandit with context scaling, shared by the bandits for depth, routes and head counts and by the sequential
//! router.

use std::borrow::Cow;

use dht_bandits::{ArmId, LinUcb, Normalizer, Policy, Request, posterior::Score};
use dht_dynamic::router::Mode;
use serde::{Deserialize, Serialize};

use super::setup::{Setup, best, exploring};
use crate::error::{Error, Result};
use crate::features::Rows;
use crate::reward::{CostWeightedLoss, RewardReference, RewardRule};

/// Number of standard deviations at which scaled contexts are clipped.
pub(crate) const CLIP: f64 = 5.0;

/// LinUCB bandit with context scaling, over contexts \[x ; z ; e\].
///
/// x is the normalised raw context, and z the arm's normalised feature (empty if arms have no features). e are values
/// that the caller adds, for example a constant or a one-hot vector.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinearBandit {
    policy: LinUcb,
    norm: Normalizer,
    /// Identifier of each arm in `policy`.
    arms: Vec<ArmId>,
    /// FLOPs of all updates since the cost accounting last collected them.
    #[serde(skip)]
    learning_flops: u64,
}

/// Observation from which an arm is updated: a sample's loss at the arm's exit.
pub(crate) struct RewardSample {
    /// Index of the sample in the batch.
    pub(crate) sample: usize,
    pub(crate) arm: usize,
    /// Cost-weighted loss at the arm's exit, and the decrease of the loss since the first exit.
    pub(crate) delta: CostWeightedLoss,
}

impl LinearBandit {
    /// Creates a bandit with `arms` arms and the exploration factor `alpha`. A context (input) consists of `raw` values
    /// of the sample, the arm's feature (if the settings include arm features), and `added` values of the caller.
    pub(crate) fn new(setup: &Setup, raw: usize, added: usize, arms: usize, alpha: f64) -> Result<Self> {
        let feature = if setup.settings.context.has_arm_features() { raw } else { 0 };
        let exploration = dht_bandits::Ucb { alpha };
        Ok(Self {
            policy: LinUcb::new(raw + feature + added, arms, setup.ridge(), exploration)?,
            norm: Normalizer::new(raw)?.with_clip(CLIP)?,
            arms: (0..arms as u64).map(ArmId::new).collect(),
            learning_flops: 0,
        })
    }

    /// Normalises a context except for its signals (entropy, margin, length), which have fixed ranges. Statistics that
    /// are frozen while an exit is barely trained would scale the signals wrongly for the rest of the training run.
    fn scaled(&self, setup: &Setup, raw: &[f64]) -> Result<Vec<f64>> {
        let mut context = self.norm.normalise(raw)?;
        let state = raw.len() - setup.signals();
        context[state..].copy_from_slice(&raw[state..]);
        Ok(context)
    }

    /// Builds the context \[x ; z ; e\] of an arm: the normalised raw context x, the arm's feature z, and the added
    /// values e.
    fn context(&self, setup: &Setup, raw: &[f64], feature: Option<&[f64]>, added: &[f64]) -> Result<Vec<f64>> {
        let mut context = self.scaled(setup, raw)?;
        if let Some(feature) = feature {
            context.extend(self.norm.normalise(feature)?);
        }
        context.extend_from_slice(added);
        Ok(context)
    }

    /// Predicted reward of each arm, as mean and confidence width.
    pub(crate) fn scores(
        &self,
        setup: &Setup,
        raw: &[f64],
        features: Option<&[Vec<f64>]>,
        added: &[f64],
    ) -> Result<Vec<Score>> {
        let Some(features) = features else {
            let context = self.context(setup, raw, None, added)?;
            let mut scores = Vec::with_capacity(self.arms.len());
            self.policy.scores(&Request::new(&context), &mut scores)?;
            let of = |arm: &ArmId| scores.iter().find(|(other, _)| other == arm).map(|(_, score)| *score);
            return Ok(self.arms.iter().filter_map(of).collect());
        };
        let scaled = self.scaled(setup, raw)?;
        let of_arm = |(arm, feature): (&ArmId, &Vec<f64>)| {
            let context = [&scaled, &*self.norm.normalise(feature)?, added].concat();
            Ok(self.policy.score(*arm, &context)?)
        };
        self.arms.iter().zip(features).map(of_arm).collect()
    }

    /// Selects the arm with the highest value: the predicted reward (while exploring, its upper confidence bound) minus
    /// the price of the arm's cost in `costs`. In inference the first arm wins a tie; otherwise ties are broken at
    /// random.
    pub(crate) fn choose(
        &self,
        setup: &Setup,
        raw: &[f64],
        features: Option<&[Vec<f64>]>,
        alpha: f64,
        costs: &[f64],
        mode: &mut Mode<'_>,
    ) -> Result<usize> {
        let scores = self.scores(setup, raw, features, setup.constant())?;
        let alpha = exploring(alpha, mode);
        let values = scores.into_iter().zip(costs).map(|(score, cost)| setup.value(score, alpha, *cost));
        Ok(best(values, mode))
    }

    /// Updates the arms from the losses of a batch, which `rule` converts into rewards.
    pub(crate) fn learn(
        &mut self,
        setup: &Setup,
        contexts: &Rows,
        features: Option<&[Vec<f64>]>,
        samples: &[RewardSample],
        rule: RewardRule,
        reference: &mut RewardReference,
    ) -> Result<()> {
        let deltas: Vec<CostWeightedLoss> = samples.iter().map(|sample| sample.delta).collect();
        for (&RewardSample { sample, arm, .. }, reward) in samples.iter().zip(rule.rewards(reference, &deltas)?) {
            let feature = features.map(|features| &*features[arm]);
            self.update(setup, arm, &contexts[sample], feature, setup.constant(), reward.value)?;
        }
        Ok(())
    }

    pub(crate) fn update(
        &mut self,
        setup: &Setup,
        arm: usize,
        raw: &[f64],
        feature: Option<&[f64]>,
        added: &[f64],
        reward: f64,
    ) -> Result<()> {
        let context = self.context(setup, raw, feature, added)?;
        self.learning_flops += self.update_flops(setup);
        Ok(self.policy.update(self.arms[arm], &context, reward, 1.0)?)
    }

    /// Adds raw contexts to the statistics that scale contexts.
    pub(crate) fn observe<'a>(&mut self, contexts: impl IntoIterator<Item = &'a Vec<f64>>) -> Result<()> {
        contexts.into_iter().try_for_each(|context| Ok(self.norm.observe(context)?))
    }

    pub(crate) fn observed(&self) -> f64 {
        self.norm.weight()
    }

    /// Returns whether the statistics that scale contexts are final.
    pub(crate) fn is_frozen(&self) -> bool {
        self.norm.is_frozen()
    }

    /// Returns whether enough contexts are observed to select arms. Rolling statistics need one context; other
    /// statistics must be frozen.
    pub(crate) fn is_warm(&self, setup: &Setup) -> bool {
        if setup.is_rolling() { self.observed() > 0.0 } else { self.is_frozen() }
    }

    /// Bandit that selects the arms of a batch. With rolling statistics and exploration it is a copy whose statistics
    /// include the batch.
    pub(crate) fn choosing(&self, setup: &Setup, contexts: &Rows, mode: &Mode<'_>) -> Result<Cow<'_, Self>> {
        if !setup.is_rolling() || !matches!(mode, Mode::Explore(_)) {
            return Ok(Cow::Borrowed(self));
        }
        let mut own = self.clone();
        own.observe(contexts)?;
        Ok(Cow::Owned(own))
    }

    pub(crate) fn freeze(&mut self) {
        self.norm.freeze();
    }

    pub(crate) fn raw_size(&self) -> usize {
        self.norm.dimension()
    }

    pub(crate) fn dimension(&self) -> usize {
        self.policy.dimension()
    }

    /// FLOPs of scoring all arms: 2·(d² + d) for each arm, with contexts of d dimensions.
    pub(crate) fn flops(&self) -> u64 {
        let dimension = self.dimension();
        2 * (self.arms.len() * (dimension * dimension + dimension)) as u64
    }

    /// FLOPs of one update, with contexts of d dimensions: 2·(d² + d) to multiply the covariance by the context, and
    /// again 2·(d² + d) for the rank-one update of the covariance. Forgetting doubles both, since it restores a part of
    /// the prior.
    pub(crate) fn update_flops(&self, setup: &Setup) -> u64 {
        let dimension = self.dimension();
        let passes = if setup.settings.forgetting_decay < 1.0 { 2 } else { 1 };
        4 * (passes * (dimension * dimension + dimension)) as u64
    }

    pub(crate) fn take_learning_flops(&mut self) -> u64 {
        std::mem::take(&mut self.learning_flops)
    }

    /// Replaces all arms. Each element of `from` is a new arm: the index of the old arm that it copies, or `None` to
    /// start from the prior.
    pub(crate) fn replace_arms(&mut self, from: &[Option<usize>]) -> Result<()> {
        let old = std::mem::take(&mut self.arms);
        for from in from {
            let arm = match from {
                Some(from) => self.policy.add_arm_like(old[*from])?,
                None => self.policy.add_arm()?,
            };
            self.arms.push(arm);
        }
        old.into_iter().try_for_each(|arm| Ok(self.policy.remove_arm(arm)?))
    }

    /// Rejects a restored bandit whose sizes differ from `self`. `what` names the three sizes in error messages.
    pub(crate) fn check_like(&self, stored: &Self, what: [&'static str; 3]) -> Result<()> {
        let sizes = [
            (what[0], self.dimension(), stored.dimension()),
            (what[1], self.arms.len(), stored.arms.len()),
            (what[1], self.arms.len(), stored.policy.arms().len()),
            (what[2], self.norm.dimension(), stored.norm.dimension()),
        ];
        if let Some((field, expected, got)) = sizes.into_iter().find(|(_, expected, got)| expected != got) {
            return Err(Error::state(field, expected.to_string(), got));
        }
        // The number of ids equals the number of arms; each must exist in the policy, and none may occur twice.
        let wrong = |index: &usize| {
            let arm = stored.arms[*index];
            !stored.policy.arms().contains(arm) || stored.arms[..*index].contains(&arm)
        };
        match (0..stored.arms.len()).find(wrong) {
            Some(_) => Err(Error::state(what[1], "each arm of the bandit once", format!("{:?}", stored.arms))),
            None => Ok(()),
        }
    }
}
