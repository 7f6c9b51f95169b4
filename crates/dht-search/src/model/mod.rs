//! The models: an encoder with exits, the executor that runs a batch on its routes, and the model of a search.

mod executor;
mod exit_probabilities;
mod exits;
mod own_parts;
mod predict;
mod routed_encoder;
mod saved;
mod search_model;

pub(crate) use executor::{Executor, PassedExits};
pub(crate) use exits::Exits;
pub use own_parts::OwnParts;
pub use routed_encoder::RoutedEncoder;
pub use search_model::SearchModel;
