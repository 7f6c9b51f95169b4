//! Configuration of a search space, and its validation.

use dht_dynamic::Error as Dynamic;
use dht_dynamic::{
    Route,
    route::{BaseState, Layout, ModelShape, RouteSpec},
};
use serde::{Deserialize, Serialize};

use super::notation::resolve;
use crate::error::{Error, Result};

/// Search method: bandits select depth and heads either one after the other (tree) or at once (integrated).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Search {
    /// Tree search (DHT paper, section 4.2.1): the depth bandit (UCB_L) selects the exit. Then the head-count bandit
    /// (UCB_H) selects the number of heads in each group of layers before that exit.
    Tree {
        /// Allowed numbers of heads of each dynamic group, ascending.
        heads: Vec<Vec<usize>>,
    },
    /// Integrated search (DHT paper, section 4.2.2): the joint bandit (UCB_cp) selects depth and number of heads at
    /// once.
    Integrated {
        /// Arms of the joint bandit, in order. Each arm is a route that keeps the same number of heads in all its
        /// dynamic groups.
        arms: Vec<RouteSpec>,
    },
}

/// Search space as a program or a file describes it. [`SearchSpace::new`](crate::SearchSpace::new) checks a
/// configuration; [`from_toml_file`](Self::from_toml_file) reads and checks a file.
///
/// ```toml
/// layers = 12
/// heads = 12
/// exits = [3, 6, 9, 12]
/// pinned = 4
///
/// [search]
/// kind = "integrated"
/// arms = ["3L12H", "6L12H", "9L12H", "12L8H", "12L10H", "12L12H"]
/// ```
///
/// A tree search has `kind = "tree"` and the head counts of each group: `heads = [[8, 10, 12], [8, 10, 12], [12]]`.
/// `pinned`, `tail` (both 0 by default) and `base_state` are optional. `base_state` is `"on_route"`, `"embedding"` or
/// `{ pre_pass = { layers = 3 } }`.
///
/// # Examples
/// A space of two exits, built in a program:
///
/// ```
/// use dht_search::{SearchSpace, SpaceConfig};
///
/// let config = SpaceConfig { pinned: 2, ..SpaceConfig::of_full_heads(6, 12, vec![3, 6]) };
/// let space = SearchSpace::new(config)?;
/// assert_eq!(space.routes().len(), 2);
/// assert_eq!(space.base().map(|base| base.len()), Some(3));
/// # Ok::<(), dht_search::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceConfig {
    /// Number of layers of the model, N_L.
    pub layers: usize,
    /// Number of heads of each layer, N_H.
    pub heads: usize,
    /// Depths of the exits in layers, ascending. The layers between two exits form a dynamic group, whose heads are
    /// selected. The layers up to the first exit keep all heads with [`BaseState::OnRoute`] (base layers), and are
    /// otherwise the first dynamic group.
    pub exits: Vec<usize>,
    /// Number of pinned heads, which every head set contains. The head-set bandit selects among the other heads.
    #[serde(default)]
    pub pinned: usize,
    /// Number of tail layers: last layers of the model, which every route runs after its exit depth.
    #[serde(default)]
    pub tail: usize,
    /// Hidden state from which the bandits' contexts (inputs) are computed.
    #[serde(default)]
    pub base_state: BaseState,
    /// Search method, with the allowed numbers of heads or the arms.
    pub search: Search,
}

/// Validated fields of a space: its groups of layers, the allowed head counts of each group, and the arms of an
/// integrated search.
type SpaceFields = (Layout, Vec<Vec<usize>>, Vec<Route>);

impl SpaceConfig {
    /// Builds a tree space whose routes keep all heads and differ only in depth, as in FastBERT and PABEE.
    pub fn of_full_heads(layers: usize, heads: usize, exits: Vec<usize>) -> Self {
        let search = Search::Tree { heads: vec![vec![heads]; exits.len().saturating_sub(1)] };
        Self { layers, heads, exits, pinned: 0, tail: 0, base_state: BaseState::OnRoute, search }
    }

    pub(crate) fn parts(&self) -> Result<SpaceFields> {
        let shape = ModelShape { layers: self.layers, heads: self.heads };
        let layout = Layout::new(shape, &self.exits, self.base_state, self.tail)?;
        if self.pinned > shape.heads {
            return Err(Error::argument("pinned", format!("at most the {} heads", shape.heads), self.pinned));
        }
        if let BaseState::PrePass { layers } = self.base_state
            && !(1..=shape.layers).contains(&layers)
        {
            return Err(Error::argument("base_state.pre_pass.layers", format!("1 to {}", shape.layers), layers));
        }
        let (options, arms) = match &self.search {
            Search::Tree { heads } => (check_options(heads, &layout, self.pinned)?, Vec::new()),
            Search::Integrated { arms } => check_arms(arms, &layout, self.pinned)?,
        };
        let layout = if arms.is_empty() { layout.with_head_options(options.clone())? } else { layout };
        Ok((layout, options, arms))
    }
}

fn check_options(lists: &[Vec<usize>], layout: &Layout, pinned: usize) -> Result<Vec<Vec<usize>>> {
    let groups = layout.groups().len();
    if lists.len() != groups {
        return Err(Error::argument("search.heads", format!("{groups} lists, one for each group"), lists.len()));
    }
    for (group, options) in lists.iter().enumerate() {
        if options.is_empty() {
            return Err(Error::Dynamic(Dynamic::HeadCount { group, expected: "at least one option".into(), got: 0 }));
        }
        let mut least = pinned.max(1);
        for &option in options {
            check_heads(group, option, least, layout.shape().heads)?;
            least = option + 1;
        }
    }
    Ok(lists.to_vec())
}

/// Allowed head counts by group of layers, and the arms of an integrated search.
type Arms = (Vec<Vec<usize>>, Vec<Route>);

fn check_arms(specs: &[RouteSpec], layout: &Layout, pinned: usize) -> Result<Arms> {
    if specs.is_empty() {
        return Err(Error::argument("search.arms", "at least one route", "an empty list"));
    }
    let mut options = vec![Vec::new(); layout.groups().len()];
    let mut arms: Vec<Route> = Vec::with_capacity(specs.len());
    for (arm, spec) in specs.iter().enumerate() {
        let route = resolve(layout, spec)?;
        if route.uniform_heads().is_none() {
            let expected = "one number of heads in all dynamic groups of an arm".into();
            return Err(Error::Dynamic(Dynamic::RouteNotInSpace { route: spec.to_string(), expected }));
        }
        if let Some(first) = arms.iter().position(|earlier| *earlier == route) {
            return Err(Error::DuplicateArm { arm, first, route: spec.to_string() });
        }
        for (group, (part, options)) in route.dynamic_groups().zip(&mut options).enumerate() {
            check_heads(group, part.heads, pinned.max(1), layout.shape().heads)?;
            options.push(part.heads);
        }
        arms.push(route);
    }
    for options in &mut options {
        options.sort_unstable();
        options.dedup();
    }
    Ok((options, arms))
}

fn check_heads(group: usize, heads: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&heads) {
        return Ok(());
    }
    let expected = if least > most {
        "no option after all heads".to_string()
    } else {
        format!("{least} to {most} (ascending, at least the pinned ones)")
    };
    Err(Error::Dynamic(Dynamic::HeadCount { group, expected, got: heads }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::SearchSpace;
    use crate::space::presets::{Preset, SevenLayerHeads};

    fn refused(preset: Preset, change: impl Fn(&mut SpaceConfig)) -> Error {
        let mut config = preset.config(12, 12, SevenLayerHeads::Standard).unwrap();
        change(&mut config);
        SearchSpace::new(config).expect_err("a broken space was accepted")
    }

    fn arms(specs: &[&str]) -> Search {
        Search::Integrated { arms: specs.iter().map(|spec| spec.parse().unwrap()).collect() }
    }

    #[test]
    fn exits_must_ascend_within_the_layers() {
        let tree = |exits: &[usize]| refused(Preset::TDht, |config| config.exits = exits.to_vec());
        assert!(matches!(tree(&[3, 9, 6, 12]), Error::Dynamic(Dynamic::Exit { index: 2, got: 6, .. })));
        assert!(matches!(tree(&[3, 3, 6, 12]), Error::Dynamic(Dynamic::Exit { index: 1, got: 3, .. })));
        assert!(matches!(tree(&[0, 3, 6, 12]), Error::Dynamic(Dynamic::Exit { index: 0, got: 0, .. })));
        assert!(matches!(tree(&[3, 6, 9, 13]), Error::Dynamic(Dynamic::Exit { index: 3, got: 13, .. })));
        assert!(matches!(tree(&[]), Error::Dynamic(Dynamic::Argument { name: "exits", .. })));
        let tail = refused(Preset::PDht, |config| config.tail = 3);
        assert!(matches!(tail, Error::Dynamic(Dynamic::Exit { index: 3, got: 10, .. })));
        assert!(matches!(
            refused(Preset::PDht, |config| config.tail = 13),
            Error::Dynamic(Dynamic::Argument { name: "tail", .. })
        ));
    }

    #[test]
    fn head_options_must_ascend_between_pinned_and_all() {
        let tree = |options: Vec<usize>| {
            refused(Preset::TDht, |config| {
                config.search = Search::Tree { heads: vec![vec![8], options.clone(), vec![12]] }
            })
        };
        assert!(matches!(tree(vec![3, 8]), Error::Dynamic(Dynamic::HeadCount { group: 1, got: 3, .. })));
        assert!(matches!(tree(vec![8, 13]), Error::Dynamic(Dynamic::HeadCount { group: 1, got: 13, .. })));
        assert!(matches!(tree(vec![10, 8]), Error::Dynamic(Dynamic::HeadCount { group: 1, got: 8, .. })));
        assert!(matches!(tree(vec![8, 8]), Error::Dynamic(Dynamic::HeadCount { group: 1, got: 8, .. })));
        assert!(matches!(tree(vec![12, 12]), Error::Dynamic(Dynamic::HeadCount { group: 1, got: 12, .. })));
        assert!(matches!(tree(vec![]), Error::Dynamic(Dynamic::HeadCount { group: 1, got: 0, .. })));
        let lists = refused(Preset::TDht, |config| config.search = Search::Tree { heads: vec![vec![8]; 4] });
        assert!(matches!(lists, Error::Dynamic(Dynamic::Argument { name: "search.heads", .. })));
    }

    #[test]
    fn arms_must_be_routes_of_the_space_and_differ() {
        let integrated = |specs: &[&str]| refused(Preset::FDht, |config| config.search = arms(specs));
        assert!(matches!(integrated(&[]), Error::Dynamic(Dynamic::Argument { name: "search.arms", .. })));
        assert!(matches!(integrated(&["3L12H", "5L8H"]), Error::Dynamic(Dynamic::RouteNotInSpace { .. })));
        assert!(matches!(integrated(&["3L8H"]), Error::Dynamic(Dynamic::RouteNotInSpace { .. })));
        assert!(matches!(integrated(&["3L12H+3L8H+3L10H"]), Error::Dynamic(Dynamic::RouteNotInSpace { .. })));
        assert!(matches!(integrated(&["12L3H"]), Error::Dynamic(Dynamic::HeadCount { group: 0, got: 3, .. })));
        assert!(matches!(integrated(&["12L13H"]), Error::Dynamic(Dynamic::HeadCount { got: 13, .. })));
        let twice = integrated(&["3L12H", "12L8H", "3L12H+9L8H"]);
        assert!(matches!(twice, Error::DuplicateArm { arm: 2, first: 1, .. }));
    }

    #[test]
    fn sizes_out_of_range_are_named() {
        let field = |change: fn(&mut SpaceConfig)| match refused(Preset::PDht, change) {
            Error::Dynamic(Dynamic::Argument { name: field, .. }) => field,
            other => panic!("{other}"),
        };
        assert_eq!(field(|config| config.pinned = 13), "pinned");
        assert_eq!(field(|config| config.heads = 0), "heads");
        assert_eq!(field(|config| config.layers = 0), "layers");
        assert_eq!(field(|config| config.layers = usize::MAX), "layers");
        assert_eq!(field(|config| config.base_state = BaseState::PrePass { layers: 0 }), "base_state.pre_pass.layers");
        assert_eq!(field(|config| config.base_state = BaseState::PrePass { layers: 13 }), "base_state.pre_pass.layers");
    }

    #[test]
    fn a_file_needs_only_what_differs_from_the_default() {
        let json = r#"{"layers": 12, "heads": 12, "exits": [3, 6, 9, 12], "pinned": 4,
            "search": {"kind": "integrated", "arms": ["3L12H", "6L12H", "9L12H", "12L8H", "12L10H", "12L12H"]}}"#;
        let config: SpaceConfig = serde_json::from_str(json).unwrap();
        assert_eq!(config, Preset::SDht.config(12, 12, SevenLayerHeads::Standard).unwrap());
        assert!(serde_json::from_str::<SpaceConfig>(&json.replace("pinned", "pined")).is_err());
        assert!(serde_json::from_str::<SearchSpace>(&json.replace("12L8H", "11L8H")).is_err());
    }
}
