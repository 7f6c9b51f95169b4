//! Routes: the layers and heads of an encoder that a text ran.

mod notation;
#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
pub(crate) mod route;

pub use notation::{RouteSpec, Segment};
pub(crate) use route::Route;
pub use route::{GroupRole, LayerGroup, ModelShape, RouteGroup};
