//! Routers, which decide at which exit a sample leaves, and which heads it keeps up to that exit. Each router has its
//! own file.
//!
//! A router sees hidden states and logits. It does not depend on the encoder or the optimiser, so that the same router
//! decides in training and in inference.

mod bandit;
mod by_rule;
mod factory;
mod fixed;
mod full_heads;
pub(crate) mod head_router;
mod mode;
mod queues;
mod random_heads;
pub(crate) mod router;
mod state;
pub(crate) mod trace;

pub use bandit::{Decided, ExitBandits};
pub(crate) use factory::build;
pub(crate) use fixed::{FixedRoutes, RouteChoice};
pub use head_router::GroupView;
pub(crate) use head_router::HeadRouter;
pub use mode::Mode;
pub(crate) use queues::Queues;
pub(crate) use random_heads::random_heads;
pub(crate) use router::{Router, StageView};
pub use state::{HeadState, Preparation, RouterState};
pub use trace::{Deciding, ExitOutput, ExitReads, GroupDecisions, GroupTrace, HeadSetGroup, Losses};
pub(crate) use trace::{Decisions, ForwardTrace};
