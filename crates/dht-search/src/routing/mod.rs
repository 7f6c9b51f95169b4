//! Routers of a search: they decide at which early exit a sample stops, and which heads it keeps up to that exit.
//!
//! The inputs of a router are hidden states and the answers of exits. A router does not depend on the encoder or the
//! optimiser, so that the same router decides in training and in inference.

mod bandit;
mod factory;
mod fixed;
mod full_heads;
pub(crate) mod learner;
mod losses;
mod queues;
mod random_heads;
mod rule;

pub use bandit::{Decided, ExitBandits};
pub(crate) use factory::build;
pub(crate) use fixed::{FixedRoutes, RouteChoice};
pub(crate) use learner::Learner;
pub use learner::{Preparation, taking_arms};
pub use losses::Losses;
pub(crate) use queues::Queues;
pub(crate) use random_heads::random_heads;
