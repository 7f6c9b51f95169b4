//! Routes: the layers that a text runs, and the number of attention heads that each layer keeps.

use std::fmt;
use std::ops::Range;

use dht_transformer::HeadSet;
use serde::{Deserialize, Serialize};

use super::notation::{RouteSpec, Segment};
use crate::error::{Error, Result};

/// Size of a model: its number of layers, and of attention heads per layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelShape {
    /// Number of layers, written N_L in the DHT paper (Meng et al. 2023).
    pub layers: usize,
    /// Number of attention heads in each layer, written N_H in the DHT paper (Meng et al. 2023).
    pub heads: usize,
}

impl ModelShape {
    /// Checks that the model has 1 to 65,535 layers (the limit of a [`RouteSpec`]) and 1 to 128 heads (the limit of a
    /// [`HeadSet`](dht_transformer::HeadSet)).
    ///
    /// # Errors
    /// [`Error::Argument`] if a number is out of range.
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

/// Range of adjacent layers that share one decision about attention heads. Layers are numbered from 0, as in weight
/// names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Range<usize>", into = "Range<usize>")]
pub struct LayerGroup {
    start: usize,
    end: usize,
}

impl LayerGroup {
    /// Creates a group from a range of layers.
    ///
    /// # Errors
    /// [`Error::NoLayers`] if the range is empty.
    pub fn new(layers: Range<usize>) -> Result<Self> {
        let Range { start, end } = layers;
        if start < end { Ok(Self { start, end }) } else { Err(Error::NoLayers { start, end }) }
    }

    /// Index of the group's first layer.
    pub fn start(self) -> usize {
        self.start
    }

    /// Index of the first layer after the group.
    pub fn end(self) -> usize {
        self.end
    }

    /// Number of layers in the group, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a group of layers is never empty")]
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Range of the layers' indices.
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

/// Role of a group of layers in a route: whether its attention heads are selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupRole {
    /// First layers of a model, which always keep all attention heads. A router first decides on the hidden states
    /// after these layers.
    Base,
    /// Layers whose attention heads are selected for each text.
    Dynamic,
    /// Last layers of a model, which every route runs with all attention heads. In the partially frozen search of the
    /// DHT paper (P-DHT, Meng et al. 2023), they are frozen.
    Tail,
}

/// Group of adjacent layers on a route, with its role and its number of attention heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouteGroup {
    /// Role of the group: base (first layers), dynamic (layers whose heads are selected) or tail (last layers).
    pub role: GroupRole,
    /// Layers of the group.
    pub layers: LayerGroup,
    /// Number of attention heads that each layer keeps.
    pub heads: usize,
}

/// Route of a text: the layers that it runs, in groups, with the number of attention heads that each group keeps. An
/// invalid route cannot be constructed.
///
/// Routes start at layer 0 and skip no layer, except between the last dynamic group and the tail, if there is a tail
/// (see [`GroupRole`]). Base and tail keep all heads. The route of a text that is answered before the first layer has
/// no groups ([`without_layers`](Self::without_layers)).
///
/// # Examples
/// ```
/// use dht_dynamic::{Route, route::ModelShape};
///
/// let shape = ModelShape { layers: 12, heads: 12 };
/// let route = Route::truncated(shape, 3)?;
/// assert_eq!(route.to_string(), "3L12H");
/// assert_eq!(route.head_share(), 0.25);
/// assert_eq!(Route::without_layers(shape)?.to_string(), "0L");
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RouteData", into = "RouteData")]
pub struct Route {
    shape: ModelShape,
    groups: Vec<RouteGroup>,
}

impl Route {
    /// Builds a route from its groups, for a model of size `shape`.
    ///
    /// # Errors
    /// * [`Error::NoLayers`] if there is no group.
    /// * [`Error::GroupOrder`] if a group does not start where the previous group ends, if a base is not the first
    ///   group, or if a tail is the only group or not the last.
    /// * [`Error::GroupEnd`] if a group ends beyond the model's last layer, or a tail ends before that layer.
    /// * [`Error::HeadCount`] if a group keeps no head or more heads than the model has, or a base or tail does not
    ///   keep all heads.
    /// * As [`ModelShape::check`].
    pub fn new(shape: ModelShape, groups: Vec<RouteGroup>) -> Result<Self> {
        shape.check()?;
        if groups.is_empty() {
            return Err(Error::NoLayers { start: 0, end: 0 });
        }
        let mut reached = 0;
        for (index, group) in groups.iter().enumerate() {
            check_order(&groups, index, reached)?;
            check_size(shape, index, group)?;
            reached = group.layers.end();
        }
        Ok(Self { shape, groups })
    }

    /// Builds the route through the first `depth` layers with all attention heads, as in a truncated or full model.
    ///
    /// # Errors
    /// * [`Error::NoLayers`] if the depth is 0.
    /// * [`Error::GroupEnd`] if the depth exceeds the model's layers.
    /// * As [`ModelShape::check`].
    pub fn truncated(shape: ModelShape, depth: usize) -> Result<Self> {
        let layers = LayerGroup::new(0..depth)?;
        Self::new(shape, vec![RouteGroup { role: GroupRole::Base, layers, heads: shape.heads }])
    }

    /// Builds the route of a text that is answered before the first layer, for example by an n-gram classifier. The
    /// route formats as `0L`.
    ///
    /// # Errors
    /// [`Error::Argument`] if a size of the model is out of range.
    pub fn without_layers(shape: ModelShape) -> Result<Self> {
        shape.check()?;
        Ok(Self { shape, groups: Vec::new() })
    }

    /// Size of the model: its number of layers, and of attention heads per layer.
    pub fn model_shape(&self) -> ModelShape {
        self.shape
    }

    /// Rejects the route if it was built for a model of another size.
    ///
    /// # Errors
    /// [`Error::RouteNotInSpace`] if the number of layers or heads differs.
    pub fn check_shape(&self, shape: ModelShape) -> Result<()> {
        if self.shape == shape {
            return Ok(());
        }
        let expected = format!("a route for {} layers of {} heads", shape.layers, shape.heads);
        Err(Error::RouteNotInSpace { route: self.to_string(), expected })
    }

    /// Groups of layers, in the order in which they run.
    pub fn groups(&self) -> &[RouteGroup] {
        &self.groups
    }

    /// Groups of layers whose attention heads are selected for each text.
    pub fn dynamic_groups(&self) -> impl Iterator<Item = &RouteGroup> {
        self.groups.iter().filter(|group| group.role == GroupRole::Dynamic)
    }

    /// Depth of the route: the number of layers that run.
    pub fn depth(&self) -> usize {
        self.groups.iter().map(|group| group.layers.len()).sum()
    }

    /// Depth of the exit: the number of layers that run before it, without the layers of a tail.
    pub fn exit(&self) -> usize {
        self.depth() - self.tail().map_or(0, LayerGroup::len)
    }

    /// Last layers of the model (tail), if the route ends with them; `None` otherwise.
    pub fn tail(&self) -> Option<LayerGroup> {
        self.groups.last().filter(|group| group.role == GroupRole::Tail).map(|group| group.layers)
    }

    /// Iterates over the layers that run, as pairs of the layer's index and its number of attention heads.
    pub fn layers(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.groups.iter().flat_map(|group| group.layers.layers().map(move |layer| (layer, group.heads)))
    }

    /// Number of attention heads that every dynamic group keeps; `None` if the groups differ. For a route without
    /// dynamic groups, the number of heads of the model.
    pub fn uniform_heads(&self) -> Option<usize> {
        let mut heads = self.dynamic_groups().map(|group| group.heads);
        let first = heads.next().unwrap_or(self.shape.heads);
        heads.all(|other| other == first).then_some(first)
    }

    /// Share of the model's attention heads that the route runs: the heads of all layers that run, divided by all heads
    /// of all layers. In a model of 12 layers with 12 heads, the route `12L8H` with three base layers has the share
    /// (3·12 + 9·8)/144 = .75.
    pub fn head_share(&self) -> f64 {
        let ModelShape { layers, heads } = self.shape;
        self.layers().map(|(_, heads)| heads as f64).sum::<f64>() / (layers * heads) as f64
    }

    /// Text notation of the route, such as `12L8H`; see [`RouteSpec`].
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

/// Formats the route in the notation of [`RouteSpec`], such as `12L8H` for 12 layers with 8 heads each.
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

fn check_size(shape: ModelShape, index: usize, group: &RouteGroup) -> Result<()> {
    let RouteGroup { role, layers, heads } = *group;
    let got = layers.end();
    if got > shape.layers || (role == GroupRole::Tail && got != shape.layers) {
        let most = if role == GroupRole::Tail { "" } else { "at most " };
        return Err(Error::GroupEnd { group: index, expected: format!("{most}{}", shape.layers), got });
    }
    let expected = match role {
        GroupRole::Dynamic if heads == 0 || heads > shape.heads => format!("1 to {}", shape.heads),
        GroupRole::Base | GroupRole::Tail if heads != shape.heads => {
            format!("all {} in a base or tail", shape.heads)
        }
        _ => return Ok(()),
    };
    Err(Error::HeadCount { group: index, expected, got: heads })
}

/// Serialised form of a [`Route`]. Converting it to a route checks its fields.
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
