//! Routes: the layers that a sample runs, and the number of heads that each layer keeps.

use std::fmt;
use std::ops::Range;

use dht_transformer::HeadSet;
use serde::{Deserialize, Serialize};

use super::notation::{RouteSpec, Segment};
use crate::error::{Error, Result};

/// The number of layers and heads of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelShape {
    /// The number of layers, N_L.
    pub layers: usize,
    /// The number of heads of each layer, N_H.
    pub heads: usize,
}

impl ModelShape {
    /// Checks for 1 to 65,535 layers, the limit of a [`RouteSpec`], and 1 to 128 heads, the limit of a
    /// [`HeadSet`](dht_transformer::HeadSet).
    ///
    /// # Errors
    /// [`Error::Argument`] with the number that is out of range.
    pub fn check(&self) -> Result<()> {
        for (field, size, most) in
            [("layers", self.layers, RouteSpec::MOST), ("heads", self.heads, HeadSet::MOST_HEADS)]
        {
            if !(1..=most).contains(&size) {
                return Err(Error::argument(field, format!("1 to {most}"), size));
            }
        }
        Ok(())
    }
}

/// Adjacent layers that share one decision about heads; at least one layer. Layers count from 0, as in weight names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Range<usize>", into = "Range<usize>")]
pub struct LayerGroup {
    start: usize,
    end: usize,
}

impl LayerGroup {
    /// Builds a group of these layers.
    ///
    /// # Errors
    /// [`Error::NoLayers`] when the range is empty.
    pub fn new(layers: Range<usize>) -> Result<Self> {
        let Range { start, end } = layers;
        if start < end { Ok(Self { start, end }) } else { Err(Error::NoLayers { start, end }) }
    }

    /// The first layer.
    pub fn start(self) -> usize {
        self.start
    }

    /// The layer after the last.
    pub fn end(self) -> usize {
        self.end
    }

    /// The number of layers, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a group of layers is never empty")]
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// The layers.
    pub fn layers(self) -> Range<usize> {
        self.start..self.end
    }
}

impl TryFrom<Range<usize>> for LayerGroup {
    type Error = Error;

    fn try_from(layers: Range<usize>) -> Result<Self> {
        Self::new(layers)
    }
}

impl From<LayerGroup> for Range<usize> {
    fn from(group: LayerGroup) -> Self {
        group.layers()
    }
}

/// The role of a group of layers in a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupRole {
    /// The first layers, always run and never pruned; the bandits' contexts are computed from their states.
    Base,
    /// Layers that run with the selected heads.
    Dynamic,
    /// The model's last layers. In a partially frozen search (P-DHT), these layers are frozen and every route ends with
    /// them. They are never pruned.
    Tail,
}

/// A group of layers on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouteGroup {
    /// The role of the group in the search.
    pub role: GroupRole,
    /// The layers of the group.
    pub layers: LayerGroup,
    /// The number of heads that each layer keeps.
    pub heads: usize,
}

/// The layers that a sample runs, and the number of heads that each group of them keeps. An invalid route cannot be
/// constructed.
///
/// A route starts at layer 0 and skips no layer, except between its last dynamic group and its tail, if it has one (see
/// [`GroupRole`]). Base and tail keep all heads. The route of a text that is answered before the first layer has no
/// group ([`without_layers`](Self::without_layers)).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RouteData", into = "RouteData")]
pub struct Route {
    shape: ModelShape,
    groups: Vec<RouteGroup>,
}

impl Route {
    /// Builds a route of these groups in a model of this size.
    ///
    /// # Errors
    /// * [`Error::NoLayers`] without a group.
    /// * [`Error::GroupOrder`] when a group does not start where the previous group ends, when a base is not the first
    ///   group, or when a tail is not the last.
    /// * [`Error::GroupEnd`] when a group ends beyond the model's last layer, or a tail ends before that layer.
    /// * [`Error::HeadCount`] when a group keeps no head or more heads than the model has, or a base or tail does not
    ///   keep all heads.
    /// * As [`ModelShape::check`].
    pub fn new(shape: ModelShape, groups: Vec<RouteGroup>) -> Result<Self> {
        shape.check()?;
        if groups.is_empty() {
            return Err(Error::NoLayers { start: 0, end: 0 });
        }
        let mut reached = 0;
        for (group, part) in groups.iter().enumerate() {
            check_order(&groups, group, reached)?;
            check_size(shape, group, part)?;
            reached = part.layers.end();
        }
        Ok(Self { shape, groups })
    }

    /// The first `depth` layers with all their heads: a truncated model, or the full one.
    ///
    /// # Errors
    /// [`Error::NoLayers`] at depth 0, [`Error::GroupEnd`] beyond the model, and as [`ModelShape::check`].
    pub fn truncated(shape: ModelShape, depth: usize) -> Result<Self> {
        let layers = LayerGroup::new(0..depth)?;
        Self::new(shape, vec![RouteGroup { role: GroupRole::Base, layers, heads: shape.heads }])
    }

    /// The route of a text that is answered before the first layer, for example by an n-gram classifier. Formats as
    /// `0L`.
    ///
    /// # Errors
    /// As [`ModelShape::check`].
    pub fn without_layers(shape: ModelShape) -> Result<Self> {
        shape.check()?;
        Ok(Self { shape, groups: Vec::new() })
    }

    /// The size of the model.
    pub fn model_shape(&self) -> ModelShape {
        self.shape
    }

    /// Rejects a route for a model of another size.
    ///
    /// # Errors
    /// [`Error::RouteNotInSpace`] for such a route.
    pub fn check_shape(&self, shape: ModelShape) -> Result<()> {
        if self.shape == shape {
            return Ok(());
        }
        let expected = format!("a route for {} layers of {} heads", shape.layers, shape.heads);
        Err(Error::RouteNotInSpace { route: self.to_string(), expected })
    }

    /// The groups, in the order in which they run.
    pub fn groups(&self) -> &[RouteGroup] {
        &self.groups
    }

    /// The groups whose heads the bandits select.
    pub fn dynamic_groups(&self) -> impl Iterator<Item = &RouteGroup> {
        self.groups.iter().filter(|group| group.role == GroupRole::Dynamic)
    }

    /// The number of layers that run, L.
    pub fn depth(&self) -> usize {
        self.groups.iter().map(|group| group.layers.len()).sum()
    }

    /// The depth of the exit: the number of layers that run before the tail.
    pub fn exit(&self) -> usize {
        self.depth() - self.tail().map_or(0, LayerGroup::len)
    }

    /// The tail: the model's last layers after skipped ones, if the route has them.
    pub fn tail(&self) -> Option<LayerGroup> {
        self.groups.last().filter(|group| group.role == GroupRole::Tail).map(|group| group.layers)
    }

    /// Each layer that runs, with the number of heads it keeps.
    pub fn layers(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.groups.iter().flat_map(|group| group.layers.layers().map(move |layer| (layer, group.heads)))
    }

    /// The number of heads H of the dynamic groups, if all keep the same number; all heads for a route without dynamic
    /// groups.
    pub fn uniform_heads(&self) -> Option<usize> {
        let mut heads = self.dynamic_groups().map(|group| group.heads);
        let first = heads.next().unwrap_or(self.shape.heads);
        heads.all(|other| other == first).then_some(first)
    }

    /// The share of heads kept: Σ heads over the layers that run, over all heads of all layers. The route 12L8H with
    /// three base layers of twelve heads has the share (3·12 + 9·8)/144 = .75.
    pub fn head_share(&self) -> f64 {
        let ModelShape { layers, heads } = self.shape;
        self.layers().map(|(_, heads)| heads as f64).sum::<f64>() / (layers * heads) as f64
    }

    /// The route in the paper's notation; see [`RouteSpec`].
    pub fn spec(&self) -> RouteSpec {
        let segment = |group: &RouteGroup| Segment { layers: group.layers.len(), heads: group.heads };
        let Some(first) = self.groups.first() else { return RouteSpec::without_layers() };
        let starts_with_base = first.role == GroupRole::Base;
        let segments = match (self.uniform_heads(), self.tail()) {
            (Some(heads), None) => vec![Segment { layers: self.depth(), heads }],
            (Some(heads), Some(tail)) if !starts_with_base && self.groups.len() > 1 => {
                let tail = Segment { layers: tail.len(), heads: self.shape.heads };
                vec![Segment { layers: self.exit(), heads }, tail]
            }
            _ => self.groups.iter().map(segment).collect(),
        };
        RouteSpec::from_route(segments)
    }
}

/// Formats the route as its [`RouteSpec`]: `12L8H`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec().fmt(f)
    }
}

fn check_order(groups: &[RouteGroup], group: usize, reached: usize) -> Result<()> {
    let RouteGroup { role, layers, .. } = groups[group];
    let got = layers.start();
    let error = |expected: String| Err(Error::GroupOrder { group, expected, got });
    match role {
        GroupRole::Base if group > 0 => error("no base after the first group".into()),
        GroupRole::Tail if group + 1 < groups.len() => error("no tail before the last group".into()),
        GroupRole::Tail if group == 0 => error("a group before the tail".into()),
        GroupRole::Tail if got < reached => error(format!("{reached} or later")),
        GroupRole::Base | GroupRole::Dynamic if got != reached => error(reached.to_string()),
        _ => Ok(()),
    }
}

fn check_size(shape: ModelShape, group: usize, part: &RouteGroup) -> Result<()> {
    let RouteGroup { role, layers, heads } = *part;
    let got = layers.end();
    if got > shape.layers || (role == GroupRole::Tail && got != shape.layers) {
        let most = if role == GroupRole::Tail { "" } else { "at most " };
        return Err(Error::GroupEnd { group, expected: format!("{most}{}", shape.layers), got });
    }
    let expected = match role {
        GroupRole::Dynamic if heads == 0 || heads > shape.heads => format!("1 to {}", shape.heads),
        GroupRole::Base | GroupRole::Tail if heads != shape.heads => {
            format!("all {} in a base or tail", shape.heads)
        }
        _ => return Ok(()),
    };
    Err(Error::HeadCount { group, expected, got: heads })
}

/// Serialised form of a route; deserialisation validates it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteData {
    layers: usize,
    heads: usize,
    groups: Vec<RouteGroup>,
}

impl TryFrom<RouteData> for Route {
    type Error = Error;

    fn try_from(data: RouteData) -> Result<Self> {
        let shape = ModelShape { layers: data.layers, heads: data.heads };
        if data.groups.is_empty() { Self::without_layers(shape) } else { Self::new(shape, data.groups) }
    }
}

impl From<Route> for RouteData {
    fn from(route: Route) -> Self {
        Self { layers: route.shape.layers, heads: route.shape.heads, groups: route.groups }
    }
}

#[cfg(test)]
mod tests;
