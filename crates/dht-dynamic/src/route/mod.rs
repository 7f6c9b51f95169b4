//! Routes: the layers that a text ran, and the number of attention heads in each.

mod coupling;
mod layout;
mod notation;
#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
pub(crate) mod route;

pub use coupling::WidthCoupling;
pub use layout::{BaseState, Layout};
pub use notation::{RouteSpec, Segment};
pub(crate) use route::Route;
pub use route::{GroupRole, LayerGroup, ModelShape, RouteGroup};
