//! The results of a run as one JSON file.

mod file;
pub(crate) mod json;
mod machine;
mod operating_points;
mod reproduction;
mod results;
mod truncations;

pub use file::{DataRecord, ModelRecord, RunRecord};
pub use machine::{Machine, this_machine};
pub use operating_points::{OperatingPoint, OracleResult};
pub use reproduction::{ReproductionRecord, RowGroup, RowRecord, Summary};
pub use results::{DifficultyResult, DynamicResult, ModelResult, RouteCounts};
