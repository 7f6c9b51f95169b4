//! Data types that other modules share: packed rows, head sets, parameters, gradients and losses.

mod answers;
mod distinct_rows;
mod gradients;
pub(crate) mod head_plan;
pub(crate) mod heads;
pub(crate) mod hidden;
mod losses;
mod packing;
mod parameters;
pub(crate) mod precision;
mod slices;

pub use answers::finite_rows;
pub use gradients::{Gradient, Gradients};
pub(crate) use head_plan::{HeadPlan, SampleGroup};
pub(crate) use heads::HeadSet;
#[doc(hidden)]
pub use heads::HeadSetIter;
pub(crate) use hidden::Hidden;
pub use losses::{binary_cross_entropy, cross_entropy, log_softmax, soft_cross_entropy};
pub(crate) use losses::{cosine_distance, squared_error};
pub(crate) use packing::RowBlock;
pub use packing::{Packing, Spans};
pub use parameters::{Parameter, ParameterId, Parameters};
pub(crate) use precision::{Precision, wide};
pub(crate) use slices::{release, released, slice, with_slices, with_weight_slices};
