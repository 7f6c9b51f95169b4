//! Routes that somebody else chose: the fixed, the random and the oracle's.

use std::collections::BTreeMap;

use dht_transformer::HeadSet;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{BaseView, DepthChoices, GroupChoices, GroupView, HeadSetGroup, Mode, Reading, Strategy};
use crate::error::{Error, Result};
use crate::space::{Route, RouteArms, SearchSpace};

/// Each sample of the data set has its route, found by the sample's number; head sets of a given size are drawn at
/// random beside the pinned heads, one for each bucket.
pub(crate) struct FixedRoutes<'a> {
    space: &'a SearchSpace,
    pinned: HeadSet,
    routes: BTreeMap<u64, &'a Route>,
}

impl<'a> FixedRoutes<'a> {
    pub(crate) fn new(space: &'a SearchSpace, pinned: HeadSet, routes: BTreeMap<u64, &'a Route>) -> Self {
        Self { space, pinned, routes }
    }

    fn route(&self, sample: u64) -> Result<&'a Route> {
        let missing = || Error::setting("routes", "one for each sample", format!("none for sample {sample}"));
        self.routes.get(&sample).copied().ok_or_else(missing)
    }
}

impl Strategy for FixedRoutes<'_> {
    fn reading(&self) -> Reading {
        Reading::Never
    }

    fn exits(&self, view: &BaseView<'_>, _: Mode, _: &mut ChaCha8Rng) -> Result<DepthChoices> {
        let mut choices = DepthChoices::default();
        for sample in view.hidden.packing().sample_ids() {
            let route = self.route(*sample)?;
            let depth = route.exit();
            let found = self.space.exits().iter().position(|exit| *exit == depth);
            let missing = || Error::setting("route", format!("an exit of {:?}", self.space.exits()), depth);
            choices.exits.push(found.ok_or_else(missing)?);
            if let RouteArms::Integrated { arm } = self.space.arms_running(route)? {
                choices.arms.push(arm);
            }
        }
        Ok(choices)
    }

    fn heads(&self, view: &GroupView<'_>, _: Mode, rng: &mut ChaCha8Rng) -> Result<GroupChoices> {
        let layer = self.space.groups()[view.group].start();
        let kept = view.hidden.packing().sample_ids().iter().map(|sample| {
            let heads = self.route(*sample)?.layers().find(|(at, _)| *at == layer).map(|(_, heads)| heads);
            heads.ok_or_else(|| Error::setting("route", format!("a route through layer {layer}"), "a shorter one"))
        });
        let kept = kept.collect::<Result<Vec<_>>>()?;
        let head_sets = by_count(&kept)
            .into_iter()
            .map(|(count, places)| {
                let heads = random_heads(self.space.model_shape().heads, self.pinned, count, rng)?;
                Ok(HeadSetGroup { places, heads, context: Vec::new() })
            })
            .collect::<Result<_>>()?;
        Ok(GroupChoices { kept, head_sets, ..GroupChoices::default() })
    }

    fn depth_flops(&self, _: usize) -> u64 {
        0
    }

    fn group_flops(&self) -> u64 {
        0
    }
}

/// The places by number of heads kept, ascending.
pub(crate) fn by_count(kept: &[usize]) -> BTreeMap<usize, Vec<usize>> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, count) in kept.iter().enumerate() {
        groups.entry(*count).or_default().push(place);
    }
    groups
}

/// `count` of `heads` heads: the pinned ones and others drawn at random.
pub(crate) fn random_heads(heads: usize, pinned: HeadSet, count: usize, rng: &mut ChaCha8Rng) -> Result<HeadSet> {
    if count >= heads {
        return Ok(HeadSet::full(heads)?);
    }
    let mut free: Vec<usize> = (0..heads).filter(|head| !pinned.contains(*head)).collect();
    let wanted = count.saturating_sub(pinned.len());
    for place in 0..wanted.min(free.len()) {
        let other = rng.random_range(place..free.len());
        free.swap(place, other);
    }
    Ok(HeadSet::from_indices(pinned.iter().chain(free.into_iter().take(wanted)), heads)?)
}
