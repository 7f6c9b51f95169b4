//! Search model: prediction, setting of its trade-off between quality and cost, saving and loading.

pub(crate) mod own_parts;
mod predict;
mod saved;
pub(crate) mod search_model;

pub(crate) use search_model::SearchModel;
