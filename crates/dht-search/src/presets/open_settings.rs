//! Every number that the paper leaves open. All of them are ours.

use serde::{Deserialize, Serialize};

use crate::{Error, HeadFeedback, Result, RewardMemory, RewardRule, RewardShape};

/// One number for each kind of bandit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerBandit {
    /// For UCB_L.
    pub depth: f64,
    /// For UCB_H.
    pub heads: f64,
    /// For UCB_cp.
    pub joint: f64,
}

impl PerBandit {
    /// The same number for all.
    pub const fn all(number: f64) -> Self {
        Self { depth: number, heads: number, joint: number }
    }

    fn check(self, field: &'static str, least: f64) -> Result<()> {
        [self.depth, self.heads, self.joint].into_iter().try_for_each(|number| check_number(field, number, least))
    }
}

/// The numbers that the paper uses without giving them. **The values here are ours**, starting points that a search on
/// validation texts should move; none of them reproduces a print.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenSettings {
    /// LinUCB's exploration α. Ours: .25.
    pub exploration: PerBandit,
    /// LinUCB's ridge λ, A = λI at the start. Ours: 1.
    pub ridge: f64,
    /// TSB's prior precision s; the print's 0 is improper. Ours: 1.
    pub head_prior_precision: f64,
    /// TSB's λ, the weight of the prior in each update. Ours: 1, which is Bayes' rule.
    pub head_prior_weight: f64,
    /// The factor κ of the rewards: α for UCB_L, β₁ for UCB_H, β_cp for UCB_cp in the print. Ours: 1.
    pub kappa: PerBandit,
    /// What is made of the reward's ratio. Ours: clipped at 4.
    pub reward_shape: RewardShape,
    /// What a loss is compared with. Ours: a running mean that remembers about a thousand samples.
    pub reward_memory: RewardMemory,
    /// Which way TSB's binary reward points. Ours: the way the text says, not the formula.
    pub head_feedback: HeadFeedback,
    /// Samples in a full queue, q. Ours: 32.
    pub queue_size: usize,
    /// Samples routed together by the dispatch in flight. Ours: 32, one batch.
    pub in_flight_batch: usize,
    /// Contexts seen, with routes drawn at random, before their scaling is frozen and the bandits learn. Ours: 300.
    pub warm_up_contexts: usize,
    /// Texts that arm features are averaged over; the print uses all. Ours: 512.
    pub arm_feature_texts: usize,
    /// Passes over the training texts. The print: "3 to 6". Ours: 3.
    pub epochs: usize,
    /// The optimiser's highest learning rate; the print: "adaptive to the data sets". Ours: 5e-5, for a pre-trained
    /// encoder.
    pub learning_rate: f64,
}

impl Default for OpenSettings {
    fn default() -> Self {
        Self {
            exploration: PerBandit::all(0.25),
            ridge: 1.0,
            head_prior_precision: 1.0,
            head_prior_weight: 1.0,
            kappa: PerBandit::all(1.0),
            reward_shape: RewardShape::default(),
            reward_memory: RewardMemory::default(),
            head_feedback: HeadFeedback::default(),
            queue_size: 32,
            in_flight_batch: 32,
            warm_up_contexts: 300,
            arm_feature_texts: 512,
            epochs: 3,
            learning_rate: 5e-5,
        }
    }
}

impl OpenSettings {
    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first that is out of range.
    pub fn check(&self) -> Result<()> {
        self.exploration.check("exploration", 0.0)?;
        let positive = [
            ("ridge", self.ridge),
            ("head_prior_precision", self.head_prior_precision),
            ("head_prior_weight", self.head_prior_weight),
            ("learning_rate", self.learning_rate),
        ];
        for (field, number) in positive {
            check_number(field, number, f64::MIN_POSITIVE)?;
        }
        self.depth_rewards().check()?;
        self.heads_rewards().check()?;
        self.joint_rewards().check()?;
        let counts = [
            ("queue_size", self.queue_size),
            ("in_flight_batch", self.in_flight_batch),
            ("warm_up_contexts", self.warm_up_contexts),
            ("arm_feature_texts", self.arm_feature_texts),
            ("epochs", self.epochs),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((field, count)) => Err(Error::setting(field, "at least 1", count)),
            None => Ok(()),
        }
    }

    /// The rewards of UCB_L.
    pub fn depth_rewards(&self) -> RewardRule {
        self.rule(self.kappa.depth)
    }

    /// The rewards of UCB_H.
    pub fn heads_rewards(&self) -> RewardRule {
        self.rule(self.kappa.heads)
    }

    /// The rewards of UCB_cp.
    pub fn joint_rewards(&self) -> RewardRule {
        self.rule(self.kappa.joint)
    }

    fn rule(&self, kappa: f64) -> RewardRule {
        RewardRule { shape: self.reward_shape, memory: self.reward_memory, kappa }
    }
}

fn check_number(field: &'static str, number: f64, least: f64) -> Result<()> {
    if number.is_finite() && number >= least {
        return Ok(());
    }
    let expected = if least > 0.0 { "a finite number above 0" } else { "a finite number, 0 or more" };
    Err(Error::setting(field, expected, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass_their_check_and_survive_storing() {
        let settings = OpenSettings::default();
        settings.check().unwrap();
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<OpenSettings>(&json).unwrap(), settings);
        assert_eq!(serde_json::from_str::<OpenSettings>("{}").unwrap(), settings);
        assert!(serde_json::from_str::<OpenSettings>("{\"rigde\": 1.0}").is_err());
    }

    #[test]
    fn each_number_out_of_range_is_named() {
        type Change = fn(&mut OpenSettings);
        let broken: [(&str, Change); 13] = [
            ("exploration", |s| s.exploration.heads = -1.0),
            ("ridge", |s| s.ridge = 0.0),
            ("head_prior_precision", |s| s.head_prior_precision = f64::INFINITY),
            ("head_prior_weight", |s| s.head_prior_weight = f64::NAN),
            ("kappa", |s| s.kappa.joint = 0.0),
            ("reward_shape.clipped.max", |s| s.reward_shape = RewardShape::Clipped { max: 0.0 }),
            ("reward_memory.running_mean.retention", |s| {
                s.reward_memory = RewardMemory::RunningMean { retention: 1.1 };
            }),
            ("queue_size", |s| s.queue_size = 0),
            ("in_flight_batch", |s| s.in_flight_batch = 0),
            ("warm_up_contexts", |s| s.warm_up_contexts = 0),
            ("arm_feature_texts", |s| s.arm_feature_texts = 0),
            ("epochs", |s| s.epochs = 0),
            ("learning_rate", |s| s.learning_rate = -5e-5),
        ];
        for (name, break_it) in broken {
            let mut settings = OpenSettings::default();
            break_it(&mut settings);
            match settings.check() {
                Err(Error::Setting { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
