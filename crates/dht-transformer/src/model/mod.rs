//! The encoder, in the order of the data.

mod block;
mod classifier;
mod encoder;
mod init;
mod language_head;
mod local_attention;
pub(crate) mod names;
mod pruned;
mod var_source;

pub use classifier::Classifier;
pub(crate) use classifier::LinearTensors;
pub use encoder::Encoder;
pub use language_head::LanguageHead;
pub(crate) use language_head::LanguageHeadTensors;
pub(crate) use pruned::{KEPT_HEADS, KEPT_NEURONS};
pub(crate) use var_source::VarSource;

#[cfg(test)]
mod tests;
