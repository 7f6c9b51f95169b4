//! Search space: the routes through a model, and the bandit arms that select these routes.

use dht_dynamic::Error as Dynamic;
use dht_dynamic::{
    Route,
    route::{LayerGroup, Layout, ModelShape, RouteSpec},
};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::config::{Search, SpaceConfig};
use super::notation::{one_of, resolve};
use crate::error::{Error, Result};

/// Bandit arms that select a route. Each route of a space has exactly one such value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RouteArms {
    /// Arms of a tree search: depth and heads are selected one after the other.
    Tree {
        /// Arm of the depth bandit: an index into [`SearchSpace::exits`].
        depth: usize,
        /// Arm of the head-count bandit for each dynamic group before the exit: an index into
        /// [`SearchSpace::head_options`].
        heads: Vec<usize>,
    },
    /// Arm of an integrated search: depth and heads are selected at once.
    Integrated {
        /// Arm of the joint bandit: an index into [`SearchSpace::integrated_arms`].
        arm: usize,
    },
}

/// Validated search space: the routes through a model, and the bandit arms that select these routes.
///
/// The number of arms is small, but the number of routes can be large. In a tree search, the number of routes to an
/// exit is the product of the numbers of head options of all groups before it. The preset T-DHT has 40 routes in total.
///
/// # Examples
/// ```
/// use dht_search::Preset;
///
/// let space = Preset::TDht.space(12, 12)?;
/// assert_eq!(space.exits(), [3, 6, 9, 12]);
/// assert_eq!(space.head_options(0), [8, 10, 12]);
/// assert_eq!(space.routes().len(), 40);
///
/// let route = space.resolve(&"6L8H".parse()?)?;
/// assert_eq!(space.route(&space.arms(&route)?)?, route);
/// # Ok::<(), dht_search::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SpaceConfig", into = "SpaceConfig")]
pub struct SearchSpace {
    config: SpaceConfig,
    layout: Layout,
    /// Allowed numbers of heads of each dynamic group, ascending.
    options: Vec<Vec<usize>>,
    /// Routes of an integrated search; empty for a tree search.
    arms: Vec<Route>,
}

impl SearchSpace {
    /// Checks a configuration and builds its space.
    ///
    /// # Errors
    /// * [`Argument`](dht_dynamic::Error::Argument) if a size of the model, the number of pinned heads, the number of
    ///   tail layers, the number of pre-pass layers or the number of lists of head options is out of range.
    /// * [`Exit`](dht_dynamic::Error::Exit) if the exits do not ascend or exceed the number of layers.
    /// * [`HeadCount`](dht_dynamic::Error::HeadCount) if head options do not ascend, exceed the number of heads or are
    ///   below the number of pinned heads.
    /// * [`RouteNotInSpace`](dht_dynamic::Error::RouteNotInSpace) if an arm of an integrated search does not fit the
    ///   exits.
    /// * [`Error::DuplicateArm`] if an integrated search has the same arm twice.
    pub fn new(config: SpaceConfig) -> Result<Self> {
        let (layout, options, arms) = config.parts()?;
        Ok(Self { config, layout, options, arms })
    }

    /// Configuration from which the search space was built.
    pub fn config(&self) -> &SpaceConfig {
        &self.config
    }

    /// Groups of layers and the exits between them.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Number of layers and heads of the model.
    pub fn model_shape(&self) -> ModelShape {
        self.layout.shape()
    }

    /// Returns whether the search is a [tree search](Search::Tree).
    pub fn is_tree(&self) -> bool {
        matches!(self.config.search, Search::Tree { .. })
    }

    /// Numbers of heads that at least one group may keep, ascending.
    pub(crate) fn distinct_head_options(&self) -> Vec<usize> {
        let groups = 0..self.groups().len();
        let mut options: Vec<usize> = groups.flat_map(|group| self.head_options(group)).copied().collect();
        options.sort_unstable();
        options.dedup();
        options
    }

    /// Depths of the exits, ascending. They are the arms of the depth bandit. With queues, each exit has one queue.
    pub fn exits(&self) -> &[usize] {
        self.layout.exits()
    }

    /// Total number of layers of a route that stops at an exit: the exit's depth plus the tail layers, which every
    /// route runs at its end.
    ///
    /// # Panics
    /// If the exit does not exist.
    pub fn depth(&self, exit_index: usize) -> usize {
        self.layout.depth(exit_index)
    }

    /// Base layers, which every route runs first, with all heads. `None` if the bandits' contexts (inputs) come from
    /// the embeddings or from a separate pass.
    pub fn base(&self) -> Option<LayerGroup> {
        self.layout.base()
    }

    /// Number of layers that run before the bandits' contexts (inputs) are computed.
    pub fn base_layers(&self) -> usize {
        self.layout.base_layers()
    }

    /// Dynamic groups: the groups of layers with a choice of heads, from the first to the deepest.
    pub fn groups(&self) -> &[LayerGroup] {
        self.layout.groups()
    }

    /// Dynamic groups before an exit, a prefix of [`groups`](Self::groups).
    ///
    /// # Panics
    /// If the exit does not exist.
    pub fn groups_before(&self, exit_index: usize) -> &[LayerGroup] {
        self.layout.groups_before(exit_index)
    }

    /// Tail layers: the last layers of the model, which every route runs at its end. `None` without a tail.
    pub fn tail(&self) -> Option<LayerGroup> {
        self.layout.tail()
    }

    /// Number of pinned heads, which every head set contains.
    pub fn pinned(&self) -> usize {
        self.config.pinned
    }

    /// Numbers of heads that a dynamic group may keep, ascending. In a tree search they are the arms of the
    /// head-count bandit.
    ///
    /// # Panics
    /// If the group does not exist.
    pub fn head_options(&self, group: usize) -> &[usize] {
        &self.options[group]
    }

    /// Arms of the joint bandit; empty in a tree search.
    pub fn integrated_arms(&self) -> &[Route] {
        &self.arms
    }

    /// Draws a random route.
    ///
    /// In an [integrated search](Search::Integrated), which selects a whole route at once, all routes have the same
    /// probability. In a [tree search](Search::Tree), an exit is drawn uniformly. Then a number of heads is drawn
    /// uniformly for each group of layers before that exit.
    pub fn random_route<R: Rng + ?Sized>(&self, rng: &mut R) -> Route {
        let arms = if self.is_tree() {
            let depth = rng.random_range(0..self.exits().len());
            let options = (0..self.groups_before(depth).len()).map(|group| self.head_options(group).len());
            RouteArms::Tree { depth, heads: options.map(|options| rng.random_range(0..options)).collect() }
        } else {
            RouteArms::Integrated { arm: rng.random_range(0..self.arms.len()) }
        };
        self.route(&arms).expect("arms of this space")
    }

    /// Returns the route that `arms` select.
    ///
    /// # Errors
    /// [`Error::Arm`] if this search space does not have one of the arms.
    pub fn route(&self, arms: &RouteArms) -> Result<Route> {
        match (arms, self.is_tree()) {
            (RouteArms::Integrated { arm }, false) => {
                let route = self.arms.get(*arm);
                route.cloned().ok_or_else(|| arm_error("arm of the joint bandit", self.arms.len(), *arm))
            }
            (RouteArms::Tree { depth, heads }, true) => self.tree_route(*depth, heads),
            (RouteArms::Tree { .. }, false) => Err(self.wrong_search("the arms of a tree search")),
            (RouteArms::Integrated { .. }, true) => Err(self.wrong_search("an arm of an integrated search")),
        }
    }

    /// Returns the arms that select a route.
    ///
    /// # Errors
    /// [`RouteNotInSpace`](dht_dynamic::Error::RouteNotInSpace) if the space does not have the route.
    pub fn arms(&self, route: &Route) -> Result<RouteArms> {
        let arms = if self.is_tree() { self.tree_arms(route) } else { self.integrated_arm(route) };
        arms.ok_or_else(|| {
            Error::Dynamic(Dynamic::RouteNotInSpace { route: route.to_string(), expected: self.describe() })
        })
    }

    /// Returns the route that a notation such as `12L8H` describes.
    ///
    /// # Errors
    /// [`RouteNotInSpace`](dht_dynamic::Error::RouteNotInSpace) if the space does not have the route.
    pub fn resolve(&self, spec: &RouteSpec) -> Result<Route> {
        let route = resolve(&self.layout, spec)?;
        self.arms(&route)?;
        Ok(route)
    }

    /// Every route of the search space with the bandit arms that select it. The routes of a tree search are ordered by
    /// exit and then by head options, the routes of an integrated search by arm.
    pub fn routes(&self) -> Vec<(RouteArms, Route)> {
        if !self.is_tree() {
            let arms = self.arms.iter().enumerate();
            return arms.map(|(arm, route)| (RouteArms::Integrated { arm }, route.clone())).collect();
        }
        let mut routes = Vec::new();
        for depth in 0..self.exits().len() {
            let mut paths = vec![Vec::new()];
            for options in &self.options[..self.layout.groups_before(depth).len()] {
                paths = paths
                    .iter()
                    .flat_map(|path| (0..options.len()).map(move |arm| [path.as_slice(), &[arm]].concat()))
                    .collect();
            }
            for heads in paths {
                // Arms taken from the options always have a route.
                if let Ok(route) = self.tree_route(depth, &heads) {
                    routes.push((RouteArms::Tree { depth, heads }, route));
                }
            }
        }
        routes
    }

    /// Index of the closest arm of an `earlier` integrated search, for each arm: the arm of the same total depth with
    /// the nearest number of heads (the lower in a tie).
    ///
    /// `None` for an arm if no earlier arm has its depth, and for all arms if `earlier` is a tree search. The preset
    /// P-DHT uses this to initialise its joint bandit when its second training phase starts.
    pub fn closest_arms(&self, earlier: &Self) -> Vec<Option<usize>> {
        let heads = |route: &Route| route.uniform_heads().unwrap_or(0);
        let closest = |route: &Route| {
            let same_depth = earlier.arms.iter().enumerate().filter(|(_, other)| other.depth() == route.depth());
            same_depth.min_by_key(|(_, other)| (heads(other).abs_diff(heads(route)), heads(other))).map(|(arm, _)| arm)
        };
        self.arms.iter().map(closest).collect()
    }

    /// Builds the route that stops at an exit and keeps `heads[g]` heads in group g of layers. These numbers need not
    /// be head options of the search space.
    pub(crate) fn route_keeping(&self, exit_index: usize, heads: &[usize]) -> Result<Route> {
        Ok(self.layout.route(exit_index, heads)?)
    }

    /// Returns the arms of this search space that run the same layers with the same heads as `route`. The route may
    /// come from another search space, which divides the layers into other groups.
    pub(crate) fn arms_running(&self, route: &Route) -> Result<RouteArms> {
        let arms = self.arms_of_layers(route);
        arms.ok_or_else(|| {
            Error::Dynamic(Dynamic::RouteNotInSpace { route: route.to_string(), expected: self.describe() })
        })
    }

    fn arms_of_layers(&self, route: &Route) -> Option<RouteArms> {
        if route.model_shape() != self.model_shape() {
            return None;
        }
        if !self.is_tree() {
            let arm = self.arms.iter().position(|arm| arm.layers().eq(route.layers()))?;
            return Some(RouteArms::Integrated { arm });
        }
        let exit = self.exits().iter().position(|&exit| exit == route.exit())?;
        let heads_of = |layer: usize| route.layers().find(|(at, _)| *at == layer).map(|(_, heads)| heads);
        let heads: Vec<usize> =
            self.groups_before(exit).iter().map(|group| heads_of(group.start())).collect::<Option<_>>()?;
        let own = self.layout.route(exit, &heads).ok()?;
        if own.layers().eq(route.layers()) { self.tree_arms(&own) } else { None }
    }

    fn tree_route(&self, depth: usize, heads: &[usize]) -> Result<Route> {
        if depth >= self.exits().len() {
            return Err(arm_error("arm of the depth bandit", self.exits().len(), depth));
        }
        let groups = self.layout.groups_before(depth).len();
        if heads.len() != groups {
            return Err(Error::Arm {
                what: "list of head-count arms",
                expected: format!("{groups} arms to reach exit {}", self.exits()[depth]),
                got: format!("{} arms", heads.len()),
            });
        }
        let counts = self.options.iter().zip(heads).map(|(options, &arm)| {
            options.get(arm).copied().ok_or_else(|| arm_error("arm of the head-count bandit", options.len(), arm))
        });
        Ok(self.layout.route(depth, &counts.collect::<Result<Vec<_>>>()?)?)
    }

    fn tree_arms(&self, route: &Route) -> Option<RouteArms> {
        let depth = self.exits().iter().position(|&exit| exit == route.exit())?;
        let groups = route.dynamic_groups().zip(&self.options);
        let heads =
            groups.map(|(group, options)| options.binary_search(&group.heads).ok()).collect::<Option<Vec<_>>>()?;
        (self.tree_route(depth, &heads).ok()? == *route).then_some(RouteArms::Tree { depth, heads })
    }

    fn integrated_arm(&self, route: &Route) -> Option<RouteArms> {
        self.arms.iter().position(|arm| arm == route).map(|arm| RouteArms::Integrated { arm })
    }

    fn describe(&self) -> String {
        if self.is_tree() {
            let options: Vec<_> = self.options.iter().map(|options| one_of(options)).collect();
            format!("depth {} with {} heads in its groups", one_of(self.exits()), options.join(" / "))
        } else {
            let arms: Vec<_> = self.arms.iter().map(Route::to_string).collect();
            format!("one of {}", arms.join(", "))
        }
    }

    fn wrong_search(&self, got: &str) -> Error {
        let expected = if self.is_tree() { "the arms of a tree search" } else { "an arm of an integrated search" };
        Error::Arm { what: "choice", expected: expected.into(), got: got.into() }
    }
}

fn arm_error(what: &'static str, arms: usize, got: usize) -> Error {
    Error::Arm { what, expected: format!("below {arms}"), got: got.to_string() }
}

impl TryFrom<SpaceConfig> for SearchSpace {
    type Error = Error;

    fn try_from(config: SpaceConfig) -> Result<Self> {
        Self::new(config)
    }
}

impl From<SearchSpace> for SpaceConfig {
    fn from(space: SearchSpace) -> Self {
        space.config
    }
}
