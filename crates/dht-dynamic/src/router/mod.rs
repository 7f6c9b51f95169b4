//! Routers, which decide at which exit a text leaves. Each router has its own file.

mod factory;
mod patience;
#[expect(clippy::module_inception, reason = "the trait is in the file of its name")]
pub(crate) mod router;
mod rule;
mod threshold;

pub use patience::Patience;
pub(crate) use router::Router;
pub use router::{ExitView, Notes};
pub use rule::LeavingRule;
pub use threshold::Threshold;
