//! Early exits: classifiers at which a text may stop before it has run all layers.

mod builder;
#[expect(clippy::module_inception, reason = "the trait is in the file of its name")]
pub(crate) mod exit;
mod front;
mod kind;
mod linear;
mod ngram;
mod side_layer;
mod stacker;

pub(crate) use builder::ExitBuilder;
pub use builder::ExitPlace;
pub(crate) use exit::LayerExit;
pub use exit::{ExitFlops, ExitReads};
pub use front::FrontExit;
pub use kind::ExitKind;
pub(crate) use ngram::WORD_EMBEDDINGS;
pub use ngram::{NgramClassifier, NgramFit, NgramSettings};
pub use stacker::Stacker;
