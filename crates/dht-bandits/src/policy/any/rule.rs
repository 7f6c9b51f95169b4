//! Exploration rules that settings can select.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::exploration::{EpsilonGreedy, Exploration, GrowingUcb, Selection, Softmax, SquareCb, Thompson, Ucb};
use crate::gaussian::Score;
use crate::policy::{BetaThompson, Ucb1};
use crate::saved_state::serde_tagged_in_texts;

/// Exploration rule of any type. Text formats write it as `{ rule = "ucb", alpha = 0.5 }`; binary formats store the
/// name of the rule instead of the key `rule`.
///
/// ```
/// use dht_bandits::{Ucb, policy::AnyRule};
///
/// let rule: AnyRule = serde_json::from_str(r#"{"rule": "ucb", "alpha": 0.5}"#)?;
/// assert_eq!(rule, AnyRule::Ucb(Ucb { alpha: 0.5 }));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum AnyRule {
    /// Upper confidence bounds.
    Ucb(Ucb),
    /// Thompson sampling.
    Thompson(Thompson),
    /// ε-greedy with a constant or decreasing ε, or with pure exploration first.
    EpsilonGreedy(EpsilonGreedy),
    /// Softmax exploration.
    Softmax(Softmax),
    /// Inverse-gap weighting (SquareCB).
    SquareCb(SquareCb),
    /// UCB1, for policies without contexts.
    Ucb1(Ucb1),
    /// Beta-Thompson sampling, for policies without contexts.
    BetaThompson(BetaThompson),
    /// Upper confidence bounds whose factor α grows with the number of rewards.
    GrowingUcb(GrowingUcb),
}

serde_tagged_in_texts!(AnyRule as "AnyRule", tag "rule": {
    Ucb(Ucb),
    Thompson(Thompson),
    EpsilonGreedy(EpsilonGreedy),
    Softmax(Softmax),
    SquareCb(SquareCb),
    Ucb1(Ucb1),
    BetaThompson(BetaThompson),
    GrowingUcb(GrowingUcb),
});

/// Evaluates an expression for each rule that uses contexts. Other rules cannot occur, since they are refused when a
/// policy is created.
macro_rules! each {
    ($self:expr, $rule:ident => $then:expr, $otherwise:expr) => {
        match $self {
            AnyRule::Ucb($rule) => $then,
            AnyRule::Thompson($rule) => $then,
            AnyRule::EpsilonGreedy($rule) => $then,
            AnyRule::Softmax($rule) => $then,
            AnyRule::SquareCb($rule) => $then,
            AnyRule::GrowingUcb($rule) => $then,
            AnyRule::Ucb1(_) | AnyRule::BetaThompson(_) => $otherwise,
        }
    };
}

impl Exploration for AnyRule {
    const NAME: &'static str = "any";

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, rng: &mut R) -> f64 {
        each!(self, rule => rule.value(score, rng), score.mean)
    }

    #[inline]
    fn after(&self, learned: u64) -> Self {
        match self {
            // This is the only rule whose values depend on the number of rewards.
            Self::GrowingUcb(rule) => Self::GrowingUcb(rule.after(learned)),
            _ => *self,
        }
    }

    #[inline]
    fn selection(&self, learned: u64) -> Selection {
        each!(self, rule => rule.selection(learned), Selection::Index)
    }

    #[inline]
    fn uniform_share(&self, learned: u64) -> f64 {
        each!(self, rule => rule.uniform_share(learned), 0.0)
    }

    fn check(&self) -> Result<()> {
        let refused = || Error::Settings {
            problem: "exploration: rules without contexts need kind = \"context-free\"".to_owned(),
        };
        each!(self, rule => rule.check(), Err(refused()))
    }
}

/// Exploration rule with a floor, a minimum probability for each arm. The floor is saved with the policy's settings,
/// not with the rule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct FlooredRule {
    pub(super) rule: AnyRule,
    #[serde(skip)]
    pub(super) floor: f64,
}

impl Exploration for FlooredRule {
    const NAME: &'static str = AnyRule::NAME;

    #[inline]
    fn value<R: Rng + ?Sized>(&self, score: Score, rng: &mut R) -> f64 {
        self.rule.value(score, rng)
    }

    #[inline]
    fn after(&self, learned: u64) -> Self {
        Self { rule: self.rule.after(learned), ..*self }
    }

    #[inline]
    fn selection(&self, learned: u64) -> Selection {
        self.rule.selection(learned)
    }

    #[inline]
    fn uniform_share(&self, learned: u64) -> f64 {
        self.rule.uniform_share(learned)
    }

    #[inline]
    fn floor(&self) -> f64 {
        self.floor
    }

    fn check(&self) -> Result<()> {
        self.rule.check()
    }
}
