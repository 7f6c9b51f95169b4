//! Policies over sparse contexts, such as hashed words and categories.

mod model;
mod policy;
mod softmax_policy;
mod state;
mod table;

pub use model::{AdaGrad, SparseModel};
pub use policy::SparsePolicy;
pub use softmax_policy::SoftmaxPolicy;
