//! Saved state of policies that normalise their contexts.

use std::sync::OnceLock;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::copied_arms::{CopiedArm, teach_all};
use super::policy::Normalised;
use super::scaling::{Scaling, varies};
use super::waiting::StoredReward;
use crate::error::{Error, Result};
use crate::features::Normalizer;
use crate::policy::Policy;
use crate::validate::{check_context, check_scalar, check_weight};

#[derive(Serialize)]
struct Saved<'a, P> {
    normalizer: &'a Normalizer,
    bias: bool,
    features: usize,
    warm_up: u64,
    waiting: &'a [StoredReward],
    left_out: u64,
    rewards: Option<&'a Normalizer>,
    inner: &'a P,
    copies: &'a [CopiedArm],
}

impl<P: Serialize> Serialize for Normalised<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { scaling, features, warm_up, waiting, copies, left_out, inner, provisional: _ } = self;
        let Scaling { contexts, bias, rewards } = scaling;
        Saved {
            normalizer: contexts,
            bias: *bias,
            features: *features,
            warm_up: *warm_up,
            waiting,
            left_out: *left_out,
            rewards: rewards.as_deref(),
            inner,
            copies,
        }
        .serialize(serializer)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Loaded<P> {
    normalizer: Normalizer,
    bias: bool,
    features: usize,
    warm_up: u64,
    waiting: Vec<StoredReward>,
    #[serde(default)]
    left_out: u64,
    #[serde(default)]
    rewards: Option<Normalizer>,
    inner: P,
    #[serde(default)]
    copies: Vec<CopiedArm>,
}

impl<'de, P: Policy + Clone + Deserialize<'de> + 'static> Deserialize<'de> for Normalised<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Loaded { normalizer, bias, features, warm_up, waiting, left_out, rewards, inner, copies } =
            Loaded::deserialize(deserializer)?;
        let scaling = Scaling { contexts: normalizer, bias, rewards: rewards.map(Box::new) };
        let provisional = OnceLock::new();
        let policy = Self { scaling, features, warm_up, waiting, copies, left_out, inner, provisional };
        policy.check().and_then(|()| policy.check_warm_up()).map_err(D::Error::custom)?;
        Ok(policy)
    }
}

impl<P: Policy + Clone + 'static> Normalised<P> {
    /// Fails if the loaded rewards of the warm-up (before the scaling is final) contradict the scaling, or if no
    /// scaling accepts them.
    fn check_warm_up(&self) -> Result<()> {
        let Self { warm_up, left_out, .. } = *self;
        let (frozen, stored) = (self.is_warm(), self.waiting.len() as u64);
        let problem = if left_out > warm_up || (!frozen && left_out > 0) {
            format!("{left_out} were left out of a warm-up of {warm_up} that is not over, or not as long")
        } else if stored >= warm_up || (frozen && stored > 0) {
            format!("{stored} rewards wait for a scaling that is due after {warm_up}")
        } else if self.scaling.rewards.as_ref().is_some_and(|rewards| {
            // The scaling of rewards may be unset as long as the rewards do not vary.
            rewards.is_frozen() != frozen && (varies(rewards) || !frozen)
        }) {
            "one of the scalings of contexts and rewards is frozen, the other is not".to_owned()
        } else if self.scaling.rewards.as_ref().is_some_and(|rewards| rewards.dimension() != 1) {
            "the scaling of rewards has another dimension than 1".to_owned()
        } else if let Some(wrong) = self.wrong_copy() {
            let CopiedArm { arm, like, at } = wrong;
            format!("{arm} was added like {like} after {at} of {stored} rewards: an arm or the order is wrong")
        } else {
            return self.check_waiting();
        };
        Err(Error::InvalidState { what: "rewards of the warm-up", index: 0, problem })
    }

    /// Finds the first invalid entry in a loaded list of arms that were added as copies of other arms. An entry is
    /// invalid if one of its two arms is unknown, or if it is out of order.
    fn wrong_copy(&self) -> Option<CopiedArm> {
        let unknown = |arm| matches!(self.inner.arms().slot(arm), Err(Error::UnknownArm { .. }));
        let mut before = 0;
        self.copies.iter().copied().find(|copied| {
            let wrong = copied.at < before || copied.at > self.waiting.len() || self.is_warm();
            before = copied.at;
            wrong || copied.arm == copied.like || unknown(copied.arm) || unknown(copied.like)
        })
    }

    fn check_waiting(&self) -> Result<()> {
        for waiting in &self.waiting {
            self.scaling.context(&waiting.context)?;
            check_context(&waiting.context)?;
            check_scalar("reward", waiting.reward)?;
            check_weight(waiting.weight)?;
        }
        let (mut learned, mut checked) = (self.inner.clone(), Ok(()));
        // Rewards of removed arms are left out when the scaling is frozen, and so are rewards that the final scaling
        // does not allow.
        teach_all(&self.waiting, &self.copies, &self.scaling, &mut learned, |error| {
            if let (Ok(()), Error::Dimension { .. } | Error::UnknownArm { .. } | Error::Reward { .. }) =
                (&checked, &error)
            {
                checked = Err(error);
            }
        });
        checked
    }
}
