//! Routers: they decide at which exit a text leaves. One file a router.

mod factory;
mod patience;
#[expect(clippy::module_inception, reason = "the trait is in the file of its name")]
mod router;
mod rule;
mod threshold;

pub use patience::Patience;
pub use router::{ExitView, Notes, Router};
pub use rule::LeavingRule;
pub use threshold::Threshold;
