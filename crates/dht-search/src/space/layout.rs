//! The groups of layers between the exits, and the conversion of a route's notation to these groups.

use dht_dynamic::{
    Route,
    route::{GroupRole, LayerGroup, ModelShape, RouteGroup, RouteSpec, Segment},
};

use crate::error::{Error, Result};

/// The groups of a space: the base, the dynamic groups in order, the tail.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub(crate) shape: ModelShape,
    /// The exit depths, without the tail, ascending. If there is a base, the first exit is at its end.
    pub(crate) exits: Vec<usize>,
    pub(crate) base: Option<LayerGroup>,
    pub(crate) groups: Vec<LayerGroup>,
    pub(crate) tail: Option<LayerGroup>,
}

impl Layout {
    /// Builds the groups between these exits; the layers up to the first exit are the base or, without one, the first
    /// group.
    pub(crate) fn new(shape: ModelShape, exits: &[usize], with_base: bool, tail: usize) -> Result<Self> {
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
        let base = with_base.then(|| groups.remove(0));
        let tail = if tail == 0 { None } else { Some(LayerGroup::new(deepest..shape.layers)?) };
        Ok(Self { shape, exits: exits.to_vec(), base, groups, tail })
    }

    /// The number of dynamic groups before an exit.
    pub(crate) fn groups_before(&self, exit_index: usize) -> usize {
        if self.base.is_some() { exit_index } else { exit_index + 1 }
    }

    /// The route that leaves at an exit and keeps these numbers of heads, one for each dynamic group before it.
    pub(crate) fn route(&self, exit_index: usize, heads: &[usize]) -> Result<Route> {
        let fixed = |role, layers| RouteGroup { role, layers, heads: self.shape.heads };
        let dynamic = self.groups[..self.groups_before(exit_index)]
            .iter()
            .zip(heads)
            .map(|(&layers, &heads)| RouteGroup { role: GroupRole::Dynamic, layers, heads });
        let base = self.base.map(|layers| fixed(GroupRole::Base, layers));
        let tail = self.tail.map(|layers| fixed(GroupRole::Tail, layers));
        Ok(Route::new(self.shape, base.into_iter().chain(dynamic).chain(tail).collect())?)
    }

    /// The route that this notation describes.
    pub(crate) fn resolve(&self, spec: &RouteSpec) -> Result<Route> {
        let refuse = |expected: String| Error::RouteNotInSpace { route: spec.to_string(), expected };
        let mut body = spec.segments();
        if let Some(tail) = self.tail {
            let last = Segment { layers: tail.len(), heads: self.shape.heads };
            body = body
                .strip_suffix(&[last])
                .ok_or_else(|| refuse(format!("{}L{}H at its end", last.layers, last.heads)))?;
        }
        let depth: usize = body.iter().map(|segment| segment.layers).sum();
        let exit = self.exits.iter().position(|&exit| exit == depth).ok_or_else(|| {
            refuse(format!(
                "{} layers{}",
                one_of(&self.exits),
                if self.tail.is_some() { " before its tail" } else { "" }
            ))
        })?;
        let groups = &self.groups[..self.groups_before(exit)];
        let short = spec.segments().len() == 1 && !groups.is_empty();
        if short {
            return self.route(exit, &vec![body[0].heads; groups.len()]);
        }
        let heads_of = |group: &LayerGroup| {
            heads_in(body, group).ok_or_else(|| {
                refuse(format!("one number of heads in layers {} to {}", group.start() + 1, group.end()))
            })
        };
        if let Some(base) = self.base
            && heads_of(&base)? != self.shape.heads
        {
            return Err(refuse(format!("all {} heads in its first {} layers", self.shape.heads, base.len())));
        }
        let heads = groups.iter().map(heads_of).collect::<Result<Vec<_>>>()?;
        self.route(exit, &heads)
    }
}

/// The number of heads in the segment of the notation that contains the whole group.
fn heads_in(body: &[Segment], group: &LayerGroup) -> Option<usize> {
    let mut end = 0;
    let segment_of_group = body.iter().find(|segment| {
        end += segment.layers;
        end > group.start()
    })?;
    (end >= group.end()).then_some(segment_of_group.heads)
}

pub(crate) fn one_of(options: &[usize]) -> String {
    let options: Vec<_> = options.iter().map(usize::to_string).collect();
    options.join(", ")
}
