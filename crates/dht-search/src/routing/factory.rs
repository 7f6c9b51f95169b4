//! Builds the routers that the settings define.

use dht_transformer::flops::{BlockShape, ClassifierShape};

use super::bandit::{BanditHeads, DepthRouter, GainRouter, Setup};
use super::by_rule::ByRule;
use super::full_heads::FullHeads;
use super::head_router::HeadRouter;
use super::router::Router;
use crate::error::Result;
use crate::settings::{RouterKind, SearchSettings};
use crate::space::SearchSpace;

/// Builds the router and the head router of a search.
pub(crate) fn build(
    space: &SearchSpace,
    settings: &SearchSettings,
    block: BlockShape,
    classifier: ClassifierShape,
) -> Result<(Box<dyn Router>, Box<dyn HeadRouter>)> {
    let setup = Setup::new(space.clone(), settings.clone(), block, classifier)?;
    let heads: Box<dyn HeadRouter> = match FullHeads::of_space(space)? {
        Some(heads) => Box::new(heads),
        None => Box::new(BanditHeads::new(setup.clone())?),
    };
    let router: Box<dyn Router> = match settings.router {
        RouterKind::Bandit => Box::new(DepthRouter::new(setup)?),
        RouterKind::SequentialBandit => Box::new(GainRouter::new(setup)?),
        RouterKind::EntropyThreshold { .. } | RouterKind::ConfidenceThreshold { .. } | RouterKind::Patience { .. } => {
            Box::new(ByRule::new(setup)?)
        }
    };
    Ok((router, heads))
}
