//! The models: an encoder with exits, the executor that runs a batch on its routes, and the model of a search.

mod executor;
mod exit_probabilities;
mod exits;
pub(crate) mod own_parts;
mod predict;
pub(crate) mod routed_encoder;
mod saved;
pub(crate) mod search_model;

pub(crate) use executor::{Executor, PassedExits};
pub(crate) use exits::Exits;
pub(crate) use routed_encoder::RoutedEncoder;
pub(crate) use search_model::SearchModel;
