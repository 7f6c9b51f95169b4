//! FLOPs of the matrix products of a block and of a classifier, forward and backward.
//!
//! One multiply-add is two FLOPs, and only matrix products are counted: softmax, norms, activations, additions and
//! embedding look-ups are not. The symbols are T tokens and n texts in all, lengths ℓ, hidden size d, kept heads k of
//! width a, d' = k·a, kept feed-forward width f.

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
