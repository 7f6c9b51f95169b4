//! A linear bandit with what scales its contexts: the common part of UCB_L, UCB_cp, UCB_H and the gains at the exits.

use dht_bandits::{ArmId, Available, LinUcb, Normalizer, Score, features::NormalizerOptions};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::setup::{Setup, best};
use crate::error::{Error, Result};
use crate::features::Rows;
use crate::reward::{CostWeightedLoss, RewardReference, RewardRule};
use crate::routing::Mode;

/// Standard deviations beyond which a context is cut off.
pub(crate) const CLIP: f64 = 5.0;

/// LinUCB over contexts \[x ; z ; e\]: x the raw context in the norm's scaling, z the feature of the arm in the same
/// scaling where there are features, e what the caller adds (a constant, a one-hot).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinearBandit {
    policy: LinUcb,
    norm: Normalizer,
    /// The bandit's own name of each arm.
    arms: Vec<ArmId>,
}

/// What a sample tells an arm that leads to an exit.
pub(crate) struct RewardSample {
    /// The sample's place in the batch.
    pub(crate) sample: usize,
    pub(crate) arm: usize,
    /// What it costs the sample to leave there, with the gain over leaving at the first exit.
    pub(crate) delta: CostWeightedLoss,
}

impl LinearBandit {
    /// Contexts of `raw` numbers, `added` more behind, with features if the settings have them.
    pub(crate) fn new(setup: &Setup, raw: usize, added: usize, arms: usize, alpha: f64) -> Result<Self> {
        let feature = if setup.settings.context.has_arm_features() { raw } else { 0 };
        let exploration = dht_bandits::Ucb { alpha };
        Ok(Self {
            policy: LinUcb::new(raw + feature + added, arms, setup.ridge()?, exploration)?,
            norm: Normalizer::new(raw, NormalizerOptions { clip: Some(CLIP), ..NormalizerOptions::default() })?,
            arms: (0..arms as u64).map(ArmId::new).collect(),
        })
    }

    /// A raw context in the norm's scaling. Signals keep their own: they lie in fixed ranges, and an exit that was not
    /// trained yet when the scaling was fixed would set them far off it for ever.
    fn scaled(&self, setup: &Setup, raw: &[f64]) -> Result<Vec<f64>> {
        let mut context = self.norm.normalise(raw)?;
        let state = raw.len() - setup.signals();
        context[state..].copy_from_slice(&raw[state..]);
        Ok(context)
    }

    /// w of an arm.
    fn context(&self, setup: &Setup, raw: &[f64], feature: Option<&[f64]>, added: &[f64]) -> Result<Vec<f64>> {
        let mut context = self.scaled(setup, raw)?;
        if let Some(feature) = feature {
            context.extend(self.norm.normalise(feature)?);
        }
        context.extend_from_slice(added);
        Ok(context)
    }

    /// Mean and width of each arm.
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
            self.policy.scores(&context, Available::All, &mut scores)?;
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

    /// The arm that counts most at what each costs; ties by lot.
    #[expect(clippy::too_many_arguments, reason = "what is seen, what it costs, and how to decide")]
    pub(crate) fn choose(
        &self,
        setup: &Setup,
        raw: &[f64],
        features: Option<&[Vec<f64>]>,
        alpha: f64,
        costs: &[f64],
        mode: Mode,
        rng: &mut dyn Rng,
    ) -> Result<usize> {
        let scores = self.scores(setup, raw, features, setup.constant())?;
        let values = scores.into_iter().zip(costs).map(|(score, cost)| setup.value(score, alpha, *cost, mode));
        Ok(best(values, rng))
    }

    /// Takes in a batch's lessons, rewarded by the rule.
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

    /// Takes in what an arm earned.
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
        Ok(self.policy.update(self.arms[arm], &context, reward, 1.0)?)
    }

    /// Looks at contexts before the scaling is fixed.
    pub(crate) fn observe<'a>(&mut self, contexts: impl IntoIterator<Item = &'a Vec<f64>>) -> Result<()> {
        contexts.into_iter().try_for_each(|context| Ok(self.norm.observe(context)?))
    }

    /// How many contexts were looked at.
    pub(crate) fn observed(&self) -> f64 {
        self.norm.weight()
    }

    /// Whether the scaling is fixed.
    pub(crate) fn is_frozen(&self) -> bool {
        self.norm.is_frozen()
    }

    pub(crate) fn freeze(&mut self) {
        self.norm.freeze();
    }

    /// Numbers of a raw context.
    pub(crate) fn raw_size(&self) -> usize {
        self.norm.dimension()
    }

    pub(crate) fn dimension(&self) -> usize {
        self.policy.dimension()
    }

    /// The FLOPs of scoring all arms: 2·(d² + d) each.
    pub(crate) fn flops(&self) -> u64 {
        let dimension = self.dimension();
        2 * (self.arms.len() * (dimension * dimension + dimension)) as u64
    }

    /// New arms in place of the old ones; each starts with what an old one knows, or with the prior.
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

    /// Refuses a stored bandit that is not of this one's sizes.
    pub(crate) fn check_like(&self, stored: &Self, what: [&'static str; 3]) -> Result<()> {
        let sizes = [
            (what[0], self.dimension(), stored.dimension()),
            (what[1], self.arms.len(), stored.arms.len()),
            (what[1], self.arms.len(), stored.policy.arms().len()),
            (what[2], self.norm.dimension(), stored.norm.dimension()),
        ];
        if let Some((field, expected, got)) = sizes.into_iter().find(|(_, expected, got)| expected != got) {
            return Err(Error::setting(field, expected.to_string(), got));
        }
        // As many names as arms, each of one that is there and none twice: so each arm has its name.
        let wrong = |index: &usize| {
            let arm = stored.arms[*index];
            !stored.policy.arms().contains(arm) || stored.arms[..*index].contains(&arm)
        };
        match (0..stored.arms.len()).find(wrong) {
            Some(_) => Err(Error::setting(what[1], "each arm of the bandit once", format!("{:?}", stored.arms))),
            None => Ok(()),
        }
    }
}
