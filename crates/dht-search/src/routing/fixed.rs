//! A router that follows given routes: for the controls with fixed, random and oracle routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use dht_transformer::HeadSet;
use rand::{Rng, RngExt};

use super::{Decisions, GroupDecisions, GroupView, HeadRouter, HeadSetGroup, Mode, Router, StageView};
use crate::error::{Error, Result};
use crate::space::{Route, RouteArms, SearchSpace};

/// Looks up the route of each sample by the sample's id. Head sets hold the pinned heads and others drawn at random, one
/// set for all samples of a batch that keep equally many heads.
#[derive(Debug, Clone)]
pub(crate) struct FixedRoutes {
    space: SearchSpace,
    pinned: HeadSet,
    routes: Arc<BTreeMap<u64, Route>>,
}

impl FixedRoutes {
    pub(crate) fn new(space: SearchSpace, pinned: HeadSet, routes: BTreeMap<u64, Route>) -> Self {
        Self { space, pinned, routes: Arc::new(routes) }
    }

    fn route(&self, sample: u64) -> Result<&Route> {
        let missing = || Error::setting("routes", "one for each sample", format!("none for sample {sample}"));
        self.routes.get(&sample).ok_or_else(missing)
    }
}

impl Router for FixedRoutes {
    fn reads(&self, _: usize, _: usize) -> bool {
        false
    }

    fn start(&self, view: &StageView<'_>, _: usize, _: Mode, _: &mut dyn Rng) -> Result<Decisions> {
        let mut decisions = Decisions::default();
        for sample in view.hidden.packing().sample_ids() {
            let route = self.route(*sample)?;
            let depth = route.exit();
            let found = self.space.exits().iter().position(|exit| *exit == depth);
            let missing = || Error::setting("route", format!("an exit of {:?}", self.space.exits()), depth);
            decisions.exits.push(found.ok_or_else(missing)?);
            if let RouteArms::Integrated { arm } = self.space.arms_running(route)? {
                decisions.arms.push(arm);
            }
        }
        Ok(decisions)
    }

    fn box_clone(&self) -> Box<dyn Router> {
        Box::new(self.clone())
    }
}

impl HeadRouter for FixedRoutes {
    fn decide(&self, view: &GroupView<'_>, _: Mode, rng: &mut dyn Rng) -> Result<GroupDecisions> {
        let layer = self.space.groups()[view.group].start();
        let kept = view.hidden.packing().sample_ids().iter().map(|sample| {
            let heads = self.route(*sample)?.layers().find(|(at, _)| *at == layer).map(|(_, heads)| heads);
            heads.ok_or_else(|| Error::setting("route", format!("a route through layer {layer}"), "a shorter one"))
        });
        let kept = kept.collect::<Result<Vec<_>>>()?;
        let head_sets = by_count(&kept)
            .into_iter()
            .map(|(count, indices)| {
                let heads = random_heads(self.space.model_shape().heads, self.pinned, count, rng)?;
                Ok(HeadSetGroup::new(indices, heads))
            })
            .collect::<Result<_>>()?;
        Ok(GroupDecisions { kept, head_sets, ..GroupDecisions::default() })
    }

    fn box_clone(&self) -> Box<dyn HeadRouter> {
        Box::new(self.clone())
    }
}

/// The indices by number of heads kept, ascending.
pub(crate) fn by_count(kept: &[usize]) -> BTreeMap<usize, Vec<usize>> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, count) in kept.iter().enumerate() {
        groups.entry(*count).or_default().push(index);
    }
    groups
}

/// `count` of `heads` heads: the pinned ones and others drawn at random.
pub(crate) fn random_heads(heads: usize, pinned: HeadSet, count: usize, rng: &mut dyn Rng) -> Result<HeadSet> {
    if count >= heads {
        return Ok(HeadSet::full(heads)?);
    }
    let mut free: Vec<usize> = (0..heads).filter(|head| !pinned.contains(*head)).collect();
    let wanted = count.saturating_sub(pinned.len());
    for index in 0..wanted.min(free.len()) {
        let other = rng.random_range(index..free.len());
        free.swap(index, other);
    }
    Ok(HeadSet::from_indices(pinned.iter().chain(free.into_iter().take(wanted)), heads)?)
}
