//! Conversion of a route's notation, such as `12L8H`, to a route through the groups of layers of a layout.

use dht_dynamic::Error as Dynamic;
use dht_dynamic::{
    Route,
    route::{LayerGroup, Layout, RouteSpec, Segment},
};

use crate::error::{Error, Result};

/// Returns the route of a layout that a notation such as `12L8H` (12 layers, 8 heads) describes.
pub(super) fn resolve(layout: &Layout, spec: &RouteSpec) -> Result<Route> {
    let refuse = |expected: String| Error::Dynamic(Dynamic::RouteNotInSpace { route: spec.to_string(), expected });
    let mut body = spec.segments();
    if let Some(tail) = layout.tail() {
        let last = Segment { layers: tail.len(), heads: layout.shape().heads };
        body =
            body.strip_suffix(&[last]).ok_or_else(|| refuse(format!("{}L{}H at its end", last.layers, last.heads)))?;
    }
    let depth: usize = body.iter().map(|segment| segment.layers).sum();
    let exit = layout.exits().iter().position(|&exit| exit == depth).ok_or_else(|| {
        refuse(format!(
            "{} layers{}",
            one_of(layout.exits()),
            if layout.tail().is_some() { " before its tail" } else { "" }
        ))
    })?;
    let groups = layout.groups_before(exit);
    let short = spec.segments().len() == 1 && !groups.is_empty();
    if short {
        return Ok(layout.route(exit, &vec![body[0].heads; groups.len()])?);
    }
    let heads_of = |group: &LayerGroup| {
        heads_in(body, group)
            .ok_or_else(|| refuse(format!("one number of heads in layers {} to {}", group.start() + 1, group.end())))
    };
    if let Some(base) = layout.base()
        && heads_of(&base)? != layout.shape().heads
    {
        return Err(refuse(format!("all {} heads in its first {} layers", layout.shape().heads, base.len())));
    }
    let heads = groups.iter().map(heads_of).collect::<Result<Vec<_>>>()?;
    Ok(layout.route(exit, &heads)?)
}

/// Number of heads that a route's notation gives for a group of layers. `None` if no segment of the notation (`3L12H`
/// is one segment) contains the whole group.
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
