//! Encoder and its parts: layers, classifiers, linear heads, narrow side layers and gates.

mod block;
pub(crate) mod classifier;
mod dimensions;
pub(crate) mod encoder;
mod freezing;
mod init;
mod language_head;
mod linear;
mod local_attention;
pub(crate) mod names;
mod pooled_states;
mod pruned;
mod ragged;
mod side_layer;
mod var_source;

pub use crate::backend::{Gate, LayerGates};
pub use block::LayerRecord;
pub(crate) use classifier::Classifier;
pub(crate) use encoder::Encoder;
pub(crate) use language_head::{LanguageHead, LanguageHeadTensors};
pub use linear::Linear;
pub(crate) use linear::LinearTensors;
pub(crate) use pruned::{KEPT_DIMENSIONS, KEPT_HEADS, KEPT_NEURONS};
pub use side_layer::SideLayer;
pub(crate) use var_source::VarSource;

#[cfg(test)]
mod tests;
