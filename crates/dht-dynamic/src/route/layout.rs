//! The layout of a model: where its groups of layers and its exits are.

use serde::{Deserialize, Serialize};

use super::route::{GroupRole, LayerGroup, ModelShape, Route, RouteGroup};
use crate::error::{Error, Result};

/// The origin of the base state S1, from which a router decides before the first exit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseState {
    /// The state after the route's own first layers, up to the first exit. These base layers are never pruned (T-, S-
    /// and F-DHT).
    #[default]
    OnRoute,
    /// The state after a separate pre-pass without gradient, through the first `layers` layers with all heads. The
    /// route itself may prune heads from its first layer on. In P-DHT, contexts thereby have the same meaning as in the
    /// first phase.
    PrePass {
        /// The number of layers of the pre-pass, b.
        layers: usize,
    },
    /// The embeddings: contexts come from no layer (b = 0), and there is no pre-pass.
    Embedding,
}

/// The groups of layers between the exits of a model: the base, the dynamic groups in order, the tail.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    shape: ModelShape,
    exits: Vec<usize>,
    base_state: BaseState,
    base: Option<LayerGroup>,
    groups: Vec<LayerGroup>,
    tail: Option<LayerGroup>,
    /// The allowed numbers of heads of each group; empty if all are.
    options: Vec<Vec<usize>>,
    /// True if the routes differ in depth alone.
    all_heads: bool,
}

impl Layout {
    /// Builds the groups between these exits, whose heads a router may choose. The layers up to the first exit are the
    /// base with [`BaseState::OnRoute`], otherwise the first group. Every route ends with the last `tail` layers of the
    /// model.
    ///
    /// # Errors
    /// [`Error::Argument`] for a size out of range, a tail of more layers than the model has, and without exits;
    /// [`Error::Exit`] for exits that do not ascend or overlap the tail.
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

    /// The layout of early exits at these depths: all layers keep all heads.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn early_exits(shape: ModelShape, exits: &[usize]) -> Result<Self> {
        Ok(Self { all_heads: true, ..Self::new(shape, exits, BaseState::OnRoute, 0)? })
    }

    /// Limits the numbers of heads that each group may keep: one list for each group.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of lists.
    pub fn with_head_options(self, options: Vec<Vec<usize>>) -> Result<Self> {
        if options.len() != self.groups.len() {
            return Err(Error::shape("head options", format!("{} lists", self.groups.len()), options.len()));
        }
        Ok(Self { options, ..self })
    }

    /// The size of the model.
    pub fn shape(&self) -> ModelShape {
        self.shape
    }

    /// The exit depths, without the tail, ascending. If there is a base, the first exit is at its end.
    pub fn exits(&self) -> &[usize] {
        &self.exits
    }

    /// The origin of the base state.
    pub fn base_state(&self) -> BaseState {
        self.base_state
    }

    /// The base: the layers that every route runs first, with all heads. `None` if the base state does not come from
    /// the route itself.
    pub fn base(&self) -> Option<LayerGroup> {
        self.base
    }

    /// The number of layers below the base state, b.
    pub fn base_layers(&self) -> usize {
        match self.base_state {
            BaseState::OnRoute => self.exits[0],
            BaseState::PrePass { layers } => layers,
            BaseState::Embedding => 0,
        }
    }

    /// The dynamic groups, from the first to the deepest.
    pub fn groups(&self) -> &[LayerGroup] {
        &self.groups
    }

    /// The dynamic groups before an exit, a prefix of [`groups`](Self::groups).
    ///
    /// # Panics
    /// When the exit does not exist.
    pub fn groups_before(&self, exit: usize) -> &[LayerGroup] {
        &self.groups[..if self.base.is_some() { exit } else { exit + 1 }]
    }

    /// The numbers of heads that a group may keep; `None` where all are allowed.
    pub fn head_options(&self, group: usize) -> Option<&[usize]> {
        self.options.get(group).map(Vec::as_slice)
    }

    /// The tail: the model's last layers, with which every route ends.
    pub fn tail(&self) -> Option<LayerGroup> {
        self.tail
    }

    /// The total depth of the routes that leave at an exit: the exit's depth and the tail's layers.
    ///
    /// # Panics
    /// When the exit does not exist.
    pub fn depth(&self, exit: usize) -> usize {
        self.exits[exit] + self.tail.map_or(0, LayerGroup::len)
    }

    /// The route that leaves at an exit and keeps these numbers of heads, one for each dynamic group before it. The
    /// route of [early exits](Self::early_exits) keeps all heads.
    ///
    /// # Errors
    /// [`Error::HeadCount`] for a number of heads that the model does not have.
    ///
    /// # Panics
    /// When the exit does not exist.
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
