//! Construction of a search's routers from its settings.

use dht_transformer::flops::{BlockShape, ClassifierShape};

use super::bandit::{BanditHeads, DepthRouter, GainRouter, Setup};
use super::full_heads::FullHeads;
use super::learner::Learner;
use super::rule::RuleInTraining;
use crate::error::Result;
use crate::settings::{RouterKind, SearchSettings};
use crate::space::SearchSpace;

/// Builds the two routers of a search: the depth router and the head router.
pub(crate) fn build(
    space: &SearchSpace,
    settings: &SearchSettings,
    block: BlockShape,
    classifier: ClassifierShape,
) -> Result<(Box<dyn Learner>, Box<dyn Learner>)> {
    let setup = Setup::new(space.clone(), settings.clone(), block, classifier)?;
    let heads: Box<dyn Learner> = match FullHeads::of_space(space)? {
        Some(heads) => Box::new(heads),
        None => Box::new(BanditHeads::new(setup.clone())?),
    };
    let router: Box<dyn Learner> = match settings.router {
        RouterKind::Bandit => Box::new(DepthRouter::new(setup)?),
        RouterKind::SequentialBandit => Box::new(GainRouter::new(setup)?),
        RouterKind::EntropyThreshold { .. } | RouterKind::ConfidenceThreshold { .. } | RouterKind::Patience { .. } => {
            Box::new(RuleInTraining::new(setup)?)
        }
    };
    Ok((router, heads))
}
