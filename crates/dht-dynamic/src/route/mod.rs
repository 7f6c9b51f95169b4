//! Routes: the layers and heads of an encoder that a text ran.

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
