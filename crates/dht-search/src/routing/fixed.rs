//! Router that runs each sample on a predefined route, for evaluations on fixed, random, shuffled and oracle routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use dht_dynamic::router::{Decisions, ExitView, GroupDecisions, GroupView, HeadSetGroup, Mode};
use dht_dynamic::{Route, Router};
use dht_transformer::HeadSet;

use super::learner::{Learner, kept};
use crate::error::{Error, Result};
use crate::space::{RouteArms, SearchSpace};

/// Predefined route of a sample, and the heads that it keeps in each group of layers with a choice of heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteChoice {
    pub(crate) route: Route,
    pub(crate) head_sets: Vec<HeadSet>,
}

/// Router that sends each sample along a predefined route, looked up by the sample's id.
#[derive(Debug, Clone)]
pub(crate) struct FixedRoutes {
    space: SearchSpace,
    choices: Arc<BTreeMap<u64, RouteChoice>>,
    source: HeadSource,
}

/// Source of the head sets for predefined routes.
#[derive(Debug, Clone)]
enum HeadSource {
    /// Head router, which selects head sets with the numbers of heads that the routes define.
    Router(Box<dyn Learner>),
    /// Head sets that are predefined together with the routes. The two routers are the depth router and the head router
    /// that selected them. Both are stored because they define the cost: the exits that they read, the hidden state
    /// that they need, and their FLOPs.
    Fixed(Box<dyn Learner>, Box<dyn Learner>),
}

impl FixedRoutes {
    /// Creates a router from a route for each sample id. The head router `heads` selects head sets of the sizes that
    /// the routes require.
    pub(crate) fn new(space: SearchSpace, heads: Box<dyn Learner>, routes: BTreeMap<u64, Route>) -> Self {
        let choice = |(id, route)| (id, RouteChoice { route, head_sets: Vec::new() });
        Self { space, choices: Arc::new(routes.into_iter().map(choice).collect()), source: HeadSource::Router(heads) }
    }

    /// Creates a router from a route and head sets for each sample id. The reported cost includes `router` and `heads`,
    /// which selected them.
    pub(crate) fn with_head_sets(
        space: SearchSpace,
        router: Box<dyn Learner>,
        heads: Box<dyn Learner>,
        choices: BTreeMap<u64, RouteChoice>,
    ) -> Self {
        Self { space, choices: Arc::new(choices), source: HeadSource::Fixed(router, heads) }
    }

    fn choice(&self, sample: u64) -> Result<&RouteChoice> {
        let missing = || Error::shape("routes", "one for each sample", format!("none for sample {sample}"));
        self.choices.get(&sample).ok_or_else(missing)
    }

    fn head_set(&self, sample: u64, group: usize) -> Result<HeadSet> {
        let RouteChoice { route, head_sets } = self.choice(sample)?;
        let missing = || Error::shape("head sets", format!("one for each group of {route}"), head_sets.len());
        head_sets.get(group).copied().ok_or_else(missing)
    }

    fn head_count(&self, sample: u64, group: usize) -> Result<usize> {
        let layer = self.space.groups()[group].start();
        let heads = self.choice(sample)?.route.layers().find(|(at, _)| *at == layer).map(|(_, heads)| heads);
        heads.ok_or_else(|| Error::argument("route", format!("a route through layer {layer}"), "a shorter one"))
    }
}

impl Router for FixedRoutes {
    fn reads(&self, exit: usize, last: usize) -> bool {
        match &self.source {
            HeadSource::Router(_) => false,
            HeadSource::Fixed(router, _) => router.reads(exit, last),
        }
    }

    fn needs_state(&self) -> bool {
        match &self.source {
            HeadSource::Router(_) => false,
            HeadSource::Fixed(router, _) => router.needs_state(),
        }
    }

    fn begin(
        &self,
        view: &ExitView<'_>,
        decisions: &mut Decisions,
        _last: usize,
        _: &mut Mode<'_>,
    ) -> dht_dynamic::Result<()> {
        decisions.exits.clear();
        for sample in view.ids() {
            let route = &self.choice(sample)?.route;
            let depth = route.exit();
            let index = self.space.exits().iter().position(|exit| *exit == depth);
            let missing = || Error::argument("route", format!("an exit of {:?}", self.space.exits()), depth);
            decisions.exits.push(index.ok_or_else(missing)?);
            if let RouteArms::Integrated { arm } = self.space.arms_running(route)? {
                decisions.kept.push(kept(&self.space.integrated_arms()[arm]));
            }
        }
        Ok(())
    }

    fn heads(&self, view: &GroupView<'_>, mode: &mut Mode<'_>) -> dht_dynamic::Result<Option<GroupDecisions>> {
        let samples = view.hidden.packing().sample_ids().iter();
        match &self.source {
            HeadSource::Router(heads) => {
                let kept = samples.map(|sample| self.head_count(*sample, view.group)).collect::<Result<Vec<_>>>()?;
                let head_sets = heads.sets_keeping(view, &kept, mode)?;
                Ok(Some(GroupDecisions { kept, head_sets, ..GroupDecisions::default() }))
            }
            HeadSource::Fixed(..) => {
                let mut by_set: BTreeMap<HeadSet, Vec<usize>> = BTreeMap::new();
                for (index, sample) in samples.enumerate() {
                    by_set.entry(self.head_set(*sample, view.group)?).or_default().push(index);
                }
                let groups = by_set.into_iter().map(|(heads, indices)| HeadSetGroup::new(indices, heads));
                Ok(Some(GroupDecisions::new(groups.collect())))
            }
        }
    }

    fn keeps_all(&self) -> bool {
        false
    }

    fn reads_answers(&self) -> bool {
        match &self.source {
            HeadSource::Router(_) => false,
            HeadSource::Fixed(_, heads) => heads.reads_answers(),
        }
    }

    fn flops(&self, exit: usize) -> u64 {
        match &self.source {
            HeadSource::Router(_) => 0,
            HeadSource::Fixed(router, _) => router.flops(exit),
        }
    }

    fn group_flops(&self) -> u64 {
        match &self.source {
            HeadSource::Router(_) => 0,
            HeadSource::Fixed(_, heads) => heads.group_flops(),
        }
    }
}
