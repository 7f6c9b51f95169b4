//! Evaluation of a search: controls, regret against fixed routes, and inference with queues. They complement
//! [`evaluate`](dht_dynamic::evaluate()).
//!
//! Control: an evaluation on routes that the model's router did not select for the texts. The model still selects the
//! heads, so that only the selection of routes differs.
//!
//! | control | what it runs | how |
//! |---|---|---|
//! | fixed | one route for every text | [`evaluate_on`] with that route for each text; [`FixedArms`] for every fixed route in turn |
//! | random | a route drawn for each text | [`evaluate_on`] [`SearchSpace::random_route`](crate::SearchSpace::random_route) |
//! | shuffled | the router's own routes, assigned to texts at random | [`evaluate_shuffled`] |
//! | oracle | the best fixed route of each text, with knowledge of its label | [`evaluate_on`] [`FixedArms::oracle_routes`] |
//!
//! The control *shuffled* uses the head sets of the evaluation whose routes are shuffled. The other controls use the
//! sets that the head router selects for the numbers of heads of their routes.

mod controls;
mod on_routes;
mod queued;
pub(crate) mod regret;

pub use controls::evaluate_shuffled;
pub use on_routes::evaluate_on;
pub use queued::{Queued, evaluate_queued};
pub use regret::FixedArms;

#[cfg(test)]
mod control_tests;
#[cfg(test)]
mod tests;
