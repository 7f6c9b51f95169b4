//! FLOPs of matrix products in encoder blocks and classifiers, for forward and backward passes.
//!
//! One multiply-add is two FLOPs, and only matrix products are counted: softmax, norms, activations, additions and
//! embedding look-ups are not. In formulas, T is the number of tokens, n the number of texts, ℓ the length of a text,
//! and d the hidden size. A block runs k heads of width a, with d' = k·a, and f feed-forward neurons.

mod block;
mod breakdown;
mod classifier;
mod count;
pub(crate) mod executed;
mod layer;
mod load;
mod needs;

pub use block::{BlockShape, Width};
pub use breakdown::Breakdown;
pub use classifier::ClassifierShape;
pub use count::FlopCount;
pub use layer::LayerSizes;
pub use load::Load;
pub use needs::BackwardNeeds;
