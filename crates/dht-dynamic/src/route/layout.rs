//! Layout of a model: the positions of its exits, and the groups of layers between them.

use serde::{Deserialize, Serialize};

use super::route::{GroupRole, LayerGroup, ModelShape, Route, RouteGroup};
use crate::error::{Error, Result};

/// Source of the base state, the hidden states that a router reads for its decisions before the first exit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseState {
    /// Hidden states after the base layers, the route's own layers up to the first exit. Base layers always keep all
    /// attention heads. The DHT paper (Meng et al. 2023) uses this source in its searches T-DHT, S-DHT and F-DHT.
    #[default]
    OnRoute,
    /// Hidden states after a separate pass (pre-pass) without gradient. It runs the first `layers` layers with all
    /// attention heads. The route itself may drop heads from its first layer on. The DHT paper (Meng et al. 2023) uses
    /// this source in P-DHT, its partially frozen search, so that routers get inputs of the same kind as in the first
    /// phase of the search.
    PrePass {
        /// Number of layers that run in the pre-pass.
        layers: usize,
    },
    /// Input embeddings. A router then decides before any layer runs.
    Embedding,
}

/// Layout of a model's layers: its exits, and the groups of layers between them. The *base* runs first with all
/// attention heads. The *dynamic* groups follow, whose heads are selected for each text. The *tail* runs last with all
/// heads.
///
/// # Examples
/// ```
/// use dht_dynamic::route::{Layout, ModelShape};
///
/// let layout = Layout::early_exits(ModelShape { layers: 12, heads: 12 }, &[3, 6, 12])?;
/// assert_eq!(layout.depth(1), 6);
/// assert_eq!(layout.route(1, &[])?.to_string(), "6L12H");
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    shape: ModelShape,
    exits: Vec<usize>,
    base_state: BaseState,
    base: Option<LayerGroup>,
    groups: Vec<LayerGroup>,
    tail: Option<LayerGroup>,
    /// Allowed numbers of attention heads in each dynamic group of layers; empty if every number is allowed.
    options: Vec<Vec<usize>>,
    /// True if all layers keep all attention heads. Routes then differ only in their number of layers.
    all_heads: bool,
}

impl Layout {
    /// Builds the layout of a model with exits at the depths `exits`. A router may select the attention heads of the
    /// groups of layers between the exits. The layers up to the first exit are the base with [`BaseState::OnRoute`],
    /// otherwise the first dynamic group. Every route ends with the last `tail` layers of the model.
    ///
    /// # Errors
    /// * [`Error::Argument`] if a size is out of range, if the tail has more layers than the model, or if there is no
    ///   exit.
    /// * [`Error::Exit`] if the exits do not ascend or overlap the tail.
    pub fn new(shape: ModelShape, exits: &[usize], base_state: BaseState, tail: usize) -> Result<Self> {
        shape.check()?;
        let Some(deepest) = shape.layers.checked_sub(tail) else {
            return Err(Error::argument("tail", format!("at most the {} layers", shape.layers), tail));
        };
        if exits.is_empty() {
            return Err(Error::argument("exits", "at least one depth", "an empty list"));
        }
        let mut groups = Vec::with_capacity(exits.len());
        let mut reached = 0;
        for (index, &exit) in exits.iter().enumerate() {
            if exit <= reached || exit > deepest {
                return Err(Error::Exit { index, expected: format!("{} to {deepest}", reached + 1), got: exit });
            }
            groups.push(LayerGroup::new(reached..exit)?);
            reached = exit;
        }
        let base = (base_state == BaseState::OnRoute).then(|| groups.remove(0));
        let tail = if tail == 0 { None } else { Some(LayerGroup::new(deepest..shape.layers)?) };
        Ok(Self { shape, exits: exits.to_vec(), base_state, base, groups, tail, options: Vec::new(), all_heads: false })
    }

    /// Builds a layout with exits at the depths `exits`, in which all layers keep all attention heads.
    ///
    /// # Errors
    /// * [`Error::Argument`] if a size is out of range, or if there is no exit.
    /// * [`Error::Exit`] if the exits do not ascend.
    pub fn early_exits(shape: ModelShape, exits: &[usize]) -> Result<Self> {
        Ok(Self { all_heads: true, ..Self::new(shape, exits, BaseState::OnRoute, 0)? })
    }

    /// Limits the numbers of attention heads that each dynamic group of layers may keep. `options` has one list for
    /// each group.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of lists differs from the number of dynamic groups.
    pub fn with_head_options(self, options: Vec<Vec<usize>>) -> Result<Self> {
        if options.len() != self.groups.len() {
            return Err(Error::shape("head options", format!("{} lists", self.groups.len()), options.len()));
        }
        Ok(Self { options, ..self })
    }

    /// Number of layers and attention heads of the model.
    pub fn shape(&self) -> ModelShape {
        self.shape
    }

    /// Depths of the exits in layers, ascending. The tail, the last layers that run after every exit, is not counted.
    pub fn exits(&self) -> &[usize] {
        &self.exits
    }

    /// Source of the base state, the hidden states that a router reads before the first exit.
    pub fn base_state(&self) -> BaseState {
        self.base_state
    }

    /// Layers that every route runs first, with all attention heads. `None` if routers get their first hidden states
    /// from a separate pass or from the embeddings.
    pub fn base(&self) -> Option<LayerGroup> {
        self.base
    }

    /// Number of layers that run before a router reads its first hidden states, the base state.
    pub fn base_layers(&self) -> usize {
        match self.base_state {
            BaseState::OnRoute => self.exits[0],
            BaseState::PrePass { layers } => layers,
            BaseState::Embedding => 0,
        }
    }

    /// Dynamic groups: groups of layers whose attention heads a router may select, in the order in which they run.
    pub fn groups(&self) -> &[LayerGroup] {
        &self.groups
    }

    /// Dynamic groups of layers that run before an exit: a prefix of [`groups`](Self::groups).
    ///
    /// # Panics
    /// If the exit does not exist.
    pub fn groups_before(&self, exit: usize) -> &[LayerGroup] {
        &self.groups[..if self.base.is_some() { exit } else { exit + 1 }]
    }

    /// Numbers of attention heads that a dynamic group of layers may keep; `None` if every number is allowed.
    pub fn head_options(&self, group: usize) -> Option<&[usize]> {
        self.options.get(group).map(Vec::as_slice)
    }

    /// Last layers of the model (tail), which every route runs after its exit; `None` if there are none.
    pub fn tail(&self) -> Option<LayerGroup> {
        self.tail
    }

    /// Number of layers that run for a text that stops at `exit`: the depth of the exit plus the layers of the tail.
    ///
    /// # Panics
    /// If the exit does not exist.
    pub fn depth(&self, exit: usize) -> usize {
        self.exits[exit] + self.tail.map_or(0, LayerGroup::len)
    }

    /// Builds the route that stops at an exit. `heads` has the number of attention heads of each dynamic group before
    /// this exit. A layout of [early exits](Self::early_exits) ignores `heads`, and its routes keep all heads.
    ///
    /// # Errors
    /// [`Error::HeadCount`] if a number of heads is 0 or exceeds that of the model.
    ///
    /// # Panics
    /// If the exit does not exist.
    pub fn route(&self, exit: usize, heads: &[usize]) -> Result<Route> {
        if self.all_heads {
            return Route::truncated(self.shape, self.exits[exit]);
        }
        let fixed = |role, layers| RouteGroup { role, layers, heads: self.shape.heads };
        let dynamic = self.groups_before(exit).iter().zip(heads);
        let dynamic = dynamic.map(|(&layers, &heads)| RouteGroup { role: GroupRole::Dynamic, layers, heads });
        let base = self.base.map(|layers| fixed(GroupRole::Base, layers));
        let tail = self.tail.map(|layers| fixed(GroupRole::Tail, layers));
        Route::new(self.shape, base.into_iter().chain(dynamic).chain(tail).collect())
    }
}
