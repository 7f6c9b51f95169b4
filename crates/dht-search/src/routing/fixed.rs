//! Router with given routes. The controls with fixed, random, shuffled and oracle routes use it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dht_transformer::HeadSet;
use rand::Rng;

use super::head_router::{GroupView, HeadRouter};
use super::mode::Mode;
use super::router::{Router, StageView};
use super::trace::{Decisions, GroupDecisions, HeadSetGroup};
use crate::error::{Error, Result};
use crate::space::{RouteArms, SearchSpace};
use dht_dynamic::Route;

/// A route and the heads that it keeps in each dynamic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteChoice {
    pub(crate) route: Route,
    pub(crate) head_sets: Vec<HeadSet>,
}

/// Router that looks up the route of each sample by the sample's id.
#[derive(Debug, Clone)]
pub(crate) struct FixedRoutes {
    space: SearchSpace,
    choices: Arc<BTreeMap<u64, RouteChoice>>,
    source: HeadSource,
}

/// Source of the head sets.
#[derive(Debug, Clone)]
enum HeadSource {
    /// A head router selects head sets of the routes' sizes.
    Router(Box<dyn HeadRouter>),
    /// Head sets that are given with the routes. The cost of the original routers is reproduced: the exits that they
    /// read, the state that they need, and their FLOPs.
    Given(Box<dyn Router>, Box<dyn HeadRouter>),
}

impl FixedRoutes {
    /// Router for routes by sample id; `heads` selects head sets of the routes' sizes.
    pub(crate) fn new(space: SearchSpace, heads: Box<dyn HeadRouter>, routes: BTreeMap<u64, Route>) -> Self {
        let choice = |(id, route)| (id, RouteChoice { route, head_sets: Vec::new() });
        Self { space, choices: Arc::new(routes.into_iter().map(choice).collect()), source: HeadSource::Router(heads) }
    }

    /// Router for routes and head sets by sample id, at the cost of the routers that selected them.
    pub(crate) fn with_head_sets(
        space: SearchSpace,
        router: Box<dyn Router>,
        heads: Box<dyn HeadRouter>,
        choices: BTreeMap<u64, RouteChoice>,
    ) -> Self {
        Self { space, choices: Arc::new(choices), source: HeadSource::Given(router, heads) }
    }

    fn choice(&self, sample: u64) -> Result<&RouteChoice> {
        let missing = || Error::shape("routes", "one for each sample", format!("none for sample {sample}"));
        self.choices.get(&sample).ok_or_else(missing)
    }

    /// The given heads of a sample in a group.
    fn given(&self, sample: u64, group: usize) -> Result<HeadSet> {
        let RouteChoice { route, head_sets } = self.choice(sample)?;
        let missing = || Error::shape("head sets", format!("one for each group of {route}"), head_sets.len());
        head_sets.get(group).copied().ok_or_else(missing)
    }

    /// The number of heads that a sample's route keeps in a group.
    fn kept(&self, sample: u64, group: usize) -> Result<usize> {
        let layer = self.space.groups()[group].start();
        let heads = self.choice(sample)?.route.layers().find(|(at, _)| *at == layer).map(|(_, heads)| heads);
        heads.ok_or_else(|| Error::argument("route", format!("a route through layer {layer}"), "a shorter one"))
    }
}

impl Router for FixedRoutes {
    fn reads(&self, exit: usize, last: usize) -> bool {
        match &self.source {
            HeadSource::Router(_) => false,
            HeadSource::Given(router, _) => router.reads(exit, last),
        }
    }

    fn needs_state(&self) -> bool {
        match &self.source {
            HeadSource::Router(_) => false,
            HeadSource::Given(router, _) => router.needs_state(),
        }
    }

    fn start(&self, view: &StageView<'_>, _: usize, _: Mode, _: &mut dyn Rng) -> Result<Decisions> {
        let mut decisions = Decisions::default();
        for sample in view.hidden.packing().sample_ids() {
            let route = &self.choice(*sample)?.route;
            let depth = route.exit();
            let found = self.space.exits().iter().position(|exit| *exit == depth);
            let missing = || Error::argument("route", format!("an exit of {:?}", self.space.exits()), depth);
            decisions.exits.push(found.ok_or_else(missing)?);
            if let RouteArms::Integrated { arm } = self.space.arms_running(route)? {
                decisions.arms.push(arm);
            }
        }
        Ok(decisions)
    }

    fn flops(&self, exit: usize) -> u64 {
        match &self.source {
            HeadSource::Router(_) => 0,
            HeadSource::Given(router, _) => router.flops(exit),
        }
    }

    fn box_clone(&self) -> Box<dyn Router> {
        Box::new(self.clone())
    }
}

impl HeadRouter for FixedRoutes {
    fn decide(&self, view: &GroupView<'_>, mode: Mode, rng: &mut dyn Rng) -> Result<GroupDecisions> {
        let samples = view.hidden.packing().sample_ids().iter();
        match &self.source {
            HeadSource::Router(heads) => {
                let kept = samples.map(|sample| self.kept(*sample, view.group)).collect::<Result<Vec<_>>>()?;
                let head_sets = heads.sets_keeping(view, &kept, mode, rng)?;
                Ok(GroupDecisions { kept, head_sets, ..GroupDecisions::default() })
            }
            HeadSource::Given(..) => {
                let mut by_set: BTreeMap<HeadSet, Vec<usize>> = BTreeMap::new();
                for (index, sample) in samples.enumerate() {
                    by_set.entry(self.given(*sample, view.group)?).or_default().push(index);
                }
                let groups = by_set.into_iter().map(|(heads, indices)| HeadSetGroup::new(indices, heads));
                Ok(GroupDecisions::new(groups.collect()))
            }
        }
    }

    fn reads_signals(&self) -> bool {
        match &self.source {
            HeadSource::Router(_) => false,
            HeadSource::Given(_, heads) => heads.reads_signals(),
        }
    }

    fn flops(&self) -> u64 {
        match &self.source {
            HeadSource::Router(_) => 0,
            HeadSource::Given(_, heads) => heads.flops(),
        }
    }

    fn box_clone(&self) -> Box<dyn HeadRouter> {
        Box::new(self.clone())
    }
}
