//! Routers, which decide at which exit a text stops and which attention heads it uses.

mod decisions;
mod exit_rule;
mod factory;
mod mode;
mod patience;
#[expect(clippy::module_inception, reason = "the trait is in the file of its name")]
pub(crate) mod router;
mod rule;
mod threshold;

pub use decisions::{Decisions, GroupDecisions, HeadSetGroup, Notes};
pub use exit_rule::ExitRule;
pub use mode::Mode;
pub use patience::Patience;
pub(crate) use router::Router;
pub use router::{ExitView, GroupView};
pub use rule::LeavingRule;
pub use threshold::Threshold;
