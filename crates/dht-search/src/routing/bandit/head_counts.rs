//! Head-count bandit (UCB_H in the DHT paper, section 4.2.1): before each group of layers it selects the number of
//! heads that a sample keeps in the group.

use dht_dynamic::passage::GroupTrace;
use dht_dynamic::router::Mode;
use serde::{Deserialize, Serialize};

use super::linear::LinearBandit;
use super::setup::{Setup, best, exploring};
use crate::error::{Error, Result};
use crate::features::{ArmFeatures, PoolingPyramid};
use crate::reward::Reward;

/// Head-count bandit, with one arm for each number of heads that at least one group of layers may keep. Its contexts
/// are \[x ; z ; g\]: the pooled hidden state x, the arm's feature z, and the group as one-hot vector g.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadCounts {
    pub(crate) linear: LinearBandit,
}

impl HeadCounts {
    pub(crate) fn new(setup: &Setup) -> Result<Self> {
        let (raw, groups) = (setup.raw_size(PoolingPyramid::HEADS), setup.space.groups().len());
        let arms = setup.options().len().max(1);
        let linear = LinearBandit::new(setup, raw, groups, arms, setup.settings.exploration.heads)?;
        Ok(Self { linear })
    }

    /// Updates the arms from the rewards of samples that ran a group of layers. The arm of a sample is the number of
    /// heads that it kept.
    pub(crate) fn learn(
        &mut self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        trace: &GroupTrace,
        rewards: &[Reward],
    ) -> Result<()> {
        let GroupTrace { group, ref decisions, .. } = *trace;
        let (options, added) = (setup.options(), one_hot(setup, group));
        for (index, reward) in rewards.iter().enumerate() {
            let arm = option(&options, decisions.kept[index])?;
            let feature = features.map(|features| &*features.heads[group][arm]);
            self.linear.update(setup, arm, &decisions.notes[index], feature, &added, reward.value)?;
        }
        Ok(())
    }
}

pub(super) fn choose(
    linear: &LinearBandit,
    setup: &Setup,
    features: Option<&ArmFeatures>,
    group: usize,
    raw: &[f64],
    tokens: usize,
    mode: &mut Mode<'_>,
) -> Result<usize> {
    let features = features.map(|features| &*features.heads[group]);
    let scores = linear.scores(setup, raw, features, &one_hot(setup, group))?;
    let alpha = exploring(setup.settings.exploration.heads, mode);
    let (options, here) = (setup.options(), setup.space.head_options(group));
    let costs = setup.group_costs(group, tokens)?;
    let mut values = Vec::with_capacity(here.len());
    for (heads, cost) in here.iter().zip(costs) {
        values.push(setup.value(scores[option(&options, *heads)?], alpha, cost));
    }
    Ok(here[best(values, mode)])
}

fn one_hot(setup: &Setup, group: usize) -> Vec<f64> {
    (0..setup.space.groups().len()).map(|other| f64::from(u8::from(other == group))).collect()
}

fn option(options: &[usize], heads: usize) -> Result<usize> {
    let index = options.iter().position(|option| *option == heads);
    index.ok_or_else(|| Error::argument("kept heads", format!("one of {options:?}"), heads))
}
