//! What the bandits of a search have learned: all that a checkpoint needs, and what is refused as one.

use serde::{Deserialize, Serialize};

use super::depth::DepthBandit;
use super::gain::GainBandit;
use super::head_counts::HeadCounts;
use super::head_sets::HeadSets;
use super::setup::Setup;
use crate::error::{Error, Result};
use crate::features::ArmFeatures;
use crate::reward::RewardReference;
use crate::settings::DepthDecision;

/// Everything that changes while the bandits learn.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learned {
    pub(super) depth: DepthDecider,
    /// UCB_H; an integrated search has none.
    pub(super) head_counts: Option<HeadCounts>,
    pub(super) head_sets: HeadSets,
    /// What the rewards of each group are compared with: one for the group, or one for each exit behind it.
    pub(super) references: Vec<Vec<RewardReference>>,
    pub(super) arm_features: Option<ArmFeatures>,
}

/// What decides how deep a sample goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a search has one of them")]
pub(super) enum DepthDecider {
    /// Once, at the base: UCB_L of a tree search, UCB_cp of an integrated one.
    #[serde(alias = "exit", alias = "arm")]
    AtTheBase(DepthBandit),
    /// At every exit: sequential search.
    #[serde(alias = "gain")]
    AtEveryExit(GainBandit),
}

impl Learned {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        let (depth, head_counts) = match (setup.space.is_tree(), setup.settings.depth_decision) {
            (false, _) => (DepthDecider::AtTheBase(DepthBandit::new(setup)?), None),
            (true, DepthDecision::AtTheBase) => {
                (DepthDecider::AtTheBase(DepthBandit::new(setup)?), Some(HeadCounts::new(setup)?))
            }
            (true, DepthDecision::AtEveryExit) => {
                (DepthDecider::AtEveryExit(GainBandit::new(setup)?), Some(HeadCounts::new(setup)?))
            }
        };
        let head_sets = HeadSets::new(setup)?;
        Ok(Self { depth, head_counts, head_sets, references: references(setup), arm_features: None })
    }

    /// The dimensions of what decides depth, of UCB_H where there is one, and of the head bandit: 168, 87 and 13 as the
    /// paper has them.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> [Option<usize>; 3] {
        let depth = match &self.depth {
            DepthDecider::AtTheBase(DepthBandit { ucb, .. }) => ucb.dimension(),
            DepthDecider::AtEveryExit(gains) => gains.at[0].dimension(),
        };
        [Some(depth), self.head_counts.as_ref().map(|counts| counts.ucb.dimension()), Some(self.head_sets.dimension())]
    }

    /// Refuses a state that is not one of these bandits.
    pub(super) fn check_like(&self, stored: &Self, setup: &Setup) -> Result<()> {
        let names = ["depth bandit's dimension", "depth bandit's arms", "depth norm's dimension"];
        match (&self.depth, &stored.depth) {
            (DepthDecider::AtTheBase(own), DepthDecider::AtTheBase(stored)) => {
                own.ucb.check_like(&stored.ucb, names)?;
            }
            (DepthDecider::AtEveryExit(own), DepthDecider::AtEveryExit(stored)) if own.at.len() == stored.at.len() => {
                own.at.iter().zip(&stored.at).try_for_each(|(own, stored)| own.check_like(stored, names))?;
            }
            _ => return Err(Error::setting("depth bandit", "one of this space and these settings", "another one")),
        }
        let names = ["heads bandit's dimension", "heads bandit's arms", "heads norm's dimension"];
        match (&self.head_counts, &stored.head_counts) {
            (Some(own), Some(stored)) => own.ucb.check_like(&stored.ucb, names)?,
            (None, None) => {}
            _ => return Err(Error::setting("heads bandit", "one as this space has it", "another one")),
        }
        self.head_sets.check_like(&stored.head_sets, setup)?;
        let [own, found] = [self, stored].map(|learned| learned.references.iter().map(Vec::len).collect::<Vec<_>>());
        if own != found {
            return Err(Error::setting("reward references", format!("{own:?} by group"), format!("{found:?}")));
        }
        let of_depth = match &stored.depth {
            DepthDecider::AtTheBase(bandit) => Some(&bandit.reference),
            DepthDecider::AtEveryExit(_) => None,
        };
        let mut references = stored.references.iter().flatten().chain(of_depth);
        if let Some(wrong) = references.find(|reference| !reference.is_possible()) {
            return Err(Error::setting("reward reference", "finite numbers, 0 or more", format!("{wrong:?}")));
        }
        let wanted = setup.settings.context.has_arm_features() && stored.head_sets.pinned.is_some();
        match &stored.arm_features {
            None if wanted => Err(Error::setting("arm features", "those of the paper's contexts", "none")),
            Some(features) if !wanted || !features.fit(&setup.space, setup.options().len()) => {
                Err(Error::setting("arm features", "those of this space's arms", "others"))
            }
            _ => Ok(()),
        }
    }
}

/// The references of each group and exit.
pub(super) fn references(setup: &Setup) -> Vec<Vec<RewardReference>> {
    vec![vec![RewardReference::default(); setup.space.exits().len()]; setup.space.groups().len()]
}
