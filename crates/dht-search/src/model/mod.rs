//! Model of a search, which predicts, has a speed, and can be saved and loaded.

pub(crate) mod own_parts;
mod predict;
mod saved;
pub(crate) mod search_model;

pub(crate) use search_model::SearchModel;
