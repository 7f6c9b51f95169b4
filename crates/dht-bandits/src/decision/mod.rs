//! Data types of decisions: requests, choices, slates (lists of arms shown at once) with their feedback, and
//! propensities.

mod choice;
mod propensity;
mod request;
mod slate;
mod sparse;

pub use choice::{Choice, Decision};
pub use propensity::Propensity;
pub(crate) use propensity::QUADRATURE_ERROR;
pub use request::Request;
pub(crate) use request::{Actions, Featured};
pub(crate) use slate::Gathered;
#[cfg(feature = "log")]
pub(crate) use slate::check_examination;
pub use slate::{ArmFeedback, Feedback, Slate};
pub(crate) use sparse::check_sparse;
pub use sparse::{FeatureSpace, SparseContext};
